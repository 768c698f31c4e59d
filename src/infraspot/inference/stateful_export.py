"""Export of networks that carry a state along a sequence (:mod:`infraspot.inference.stateful`)."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from infraspot.core.catalog import imported_names
from infraspot.core.errors import InfraspotError
from infraspot.core.files import replacing
from infraspot.inference.export import FREE, graph_of, save_model
from infraspot.inference.export_check import TOLERANCE
from infraspot.inference.onnx_engines import open_onnx
from infraspot.inference.stateful import StatefulEngine
from infraspot.networks.sequences.rfr import RFR
from infraspot.weights import CARD, PREPROCESSING

_TRIED_FRAMES = 4


class _Step(nn.Module):
    """(frame, state) to scores and state in one map; a state of zeros begins a sequence."""

    def __init__(self, network: RFR) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor, state: Tensor) -> Tensor:
        own = self.network.features(image)
        begins = (state.abs().amax() == 0).to(own.dtype)
        now = begins * own + (1 - begins) * self.network.follow(own, state)
        scores = torch.sigmoid(self.network.answer(image, now).logits)
        return torch.cat([scores, now], 1)


def export_stateful(network: RFR, card: dict[str, Any], path: Path | str) -> float:
    """Write a network with a state as ONNX, and compare it with torch over several frames of two sizes.

    Returns
    -------
    The largest difference of a score that was seen.

    Raises
    ------
    InfraspotError
        If the network cannot be written, or a score differs from torch by more than 1e-4.
    """
    network = network.eval()
    channels = network.features.out_channels
    about = {**card, "stride": network.stride, "preprocessing": PREPROCESSING, "state_channels": channels}
    side = max(64, 4 * network.stride)
    shape = (side, side + network.stride)
    inputs = {"image": torch.rand(1, 1, *shape), "state": torch.rand(1, channels, *shape)}
    model = graph_of(_Step(network), inputs, "scores", dict.fromkeys((*inputs, "scores"), FREE), path)
    with replacing(path) as temporary:
        save_model(model, temporary, {CARD: json.dumps(about)})
        trusted = [*imported_names(about["network"])]
        difference = _difference(network, open_onnx(temporary, trust=trusted, threads=1), shape)
        if difference > TOLERANCE:
            raise InfraspotError(
                f"{path}: the exported model differs from torch by {difference:.1e}, more than"
                f" {TOLERANCE:.0e}; it was not written"
            )
    return difference


@torch.no_grad()
def _difference(network: RFR, engine: StatefulEngine, shape: tuple[int, int]) -> float:
    rng, worst = np.random.default_rng(0), 0.0
    for size in (shape, (shape[0] // 2, shape[1])):
        engine.enter(size)
        state = None
        for _ in range(_TRIED_FRAMES):
            image = rng.random(size, np.float32)
            output, state = network.step(torch.from_numpy(image)[None, None], state)
            expected = output.logits.sigmoid()[0, 0].numpy()
            worst = max(worst, float(np.abs(engine.score(image) - expected).max()))
    return worst
