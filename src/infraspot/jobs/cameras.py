"""Frames told apart by camera: by their size, depth and noise."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from infraspot.core.errors import counted
from infraspot.core.noise import noise_of
from infraspot.core.sample import Sample

APART = 3.0  # standard deviations within, by which the noise of two cameras differs


@dataclass(frozen=True)
class Sight:
    """What tells a frame's camera: its size, depth and noise, of which little has to be kept in memory."""

    name: str
    height: int
    width: int
    bit_depth: int
    noise: float

    @property
    def form(self) -> tuple[int, int, int]:
        return self.height, self.width, self.bit_depth

    @property
    def level(self) -> float:
        """The noise, which rounding to whole grey levels hides where it is less than that of rounding."""
        return max(self.noise, 1 / (2**self.bit_depth - 1) / 12**0.5)


def sight_of(frame: Sample) -> Sight:
    """What tells the camera of a frame."""
    return Sight(frame.id, *frame.shape, frame.bit_depth, noise_of(frame.image))


def cameras_of(frames: Iterable[Sample]) -> list[str]:
    """A sentence for each camera, where size, depth or noise show several; else none."""
    return told_apart([sight_of(frame) for frame in frames])


def told_apart(sights: Sequence[Sight]) -> list[str]:
    """As :func:`cameras_of`, of what was seen of each frame."""
    kinds: dict[tuple[int, int, int], list[Sight]] = {}
    for sight in sights:
        kinds.setdefault(sight.form, []).append(sight)
    parts = sorted(kinds.values(), key=len, reverse=True) if len(kinds) > 1 else _by_noise(sights)
    return [_described(part) for part in parts] if len(parts) > 1 else []


def _by_noise(sights: Sequence[Sight]) -> list[list[Sight]]:
    """Frames of one size, in two parts where the noise of the parts lies far apart (Ashman's D).

    A frame of few grey levels shows no noise at all, whatever its camera: it goes with the larger part.
    """
    known = sorted((sight for sight in sights if sight.noise > 0), key=lambda sight: sight.level)
    if len(known) < 4:
        return [list(sights)]
    levels = np.log([sight.level for sight in known])
    cut = int(np.argmax(np.diff(levels))) + 1
    low, high = levels[:cut], levels[cut:]
    within = np.sqrt((low.var() + high.var()) / 2) + 0.05
    if min(len(low), len(high)) < 2 or high.mean() - low.mean() < max(APART * within, np.log(2)):
        return [list(sights)]
    smaller = set(known[:cut] if cut < len(known) - cut else known[cut:])
    parts = [[one for one in sights if one not in smaller], [one for one in sights if one in smaller]]
    return sorted(parts, key=lambda part: sights.index(part[0]))


def _described(sights: Sequence[Sight]) -> str:
    first = sights[0]
    noise = float(np.median([sight.noise for sight in sights]))
    form = f"{first.width}x{first.height}, {first.bit_depth} bits"
    return f"{counted(len(sights), 'frame')} of {form}, noise {noise:.2g} ({Path(first.name).name}, ...)"
