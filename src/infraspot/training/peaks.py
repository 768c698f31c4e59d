"""The stage after a run that parts clusters: the scores of the targets, fitted to the validation frames."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from infraspot.core.catalog import imported_names
from infraspot.core.errors import UsageError
from infraspot.core.geometry import find_components
from infraspot.core.sample import Sample
from infraspot.inference.engines import TorchEngine, locate
from infraspot.inference.frames import segment_frame
from infraspot.inference.logistic import Logistic
from infraspot.inference.peaks import EVIDENCE, Parted, part
from infraspot.metrics.average_precision import (
    BOX_CRITERIA,
    PrecisionTable,
    ScoredFrame,
    accept,
    scored_boxes,
)
from infraspot.training.calibration import Bounds, as_counted, calibrate, calibration_error
from infraspot.training.run import Run
from infraspot.weights.files import load_network, save_weights

# A surer peak never lowers a score, a crowd never raises it. Targets of a cluster have a size of their own.
BOUNDS: dict[str, Bounds] = dict(zip(EVIDENCE, ((0, None), (None, None), (None, 0)), strict=True))
OVERLAP, CENTRE = BOX_CRITERIA["ap07_legacy"], BOX_CRITERIA["centre_3"]

# What a card says about scores as they were before.
OUTDATED = (
    "second_look",
    "second_look_trained",
    "calibration",
    "operating_points",
    "asked_against_given",
    "false_alarms",
)

T = TypeVar("T")
Progress = Callable[[Iterable[T], int, str], Iterable[T]]


def part_clusters(run: Run, progress: Progress[Any]) -> dict[str, Any]:
    """Fit the scores of the targets, choose the threshold of the best F1, and write both into the card.

    The card is that of the weights that the run folder stands for: the best, or the last. A target is true
    where it is the nearest to a true one, within 3 px.

    Returns
    -------
    The new card; ``parted`` holds what the validation frames gave.

    Raises
    ------
    UsageError
        If the validation frames have no mask, or all that is found in them is true, or all false.
    """
    settings = run.recipe.peaks
    assert settings is not None
    file, start = locate(str(run.folder), "torch"), run.recipe.network.start
    # Weights that were not trained here keep their card.
    source = locate(start, "torch") if start is not None and run.epochs == 0 else file
    network, card = load_network(source, trust=[*imported_names(run.recipe.network.spec)])
    engine = TorchEngine(network, card, file.stem)
    limits = settings.model_dump()
    frames = progress(run.val_frames, len(run.val_frames), "parting")
    found = [
        (sample, part(segment_frame(engine, sample.image, sample.bit_depth), **limits)) for sample in frames
    ]
    fitted, described = fit_scores(found)
    for outdated in OUTDATED:
        card.pop(outdated, None)
    card |= {"peaks": {**limits, **fitted}, "threshold": described["threshold"], "parted": described}
    save_weights(file, network.state_dict(), card)
    return card


def fit_scores(found: list[tuple[Sample, Parted]]) -> tuple[dict[str, float], dict[str, Any]]:
    """The weights of the evidence, and how good the fitted scores are on the same frames.

    Raises
    ------
    UsageError
        If a frame has no mask, or what is found is all true or all false.
    """
    truths = [_true_boxes(sample) for sample, _ in found]
    true = [_nearest(parted.boxes, truth) for (_, parted), truth in zip(found, truths, strict=True)]
    evidence, right = np.concatenate([parted.evidence for _, parted in found]), np.concatenate(true)
    if right.all() or not right.any():
        raise UsageError(
            f"the scores of parted targets need right and wrong ones in the frames of val, and {right.sum()}"
            f" of {len(right)} are right; train longer, or validate on other frames"
        )
    weights = calibrate(evidence, right, BOUNDS)
    score = Logistic(weights, EVIDENCE)
    table, hits = PrecisionTable([OVERLAP, CENTRE]), 0
    scores = []
    for (_, parted), truth in zip(found, truths, strict=True):
        scores.append(score(parted.evidence))
        frame: ScoredFrame = scored_boxes(parted.boxes, scores[-1], truth)
        table.add(frame)
        hits += int(accept(frame, OVERLAP)[1].sum())
    chances, total = np.concatenate(scores), sum(map(len, truths))
    described = {
        "frames": len(found),
        "targets": total,
        "ap": round(table.at(OVERLAP), 4),
        "centre_ap": round(table.at(CENTRE), 4),
        "recall": round(hits / total, 4),
        "error": round(calibration_error(chances, right, as_counted(right))[0], 4),
        "threshold": _best_threshold(chances, right, total),
    }
    return weights, described


def _true_boxes(sample: Sample) -> NDArray[np.float64]:
    if sample.mask is None:
        raise UsageError(f"{sample.id} has no mask; the scores of parted targets are fitted to masks of val")
    return find_components(sample.mask).boxes.astype(np.float64)


def _nearest(boxes: NDArray[np.int64], truth: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(N,) whether each box is the one that a true box takes, the nearest pairs first."""
    frame = scored_boxes(boxes, np.zeros(len(boxes)), truth)
    pairs = np.argsort(-frame.qualities["centre"], kind="stable")
    right, taken = np.zeros(len(boxes), np.bool_), np.zeros(len(truth), np.bool_)
    for pair in pairs[frame.qualities["centre"][pairs] >= CENTRE.least]:
        mine, theirs = frame.found[pair], frame.wanted[pair]
        if not right[mine] and not taken[theirs]:
            right[mine] = taken[theirs] = True
    return right


def _best_threshold(chances: NDArray[np.float64], right: NDArray[np.bool_], total: int) -> float:
    """The score above which precision and recall together (F1) are best, cut to two digits."""
    order = np.argsort(-chances)
    hits = np.cumsum(right[order])
    best = int(np.argmax(2 * hits / (np.arange(1, len(hits) + 1) + total)))
    return float(np.clip(np.floor(chances[order][best] * 100) / 100, 0.01, 0.99))
