"""Export to ONNX, with the answer checked on real frames before the file is kept."""

import json
import logging
import warnings
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from infraspot.core.catalog import imported_names
from infraspot.core.errors import InfraspotError
from infraspot.core.files import replacing
from infraspot.core.sample import Sample
from infraspot.data import Frame
from infraspot.inference.engines import OnnxEngine, TorchEngine
from infraspot.inference.frames import prepare_frame, segment_frame
from infraspot.inference.onnx_file import read_onnx
from infraspot.inference.scores import first_line
from infraspot.inference.second_look import NEAR, SHRINKING, WIDE, encode_graph
from infraspot.networks import SegmentationNetwork
from infraspot.weights import CARD, PREPROCESSING, SECOND_LOOK
from infraspot.weights.second_look import SecondLookNetwork

TOLERANCE = 1e-4
CHECKED_PLACES = 20


class _Scores(nn.Module):
    """The part of a network that is deployed: padded image in, scores in [0, 1] out."""

    def __init__(self, network: SegmentationNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        return torch.sigmoid(self.network.segment(self.network.scaled(image)).logits)


def export_onnx(
    network: SegmentationNetwork,
    card: dict[str, Any],
    path: Path | str,
    *,
    frames: Iterable[Sample | Frame] = (),
    second_look: SecondLookNetwork | None = None,
) -> float:
    """Write a network as ONNX with free height and width, and compare it with torch.

    Parameters
    ----------
    network
        In evaluation mode or not; it is exported in evaluation mode.
    card
        Goes into the file, together with the network's stride.
    path
        The ``.onnx`` file; written only if the check passes.
    frames
        Frames for the check; two noisy ones of odd sizes are always checked.
    second_look
        The network of the second look, where the card names one; its graph goes into the metadata.

    Returns
    -------
    The largest difference of a score that was seen.

    Raises
    ------
    InfraspotError
        If the network cannot be written as a graph for every size, or a score differs from torch by more
        than 1e-4.
    """
    network = network.eval()
    with replacing(path) as temporary:
        try:
            full = {**card, "stride": network.stride, "preprocessing": PREPROCESSING}
            _write(network, full, temporary, second_look)
            difference = _difference(network, temporary, frames, second_look)
        except Exception as error:  # neither the exporter's nor the runtime's errors share a public base
            raise InfraspotError(
                f"{path}: this network could not be exported for frames of any size; its weights run in torch"
                f" ({type(error).__name__}: {first_line(error)})"
            ) from error
        if difference > TOLERANCE:
            raise InfraspotError(
                f"{path}: the exported model differs from torch by {difference:.1e}, more than"
                f" {TOLERANCE:.0e}; it was not written"
            )
    return difference


def _write(
    network: SegmentationNetwork, card: dict[str, Any], path: Path, second_look: SecondLookNetwork | None
) -> None:
    import onnx

    side = max(64, 4 * network.stride)
    example = torch.rand(1, 1, side, side + network.stride)
    free = {2: "height", 3: "width"}
    model = _graph(_Scores(network), {"image": example}, "scores", {"image": free, "scores": free})
    texts = {CARD: json.dumps(card)}
    if second_look is not None:
        texts[SECOND_LOOK] = encode_graph(_second_look_graph(second_look))
    onnx.helper.set_model_props(model, texts)
    onnx.save(model, path)


def _second_look_graph(network: SecondLookNetwork) -> bytes:
    """The second look as ONNX, its weights kept in half precision, which is what they were rounded to."""
    from onnx import TensorProto, helper, numpy_helper

    windows = {"near": torch.rand(2, 1, NEAR, NEAR), "wide": torch.rand(2, 1, *[WIDE // SHRINKING] * 2)}
    ends = {name: {0: "candidates"} for name in (*windows, "logits")}
    model = _graph(network, windows, "logits", ends)
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            name, values = tensor.name, numpy_helper.to_array(tensor).astype(np.float16)
            tensor.CopyFrom(numpy_helper.from_array(values, f"{name}.half"))
            back = helper.make_node("Cast", [tensor.name], [name], to=TensorProto.FLOAT)
            model.graph.node.insert(0, back)
    graph: bytes = model.SerializeToString()
    return graph


def _graph(module: nn.Module, inputs: dict[str, Tensor], output: str, free: dict[str, dict[int, str]]) -> Any:
    """A module in evaluation as an ONNX model; ``free`` names the axes of any length."""
    import onnx

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        path = Path(folder) / "graph.onnx"
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            tuple(inputs.values()),
            str(path),
            input_names=list(inputs),
            output_names=[output],
            dynamic_axes=free,
            opset_version=17,
            dynamo=False,
        )
        return onnx.load(path)


def _difference(
    network: SegmentationNetwork,
    path: Path,
    frames: Iterable[Sample | Frame],
    second_look: SecondLookNetwork | None,
) -> float:
    """The largest difference between torch and the file, loaded as a stranger's would be.

    The scores of pixels are compared, and the scores of candidates, each at places of the same frames: a map
    after the second look may jump where a pixel lies on an outline.
    """
    rng = np.random.default_rng(0)
    noise = [Frame(rng.random(shape, np.float32), 8) for shape in ((97, 131), (64, 50))]
    card = json.loads(read_onnx(path).card)
    engines = (
        TorchEngine(network, card, "torch", second_look),
        OnnxEngine(path, trust=[*imported_names(card["network"])]),
    )
    gaps = []
    for frame in (*noise, *frames):
        image = prepare_frame(frame.image, frame.bit_depth)
        reference, exported = (segment_frame(engine, image) for engine in engines)
        gaps.append(np.abs(reference - exported).max())
        if second_look is not None:
            places = rng.random((CHECKED_PLACES, 2)) * (np.array(image.shape) - 1)
            looks = (engine.second_look for engine in engines)
            peaks = np.full(len(places), 0.9, np.float32)
            judged, again = (look.probabilities(look.logits(image, places), peaks) for look in looks if look)
            gaps.append(np.abs(judged - again).max())
    return float(max(gaps))
