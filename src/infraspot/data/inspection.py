"""Looking at every image of a data set once, on all cores: what its files hold and what is wrong."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from infraspot.core.contrast import signal_to_clutter
from infraspot.core.cores import available_cores
from infraspot.core.errors import InputError, named
from infraspot.core.geometry import find_components
from infraspot.core.sample import FloatArray, Sample
from infraspot.data.images import read_image, read_mask
from infraspot.data.reader import Reader

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Flaw:
    """Something wrong with one image or its annotation; ``kind`` is a key of ``checking.KINDS``."""

    kind: str
    item: str
    detail: str


@dataclass(frozen=True, eq=False)
class Inspection:
    """What one image of a data set is like.

    Attributes
    ----------
    id, shape, bit_depth
        Of the image; the shape is None where it cannot be read.
    digest
        Of the pixels: equal for images that look alike to every program.
    mean, deviation
        Of the brightness, in [0, 1].
    areas, ratios
        Of each target: pixels, and local signal-to-clutter ratio (NaN without a mask). None: not annotated.
    flaws
        What is wrong.
    """

    id: str
    shape: tuple[int, int] | None = None
    bit_depth: int = 0
    digest: str = ""
    mean: float = 0.0
    deviation: float = 0.0
    areas: NDArray[np.float64] | None = None
    ratios: NDArray[np.float64] | None = None
    flaws: tuple[Flaw, ...] = field(default=())


def inspect_all(reader: Reader, *, contrast: bool = False) -> Iterator[Inspection]:
    """Inspect every image, several at a time, in the reader's order; ``contrast`` adds the targets' SCR."""
    return in_threads(lambda index: inspect(reader, index, contrast=contrast), range(len(reader)))


def inspect(reader: Reader, index: int, *, contrast: bool = False) -> Inspection:
    """Inspect one image; nothing is raised for a flaw in the data."""
    name = reader.ids[index]
    try:
        sample, strays = reader.examine(index)
    except InputError as error:
        return Inspection(name, flaws=tuple(_why_unreadable(reader, index, error)))
    areas, ratios = _targets(sample, contrast)
    return Inspection(
        name,
        sample.shape,
        sample.bit_depth,
        pixel_digest(sample.image),
        *_brightness(sample.image),
        areas,
        ratios,
        tuple(_flaws(reader, index, sample, strays)),
    )


def pixel_digest(image: NDArray[np.floating]) -> str:
    """A digest of the pixels and the shape of a frame, whatever file format they came from."""
    digest = blake2b(repr(image.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()


def in_threads(work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Results in the order of ``items``, made on all cores (decoding lets go of the interpreter's lock)."""
    pool = ThreadPoolExecutor(available_cores())
    try:
        yield from pool.map(work, items)
    finally:
        pool.shutdown(cancel_futures=True)


def _why_unreadable(reader: Reader, index: int, error: InputError) -> Iterator[Flaw]:
    """Tell a damaged image from a mask that is damaged or of another size."""
    name, path, mask = reader.ids[index], reader.image_path(index), reader.mask_path(index)
    try:
        shape = read_image(path, max_pixels=reader.max_pixels).image.shape
    except InputError as failure:
        yield Flaw("damaged", name, str(failure))
        return
    try:
        other = shape if mask is None else read_mask(mask, max_pixels=reader.max_pixels).shape
    except InputError as failure:
        yield Flaw("damaged", name, str(failure))
        return
    if other != shape:
        detail = f"{_relative(mask, reader)} is {other[1]}x{other[0]}, its image {shape[1]}x{shape[0]}"
        yield Flaw("size mismatch", name, detail)
    else:
        yield Flaw("bad annotation", name, str(error))


def _brightness(image: FloatArray) -> tuple[float, float]:
    """Mean and standard deviation."""
    mean = float(image.mean())
    apart = (image - mean).ravel()
    return mean, float(np.sqrt(np.dot(apart, apart) / apart.size))


def _flaws(reader: Reader, index: int, sample: Sample, strays: list[float]) -> Iterator[Flaw]:
    if strays:
        shown = named([f"{value:g}" for value in strays])
        place = _relative(reader.mask_path(index), reader)
        yield Flaw("non-binary mask", sample.id, f"{place} also holds {shown}")
    if sample.mask is not None and not sample.mask.any():
        yield Flaw("no target", sample.id, "its mask is empty")
    height, width = sample.shape
    if sample.points is not None and len(sample.points):
        outside = np.any((sample.points < -0.5) | (sample.points >= (height - 0.5, width - 0.5)), axis=1)
        if outside.any():
            yield Flaw("outside", sample.id, f"{int(outside.sum())} of {len(outside)} points")
    if sample.boxes is not None and len(sample.boxes):
        outside = np.any((sample.boxes < 0) | (sample.boxes > (width, height, width, height)), axis=1)
        if outside.any():
            yield Flaw("outside", sample.id, f"{int(outside.sum())} of {len(outside)} boxes")


def _targets(sample: Sample, contrast: bool) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
    if sample.mask is not None:
        parts = find_components(sample.mask)
        ratios = signal_to_clutter(sample.image, parts) if contrast else np.full(len(parts), np.nan)
        return parts.areas.astype(np.float64), ratios
    if sample.boxes is not None:
        sides = sample.boxes[:, 2:] - sample.boxes[:, :2]
        return sides.prod(axis=1), np.full(len(sides), np.nan)
    if sample.points is not None:
        return np.full(len(sample.points), np.nan), np.full(len(sample.points), np.nan)
    return None, None


def _relative(path: Path | None, reader: Reader) -> str:
    if path is None:
        return "its mask"
    return str(path.relative_to(reader.root)) if path.is_relative_to(reader.root) else str(path)
