"""Clicks and the masks that annotators grow from them: where every scheme without masks begins."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.annotators import annotate
from infraspot.core.errors import DataError, counted, named
from infraspot.core.sample import Sample

APART = 2.0
"""Pixels between two clicks below which they are taken to mean one target."""


def require_clicks(samples: Sequence[Sample], purpose: str) -> None:
    """Check that every frame has its clicks, inside the frame, and that there is a click at all.

    An empty array of clicks says that a frame holds no target; None says that nobody looked.

    Raises
    ------
    DataError
        Naming the frames.
    """
    missing, outside, count = [], [], 0
    for sample in samples:
        if sample.points is None:
            missing.append(sample.id)
            continue
        count += len(sample.points)
        if _beyond(sample):
            outside.append(sample.id)
    if missing:
        raise DataError(
            f"{purpose} needs the clicks of every frame, and {len(missing)} of"
            f" {counted(len(samples), 'frame has', 'frames have')} none: {named(missing)}; put them into"
            " points.json of the set (an empty list says that a frame holds no target)"
        )
    if outside:
        raise DataError(
            f"{purpose} needs clicks inside their frames, and {len(outside)} of {len(samples)} frames have"
            f" clicks outside: {named(outside)}; clicks are x, y in pixels of the stored image; correct them"
        )
    if not count:
        raise DataError(
            f"{purpose} needs targets to learn from, and none of the {len(samples)} frames has a click; add"
            " frames with targets"
        )


def doubled_clicks(samples: Sequence[Sample]) -> list[str]:
    """Ids of the frames in which two clicks are nearer than :data:`APART`, as two on one target are."""
    return [sample.id for sample in samples if _doubled(sample)]


def masks_from_clicks(
    samples: Sequence[Sample], annotator: str, options: Mapping[str, Any] | None = None, *, soft: bool = False
) -> dict[str, NDArray[Any]]:
    """The mask (H, W) that an annotator grows in each frame, by the id of the frame; soft ones on demand.

    Raises
    ------
    InfraspotError
        If the annotator or an option of it is unknown or has a wrong value.
    """
    grown = {}
    for sample in samples:
        found = annotate(sample.image, sample.points, annotator, **(options or {}))
        grown[sample.id] = found.soft if soft else found.mask
    return grown


def click_masks(samples: Sequence[Sample]) -> dict[str, NDArray[np.bool_]]:
    """Masks with one pixel for each click, by the id of the frame."""
    return {sample.id: click_mask(sample) for sample in samples}


def click_mask(sample: Sample) -> NDArray[np.bool_]:
    """(H, W) True at the pixels that hold a click."""
    mask = np.zeros(sample.shape, np.bool_)
    for y, x in click_pixels(sample):
        mask[y, x] = True
    return mask


def click_pixels(sample: Sample) -> NDArray[np.intp]:
    """(N, 2) the pixels (y, x) that hold the clicks; pixel centres are whole numbers."""
    return np.floor(np.asarray(sample.points, np.float64).reshape(-1, 2) + 0.5).astype(np.intp)


def by_id(samples: Sequence[Sample]) -> Callable[[str], Sample]:
    """Looks a frame up by its id."""
    places = {sample.id: place for place, sample in enumerate(samples)}
    return lambda id: samples[places[id]]


def _doubled(sample: Sample) -> bool:
    points = np.asarray([] if sample.points is None else sample.points, np.float64).reshape(-1, 2)
    distances = np.linalg.norm(points[:, None] - points[None], axis=2)
    return bool((distances[np.triu_indices(len(points), 1)] < APART).any())


def _beyond(sample: Sample) -> bool:
    points = np.asarray(sample.points, np.float64).reshape(-1, 2)
    height, width = sample.shape
    inside = (points > -0.5).all(axis=1) & (points < (height - 0.5, width - 0.5)).all(axis=1)
    return not bool(inside.all())
