"""The cases of a report: every target and every false alarm, what became of it, and how it looks.

Cases are collected while frames are scored, since only then image, truth and scores are in memory. The memory
they take is bounded: beyond the budget, found targets lose their pictures and then their rows first.
"""

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.core.contrast import signal_to_clutter
from infraspot.core.geometry import find_components
from infraspot.metrics import Evaluation, FrameMeasure, FrameRecord
from infraspot.metrics.frame import above
from infraspot.metrics.pairing import PairTable
from infraspot.metrics.regions import find_regions
from infraspot.metrics.strata import matched_ious
from infraspot.metrics.taxonomy import alarm_causes, classify_targets
from infraspot.report.crops import Window, box_outline, outline, png_text, window_at
from infraspot.report.pairs import LoadedPair

MOST_CASES, MOST_PICTURES, PICTURE_BYTES = 4000, 1200, 3_300_000
MOST_ALARMS = 40  # cases of one frame
MOST_RATIOS = 500  # detections of one frame whose contrast is measured
MOST_FAINT, FAINT_SHARE = 10, 0.1  # alarms of one frame below the threshold, down to this share of it
SAME_PLACE = 3.0  # pixels between alarms of two detectors, or an alarm and a target, that count as one

FAINT = "faint"
"""The word for what is an alarm only at a lower threshold; a reader who moves the threshold sees it."""

FIRST, OTHER, BOTH, NEITHER = "first", "other", "both", "neither"


@dataclass(frozen=True)
class Picture:
    """A window of a frame and, as paths, what is true in it and what one or two detectors found."""

    png: str
    window: Window
    truth: str
    found: str
    other: str

    @property
    def size(self) -> int:
        """Bytes, nearly."""
        return len(self.png) + len(self.truth) + len(self.found) + len(self.other) + 60


@dataclass(frozen=True)
class Case:
    """One target, or one false alarm.

    Attributes
    ----------
    kind
        ``target`` or ``alarm``.
    found
        Whether the target counts as found; None for an alarm.
    word
        Out of :data:`infraspot.metrics.taxonomy.KINDS` or ``CAUSES``, or :data:`FAINT`.
    x, y, area
        In pixels of the frame.
    score
        Highest score of the detection; of a target without one, the highest within a pixel of its box.
    distance, iou
        Of a target to its detection, None without one.
    border
        Pixels between the box and the frame's edge.
    by
        Which of two detectors finds the target or raises the alarm; None where there is one detector.
    """

    kind: str
    frame: str
    found: bool | None
    word: str
    x: float
    y: float
    area: int
    scr: float | None
    score: float | None
    distance: float | None
    iou: float | None
    border: int
    by: str | None = None
    picture: Picture | None = None

    @property
    def wrong(self) -> bool:
        """Whether it is an error of either detector."""
        return self.word != FAINT and (not self.found or self.by not in (None, BOTH))


@dataclass(frozen=True, eq=False)
class FrameView:
    """What the report keeps of one frame.

    Attributes
    ----------
    pixels
        Those that count under the protocol.
    targets
        (T, 4) float64: found (0 or 1), area, signed signal-to-clutter ratio, pixels to the frame's edge.
    hits, false
        (L,) int32 over the thresholds of the sweep; None without one.
    causes
        How many false alarms have which cause.
    """

    id: str
    shape: tuple[int, int]
    pixels: int
    targets: NDArray[np.float64]
    hits: NDArray[np.int32] | None
    false: NDArray[np.int32] | None
    causes: Counter[str]
    cases: list[Case]
    cases_left_out: int


