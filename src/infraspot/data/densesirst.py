"""Writing frames in the layout in which DenseSIRST is released."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from infraspot.core.files import replacing, write_text
from infraspot.core.geometry import find_components
from infraspot.core.sample import BoolArray, Sample
from infraspot.data.boxes import voc_text
from infraspot.data.splits import split_text
from infraspot.data.writing import check_id, write_grey, write_mask

DENSESIRST_FILES = (
    "PNGImages/{}.png",
    "SIRST/BinaryMask/{}_pixels0.png",
    "SIRST/PaletteMask/{}.png",
    "SIRST/BBox/{}.xml",
    "SIRST/Point_label/{}_pixels0.txt",
    "SkySeg/BinaryMask/{}_pixels0.png",
    "SkySeg/PaletteMask/{}.png",
)
"""What the layout holds of each image; ``{}`` is its id."""

_COLOURS = bytes([0, 0, 0, 255, 255, 255])


def write_densesirst_sample(folder: Path, sample: Sample) -> None:
    """Write a frame with mask and sky.

    Boxes and points are those of the mask's components. As in the released files, corners of boxes count from
    zero and are half-open, and points are whole numbers ``x y``.

    Raises
    ------
    DataError
        If the folder cannot be written to.
    InputError
        If the id cannot be the name of a file.
    """
    assert sample.mask is not None
    assert sample.sky is not None
    check_id(sample.id)
    picture, target, palette, boxes, points, sky, sky_palette = (
        folder / place.format(sample.id) for place in DENSESIRST_FILES
    )
    parts = find_components(sample.mask)
    write_grey(picture, sample.image, bits=16 if sample.bit_depth > 8 else 8)
    write_mask(target, sample.mask)
    _write_palette(palette, sample.mask)
    # voc_text counts from one and includes the last pixel: shifted so that it gives the corners as they are.
    write_text(boxes, voc_text(f"{sample.id}.png", sample.shape, parts.boxes - [1, 1, 0, 0]))
    centres = np.rint(parts.centroids).astype(np.int64)
    write_text(points, "".join(f"{x} {y}\n" for y, x in centres))
    write_mask(sky, sample.sky)
    _write_palette(sky_palette, sample.sky > 0)


def write_densesirst_lists(folder: Path, splits: Mapping[str, Sequence[str]]) -> None:
    """Write ``Splits/NAME_v2.txt`` for each split, and ``trainval_v2.txt`` where both are there."""
    named = dict(splits)
    if {"train", "val"} <= named.keys():
        named["trainval"] = [*named["train"], *named["val"]]
    for name, ids in named.items():
        write_text(folder / "Splits" / f"{name}_v2.txt", split_text(ids))


def _write_palette(path: Path, mask: BoolArray) -> None:
    picture = Image.fromarray(mask.astype(np.uint8), "P")
    picture.putpalette(_COLOURS)
    with replacing(path) as temporary:
        picture.save(temporary, "PNG")
