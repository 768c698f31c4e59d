"""From a frame of any size and depth to its score map: stretch, tile, stitch."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from infraspot.core.errors import unknown_name
from infraspot.data import Frame
from infraspot.inference.peaks import parting_of
from infraspot.inference.scores import scores_of

if TYPE_CHECKING:
    from infraspot.inference.engines import Engine
    from infraspot.inference.second_look import SecondLook

TILE = 1024
OVERLAP = 128
STRIDE = 16
POLARITIES = ("bright", "dark", "both")


def score_frame(
    engine: "Engine",
    image: NDArray[np.float32],
    bit_depth: int = 8,
    *,
    tile: int = TILE,
    overlap: int = OVERLAP,
) -> NDArray[np.float32]:
    """Score a frame at its own size.

    Where the engine has a ``polarity``, targets of that polarity are sought (see :func:`seen_as`), and bright
    ones otherwise. Where it has a ``second_look``, that judges every candidate of the whole frame, and its
    scores are those of the map (see :meth:`infraspot.inference.second_look.SecondLook.rescore`); where its
    card has ``peaks``, the targets of the whole frame are parted (:mod:`infraspot.inference.peaks`). This is
    the one way to scores: detection, evaluation, the annotation page and calibration all take it.

    Parameters and errors are those of :func:`segment_frame`.

    Returns
    -------
    (H, W) float32 in [0, 1].
    """
    views = seen_as(image, getattr(engine, "polarity", "bright"))
    looks = [_score_view(engine, prepare_frame(view, bit_depth), tile, overlap) for view in views]
    return looks[0] if len(looks) == 1 else np.maximum(*looks)


def seen_as(image: NDArray[np.float32], polarity: str) -> tuple[NDArray[np.float32], ...]:
    """The frames in which targets of this polarity are bright.

    A dark target of ``image`` is a bright one of ``1 - image``; ``"both"`` gives two frames, and costs twice
    the time. Frames are turned before they are stretched (:func:`prepare_frame`), which leaves room for
    bright targets and would clip dark ones.

    Raises
    ------
    UsageError
        If ``polarity`` is none of bright, dark and both.
    """
    if polarity not in POLARITIES:
        raise unknown_name("polarity", polarity, POLARITIES)
    turned = 1 - image if polarity != "bright" else image
    return {"bright": (image,), "dark": (turned,), "both": (image, turned)}[polarity]


def _score_view(engine: "Engine", image: NDArray[np.float32], tile: int, overlap: int) -> NDArray[np.float32]:
    scores = segment_frame(engine, image, tile=tile, overlap=overlap)
    look: SecondLook | None = getattr(engine, "second_look", None)
    if look is not None:
        return look.rescore(image, scores)
    peaks = parting_of(engine.card)
    return scores if peaks is None else peaks.rescore(scores)


def segment_frame(
    engine: "Engine",
    image: NDArray[np.float32],
    bit_depth: int = 8,
    *,
    tile: int = TILE,
    overlap: int = OVERLAP,
) -> NDArray[np.float32]:
    """The scores of a frame's pixels before any second look.

    Frames with a side over ``tile`` pixels are cut into tiles that share ``overlap`` pixels; of each tile
    only the part further than half the overlap from a cut is kept, so that a network whose view is shorter
    than that gives the same map as on the whole frame.

    Parameters
    ----------
    engine
        See :mod:`infraspot.inference.engines`.
    image
        (H, W) float32 in [0, 1].
    bit_depth
        Bits of the stored frame; see :func:`prepare_frame`.

    Returns
    -------
    (H, W) float32 in [0, 1].

    Raises
    ------
    InputError
        If the engine fails or answers with something else than scores.
    """
    height, width = image.shape[-2:]
    image = with_past(engine, prepare_frame(image, bit_depth))
    if max(height, width) <= tile or getattr(engine, "whole", False):
        return scores_of(engine, image)
    scores = np.empty((height, width), np.float32)
    for rows, columns, kept_rows, kept_columns in tiles((height, width), tile, overlap):
        part = scores_of(engine, np.ascontiguousarray(image[..., rows, columns]))
        scores[kept_rows, kept_columns] = part[
            kept_rows.start - rows.start : kept_rows.stop - rows.start,
            kept_columns.start - columns.start : kept_columns.stop - columns.start,
        ]
    return scores


def with_past(engine: "Engine", image: NDArray[np.float32]) -> NDArray[np.float32]:
    """What an engine of sequences is shown of a frame without a past: that frame, as often as it takes."""
    frames: int = getattr(engine, "frames", 1)
    return np.repeat(image[None], frames, axis=0) if frames > 1 and image.ndim == 2 else image


class Tile(NamedTuple):
    """A part of a frame that is seen at once, and the part of it that counts."""

    rows: slice
    columns: slice
    kept_rows: slice
    kept_columns: slice


def tiles(shape: tuple[int, int], tile: int, overlap: int) -> Iterator[Tile]:
    """The tiles of a frame, of sides up to ``tile`` pixels; what counts of them covers the frame once."""
    for rows, kept_rows in _cuts(shape[0], tile, overlap):
        for columns, kept_columns in _cuts(shape[1], tile, overlap):
            yield Tile(rows, columns, kept_rows, kept_columns)


def prepare_frame(image: NDArray[np.float32], bit_depth: int) -> NDArray[np.float32]:
    """A frame as networks take it: frames of more than 8 bits are stretched, others are left as they are.

    Detection, the validation of a training run and the check of an export all go through here; cards name it
    as their ``preprocessing``.
    """
    return stretch(image) if bit_depth > 8 else image


def stretch(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bring a deep frame to the contrast of an 8-bit display, as a camera's gain control would.

    The 0.5th and 99.5th percentiles go to 0.1 and 0.7; the room above is for targets. Values outside [0, 1]
    are clipped. A constant frame becomes 0.4.
    """
    low, high = np.percentile(image, (0.5, 99.5))
    if high <= low:
        low, high = float(image.min()), float(image.max())
    if high <= low:
        return np.full_like(image, 0.4)
    return np.clip(0.1 + (image - low) * (0.6 / (high - low)), 0.0, 1.0).astype(np.float32)


def as_displayed(frame: Frame) -> Frame:
    """The frame at the contrast of an 8-bit display, as :func:`prepare_frame` brings it there."""
    return frame if frame.bit_depth <= 8 else Frame(prepare_frame(frame.image, frame.bit_depth), 8)


def _cuts(length: int, longest: int, overlap: int) -> Iterator[tuple[slice, slice]]:
    """Slices to read and slices to keep along one axis: as few tiles as ``longest`` allows, of one size."""
    count = 1 if length <= longest else -(-(length - overlap) // (longest - overlap))
    tile = -(-(length + (count - 1) * overlap) // count)
    tile = min(tile + -tile % STRIDE, longest, length)  # whole strides, so that no tile is padded
    starts = np.linspace(0, length - tile, count).round().astype(int)
    edges = [0, *((starts[1:] + starts[:-1] + tile) // 2).tolist(), length]
    for start, first, last in zip(starts.tolist(), edges[:-1], edges[1:], strict=True):
        yield slice(start, start + tile), slice(first, last)
