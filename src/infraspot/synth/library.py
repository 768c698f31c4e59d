"""Small patches of real frames: what pasted targets are made of."""

from collections.abc import Iterable
from typing import Literal, get_args

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from infraspot.core.errors import DataError
from infraspot.core.geometry import find_components
from infraspot.core.pasting import elsewhere, resized_patch
from infraspot.core.sample import Sample

Patches = NDArray[np.float32]
PatchSource = Literal["background", "targets"]
PATCH_SOURCES: tuple[PatchSource, ...] = get_args(PatchSource)


def cut_patches(sample: Sample, source: PatchSource, side: int, rng: Generator) -> Patches:
    """One patch for each target of a frame, resized bilinearly.

    Parameters
    ----------
    sample
        A frame with a mask.
    source
        ``"targets"``: the boxes of the targets, as the paper describes. ``"background"``: boxes of the same
        sizes elsewhere in the frame. What the released DenseSIRST adds to its frames is distributed as
        brightness of the background is (docs/dense.md).
    side
        Height and width of a patch in pixels.

    Returns
    -------
    (N, side, side) float32 in [0, 1].
    """
    assert sample.mask is not None
    boxes = find_components(sample.mask).boxes
    if source == "background":
        boxes = np.array([elsewhere(box, sample.mask, rng) for box in boxes], np.int64).reshape(-1, 4)
    patches = [resized_patch(sample.image[y0:y1, x0:x1], (side, side)) for x0, y0, x1, y1 in boxes]
    return np.array(patches, np.float32).reshape(-1, side, side)


def build_library(samples: Iterable[Sample], source: PatchSource, side: int, rng: Generator) -> Patches:
    """The patches of every frame that has a mask: (N, side, side) float32 in [0, 1].

    Raises
    ------
    DataError
        If none of the frames has a target in its mask.
    """
    parts = [cut_patches(sample, source, side, rng) for sample in samples if sample.mask is not None]
    library = np.concatenate([np.empty((0, side, side), np.float32), *parts])
    if not len(library):
        raise DataError(
            "the library of targets is empty: no mask of the frames that it is taken from holds a target; "
            "choose a base set, or a training split, with targets"
        )
    return library
