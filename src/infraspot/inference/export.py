"""Export to ONNX, with the answer checked on real frames before the file is kept."""

import json
import logging
import warnings
from collections.abc import Iterable
from pathlib import Path
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
from infraspot.inference.frames import score_frame
from infraspot.inference.onnx_file import read_onnx_card
from infraspot.inference.scores import first_line
from infraspot.networks import SegmentationNetwork
from infraspot.weights import CARD, PREPROCESSING

TOLERANCE = 1e-4


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
            _write(network, {**card, "stride": network.stride, "preprocessing": PREPROCESSING}, temporary)
            difference = _difference(network, temporary, frames)
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


def _write(network: SegmentationNetwork, card: dict[str, Any], path: Path) -> None:
    import onnx

    side = max(64, 4 * network.stride)
    example = torch.rand(1, 1, side, side + network.stride)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _Scores(network),
            (example,),
            str(path),
            input_names=["image"],
            output_names=["scores"],
            dynamic_axes={"image": {2: "height", 3: "width"}, "scores": {2: "height", 3: "width"}},
            opset_version=17,
            dynamo=False,
        )
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {CARD: json.dumps(card)})
    onnx.save(model, path)


def _difference(network: SegmentationNetwork, path: Path, frames: Iterable[Sample | Frame]) -> float:
    """The largest difference between torch and the file, loaded as a stranger's would be."""
    rng = np.random.default_rng(0)
    noise = [Frame(rng.random(shape, np.float32), 8) for shape in ((97, 131), (64, 50))]
    card = json.loads(read_onnx_card(path))
    engines = TorchEngine(network, card, "torch"), OnnxEngine(path, trust=[*imported_names(card["network"])])
    gaps = []
    for frame in (*noise, *frames):
        reference, exported = (score_frame(engine, frame.image, frame.bit_depth) for engine in engines)
        gaps.append(np.abs(reference - exported).max())
    return float(max(gaps))
