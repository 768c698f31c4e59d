"""Peaks: a score map that is parted into one region for each target, so that clusters come apart.

Targets of a cluster lie a pixel apart, and their scores run together. Each pixel therefore climbs to the
peak that it belongs to. Two peaks are one target where the way between them does not dip below a share of the
lower one. A target is the pixels of a peak above another share of its height, and where two targets still
touch, the lower pixels of the seam belong to neither.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.core.geometry import find_components
from infraspot.inference.logistic import Logistic
from infraspot.inference.second_look import sureness_of

EVIDENCE = ("peak", "size", "crowd")
"""What judges a target: the logit of its highest score, the logarithm of its area, and that of the number of
targets that the frame seems to have, up to :data:`MOST_COUNTED`: where there are many, most are clutter."""
MOST_COUNTED = 32  # so that a large crowd does not hide itself
_NEIGHBOURS = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)]
_AHEAD = _NEIGHBOURS[4:]  # each pair of neighbours once


@dataclass(frozen=True, eq=False)
class Parted:
    """The targets of a score map (H, W).

    Attributes
    ----------
    shape
        (H, W).
    pixels, owners
        (P,) int64: every pixel of a target, as a place in the flattened map, and the number of its target. No
        two targets touch.
    evidence
        (N, 3) float64; :data:`EVIDENCE` names the columns.
    boxes
        (N, 4) int64, (x0, y0, x1, y1) half-open.
    """

    shape: tuple[int, int]
    pixels: NDArray[np.int64]
    owners: NDArray[np.int64]
    boxes: NDArray[np.int64]
    evidence: NDArray[np.float64]

    def painted(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """(H, W): the value (N,) of each target in all of its pixels, and 0 elsewhere."""
        painted = np.zeros(self.shape, np.float32)
        painted.ravel()[self.pixels] = values[self.owners]
        return painted


class Peaks:
    """Parts score maps, and gives each target one score.

    Parameters
    ----------
    card
        ``level``, ``share`` and ``saddle`` of :func:`part`, a weight for each of :data:`EVIDENCE` and
        ``offset``: the ``peaks`` of a weight file's card.
    """

    def __init__(self, card: Mapping[str, Any]) -> None:
        self._limits = {name: float(card[name]) for name in ("level", "share", "saddle")}
        self._score = Logistic(card, EVIDENCE)

    def rescore(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """(H, W) in [0, 1]: each target's score in all of its pixels, and 0 elsewhere.

        A threshold thus chooses between targets and never changes their shapes.
        """
        found = self.part(scores)
        return found.painted(self._score(found.evidence).astype(np.float32))

    def part(self, scores: NDArray[np.float32]) -> Parted:
        """The targets of a score map (H, W), before they are judged."""
        return part(scores, **self._limits)


def parting_of(card: Mapping[str, Any]) -> Peaks | None:
    """What parts the score maps of a model whose card says how; None for other models."""
    return Peaks(card["peaks"]) if card.get("peaks") else None


def part(scores: NDArray[np.float32], *, level: float, share: float, saddle: float) -> Parted:
    """Part a score map into targets.

    Parameters
    ----------
    scores
        (H, W) in [0, 1].
    level
        Pixels at or below it belong to no target.
    share
        A target is its pixels above this share of its highest score.
    saddle
        Peaks are one target where the highest way between them keeps above this share of the lower peak.
    """
    pixels = np.flatnonzero(scores.ravel() > level)  # several times faster than over rows and columns
    values = scores.ravel()[pixels]
    # Pixels are known by their rank: no two are equal, and the highest of a plateau is its peak.
    order = np.argsort(values, kind="stable")
    pixels, values = pixels[order], values[order]
    height, width = scores.shape
    rows, columns = np.divmod(pixels, width)
    across = width + 2  # with a border, so that every pixel has eight neighbours
    place = (rows + 1) * across + columns + 1
    ranks = np.full((height + 2) * across, -1, np.int64)
    ranks[place] = own = np.arange(len(pixels))
    around = [ranks[place + y * across + x] for y, x in _NEIGHBOURS]
    top = _joined(_climbed(np.maximum.reduce([own, *around])), around[4:], values, saddle)
    kept = values > share * values[top]
    for other in around[4:]:
        here = np.flatnonzero((other >= 0) & kept)
        there = other[here]
        seam = kept[there] & (top[here] != top[there])
        kept[np.minimum(here, there)[seam]] = False
    return _described(scores.shape, pixels[kept], values[kept], (top == own)[kept])


def _climbed(up: NDArray[np.int64]) -> NDArray[np.int64]:
    """The peak of each pixel, where ``up`` is the highest pixel around it."""
    while ((further := up[up]) != up).any():
        up = further
    return up


def _joined(
    top: NDArray[np.int64], ahead: list[NDArray[np.int64]], values: NDArray[np.float32], saddle: float
) -> NDArray[np.int64]:
    """The peak of each pixel, once peaks without a dip between them are joined, the least dips first."""
    pairs = []
    for other in ahead:
        here = np.flatnonzero(other >= 0)
        there = other[here]
        apart = top[here] != top[there]
        here, there = here[apart], there[apart]
        pairs.append(np.stack([np.minimum(here, there), top[here], top[there]]))
    ways = np.concatenate(pairs, axis=1)
    # A way that is lower than the share of both its peaks' pixels joins nothing, whatever came before.
    ways = ways[:, values[ways[0]] > saddle * values[ways[1:]].min(axis=0, initial=1.0)]
    parent: dict[int, int] = {}

    def peak_of(pixel: int) -> int:
        while (above := parent.get(pixel)) is not None:
            parent[pixel] = pixel = parent.get(above, above)  # ways grow shorter as they are walked
        return pixel

    for way, one, other in ways[:, np.argsort(-ways[0])].T.tolist():
        low, high = sorted((peak_of(one), peak_of(other)))
        if low != high and values[way] > saddle * values[low]:
            parent[low] = high
    if not parent:
        return top
    joined = np.arange(len(top))
    for low in parent:
        joined[low] = peak_of(low)
    return joined[top]


def _described(
    shape: tuple[int, int],
    pixels: NDArray[np.int64],
    values: NDArray[np.float32],
    is_top: NDArray[np.bool_],
) -> Parted:
    """The targets of the kept pixels; what a seam cut off from its peak is no target."""
    kept = np.zeros(shape, np.bool_)
    kept.ravel()[pixels] = True
    pieces = find_components(kept)
    pieces_of = pieces.labels.ravel()[pixels] - 1
    own = np.sort(pieces_of[is_top])
    numbers = np.full(len(pieces), -1)
    numbers[own] = np.arange(len(own))
    owners = numbers[pieces_of]
    inside = owners >= 0
    peaks = np.zeros(len(own), np.float32)
    np.maximum.at(peaks, owners[inside], values[inside])
    crowd = np.full(len(own), np.log(min(max(len(own), 1), MOST_COUNTED)))
    evidence = np.stack([sureness_of(peaks), np.log(pieces.areas[own]), crowd], axis=1)
    return Parted(shape, pixels[inside], owners[inside], pieces.boxes[own], evidence)
