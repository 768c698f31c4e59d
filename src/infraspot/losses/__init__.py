"""Losses: from a network's output and a batch to one value a sample; :data:`LOSSES` lists them."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from infraspot.core.catalog import find
from infraspot.losses.base import Loss, SegLike, logits_of
from infraspot.losses.batch import Batch
from infraspot.losses.combine import DeepSupervision, Weighted
from infraspot.losses.edges import Edge, Gradient, HardEdgeBCE, edge_gradient, outline
from infraspot.losses.overlap import Dice, FocalIoU, SoftIoU
from infraspot.losses.pixel import BCE, Focal, HardClutter, PointFocal, ThresholdFocal
from infraspot.losses.separation import Contrast, Fidelity
from infraspot.losses.sls import SLS
from infraspot.losses.sparsity import WaveletSparsity

__all__ = [
    "BCE",
    "LOSSES",
    "SLS",
    "Batch",
    "Contrast",
    "DeepSupervision",
    "Dice",
    "Edge",
    "Fidelity",
    "Focal",
    "FocalIoU",
    "Gradient",
    "HardClutter",
    "HardEdgeBCE",
    "Loss",
    "PointFocal",
    "SegLike",
    "SoftIoU",
    "ThresholdFocal",
    "WaveletSparsity",
    "Weighted",
    "edge_gradient",
    "logits_of",
    "outline",
    "weighted",
]

LOSSES: dict[str, Callable[..., Loss]] = {
    "soft_iou": SoftIoU,
    "soft_iou_batch": partial(SoftIoU, pooled=True),
    "dice": Dice,
    "bce": BCE,
    "focal": Focal,
    "focal_iou": FocalIoU,
    "threshold_focal": ThresholdFocal,
    "point_focal": PointFocal,
    "hard_clutter": HardClutter,
    "sls": SLS,
    "gradient": Gradient,
    "hard_edge_bce": HardEdgeBCE,
    "fidelity": Fidelity,
    "contrast": Contrast,
    "wavelet_sparsity": WaveletSparsity,
}


def weighted(terms: Mapping[str, float], options: Mapping[str, Mapping[str, Any]] | None = None) -> Weighted:
    """Sum of named losses by weight.

    >>> loss = weighted({"soft_iou": 1, "focal": 5}, {"focal": {"gamma": 3}})

    Raises
    ------
    UsageError
        If a name is not in :data:`LOSSES`.
    """
    options = options or {}
    return Weighted(
        [(weight, find("loss", name, LOSSES)(**options.get(name, {}))) for name, weight in terms.items()]
    )
