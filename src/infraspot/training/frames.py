"""Training frames kept in memory."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from infraspot.core.errors import DataError, named
from infraspot.core.sample import Clip, FloatArray, Sample
from infraspot.inference.frames import prepare_frame
from infraspot.schemes import LabelStore

# How many ids an error names.


class Frames(Sequence[Sample]):
    """Frames that are made when they are asked for; a slice is a list."""

    def frame(self, index: int) -> Sample:
        """The frame at a place."""
        raise NotImplementedError

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> list[Sample]: ...
    def __getitem__(self, index: int | slice) -> Sample | list[Sample]:
        if isinstance(index, slice):
            return [self.frame(k) for k in range(*index.indices(len(self)))]
        return self.frame(index)


class CachedFrames(Frames):
    """Frames that are read once and kept, exactly and as small as that allows, up to ``limit`` bytes.

    An image of up to 16 bits is kept as whole numbers where these give it back bit by bit, else as it is.
    Frames beyond the limit are read again each time.

    Attributes
    ----------
    fingerprint
        SHA-256 of every field of every frame: where it is equal, two runs saw the same data.

    Raises
    ------
    DataError
        If two frames have one id: labels are kept by id, and one would take the other's place.
    """

    def __init__(self, frames: Sequence[Sample], limit: float) -> None:
        self._frames = frames
        self._kept: list[_Kept | None] = []
        self.ids: list[str] = []
        digest, size = hashlib.sha256(), 0
        for index in range(len(frames)):
            sample = frames[index]
            self.ids.append(sample.id)
            _digest(digest, sample)
            kept = _Kept(sample)
            size += kept.nbytes
            self._kept.append(kept if size <= limit else None)
        self.fingerprint = digest.hexdigest()
        _check_unique(self.ids)

    def __len__(self) -> int:
        return len(self._kept)

    def frame(self, index: int) -> Sample:
        kept = self._kept[index]
        return self._frames[index] if kept is None else kept.sample()

    def __iter__(self) -> Iterator[Sample]:
        return (self[k] for k in range(len(self)))


class WithoutTruth(Frames):
    """Frames for a scheme that must not see the truth."""

    def __init__(self, frames: Sequence[Sample]) -> None:
        self._frames = frames

    def __len__(self) -> int:
        return len(self._frames)

    def frame(self, index: int) -> Sample:
        return self._frames[index].without_truth()


class LabelledFrames(Frames):
    """What the network trains on: frames with the labels in force, and no masks.

    Frames of more than 8 bits are stretched, as they are for a detector that runs.
    """

    def __init__(self, frames: Sequence[Sample], labels: LabelStore) -> None:
        self._frames, self._labels = frames, labels

    def __len__(self) -> int:
        return len(self._frames)

    def frame(self, index: int) -> Sample:
        sample = self._frames[index]
        return as_detected(sample).replace(mask=None, label=self._labels[sample.id])


def as_detected(sample: Sample) -> Sample:
    """The frame, or clip, with the pixels that a detector's network sees."""
    if isinstance(sample, Clip):
        stack = prepare_frame(sample.stack, sample.bit_depth)
        return sample.replace(image=stack[-1], earlier=stack[:-1])
    return sample.replace(image=prepare_frame(sample.image, sample.bit_depth))


class _Kept:
    """A sample whose image is whole numbers over ``scale``."""

    def __init__(self, sample: Sample) -> None:
        self.scale = (1 << sample.bit_depth) - 1 if sample.bit_depth <= 16 else 0
        self.code = _encode(sample.image, self.scale)
        if self.code.dtype.kind == "f":
            self.scale = 0
        # A view of one number holds the place of the image.
        self.rest = sample.replace(image=np.broadcast_to(np.float32(0), sample.shape))
        others = [value for name, value in _values(sample) if name != "image"]
        self.nbytes = self.code.nbytes + sum(getattr(value, "nbytes", 0) for value in others)

    def sample(self) -> Sample:
        return self.rest.replace(image=_decode(self.code, self.scale))


def _check_unique(ids: list[str]) -> None:
    repeated = [id for id, count in Counter(ids).items() if count > 1]
    if repeated:
        raise DataError(
            f"every frame needs an id of its own, and {len(repeated)} of {len(set(ids))} ids come more than"
            f" once: {named(repeated)}; rename the files, or leave a set out"
        )


def _encode(image: FloatArray, scale: int) -> NDArray[Any]:
    """Whole numbers if they give the image back exactly, else the image itself."""
    if scale:
        code = np.rint(image * scale).astype(np.uint8 if scale <= 255 else np.uint16)
        if np.array_equal(_decode(code, scale), image):
            return code
    return image


def _decode(code: NDArray[Any], scale: int) -> NDArray[np.float32]:
    image: NDArray[np.float32] = code.astype(np.float32) / np.float32(scale) if scale else code
    return image


def _digest(digest: "hashlib._Hash", sample: Sample) -> None:
    for name, value in _values(sample):
        if isinstance(value, np.ndarray):
            digest.update(f"{name} {value.shape} {value.dtype}".encode())
            digest.update(np.ascontiguousarray(value).tobytes())
        else:
            digest.update(f"{name} {value!r}".encode())


def _values(sample: Sample) -> list[tuple[str, Any]]:
    return [(part.name, getattr(sample, part.name)) for part in fields(sample)]