@dataclass(eq=False)
class CaseBook:
    """The views of all frames, with a bounded number of cases and pictures: errors first.

    Attributes
    ----------
    frames
        Their cases are in ``wrong`` and ``right``.
    left_out
        Cases for which there was no room.
    """

    frames: list[FrameView] = field(default_factory=list)
    wrong: list[Case] = field(default_factory=list)
    right: list[Case] = field(default_factory=list)
    left_out: int = 0
    _shown: list[int] = field(default_factory=list)  # places in `right` that have a picture
    _pictures: int = 0
    _bytes: int = 0

    @property
    def cases(self) -> list[Case]:
        """Errors, then what is right, each in the order of the frames."""
        return self.wrong + self.right

    def add(self, view: FrameView) -> None:
        """Add a frame; its cases move to the book as far as there is room."""
        self.left_out += view.cases_left_out
        for case in view.cases:
            self._add_case(case)
        self.frames.append(replace(view, cases=[]))

    def _add_case(self, case: Case) -> None:
        while case.wrong and self._shown and not self._fits(case.picture):
            self._drop_picture()
        if not self._fits(case.picture):
            case = replace(case, picture=None)
        if len(self.wrong) + len(self.right) >= MOST_CASES:
            self.left_out += 1
            if not case.wrong or not self.right:
                return
            if self._shown and self._shown[-1] == len(self.right) - 1:
                self._drop_picture()
            self.right.pop()
        if case.picture is not None:
            self._pictures, self._bytes = self._pictures + 1, self._bytes + case.picture.size
            if not case.wrong:
                self._shown.append(len(self.right))
        (self.wrong if case.wrong else self.right).append(case)

    def _fits(self, picture: Picture | None) -> bool:
        return picture is None or (
            self._pictures < MOST_PICTURES and self._bytes + picture.size <= PICTURE_BYTES
        )

    def _drop_picture(self) -> None:
        """Take the picture of the last case that is right and has one."""
        place = self._shown.pop()
        picture = self.right[place].picture
        self._pictures, self._bytes = self._pictures - 1, self._bytes - (picture.size if picture else 0)
        self.right[place] = replace(self.right[place], picture=None)


@dataclass(frozen=True, eq=False)
class Answer:
    """What one detector says of a frame, and how it was measured."""

    pair: LoadedPair
    measure: FrameMeasure
    evaluation: Evaluation

    @property
    def record(self) -> FrameRecord:
        return self.measure.record


def view_frame(answer: Answer, other: Answer | None = None) -> FrameView:
    """The view of one frame; of two detectors the cases say which of them is right."""
    pair, record = answer.pair, answer.record
    shape = pair.truth.shape
    grid = answer.evaluation.protocol.grid or shape
    scale = np.array([shape[0] / grid[0], shape[1] / grid[1]])
    pairs = answer.evaluation.pairs_of(record)
    causes = alarm_causes(record, answer.evaluation.protocol, pairs, grid)
    targets = _target_columns(answer, shape, scale)
    cases = _target_cases(answer, other, pairs, targets, scale)
    alarms, faint = _alarm_cases(answer, causes, scale), list[Case]()
    if other is None:
        faint = _faint_cases(answer)
    else:
        alarms = _both_alarms(answer, other, alarms, grid, scale)
    kept = sorted(alarms, key=lambda case: -(case.score or 0))[:MOST_ALARMS]
    paint = _Paint(answer, other)
    sweep = answer.measure.sweep
    return FrameView(
        id=record.id,
        shape=shape,
        pixels=record.pixels,
        targets=targets,
        hits=None if sweep is None else sweep.column("hits").astype(np.int32),
        false=None if sweep is None else sweep.column("false").astype(np.int32),
        causes=Counter(causes[record.false].tolist()),
        cases=[replace(case, picture=paint.at(case)) for case in (*cases, *kept, *faint)],
        cases_left_out=len(alarms) - len(kept),
    )


def _target_columns(
    answer: Answer, shape: tuple[int, int], scale: NDArray[np.float64]
) -> NDArray[np.float64]:
    record, image = answer.record, answer.pair.image
    ratios = np.full(len(record.targets), np.nan)
    if image is not None and image.shape == shape and answer.evaluation.protocol.grid is None:
        parts = find_components(answer.pair.truth, answer.evaluation.protocol.connectivity)
        ratios = signal_to_clutter(image, parts, signed=True)
    borders = _borders(record.targets.boxes, shape, scale)
    return np.stack([record.hit, record.targets.areas, ratios, borders], axis=1).astype(np.float64)


