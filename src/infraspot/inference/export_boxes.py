"""Export of detectors of boxes to ONNX, with the answer checked before the file is kept."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from infraspot.core.catalog import imported_names
from infraspot.core.errors import InfraspotError, InputError
from infraspot.core.files import replacing
from infraspot.core.sample import Sample
from infraspot.data import Frame
from infraspot.detection import Detector
from infraspot.inference.box_engines import BoxEngine, TorchBoxEngine
from infraspot.inference.engines import open_engine
from infraspot.inference.export import graph_of, save_model
from infraspot.inference.export_check import NOISE_SHAPES, TOLERANCE
from infraspot.inference.frames import prepare_frame
from infraspot.inference.onnx_file import texts_for
from infraspot.inference.scores import first_line
from infraspot.inference.suppression import thin_out
from infraspot.weights import PREPROCESSING

BOX_TOLERANCE = 0.01  # pixels
SURE = 0.01  # boxes of lower scores are never shown


class _Answer(nn.Module):
    """The part of a detector that is deployed: padded image in, boxes and scores out."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, image: Tensor) -> Tensor:
        mean, deviation = self.detector.input_scaling
        output = self.detector.detect((image - mean) / deviation)
        return torch.cat([output.boxes, self.detector.scores(output)[..., None]], -1)


def export_detector(
    detector: Detector,
    card: dict[str, Any],
    path: Path | str,
    *,
    frames: Iterable[Sample | Frame] = (),
    suppress: bool = False,
) -> float:
    """Write a detector as ONNX with free height and width, and compare it with torch.

    The graph takes ``image`` (1, 1, H, W), sides multiples of the stride, and gives ``boxes`` (1, K, 5): rows
    of x0, y0, x1, y1 in pixels and the score. ``suppress`` puts suppression inside, by ONNX's own operator;
    K is then the number of boxes that stay, best first.

    Returns
    -------
    The largest difference of a score that was seen.

    Raises
    ------
    InfraspotError
        If the detector cannot be written as a graph for every size, a score differs from torch by more than
        1e-4, or a box by more than .01 pixels.
    """
    detector = detector.eval()
    full = {**card, "kind": "detector", "stride": detector.stride, "preprocessing": PREPROCESSING}
    full.setdefault("suppression", detector.suppression)
    noise = np.random.default_rng(0)
    checked = [*(Frame(noise.random(shape, np.float32), 8) for shape in NOISE_SHAPES), *frames]
    with replacing(path) as temporary:
        model = _model(detector, path)
        save_model(model, temporary, texts_for(full))
        try:
            whole = _opened(temporary, full)
            difference, gap = _differences(TorchBoxEngine(detector, full, "torch"), whole, checked)
            if suppress:
                _suppress_inside(model, full["suppression"])
                save_model(model, temporary, texts_for(full))
                _check_suppressed(whole, _opened(temporary, full), checked, full["suppression"])
        except InputError as error:
            raise InfraspotError(
                f"{path}: this detector could not be exported for frames of any size; it runs in torch"
                f" ({first_line(error)})"
            ) from error
        if difference > TOLERANCE or gap > BOX_TOLERANCE:
            raise InfraspotError(
                f"{path}: the exported detector differs from torch by {difference:.1e} in scores and"
                f" {gap:.1e} pixels in boxes, more than {TOLERANCE:.0e} and {BOX_TOLERANCE:g}; it was not"
                " written"
            )
    return difference


def _model(detector: Detector, path: Path | str) -> Any:
    side = max(64, 2 * detector.stride)
    example = torch.rand(1, 1, side, side + detector.stride)
    free = {"image": {2: "height", 3: "width"}, "boxes": {1: "candidates"}}
    return graph_of(_Answer(detector), {"image": example}, "boxes", free, path)


def _suppress_inside(model: Any, options: dict[str, Any]) -> None:
    """Append ONNX's NonMaxSuppression, and gather the rows that stay."""
    from onnx import TensorProto, helper, numpy_helper

    graph, inner = model.graph, "rows_of_all"
    for node in graph.node:
        node.output[:] = [inner if name == "boxes" else name for name in node.output]
        node.input[:] = [inner if name == "boxes" else name for name in node.input]
    numbers: dict[str, Any] = {
        "most": np.array([options["most"]], np.int64),
        "iou": np.array([options["iou"]], np.float32),
        "least": np.array([options["least"]], np.float32),
        **{f"at_{k}": np.array([k], np.int64) for k in (0, 1, 2, 4, 5)},
    }
    place = {name: f"suppression_{name}" for name in numbers}
    graph.initializer.extend(numpy_helper.from_array(value, place[name]) for name, value in numbers.items())
    graph.node.extend(
        [
            helper.make_node("Slice", [inner, place["at_0"], place["at_4"], place["at_2"]], ["edges"]),
            helper.make_node("Slice", [inner, place["at_4"], place["at_5"], place["at_2"]], ["column"]),
            helper.make_node("Transpose", ["column"], ["class_scores"], perm=[0, 2, 1]),
            helper.make_node(
                "NonMaxSuppression",
                ["edges", "class_scores", place["most"], place["iou"], place["least"]],
                ["chosen"],
            ),
            # Rows of (frame, class, box), one frame and one class.
            helper.make_node("Gather", ["chosen", place["at_2"]], ["numbers"], axis=1),
            helper.make_node("Squeeze", ["numbers", place["at_1"]], ["number"]),
            helper.make_node("Gather", [inner, "number"], ["boxes"], axis=1),
        ]
    )
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [1, "candidates", 5]))


def _opened(path: Path, card: dict[str, Any]) -> BoxEngine:
    """The engine of a file, loaded as a stranger's would be."""
    engine = open_engine(str(path), trust=[*imported_names(card["network"])])
    assert isinstance(engine, BoxEngine)
    return engine


def _differences(ours: BoxEngine, theirs: BoxEngine, frames: Iterable[Sample | Frame]) -> tuple[float, float]:
    """The largest difference of a score, and of an edge of a box that is ever shown."""
    scores, edges = [0.0], [0.0]
    for frame in frames:
        image = prepare_frame(frame.image, frame.bit_depth)
        (boxes, wanted), (found, given) = (engine.asked(image) for engine in (ours, theirs))
        if wanted.shape != given.shape:
            return np.inf, np.inf
        scores.append(float(np.abs(wanted - given).max(initial=0)))
        edges.append(float(np.abs(boxes - found)[wanted >= SURE].max(initial=0)))
    return max(scores), max(edges)


def _check_suppressed(
    whole: BoxEngine, inside: BoxEngine, frames: Iterable[Sample | Frame], options: dict[str, Any]
) -> None:
    """Compare suppression inside the graph with that outside, of the same boxes.

    Raises
    ------
    InfraspotError
        If other boxes stay.
    """
    for frame in frames:
        image = prepare_frame(frame.image, frame.bit_depth)
        boxes, scores = whole.propose(image)
        kept = thin_out(boxes, scores, **{**options, "before": max(len(scores), 1)})
        found, given = inside.propose(image)
        if given.shape != scores[kept].shape or not np.allclose(found, boxes[kept], atol=BOX_TOLERANCE):
            raise InfraspotError(
                f"suppression inside the graph keeps {len(given)} boxes of a frame, others than the"
                f" {len(kept)} that stay outside; export without --suppress"
            )
