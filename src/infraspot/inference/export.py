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
from infraspot.core.errors import UsageError
from infraspot.core.files import replacing
from infraspot.core.sample import Sample
from infraspot.data import Frame
from infraspot.inference.export_check import (
    checked_gap,
    difference_of_pixels,
    difference_of_scores,
    not_exported,
)
from infraspot.inference.onnx_engines import OnnxEngine, PixelEngine
from infraspot.inference.onnx_file import texts_for
from infraspot.inference.second_look import NEAR, SEEN, encode_graph
from infraspot.inference.self_contained import FromPixels, take_pixels
from infraspot.inference.self_test import make_self_test
from infraspot.networks import SegmentationNetwork
from infraspot.weights import CARD, LEFT_OUT, PREPROCESSING, SELF_TEST
from infraspot.weights.second_look import SecondLookNetwork

FREE = {2: "height", 3: "width"}
NO_SECOND_LOOK = (
    "the second look, which judges every candidate from its surroundings: the scores are those of the"
    " segmentation alone, with several times as many false targets"
)
# What a card says about scores after the second look, which a self-contained file does not have.
OF_SECOND_LOOK = (
    "second_look",
    "second_look_trained",
    "calibration",
    "operating_points",
    "asked_against_given",
)


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
    look = None if second_look is None else encode_graph(_second_look_graph(second_look))
    texts = texts_for(_full(card, network), look)
    with replacing(path) as temporary:
        example = torch.rand(1, network.frames, *_example_sides(network))
        model = graph_of(
            _Scores(network.deployed()), {"image": example}, "scores", {"image": FREE, "scores": FREE}, path
        )
        save_model(model, temporary, texts)
        difference = checked_gap(path, difference_of_scores, network, temporary, frames, second_look)
        keep_self_test(temporary, model, texts, "uint8")
    return difference


def export_self_contained(
    network: SegmentationNetwork,
    card: dict[str, Any],
    path: Path | str,
    pixels: str,
    *,
    frames: Iterable[Sample | Frame] = (),
) -> float:
    """Write a network as ONNX that takes a camera's pixels (:mod:`infraspot.inference.self_contained`).

    Parameters
    ----------
    network
        As for :func:`export_onnx`.
    card
        Goes into the file with ``pixels``, without the second look and what was measured with it; so its
        ``threshold`` and ``false_alarms`` have to be those of the segmentation alone.
    path
        The ``.onnx`` file; written only if the check passes.
    pixels
        ``"uint8"`` or ``"uint16"``.
    frames
        Frames for the check; they are brought to the depth of ``pixels``. Noisy ones of odd sizes are checked
        always, alone and two at a time.

    Returns
    -------
    The largest difference of a score that was seen.

    Raises
    ------
    InfraspotError
        As :func:`export_onnx` does.
    """
    if network.frames > 1:
        raise UsageError(f"{path}: a self-contained file takes one frame, and this network {network.frames}")
    network = network.eval()
    kept = {name: value for name, value in card.items() if name not in OF_SECOND_LOOK}
    texts = texts_for({**_full(kept, network), "pixels": pixels})
    if "second_look" in card:
        texts[LEFT_OUT] = NO_SECOND_LOOK
    height, width = _example_sides(network)
    example = torch.randint(0, 255, (2, 1, height - 3, width - 1)).float()
    ends = {name: {0: "frames", **FREE} for name in ("frame", "scores")}
    with replacing(path) as temporary:
        module = FromPixels(network.deployed(), pixels)
        model = graph_of(module, {"frame": example}, "scores", ends, path)
        take_pixels(model, pixels)
        save_model(model, temporary, texts)
        difference = checked_gap(path, difference_of_pixels, network, temporary, pixels, frames)
        keep_self_test(temporary, model, texts, pixels)
    return difference


def _full(card: dict[str, Any], network: SegmentationNetwork) -> dict[str, Any]:
    full = {**card, "stride": network.stride, "preprocessing": PREPROCESSING}
    return full | {"frames": network.frames} if network.frames > 1 else full


def _example_sides(network: SegmentationNetwork) -> tuple[int, int]:
    side = max(64, 4 * network.stride)
    return side, side + network.stride


def save_model(model: Any, path: Path, texts: dict[str, str]) -> None:
    """Write a model with these texts as its only metadata."""
    import onnx

    del model.metadata_props[:]
    onnx.helper.set_model_props(model, texts)
    onnx.save(model, path)


def keep_self_test(path: Path, model: Any, texts: dict[str, str], pixels: str) -> None:
    """Put a frame and the file's own scores into the file."""
    trusted = imported_names(json.loads(texts[CARD])["network"])
    kind = PixelEngine if "frame" in (end.name for end in model.graph.input) else OnnxEngine
    save_model(model, path, {**texts, SELF_TEST: make_self_test(pixels, kind(path, trust=[*trusted]).answer)})


def _second_look_graph(network: SecondLookNetwork) -> bytes:
    """The second look as ONNX, its weights kept in half precision, which is what they were rounded to."""
    from onnx import TensorProto, helper, numpy_helper

    windows = {"near": torch.rand(2, 1, NEAR, NEAR), "wide": torch.rand(2, 1, SEEN, SEEN)}
    ends = {name: {0: "candidates"} for name in (*windows, "logits")}
    model = graph_of(network, windows, "logits", ends, "the second look")
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            name, values = tensor.name, numpy_helper.to_array(tensor).astype(np.float16)
            tensor.CopyFrom(numpy_helper.from_array(values, f"{name}.half"))
            back = helper.make_node("Cast", [tensor.name], [name], to=TensorProto.FLOAT)
            model.graph.node.insert(0, back)
    graph: bytes = model.SerializeToString()
    return graph


def graph_of(
    module: nn.Module,
    inputs: dict[str, Tensor],
    output: str,
    free: dict[str, dict[int, str]],
    path: Path | str,
) -> Any:
    """A module in evaluation as an ONNX model; ``free`` names the axes of any length.

    Raises
    ------
    InfraspotError
        If the exporter cannot write it; ``path`` is for the message.
    """
    import onnx

    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    torch._C._jit_set_onnx_log_enabled(False)  # or it prints the whole graph that it cannot write
    with TemporaryDirectory() as folder, warnings.catch_warnings():
        file = Path(folder) / "graph.onnx"
        warnings.simplefilter("ignore")
        try:
            torch.onnx.export(
                module.eval(),
                tuple(inputs.values()),
                str(file),
                input_names=list(inputs),
                output_names=[output],
                dynamic_axes=free,
                opset_version=17,
                dynamo=False,
            )
        except RuntimeError as error:  # of tracing, and the base of the exporter's own
            raise not_exported(path, error) from error
        return onnx.load(file)