def _borders(boxes: NDArray[Any], shape: tuple[int, int], scale: NDArray[np.float64]) -> NDArray[np.float64]:
    x0, y0, x1, y1 = boxes.T.astype(np.float64)
    sides = [x0 * scale[1], y0 * scale[0], shape[1] - x1 * scale[1], shape[0] - y1 * scale[0]]
    return np.floor(np.maximum(np.minimum.reduce(sides), 0))


def _target_cases(
    answer: Answer,
    other: Answer | None,
    pairs: PairTable,
    columns: NDArray[np.float64],
    scale: NDArray[np.float64],
) -> list[Case]:
    record, scores = answer.record, answer.pair.prediction.score_map
    words, ious = classify_targets(record, answer.evaluation.protocol, pairs), matched_ious(record)
    cases = []
    for k, (y, x) in enumerate((record.targets.centroids * scale).tolist()):
        matched = int(record.match[k])
        distance = None
        if matched >= 0:
            score: float | None = float(record.detections.peaks[matched])
            gap = (record.detections.centroids[matched] - record.targets.centroids[k]) * scale
            distance = float(np.hypot(*gap))
        else:
            score = None if scores is None else _peak(scores, record.targets.boxes[k], scale)
        cases.append(
            Case(
                "target",
                record.id,
                bool(record.hit[k]),
                str(words[k]),
                x,
                y,
                round(float(record.targets.areas[k] * scale.prod())),
                _known(columns[k, 2]),
                score,
                distance,
                _known(ious[k]) if matched >= 0 else None,
                int(columns[k, 3]),
                None if other is None else _by(bool(record.hit[k]), bool(other.record.hit[k])),
            )
        )
    return cases


def _by(first: bool, other: bool) -> str:
    return (BOTH if other else FIRST) if first else (OTHER if other else NEITHER)


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _peak(scores: NDArray[Any], box: NDArray[Any], scale: NDArray[np.float64]) -> float:
    x0, y0, x1, y1 = (box * scale[[1, 0, 1, 0]]).tolist()
    window = scores[max(int(y0) - 1, 0) : int(y1) + 2, max(int(x0) - 1, 0) : int(x1) + 2]
    return float(window.max(initial=0))


def _alarm_cases(answer: Answer, causes: NDArray[np.str_], scale: NDArray[np.float64]) -> list[Case]:
    record, ratios = answer.record, _alarm_ratios(answer)
    borders = _borders(record.detections.boxes, answer.pair.truth.shape, scale)
    return [
        Case(
            "alarm",
            record.id,
            None,
            str(causes[k]),
            float(record.detections.centroids[k, 1] * scale[1]),
            float(record.detections.centroids[k, 0] * scale[0]),
            round(float(record.detections.areas[k] * scale.prod())),
            _known(ratios[k]),
            float(record.detections.peaks[k]),
            None,
            None,
            int(borders[k]),
        )
        for k in np.flatnonzero(record.false).tolist()
    ]


def _faint_cases(answer: Answer) -> list[Case]:
    """The strongest of what a lower threshold would raise as false alarms; none for lists of targets."""
    protocol, truth, scores = answer.evaluation.protocol, answer.pair.truth, answer.pair.prediction.score_map
    if scores is None or scores.dtype.kind != "f" or scores.shape != truth.shape or protocol.normalise:
        return []
    found, pixels = find_regions(scores > FAINT_SHARE * protocol.threshold, scores, protocol.connectivity)
    on_target = np.zeros(len(found), np.bool_)
    on_target[pixels.labels[truth.ravel()[pixels.index]]] = True
    gaps = found.centroids[:, None] - find_components(truth, protocol.connectivity).centroids[None]
    near = (np.hypot(gaps[..., 0], gaps[..., 1]) < SAME_PLACE).any(axis=1)
    counted = above(found.peaks, protocol.threshold, inclusive=protocol.inclusive)
    chosen = np.flatnonzero(~(on_target | near | counted))
    chosen = chosen[np.argsort(-found.peaks[chosen], kind="stable")[:MOST_FAINT]]
    borders = _borders(found.boxes, truth.shape, np.ones(2))
    return [
        Case(
            "alarm",
            answer.record.id,
            None,
            FAINT,
            float(found.centroids[k, 1]),
            float(found.centroids[k, 0]),
            int(found.areas[k]),
            None,
            float(found.peaks[k]),
            None,
            None,
            int(borders[k]),
        )
        for k in chosen.tolist()
    ]


