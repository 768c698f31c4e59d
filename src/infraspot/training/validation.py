"""How good a network is on frames at their own size."""

from collections.abc import Sequence

import torch
from torch import nn

from infraspot.core.errors import DataError
from infraspot.core.sample import Sample
from infraspot.metrics import Evaluation

NUMBERS = ("iou", "niou", "pd", "fa_area")


@torch.inference_mode()
def validate(
    network: nn.Module, samples: Sequence[Sample], device: torch.device, protocol: str
) -> dict[str, float]:
    """IoU, nIoU, Pd and Fa as fractions, under a protocol of ``infraspot.metrics``.

    Raises
    ------
    DataError
        If a frame has no mask.
    """
    network.eval()
    evaluation = Evaluation(protocol, thresholds=None)
    for sample in samples:
        if sample.mask is None:
            raise DataError(
                f"{sample.id}: validation needs a mask for every frame, and this one has none; add it, or"
                " leave the frame out of the split"
            )
        image = torch.from_numpy(sample.image)[None, None].to(device)
        scores = network(image).logits.float().sigmoid()[0, 0].cpu().numpy()
        evaluation.add(evaluation.measure(scores, sample.mask, id=sample.id))
    numbers = evaluation.compute()
    return {name: float(numbers[name]) for name in NUMBERS}
