"""What one frame contributes to every number: counted once, kept as small tables, merged by listing."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.metrics.inputs import as_score_map, as_truth, require_same_shape
from infraspot.metrics.pairing import false_area, grow, match_regions
from infraspot.metrics.protocols import Protocol
from infraspot.metrics.regions import ActivePixels, Regions, find_regions, shared_pixels

FloatArray = NDArray[np.floating[Any]]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class FrameRecord:
    """The counts of one frame under one protocol.

    Attributes
    ----------
    pixels
        Pixels that count (the frame, or the protocol's grid, without the ignored ones).
    targets, detections
        Components of the truth and of the thresholded score map.
    shared
        (K, 3) int64: target, detection, pixels in common.
    match
        (T,) int64: the detection of each target, -1 without one. Under the shooting rule, which pairs
        nothing,
        -1 throughout.
    hit
        (T,) bool: the target counts as detected.
    false
        (P,) bool: the detection counts as a false alarm.
    false_area
        Pixels of false alarms by the protocol's bookkeeping.
    ratios
        (T,) float64 signal-to-clutter ratios, NaN where unknown.
    candidates
        Of a prediction that is a list of targets: all of them, with the scores below the threshold too. None
        for a score map.
    ranked
        Of a score map that holds one score for each target: the same frame at the least score that is ranked
        for average precision. None for other maps, of which the detections are ranked.
    """

    id: str
    pixels: int
    targets: Regions
    detections: Regions
    shared: NDArray[np.int64]
    match: NDArray[np.int64]
    hit: BoolArray
    false: BoolArray
    false_area: int
    ratios: NDArray[np.float64]
    candidates: Regions | None = None
    ranked: "FrameRecord | None" = None

    @property
    def by_pixel(self) -> bool:
        """Whether pixels were scored; the numbers that count predicted pixels do not exist otherwise."""
        return self.candidates is None

    @property
    def ranks_boxes(self) -> bool:
        """Whether every proposed target is ranked, also those below the threshold."""
        return self.candidates is not None or self.ranked is not None

    @property
    def true_pixels(self) -> int:
        """Pixels of targets."""
        return int(self.targets.areas.sum())

    @property
    def predicted_pixels(self) -> int:
        """Pixels above the threshold."""
        return int(self.detections.areas.sum())

    @property
    def common_pixels(self) -> int:
        """Pixels of targets above the threshold."""
        return int(self.shared[:, 2].sum())


def prepare(
    score_map: Any, truth: Any, protocol: Protocol, *, name: str = "the frame", ignore: Any = None
) -> tuple[FloatArray, BoolArray, int]:
    """Check one frame and bring it to the protocol's grid and scale.

    Returns the score map, the truth, and the number of pixels that count. Ignored pixels have score 0 and
    belong to no target.
    """
    scores, mask = as_score_map(score_map, name=name), as_truth(truth, name=name)
    require_same_shape(scores, mask, name=name, grid=protocol.grid)
    left_out = None if ignore is None else as_truth(ignore, name=f"{name} (ignore mask)")
    if left_out is not None:
        require_same_shape(left_out, mask, name=f"{name} (ignore mask)", grid=None)
    if protocol.grid is not None:
        scores = resize_scores(scores, protocol.grid)
        mask = resize_mask(mask, protocol.grid)
        left_out = None if left_out is None else resize_mask(left_out, protocol.grid)
    if left_out is not None:
        scores, mask = np.where(left_out, scores.dtype.type(0), scores), mask & ~left_out
    if protocol.normalise:
        low, high = scores.min(), scores.max()
        scores = (scores - low) / (high - low) if high > low else np.zeros_like(scores)
    pixels = mask.size - (0 if left_out is None else int(np.count_nonzero(left_out)))
    return scores, mask, pixels


def above(scores: FloatArray, threshold: float, *, inclusive: bool) -> BoolArray:
    """(H, W) bool; the threshold takes the map's own precision, so that 0.1 in float32 equals 0.1."""
    level = scores.dtype.type(threshold)
    return scores >= level if inclusive else scores > level


def count_frame(
    scores: FloatArray,
    truth: BoolArray,
    pixels: int,
    protocol: Protocol,
    *,
    id: str = "",
    ratios: NDArray[np.float64] | None = None,
) -> FrameRecord:
    """Count one prepared frame (see :func:`prepare`) at the protocol's threshold."""
    targets, true_pixels = find_regions(truth, connectivity=protocol.connectivity)
    predicted = above(scores, protocol.threshold, inclusive=protocol.inclusive)
    found, found_pixels = find_regions(predicted, scores, protocol.connectivity)
    shared = shared_pixels(true_pixels, found_pixels)
    if protocol.rule == "shooting":
        hit, false, area = _shoot(
            truth, true_pixels, len(targets), predicted, found_pixels, len(found), protocol
        )
        match = np.full(len(targets), -1, np.int64)
    else:
        match = match_regions(targets, found, shared, protocol)
        hit = match >= 0
        false = np.ones(len(found), np.bool_)
        false[match[hit]] = False
        area = false_area(found.areas, ~false, protocol)
    if ratios is None:
        ratios = np.full(len(targets), np.nan)
    return FrameRecord(id, pixels, targets, found, shared, match, hit, false, area, ratios)


def score_frame(
    score_map: Any,
    truth: Any,
    protocol: Protocol,
    *,
    id: str = "",
    ignore: Any = None,
    ratios: NDArray[np.float64] | None = None,
) -> FrameRecord:
    """Check, prepare and count one frame.

    Parameters
    ----------
    score_map
        (H, W) probabilities in [0, 1], or a mask.
    truth
        (H, W); bool, or stored values that are binarised above half of full scale.
    ignore
        (H, W) or None: pixels that count neither for nor against.

    Raises
    ------
    InputError
        If the shapes differ, a score is NaN or outside [0, 1].
    """
    scores, mask, pixels = prepare(score_map, truth, protocol, name=id or "the frame", ignore=ignore)
    return count_frame(scores, mask, pixels, protocol, id=id, ratios=ratios)


def _shoot(
    truth: BoolArray,
    true_pixels: ActivePixels,
    targets: int,
    predicted: BoolArray,
    found_pixels: ActivePixels,
    found: int,
    protocol: Protocol,
) -> tuple[BoolArray, BoolArray, int]:
    """Shooting rule: targets shot at, detections wholly beyond the outer zone, pixels beyond it."""
    shots = grow(predicted, protocol.hit_reach).ravel()[true_pixels.index]
    hit = np.bincount(true_pixels.labels[shots], minlength=targets) > 0
    beyond = ~grow(truth, protocol.miss_reach).ravel()[found_pixels.index]
    near = np.bincount(found_pixels.labels[~beyond], minlength=found) > 0
    return hit, ~near, int(np.count_nonzero(beyond))


def resize_scores(scores: FloatArray, grid: tuple[int, int]) -> FloatArray:
    """Bilinear, averaging when it shrinks, as the published loaders resize the frame."""
    from PIL import Image

    if scores.shape == grid:
        return scores
    image = Image.fromarray(scores.astype(np.float32))
    resized = np.asarray(image.resize((grid[1], grid[0]), Image.Resampling.BILINEAR), np.float32)
    return np.clip(resized, 0.0, 1.0)


def resize_mask(mask: BoolArray, grid: tuple[int, int]) -> BoolArray:
    """Nearest neighbour, as the published loaders resize the truth."""
    from PIL import Image

    if mask.shape == grid:
        return mask
    image = Image.fromarray(mask.astype(np.uint8))
    return np.asarray(image.resize((grid[1], grid[0]), Image.Resampling.NEAREST)) > 0
