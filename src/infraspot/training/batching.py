"""Batches of augmented frames: the same ones for the same seed, epoch and place, wherever a run begins."""

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.random import Generator, default_rng
from numpy.typing import NDArray

from infraspot.augment.transforms import Transform
from infraspot.core.errors import DataError, UsageError, counted
from infraspot.core.sample import Sample
from infraspot.losses import Batch
from infraspot.schemes import LabelStore
from infraspot.training.balance import Balance, draw
from infraspot.training.frames import CachedFrames, LabelledFrames, as_detected
from infraspot.training.stacking import stack

# Seeds the draws of further frames, and of frames that come again, apart from (seed, epoch, place).
NEGATIVE_STREAM, UNLABELLED_STREAM, VAL_STREAM, AGAIN_STREAM = 1, 2, 3, 4

# Norms of pooled features need two frames.
LEAST = 2


@dataclass(frozen=True)
class Further:
    """Frames of another set, of which each batch gets ``per_batch``, drawn at random."""

    samples: CachedFrames
    transform: Transform
    per_batch: int

    def draw(self, rng: Generator) -> list[tuple[int, int]]:
        """Places of a batch's frames, and the seed of each."""
        places = rng.integers(len(self.samples), size=self.per_batch)
        seeds = rng.integers(2**63, size=self.per_batch)
        return list(zip(places.tolist(), seeds.tolist(), strict=True))

    def augmented(self, place: int, seed: int) -> Sample:
        """One frame of a batch."""
        return self.transform(as_detected(self.samples[place]), default_rng(seed))


@dataclass
class Loader:
    """Makes the batches of an epoch.

    Every random draw comes from a generator seeded with (seed, epoch, place of the frame) and, for a frame
    that comes again, how often it came. A batch therefore depends on nothing before it, and a resumed run
    goes on with exactly the next batch. A thread makes the next batch while the network works on the last. If
    fewer than two frames for each process are left at the end of an epoch, they join the batch before, since
    norms of pooled features need two.

    Several processes share each batch: process ``rank`` of ``world`` makes the frames ``rank``,
    ``rank + world``, and so on.

    Attributes
    ----------
    samples
        Frames with images of any size.
    transform
        Brings them to one size (a crop), or ``batch`` is 1.
    batch
        Frames of a batch, over all processes.
    drop_last
        Leave out a last batch that is not full.
    negatives, unlabelled
        What joins each batch beyond its ``batch`` frames.
    parts
        What a batch holds beside images and labels.
    balance
        How often an epoch draws each frame; by default once.
    """

    samples: Sequence[Sample]
    labels: LabelStore
    transform: Transform
    batch: int
    seed: int
    drop_last: bool = False
    negatives: Further | None = None
    unlabelled: Further | None = None
    parts: Sequence[str] = ()
    rank: int = 0
    world: int = 1
    balance: Balance | None = None
    _labelled: LabelledFrames = field(init=False, repr=False)
    _places: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._labelled = LabelledFrames(self.samples, self.labels)
        self._places = {sample.id: index for index, sample in enumerate(self.samples)}
        if self.batch < self.world:
            raise UsageError(
                f"train.batch is {self.batch}, and {self.world} devices share it; give each device a frame"
            )

    def __len__(self) -> int:
        """Batches of an epoch with the frames that are active now."""
        full, rest = divmod(len(self.labels.active), self.batch)
        joins = rest < LEAST * self.world
        return full + (rest > 0 and not (full and (self.drop_last or joins)))

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of one epoch from ``start`` on.

        Raises
        ------
        DataError
            If there are fewer active frames than processes, or one of them has no label.
        """
        if len(self.labels.active) < self.world:
            raise DataError(
                f"the scheme left {counted(len(self.labels.active), 'frame')} to train on in epoch"
                f" {epoch + 1}, and each of {self.world} devices needs one; keep more frames active"
            )
        active = np.array([self._places[id] for id in self.labels.active], np.intp)
        order = self._order(epoch, active)
        count = len(self)
        if start >= count:
            return
        with ThreadPoolExecutor(1, thread_name_prefix="batches") as thread:
            ahead = thread.submit(self._make, epoch, start, order)
            for number in range(start, count):
                ready = ahead.result()
                if number + 1 < count:
                    ahead = thread.submit(self._make, epoch, number + 1, order)
                yield ready

    def drawn(self, frames: int, seed: list[int]) -> Batch:
        """A batch of so many frames, or of all where there are fewer, drawn at random by a seed."""
        rng = default_rng(seed)
        places = rng.choice(len(self.samples), min(frames, len(self.samples)), replace=False)
        return stack(
            [
                self.transform(self._labelled[int(place)], default_rng([*seed, int(place)]))
                for place in places
            ],
            parts=self.parts,
        )

    def _order(self, epoch: int, active: NDArray[np.intp]) -> list[tuple[int, int]]:
        """Places of the frames of an epoch, and how often each came before in it."""
        rng = default_rng([self.seed, epoch])
        if self.balance is None:
            return [(place, 0) for place in rng.permutation(active).tolist()]
        counts = self.balance(self.labels.active, (self._labelled[int(place)] for place in active))
        came: Counter[int] = Counter()
        order = []
        for place in draw(active, counts, rng).tolist():
            order.append((place, came[place]))
            came[place] += 1
        return order

    def _make(self, epoch: int, number: int, order: Sequence[tuple[int, int]]) -> Batch:
        stop = (number + 1) * self.batch
        if number + 1 == len(self) and not self.drop_last:
            stop = len(order)
        chunk = order[number * self.batch : stop][self.rank :: self.world]
        return stack(
            [self._augmented(epoch, place, again) for place, again in chunk],
            self._further(self.negatives, [self.seed, epoch, number, NEGATIVE_STREAM]),
            self._further(self.unlabelled, [self.seed, epoch, number, UNLABELLED_STREAM]),
            self.parts,
        )

    def _further(self, further: Further | None, seed: list[int]) -> list[Sample]:
        if further is None:
            return []
        drawn = further.draw(default_rng(seed))[self.rank :: self.world]
        return [further.augmented(place, own) for place, own in drawn]

    def _augmented(self, epoch: int, place: int, again: int) -> Sample:
        """A frame, augmented otherwise each time that it comes in an epoch."""
        seed = [self.seed, epoch, place, *((AGAIN_STREAM, again) if again else ())]
        return self.transform(self._labelled[place], default_rng(seed))
