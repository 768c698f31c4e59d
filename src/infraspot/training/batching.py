"""Batches of augmented frames: the same ones for the same seed, epoch and place, wherever a run begins."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.random import default_rng
from numpy.typing import NDArray

from infraspot.augment.transforms import Transform
from infraspot.core.errors import DataError
from infraspot.core.sample import Sample
from infraspot.schemes import Batch, LabelStore
from infraspot.training.frames import CachedFrames, LabelledFrames

# Seeds the draws of negatives apart from those of the frames, which are (seed, epoch, index).
NEGATIVE_STREAM = 1


@dataclass(frozen=True)
class Negatives:
    """Frames without any target, of which each batch gets ``per_batch``, drawn at random."""

    samples: CachedFrames
    transform: Transform
    per_batch: int


@dataclass
class Loader:
    """Makes the batches of an epoch.

    Every draw comes from a generator seeded with (seed, epoch, index of the frame), so that a batch depends
    on nothing that came before it, and a resumed run goes on with the very batch that was next. Batches are
    made in this process, the next one in a thread while the network works on the last. A frame that would be
    alone at the end joins the batch before, since norms of pooled features need two.

    Attributes
    ----------
    samples
        Frames with images of any size.
    transform
        Brings them to one size (a crop), or ``batch`` is 1.
    drop_last
        Leave out a last batch that is not full.
    negatives
        What joins each batch beyond its ``batch`` frames.
    """

    samples: Sequence[Sample]
    labels: LabelStore
    transform: Transform
    batch: int
    seed: int
    drop_last: bool = False
    negatives: Negatives | None = None
    _labelled: LabelledFrames = field(init=False, repr=False)
    _places: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._labelled = LabelledFrames(self.samples, self.labels)
        self._places = {sample.id: index for index, sample in enumerate(self.samples)}

    def __len__(self) -> int:
        """Batches of an epoch with the frames that are active now."""
        full, rest = divmod(len(self.labels.active), self.batch)
        return full + (rest > 0 and not (full and (self.drop_last or rest == 1)))

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of one epoch from ``start`` on."""
        active = np.array([self._places[id] for id in self.labels.active], np.intp)
        order = default_rng([self.seed, epoch]).permutation(active)
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

    def _make(self, epoch: int, number: int, order: NDArray[np.intp]) -> Batch:
        stop = (number + 1) * self.batch
        if number + 1 == len(self) and not self.drop_last:
            stop = len(order)
        chunk = order[number * self.batch : stop]
        samples = [self._augmented(epoch, int(index)) for index in chunk]
        samples += self._negative(epoch, number)
        return _stack(samples)

    def _augmented(self, epoch: int, index: int) -> Sample:
        return self.transform(self._labelled[index], default_rng([self.seed, epoch, index]))

    def _negative(self, epoch: int, number: int) -> list[Sample]:
        if self.negatives is None:
            return []
        rng = default_rng([self.seed, epoch, number, NEGATIVE_STREAM])
        drawn = rng.integers(len(self.negatives.samples), size=self.negatives.per_batch)
        return [self.negatives.transform(self.negatives.samples[int(index)], rng) for index in drawn]


def _stack(samples: list[Sample]) -> Batch:
    shapes = {sample.shape for sample in samples}
    if len(shapes) > 1:
        raise DataError(
            f"the frames of a batch must have one size, and these have {sorted(shapes)};"
            " add a crop to [[augment]], or set train.batch to 1"
        )
    images = np.stack([sample.image for sample in samples])[:, None]
    labels = np.stack([sample.mask for sample in samples if sample.mask is not None])[:, None]
    return Batch(
        ids=tuple(sample.id for sample in samples),
        images=torch.from_numpy(images.astype(np.float32, copy=False)),
        labels=torch.from_numpy(labels.astype(np.float32)),
    )
