"""How good the predictions for a set of frames are."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from infraspot.core.errors import DataError
from infraspot.core.prediction import Prediction
from infraspot.core.sample import Sample
from infraspot.metrics import Evaluation

NUMBERS = ("iou", "niou", "pd", "fa_area")

# Before the name of a number that compares with masks grown from clicks.
FROM_CLICKS = "click_"

Masks = Mapping[str, NDArray[Any]]


def validate(
    predictions: Iterable[Prediction], truth: Masks, grown: Masks, protocol: str
) -> dict[str, float]:
    """IoU, nIoU, Pd and Fa as fractions, under a protocol of ``infraspot.metrics``.

    Parameters
    ----------
    truth, grown
        The masks of each frame, by its id: drawn by a person, and grown from clicks. Either may be empty.
        Numbers of the second kind have names that begin with ``click_``.
    """
    evaluations = {
        prefix: (Evaluation(protocol, thresholds=None), masks)
        for prefix, masks in (("", truth), (FROM_CLICKS, grown))
        if masks
    }
    for prediction in predictions:
        for evaluation, masks in evaluations.values():
            evaluation.add(evaluation.measure(prediction, masks[prediction.id], id=prediction.id))
    computed = {prefix: evaluation.compute() for prefix, (evaluation, _) in evaluations.items()}
    return {f"{prefix}{name}": float(found[name]) for prefix, found in computed.items() for name in NUMBERS}


def true_masks(samples: Sequence[Sample], *, required: bool) -> dict[str, NDArray[Any]]:
    """The masks of the frames; none at all where a frame has none.

    Raises
    ------
    DataError
        If they are required.
    """
    masks = {}
    for sample in samples:
        if sample.mask is not None:
            masks[sample.id] = sample.mask
        elif required:
            raise DataError(
                f"{sample.id}: validation needs a mask for every frame, and this one has none; add it, leave"
                " the frame out of the split, or choose the epoch by clicks with train.select_on = 'clicks'"
            )
    return masks if len(masks) == len(samples) else {}
