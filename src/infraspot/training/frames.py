"""Training frames kept in memory."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from infraspot.core.sample import FloatArray, Sample
from infraspot.schemes import LabelStore


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
        SHA-256 of ids, images and annotations: where it is equal, two runs saw the same data.
    """

    def __init__(self, frames: Sequence[Sample], limit: float) -> None:
        self._frames = frames
        self._kept: list[_Kept | None] = []
        digest, size = hashlib.sha256(), 0
        for index in range(len(frames)):
            sample = frames[index]
            _digest(digest, sample)
            kept = _Kept(sample)
            size += kept.nbytes
            self._kept.append(kept if size <= limit else None)
        self.fingerprint = digest.hexdigest()

    def __len__(self) -> int:
        return len(self._kept)

    def frame(self, index: int) -> Sample:
        kept = self._kept[index]
        return self._frames[index] if kept is None else kept.sample()

    def __iter__(self) -> Iterator[Sample]:
        return (self[k] for k in range(len(self)))


class LabelledFrames(Frames):
    """Frames with the labels in force in place of their masks: all that training may see of them."""

    def __init__(self, frames: Sequence[Sample], labels: LabelStore) -> None:
        self._frames, self._labels = frames, labels

    def __len__(self) -> int:
        return len(self._frames)

    def frame(self, index: int) -> Sample:
        sample = self._frames[index]
        return sample.replace(mask=self._labels[sample.id])


class _Kept:
    """A sample whose image is whole numbers over ``scale``."""

    def __init__(self, sample: Sample) -> None:
        self.scale = (1 << sample.bit_depth) - 1 if sample.bit_depth <= 16 else 0
        self.code = _encode(sample.image, self.scale)
        if self.code.dtype.kind == "f":
            self.scale = 0
        layers = {"mask": sample.mask, "sky": sample.sky, "points": sample.points, "boxes": sample.boxes}
        self.fields: dict[str, Any] = {"id": sample.id, "bit_depth": sample.bit_depth, **layers}
        self.nbytes = self.code.nbytes + sum(layer.nbytes for layer in layers.values() if layer is not None)

    def sample(self) -> Sample:
        return Sample(image=_decode(self.code, self.scale), **self.fields)


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
    digest.update(f"{sample.id} {sample.shape}".encode())
    for layer in (sample.image, sample.mask, sample.points, sample.boxes, sample.sky):
        digest.update(b"-" if layer is None else np.ascontiguousarray(layer).tobytes())
