"""Turning targets where they are."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from infraspot.augment.geometry import Move
from infraspot.core.geometry import find_components
from infraspot.core.sample import FloatArray, Sample


@dataclass(frozen=True, kw_only=True)
class RotateTarget:
    """Turn a square around each target by quarters, and mirror it, while the frame stays as it is.

    All eight symmetries are equally likely. This is what SIRST-5K calls negative augmentation: the border
    of the square may show. All layers, points and boxes turn alike. A target stays as it is where its square
    would cut another, or be larger than the frame. Near the edge of the frame the square is moved into it, so
    that the target moves, too.

    Attributes
    ----------
    sides
        Sides of the square in pixels, one of which is drawn; it grows where it does not hold its target.
        SIRST-5K's are 3, 5, 7, 9 and 32.
    p
        Chance that a target is turned.

    Raises
    ------
    ValueError
        If ``sides`` is empty or has a side below 1.
    """

    sides: tuple[int, ...] = (3, 5, 7, 9, 32)
    p: float = 0.5

    def __post_init__(self) -> None:
        if not self.sides or min(self.sides) < 1:
            raise ValueError(f"sides must be one or more numbers of pixels, and they are {self.sides}")

    def __call__(self, sample: Sample, rng: Generator) -> Sample:
        for x0, y0, x1, y1 in _targets(sample).tolist():
            if rng.random() >= self.p:
                continue
            side = max(int(rng.choice(self.sides)), y1 - y0, x1 - x0)
            transposed, upside_down, mirrored = (rng.random(3) < 0.5).tolist()
            height, width = sample.shape
            if side > min(height, width):
                continue
            y = min(max((y0 + y1 - side) // 2, 0), height - side)
            x = min(max((x0 + x1 - side) // 2, 0), width - side)
            if _spares(sample, y, x, side):
                move = Move(
                    shape=(side, side), corner=(y, x), transposed=transposed, mirrored=(upside_down, mirrored)
                )
                sample = _moved_within(sample, move, (slice(y, y + side), slice(x, x + side)))
        return sample


def _targets(sample: Sample) -> NDArray[np.intp]:
    """(N, 4) boxes in whole pixels, from the annotation that says most about the extent of targets."""
    extents = _extents(sample)
    return extents[0] if extents else np.empty((0, 4), np.intp)


def _extents(sample: Sample) -> list[NDArray[np.intp]]:
    """(N, 4) boxes in whole pixels (x0, y0, x1, y1), half-open, for each annotation that is there."""
    # A soft label's target is where it is as likely as not.
    layers = [layer for layer in (sample.label, sample.mask) if layer is not None]
    found: list[FloatArray] = [find_components(layer >= 0.5).boxes.astype(np.float64) for layer in layers]
    if sample.boxes is not None:
        found.append(sample.boxes)
    if sample.points is not None:
        corner = sample.points[:, ::-1]
        found.append(np.concatenate([corner, corner + 1], axis=1))
    return [
        np.concatenate([np.floor(boxes[:, :2]), np.ceil(boxes[:, 2:])], axis=1).astype(np.intp)
        for boxes in found
    ]


def _spares(sample: Sample, y: int, x: int, side: int) -> bool:
    """Whether a square holds each target that is annotated wholly or not at all."""
    low, high = np.array([x, y]), np.array([x, y]) + side
    for boxes in _extents(sample):
        within = ((boxes[:, :2] >= low) & (boxes[:, 2:] <= high)).all(axis=1)
        apart = ((boxes[:, 2:] <= low) | (boxes[:, :2] >= high)).any(axis=1)
        if not (within | apart).all():
            return False
    return True


def _moved_within(sample: Sample, move: Move, place: tuple[slice, slice]) -> Sample:
    """The sample with one square of it turned by a move that keeps the square's size."""
    changes: dict[str, Any] = {}
    for name, layer in sample.given("beyond").items():
        changes[name] = layer.copy()
        changes[name][place] = move.turned(layer[place])
    corner = np.array(move.corner)
    if sample.points is not None:
        moved, inside = move.moved_points(sample.points)
        changes["points"] = sample.points.copy()
        changes["points"][inside] = moved + corner
    if sample.boxes is not None:
        # A box that lies apart keeps nothing within the square.
        moved, inside = move.moved_boxes(sample.boxes)
        changes["boxes"] = sample.boxes.copy()
        changes["boxes"][inside] = moved + np.tile(corner[::-1], 2)
    return sample.replace(**changes)
