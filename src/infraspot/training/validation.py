"""How good the predictions for a set of frames are."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.core.errors import DataError
from infraspot.core.geometry import find_components
from infraspot.core.prediction import Prediction
from infraspot.core.sample import Sample
from infraspot.metrics import Evaluation
from infraspot.metrics.average_precision import (
    BOX_CRITERIA,
    ScoredFrame,
    accept,
    scored_boxes,
)
from infraspot.metrics.precision_curve import average_precision
from infraspot.training.sources import column_name

NUMBERS = ("iou", "niou", "pd", "fa_area")

# Of detectors: average precision at IoU .5 (11 points, legacy) and within 3 px of the centre, each with the
# share of targets that are found; and the score at which precision and recall are best together.
BOX_NUMBERS = ("ap", "recall", "ap_centre", "recall_centre", "f1", "threshold")
CRITERIA = {"": BOX_CRITERIA["ap07_legacy"], "_centre": BOX_CRITERIA["centre_3"]}

# Fainter detections do not count for recall, as in the published program.
LEAST_SCORE = 0.05

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


def validate_boxes(
    predictions: Iterable[Prediction], truth: Masks, set_of: Callable[[str], str]
) -> dict[str, float]:
    """BOX_NUMBERS of detections, against the boxes of the masks' components; per set as :func:`validate`."""
    frames: dict[str, list[ScoredFrame]] = {"": []}
    for prediction in predictions:
        found = prediction.candidates or ()
        frame = scored_boxes(
            [target.box for target in found],
            [target.score for target in found],
            find_components(truth[prediction.id]).boxes,
        )
        frames[""].append(frame)
        frames.setdefault(PER_SET + column_name(set_of(prediction.id)), []).append(frame)
    several = len(frames) > 2
    return {
        f"{number}{name}": value
        for name, ones in sorted(frames.items())
        if several or not name
        for number, value in _box_numbers(ones).items()
    }


def _box_numbers(frames: Sequence[ScoredFrame]) -> dict[str, float]:
    numbers, targets = {}, sum(frame.targets for frame in frames)
    for suffix, criterion in CRITERIA.items():
        pairs = [accept(frame, criterion) for frame in frames]
        scores, true = (np.concatenate(part) for part in zip(*pairs, strict=True))
        numbers["ap" + suffix] = average_precision(scores, true, targets, criterion.interpolation)
        numbers["recall" + suffix] = float(true[scores >= LEAST_SCORE].sum() / max(targets, 1))
        if not suffix:
            numbers["f1"], numbers["threshold"] = _best_threshold(scores, true, targets)
    return {name: numbers[name] for name in BOX_NUMBERS}


def _best_threshold(
    scores: NDArray[np.float64], true: NDArray[np.bool_], targets: int
) -> tuple[float, float]:
    """The highest F1 and the score that detections must exceed for it; half-way to the next lower score."""
    order = np.argsort(-scores, kind="stable")
    ranked = np.append(scores[order], 0.0)
    last = np.flatnonzero(np.diff(ranked) < 0)
    if not len(last):
        return 0.0, 0.5
    f1 = 2 * np.cumsum(true[order])[last] / (last + 1 + targets)
    best = int(f1.argmax())
    return float(f1[best]), float((ranked[last[best]] + ranked[last[best] + 1]) / 2)


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
