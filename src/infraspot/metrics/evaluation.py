"""The accumulator: frames in, every number out."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.core.catalog import find
from infraspot.core.contrast import signal_to_clutter
from infraspot.core.errors import InputError
from infraspot.core.geometry import find_components
from infraspot.core.prediction import LEAST_PROPOSED, Prediction
from infraspot.core.sample import Sample
from infraspot.metrics.average_precision import (
    BOX_CRITERIA,
    COCO_STEPS,
    REACH,
    TARGET_CRITERIA,
    PrecisionTable,
    ScoredFrame,
    criteria_of,
    score_pairs,
)
from infraspot.metrics.curves import average_precision_of, operating_curve, operating_points
from infraspot.metrics.frame import FrameRecord, count_frame, prepare
from infraspot.metrics.inputs import as_truth
from infraspot.metrics.pairing import PairTable, pair_table
from infraspot.metrics.protocols import PROTOCOLS, Protocol
from infraspot.metrics.ranking import PIXEL_NUMBERS, PixelRanking, count_scores
from infraspot.metrics.reduction import (
    COLUMNS,
    NO_PIXELS,
    OF_PIXELS,
    REASONS,
    add_rows,
    bootstrap_intervals,
    count_row,
    frame_iou,
    ratios,
)
from infraspot.metrics.strata import stratify
from infraspot.metrics.sweep import DEFAULT_THRESHOLDS, SweepCounts, check_thresholds, sweep_frame
from infraspot.metrics.target_lists import count_targets, sweep_targets
from infraspot.metrics.taxonomy import KINDS, classify_targets, count_clutter

NO_SCORES = "the predictions are masks without scores"
NOT_ASKED = "no curve was asked for"

MOST_DRAWS_OF_BOXES = 300  # each ranks every detection anew

ALL_LEVELS = "all_thresholds"

ScoreCounts = tuple[NDArray[np.float64], NDArray[np.int64]]


@dataclass(frozen=True, eq=False)
class FrameMeasure:
    """One frame, measured: its record and, where wanted, its sweep and its distinct scores."""

    record: FrameRecord
    sweep: SweepCounts | None = None
    scores: ScoreCounts | None = None


class Evaluation:
    """Scores a set under one protocol.

    Parameters
    ----------
    protocol
        A name out of ``PROTOCOLS`` or a :class:`Protocol` of your own.
    threshold
        Replaces the protocol's threshold.
    thresholds
        Thresholds of the operating curve, ascending in [0, 1]; None leaves the curve out.
    pixel_ranking
        Whether to rank pixels for ROC and precision-recall.

    Examples
    --------
    >>> truth = np.zeros((8, 8), bool)
    >>> truth[2:4, 2:4] = True
    >>> evaluation = Evaluation("basicirstd")
    >>> record = evaluation.update(truth, truth)
    >>> evaluation.compute()["iou"]
    1.0
    """

    def __init__(
        self,
        protocol: str | Protocol = "infraspot",
        *,
        threshold: float | None = None,
        thresholds: Any = DEFAULT_THRESHOLDS,
        pixel_ranking: bool = False,
    ) -> None:
        chosen = find("protocol", protocol, PROTOCOLS) if isinstance(protocol, str) else protocol
        self.protocol = chosen if threshold is None else chosen.at(threshold)
        self.thresholds = None if thresholds is None else check_thresholds(thresholds)
        self.records: list[FrameRecord] = []
        self.sweep = None if self.thresholds is None else SweepCounts.empty(self.thresholds)
        self.ranking = PixelRanking() if pixel_ranking else None

    def update(
        self, prediction: Any, truth: Any, *, id: str | None = None, ignore: Any = None
    ) -> FrameRecord:
        """Measure one frame and add it.

        Parameters
        ----------
        prediction
            :class:`Prediction` of either kind, (H, W) score map in [0, 1], or (H, W) mask.
        truth
            :class:`Sample` with a mask (its image gives the signal-to-clutter ratios), or (H, W) mask.
        ignore
            (H, W) mask of pixels that do not count, or None.
        """
        image = truth.image if isinstance(truth, Sample) else None
        measure = self.measure(
            prediction,
            _mask_of(truth) if isinstance(truth, Sample) else truth,
            id=id or getattr(truth, "id", None) or getattr(prediction, "id", None) or str(len(self.records)),
            image=image,
            ignore=ignore,
        )
        self.add(measure)
        return measure.record

    def measure(
        self,
        prediction: Any,
        truth: Any,
        *,
        id: str,
        image: NDArray[Any] | None = None,
        ignore: Any = None,
    ) -> FrameMeasure:
        """Measure one frame without adding it; may run in many threads at once.

        ``prediction`` and ``ignore`` are those of :meth:`update`; ``truth`` is a mask, and ``image`` (H, W)
        gives the signal-to-clutter ratios.
        """
        parted = False
        if isinstance(prediction, Prediction):
            if prediction.score_map is None:
                return self._measure_targets(prediction, truth, id, image, ignore)
            parted, prediction = prediction.parted, prediction.score_map
        scores, mask, pixels = prepare(prediction, truth, self.protocol, name=id, ignore=ignore)
        contrast = self._contrast(image, mask)
        record = count_frame(scores, mask, pixels, self.protocol, id=id, ratios=contrast)
        if parted and self.protocol.grid is None:
            ranked = count_frame(scores, mask, pixels, self.protocol.at(LEAST_PROPOSED), id=id)
            record = replace(record, ranked=ranked)
        sweep = None
        if self.thresholds is not None:
            sweep = sweep_frame(scores, mask, pixels, self.protocol, self.thresholds)
        return FrameMeasure(record, sweep, None if self.ranking is None else count_scores(scores, mask))

    def _measure_targets(
        self, prediction: Prediction, truth: Any, id: str, image: NDArray[Any] | None, ignore: Any
    ) -> FrameMeasure:
        if ignore is not None:
            raise InputError(f"{id}: pixels can be ignored in score maps only, and this is a list of targets")
        contrast = self._contrast(image, as_truth(truth, name=id))
        record = count_targets(prediction, truth, self.protocol, id=id, ratios=contrast)
        if self.thresholds is None:
            return FrameMeasure(record)
        return FrameMeasure(record, sweep_targets(record, self.protocol, self.thresholds))

    def _contrast(self, image: NDArray[Any] | None, mask: NDArray[np.bool_]) -> NDArray[np.float64] | None:
        if image is None or image.shape != mask.shape:
            return None
        return signal_to_clutter(image, find_components(mask, self.protocol.connectivity))

    def add(self, measure: FrameMeasure) -> None:
        """Add a measured frame."""
        self.records.append(measure.record)
        if self.sweep is not None and measure.sweep is not None:
            self.sweep = self.sweep + measure.sweep
        if self.ranking is not None and measure.scores is not None:
            self.ranking.add(*measure.scores)

    def merge(self, other: "Evaluation") -> None:
        """Add all frames of another evaluation under the same protocol."""
        if self.protocol != other.protocol:
            raise ValueError(f"cannot merge protocol {other.protocol.name} into {self.protocol.name}")
        self.records += other.records
        if self.sweep is not None and other.sweep is not None:
            self.sweep = self.sweep + other.sweep
        if self.ranking is not None and other.ranking is not None:
            self.ranking.merge(other.ranking)

    def compute(self, *, bootstrap: int = 0, seed: int = 0, boxes: bool = False) -> dict[str, Any]:
        """All numbers; fractions, NaN where a number does not exist, with the reason under ``reasons``.

        Parameters
        ----------
        bootstrap, seed
            Resampled sets for the intervals, none with 0, and the seed of the resampling.
        boxes
            Whether the average precisions of boxes get intervals too; their sets are at most 300.
        """
        records = sorted(self.records, key=lambda record: record.id)
        headline = criteria_of(self.protocol.boxes)
        criteria = (*headline, *BOX_CRITERIA.values(), *COCO_STEPS, *TARGET_CRITERIA.values())
        precision = PrecisionTable(criteria)
        rows, errors = np.zeros((len(records), len(COLUMNS))), dict.fromkeys((*KINDS, "clutter"), 0)
        for row, record in zip(rows, records, strict=True):
            pairs = self.pairs_of(record)
            row[:] = count_row(record, self.protocol, pairs)
            precision.add(_scored(record, pairs) if record.ranked is None else self.scored_frame(record))
            for word in classify_targets(record, self.protocol, pairs):
                errors[str(word)] += 1
            errors["clutter"] += count_clutter(record)
        numbers = {name: float(value) for name, value in ratios(add_rows(rows)).items()}
        numbers["ap"] = float(np.mean([precision.at(one) for one in headline]))
        result: dict[str, Any] = {
            "protocol": self.protocol.name,
            "definition": self.protocol.definition.strip(),
            "threshold": self.protocol.threshold,
            **numbers,
            "n_images": len(records),
            "n_targets": sum(len(record.targets) for record in records),
            "n_detections": sum(len(record.detections) for record in records),
            "n_false_detections": sum(int(record.false.sum()) for record in records),
            "n_images_niou": len([1 for record in records if self._counts_in_niou(record)]),
        }
        by_pixel = all(record.by_pixel for record in records)
        result["reasons"] = {
            name: NO_PIXELS if name in OF_PIXELS and not by_pixel else REASONS[name]
            for name, value in numbers.items()
            if np.isnan(value) and (name in REASONS or (name in OF_PIXELS and not by_pixel))
        }
        result["box_ap"] = precision.boxes()
        result["box_recall"] = {name: precision.recall(one) for name, one in BOX_CRITERIA.items()}
        result["target_ap"] = {name: precision.at(one) for name, one in TARGET_CRITERIA.items()}
        if not by_pixel:
            result["target_ap"]["overlap"] = math.nan
            result["reasons"] |= dict.fromkeys((*PIXEL_NUMBERS, "target_ap.overlap"), NO_PIXELS)
        result["errors"] = errors
        result["strata"] = stratify(records)
        result |= self._curves()
        sweep = None if result["curve"] is None else self.sweep
        result["target_ap"][ALL_LEVELS] = math.nan if sweep is None else average_precision_of(sweep)
        if bootstrap:
            result["intervals"] = bootstrap_intervals(rows, draws=bootstrap, seed=seed)
        if bootstrap and boxes:
            draws = min(bootstrap, MOST_DRAWS_OF_BOXES)
            result["intervals"] |= {
                f"box_ap.{name}": precision.interval(one, draws=draws, seed=seed)
                for name, one in BOX_CRITERIA.items()
            }
        return result

    def count_rows(self) -> NDArray[np.float64]:
        """(N, K) float64: the counts of each frame, in the order they came, for tests that pair frames.

        Columns are those of :data:`infraspot.metrics.reduction.COLUMNS`.
        """
        rows = [count_row(record, self.protocol, self.pairs_of(record)) for record in self.records]
        return np.array(rows).reshape(len(rows), len(COLUMNS))

    def scored_frame(self, record: FrameRecord) -> ScoredFrame:
        """What average precision ranks in one frame: detections, near targets, and how well they agree."""
        ranked = record.ranked or record
        return _scored(ranked, self.pairs_of(ranked))

    def per_image(self) -> list[dict[str, Any]]:
        """One row a frame, in the order they came: counts, IoU (NaN where nothing is there), and errors."""
        return [_frame_row(record, self.protocol, self.pairs_of(record)) for record in self.records]

    def pairs_of(self, record: FrameRecord) -> PairTable:
        """The pairs of one frame that any number could ask for."""
        reach = max(REACH, 2 * self.protocol.radius)
        return pair_table(record.targets, record.detections, record.shared, reach)

    def _counts_in_niou(self, record: FrameRecord) -> bool:
        return record.by_pixel and (
            self.protocol.empty != "skip" or record.true_pixels + record.predicted_pixels > 0
        )

    def _curves(self) -> dict[str, Any]:
        """The operating curve and the pixel curves; None where not asked for, or where scores are missing."""
        masks = self.sweep is not None and _is_binary(self.sweep)
        curve = None if self.sweep is None or masks else operating_curve(self.sweep)
        complete = all(record.by_pixel for record in self.records)
        ranking = self.ranking if complete and not masks else None
        return {
            "curve": curve,
            "points": None if curve is None else operating_points(curve),
            "curve_reason": NO_SCORES if masks else NOT_ASKED if curve is None else None,
            **(dict.fromkeys(PIXEL_NUMBERS, math.nan) if ranking is None else ranking.compute()),
            "pixel_exact": None if ranking is None else ranking.exact,
            "pixel_curves": None if ranking is None else ranking.curves(),
        }


def _mask_of(sample: Sample) -> NDArray[np.bool_]:
    if sample.mask is None:
        raise InputError(f"{sample.id}: the truth has no mask; convert its points or boxes to masks first")
    return sample.mask


def _is_binary(sweep: SweepCounts) -> bool:
    """Whether every threshold strictly between 0 and 1 gives the same pixels."""
    inside = sweep.table[(sweep.thresholds > 0) & (sweep.thresholds < 1)]
    return len(inside) > 1 and bool((inside == inside[0]).all())


def _scored(record: FrameRecord, pairs: PairTable) -> ScoredFrame:
    """The frame for average precision; the score of a detection is the highest score inside it.

    Targets are compared by the centroids and the overlap of their masks, boxes by their own. Of a list of
    targets all are ranked, of a score map the components above the threshold (see ``FrameRecord.ranked``).
    """
    found, targets = record.detections, record.targets
    if record.candidates is not None:
        found = record.candidates
        pairs = pair_table(targets, found, np.zeros((0, 3), np.int64), REACH)
    boxes, true_boxes = found.boxes.astype(np.float64), targets.boxes.astype(np.float64)
    qualities = {"centroid": -pairs.distances, "mask": pairs.ious}
    return score_pairs(boxes, found.peaks, true_boxes, pairs.columns, pairs.rows, **qualities)


def _frame_row(record: FrameRecord, protocol: Protocol, pairs: PairTable) -> dict[str, Any]:
    words = classify_targets(record, protocol, pairs)
    return {
        "id": record.id,
        "iou": frame_iou(record),
        "targets": len(record.targets),
        "hits": int(record.hit.sum()),
        "detections": len(record.detections),
        "false_detections": int(record.false.sum()),
        "common_pixels": record.common_pixels if record.by_pixel else math.nan,
        "predicted_pixels": record.predicted_pixels if record.by_pixel else math.nan,
        "true_pixels": record.true_pixels,
        "false_area": record.false_area,
        "pixels": record.pixels,
        "errors": ";".join(str(word) for word in words if word != "good"),
        "clutter": count_clutter(record),
    }
