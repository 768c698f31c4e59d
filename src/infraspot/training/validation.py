"""How good the predictions for a set of frames are."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from infraspot.core.errors import DataError
from infraspot.core.prediction import Prediction
from infraspot.core.sample import Sample
from infraspot.metrics import Evaluation
from infraspot.training.sources import column_name

NUMBERS = ("iou", "niou", "pd", "fa_area")

# Between a number and the set that it is of: curves of one number then lie side by side.
PER_SET = "/"

# Before the name of a number that compares with masks grown from clicks.
FROM_CLICKS = "click_"

Masks = Mapping[str, NDArray[Any]]


def validate(
    predictions: Iterable[Prediction],
    truth: Masks,
    grown: Masks,
    protocol: str,
    set_of: Callable[[str], str],
) -> dict[str, float]:
    """IoU, nIoU, Pd and Fa as fractions, under a protocol of ``infraspot.metrics``.

    Parameters
    ----------
    truth, grown
        The masks of each frame, by its id: drawn by a person, and grown from clicks. Either may be empty.
        Numbers of the second kind have names that begin with ``click_``.
    set_of
        The set that a frame is from, by its id. Where there are several, the numbers of each follow, as
        ``iou/NAME``.
    """
    judges = {prefix: masks for prefix, masks in (("", truth), (FROM_CLICKS, grown)) if masks}
    scores = {(prefix, ""): Evaluation(protocol, thresholds=None) for prefix in judges}
    for prediction in predictions:
        name = PER_SET + column_name(set_of(prediction.id))
        for prefix, masks in judges.items():
            whole = scores[prefix, ""]
            measure = whole.measure(prediction, masks[prediction.id], id=prediction.id)
            whole.add(measure)
            scores.setdefault((prefix, name), Evaluation(protocol, thresholds=None)).add(measure)
    several = len({name for _, name in scores}) > 2
    return {
        f"{prefix}{number}{name}": float(found[number])
        for (prefix, name), found in ((key, one.compute()) for key, one in sorted(scores.items()))
        if several or not name
        for number in NUMBERS
    }


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