def _alarm_ratios(answer: Answer) -> NDArray[np.float64]:
    """Signed contrast ratios of the detections; NaN without an image, on a grid, or for very many."""
    record, image, mask = answer.record, answer.pair.image, _mask_of(answer)
    protocol, count = answer.evaluation.protocol, len(record.detections)
    if image is None or mask is None or image.shape != mask.shape or protocol.grid or count > MOST_RATIOS:
        return np.full(count, np.nan)
    return signal_to_clutter(image, find_components(mask, protocol.connectivity), signed=True)


def _both_alarms(
    answer: Answer, other: Answer, alarms: list[Case], grid: tuple[int, int], scale: NDArray[np.float64]
) -> list[Case]:
    """The alarms of two detectors; those within 3 pixels of each other count as one."""
    protocol = other.evaluation.protocol
    causes = alarm_causes(other.record, protocol, other.evaluation.pairs_of(other.record), grid)
    theirs = _alarm_cases(other, causes, scale)
    ours = np.array([(case.y, case.x) for case in alarms]).reshape(-1, 2)
    places = np.array([(case.y, case.x) for case in theirs]).reshape(-1, 2)
    shared = np.zeros(len(ours), np.bool_)
    alone = []
    for case, place in zip(theirs, places, strict=True):
        near = np.hypot(*(ours - place).T) < SAME_PLACE
        shared |= near
        if not near.any():
            alone.append(replace(case, by=OTHER))
    marked = [replace(case, by=BOTH if both else FIRST) for case, both in zip(alarms, shared, strict=True)]
    return marked + alone


class _Paint:
    """Pictures of one frame's cases."""

    def __init__(self, answer: Answer, other: Answer | None) -> None:
        pair = answer.pair
        image = pair.image if pair.image is not None and pair.image.shape == pair.truth.shape else None
        scores = pair.prediction.score_map
        self.picture = image if image is not None else pair.truth if scores is None else scores
        self.truth = pair.truth
        self.answers = [answer] if other is None else [answer, other]
        self.masks = [_mask_of(one) for one in self.answers]

    def at(self, case: Case) -> Picture | None:
        """The surroundings of a case."""
        if self.picture.shape != self.truth.shape:
            return None
        window = window_at(case.y, case.x, 2 * np.sqrt(case.area), self.truth.shape)
        found = [self._found(k, window) for k in range(len(self.answers))]
        return Picture(
            png_text(window.of(self.picture), window.step),
            window,
            outline(window.of(self.truth)),
            found[0],
            found[1] if len(found) > 1 else "",
        )

    def _found(self, k: int, window: Window) -> str:
        mask = self.masks[k]
        if mask is not None:
            return outline(window.of(mask))
        boxes = self.answers[k].record.detections.boxes
        x0, y0, x1, y1 = boxes.T
        inside = (x0 < window.left + window.width) & (x1 > window.left)
        inside &= (y0 < window.top + window.height) & (y1 > window.top)
        return "".join(box_outline(box, window) for box in boxes[inside][:MOST_ALARMS])


def _mask_of(answer: Answer) -> NDArray[np.bool_] | None:
    """What lies above the threshold, at the frame's size; None for a list of targets."""
    scores, protocol = answer.pair.prediction.score_map, answer.evaluation.protocol
    if scores is None or scores.shape != answer.pair.truth.shape:
        return None
    values = np.asarray(scores, np.float32) if scores.dtype.kind != "f" else scores
    if protocol.normalise and values.max() > values.min():
        values = (values - values.min()) / (values.max() - values.min())
    return above(values, protocol.threshold, inclusive=protocol.inclusive)
