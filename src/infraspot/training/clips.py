"""Clips of registered frames, out of the frames of sequences."""

import re
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from infraspot.core.errors import DataError
from infraspot.core.sample import Clip, Sample
from infraspot.tracking import Registrar
from infraspot.tracking.stacking import Stack
from infraspot.training.frames import Frames

_NUMBER = re.compile(r"(.*?)(\d{1,18})(\D*)", re.DOTALL | re.ASCII)


def sequences_of(ids: Sequence[str]) -> dict[tuple[str, str], list[int]]:
    """Places of the frames of each sequence, in the order of the last numbers in their ids.

    Frames whose ids differ in their last number alone are one sequence.
    """
    found: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for place, id in enumerate(ids):
        match = _NUMBER.fullmatch(id)
        key, number = ((match[1], match[3]), int(match[2])) if match else ((id, ""), 0)
        found.setdefault(key, []).append((number, place))
    return {key: [place for _, place in sorted(members)] for key, members in found.items()}


class Clips(Frames):
    """Every ``every``-th frame of each sequence with the ``length - 1`` frames before it, registered.

    Frames are registered as ``infraspot track`` does it, with its errors: that is what a network will see.
    At the beginning of a sequence, its first frame stands for those before it.

    Raises
    ------
    DataError
        If no sequence has two frames.
    """

    def __init__(self, frames: Sequence[Sample], length: int, every: int = 1) -> None:
        self._frames, self._length = frames, length
        self._clips: list[list[int]] = []
        sequences = sequences_of([frame.id for frame in frames])
        if all(len(places) < 2 for places in sequences.values()):
            raise DataError(
                f"data.clip = {length} needs sequences, frames whose ids differ in their last number alone,"
                f" and none of the {len(frames)} frames has another before it; leave data.clip out"
            )
        for places in sequences.values():
            ends = range(min(every, len(places)), len(places) + 1, every)
            self._clips += [places[max(end - length, 0) : end] for end in ends]

    def __len__(self) -> int:
        return len(self._clips)

    def frame(self, index: int) -> Clip:
        members = [self._frames[place] for place in self._clips[index]]
        newest = members[-1]
        wrong = [a.id for a, _ in pairwise(members) if a.shape != newest.shape]
        if wrong:
            raise DataError(
                f"{newest.id}: the frames before it have another size ({wrong[0]}); leave them out"
            )
        registrar, stack = Registrar(), Stack(self._length)
        for sample in members:
            registered = stack.push(sample.image, registrar.step(sample.image))
        known = {name: value for name, value in vars(newest).items() if name in Sample.__dataclass_fields__}
        return Clip(**known, earlier=registered[:-1].astype(np.float16))
