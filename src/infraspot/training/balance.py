"""How often an epoch draws each frame, so that rare targets or small sets come as often as common ones.

An epoch keeps its length: some frames come more than once, each time augmented anew, and others wait for
another epoch.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from infraspot.core.contrast import signal_to_clutter
from infraspot.core.geometry import find_components
from infraspot.core.sample import Sample
from infraspot.schemes import LabelStore

Counts = NDArray[np.float64]

# From the ids of the active frames, and the frames with their labels, to how often each comes in an epoch of
# as many draws. Only what is asked for is read.
Balance = Callable[[Sequence[str], Iterable[Sample]], Counts]

# No frame comes much more often than so many times an epoch, or more seldom than in so many epochs.
MOST = 8.0
ROUNDS = 100

# The signal-to-clutter ratio of targets that have less, or none; values within this factor are one class.
LEAST, ALIKE = 0.1, 1.5


@dataclass(frozen=True)
class BySets:
    """Every set comes equally often; ``set_of`` names the set of an id."""

    set_of: Callable[[str], str]

    def __call__(self, ids: Sequence[str], frames: Iterable[Sample]) -> Counts:
        names = [self.set_of(id) for id in ids]
        sizes = Counter(names)
        return np.array([len(ids) / len(sizes) / sizes[name] for name in names])


@dataclass
class ByTargets:
    """Targets of each size and contrast come equally often, as far as frames allow that hold several.

    Sizes are small, middle or large: thirds, on a logarithmic scale, of the range that nine tenths of all
    targets lie in. Signal-to-clutter ratios are classed alike. This makes nine groups. Frames without a
    target come as often as without balance. Labels that evolve are measured again when they change.
    """

    labels: LabelStore
    _known: tuple[str, Counts] | None = field(default=None, repr=False)

    def __call__(self, ids: Sequence[str], frames: Iterable[Sample]) -> Counts:
        fingerprint = self.labels.fingerprint()
        if self._known is None or self._known[0] != fingerprint:
            self._known = fingerprint, even_counts(_groups(frames))
        return self._known[1]


def even_counts(held: Counts) -> Counts:
    """How often to draw each frame so that all groups come equally often; the mean over frames is 1.

    The counts of a frame are scaled by what its groups lack, again and again.

    Parameters
    ----------
    held
        (N, G) targets of each group in each frame. Frames with none keep the count 1.
    """
    counts = np.ones(len(held))
    some = held.sum(axis=1) > 0
    held = held[some][:, held.any(axis=0)]
    if not held.size:
        return counts
    found = np.ones(len(held))
    for _ in range(ROUNDS):
        came = found @ held
        found = _bounded(found * (held @ (came.mean() / came)) / held.sum(axis=1))
    counts[some] = found
    return counts


def _bounded(counts: Counts) -> Counts:
    """Counts of mean 1; what the bounds cut off goes to the others."""
    for _ in range(10):
        counts = np.clip(counts * (len(counts) / counts.sum()), 1 / MOST, MOST)
    return counts * (len(counts) / counts.sum())


def draw(places: NDArray[np.intp], counts: Counts, rng: Generator) -> NDArray[np.intp]:
    """As many places as there are, in random order; each comes as often as its count, rounded up or down."""
    shuffled = rng.permutation(len(places))
    ends = np.cumsum(counts[shuffled])
    ends *= len(places) / ends[-1]
    ends[-1] = len(places)  # without rounding
    times = np.diff(np.floor(ends + rng.random()), prepend=0).astype(np.intp)
    return rng.permutation(np.repeat(places[shuffled], times))


def _groups(frames: Iterable[Sample]) -> Counts:
    """(N, 9) targets of each class of sizes and class of contrasts in each frame."""
    rows, areas, contrasts = [], [], []
    count = 0
    for place, frame in enumerate(frames):
        count = place + 1
        if frame.label is None:
            continue
        # A soft label's target is where it is as likely as not.
        targets = find_components(frame.label >= 0.5)
        rows += [place] * len(targets)
        areas += targets.areas.tolist()
        # A target that fills its frame has no contrast.
        contrasts += np.nan_to_num(signal_to_clutter(frame.image, targets)).tolist()
    held = np.zeros((count, 9))
    if rows:
        np.add.at(held, (np.array(rows), 3 * _classes(areas) + _classes(contrasts)), 1)
    return held


def _classes(values: Sequence[float]) -> NDArray[np.intp]:
    """0, 1 or 2: which third of their range, in the logarithm and without a twentieth at each end."""
    scaled = np.log(np.maximum(values, LEAST))
    low, high = np.quantile(scaled, [0.05, 0.95])
    if high - low < np.log(ALIKE):
        return np.zeros(len(values), np.intp)
    return np.searchsorted([low + (high - low) / 3, high - (high - low) / 3], scaled, side="left")
