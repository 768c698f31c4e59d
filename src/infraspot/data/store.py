"""Writing data sets in the layout of NUAA-SIRST, which every reader here and in the field takes."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from infraspot.core.errors import DataError, UsageError
from infraspot.core.files import write_text
from infraspot.core.sample import Sample
from infraspot.data.boxes import voc_text
from infraspot.data.points import write_points
from infraspot.data.splits import split_text
from infraspot.data.writing import check_id, write_grey, write_mask

SAMPLE_FILES = ("images/{}.png", "masks/{}_pixels0.png", "sky/{}.png", "bboxes/{}.xml")
"""What the layout holds of a sample that has everything; ``{}`` is its id."""


def write_dataset(
    folder: Path | str,
    samples: Iterable[Sample],
    *,
    splits: Mapping[str, Sequence[str]] | None = None,
) -> list[str]:
    """Write samples as they come, and return their ids.

    The folder gets ``images/ID.png`` (16 bits for samples of more than 8), and for what each sample has
    ``masks/ID_pixels0.png``, ``sky/ID.png``, ``bboxes/ID.xml`` and its line in ``points.json``; ``splits``
    gives the ids of each ``splits/NAME.txt``, of which those without a sample are left out.

    Raises
    ------
    DataError
        If the folder already holds files, or cannot be written to.
    UsageError
        If an id comes twice.
    InputError
        If an id cannot be the name of a file.
    """
    folder = Path(folder)
    empty_folder(folder)
    points: dict[str, NDArray[np.floating]] = {}
    ids: dict[str, None] = {}
    for sample in samples:
        if sample.id in ids:
            raise UsageError(f"the id {sample.id!r} comes twice; give every sample its own")
        write_sample(folder, sample)
        ids[sample.id] = None
        if sample.points is not None:
            points[sample.id] = sample.points
    if points:
        write_points(folder / "points.json", points)
    listed = {
        name: [member for member in members if member in ids] for name, members in (splits or {}).items()
    }
    write_split_lists(folder, listed)
    return list(ids)


def empty_folder(folder: Path) -> None:
    """Refuse a place that already holds something, so that writing there loses nothing.

    Raises
    ------
    DataError
        If ``folder`` is a file, or a folder with files.
    """
    try:
        taken = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    except OSError as error:
        raise DataError(f"cannot look into {folder}: {error.strerror}; choose another folder") from error
    if taken:
        raise DataError(f"{folder} already holds files; choose a new folder, so that nothing is lost")


def write_sample(folder: Path, sample: Sample) -> None:
    """Write one sample's image, mask, sky and boxes (see :func:`write_dataset`), and not its points."""
    name = sample.id
    check_id(name)
    write_grey(folder / "images" / f"{name}.png", sample.image, bits=16 if sample.bit_depth > 8 else 8)
    if sample.mask is not None:
        write_mask(folder / "masks" / f"{name}_pixels0.png", sample.mask)
    if sample.sky is not None:
        write_mask(folder / "sky" / f"{name}.png", sample.sky)
    if sample.boxes is not None:
        write_text(folder / "bboxes" / f"{name}.xml", voc_text(f"{name}.png", sample.shape, sample.boxes))


def write_split_lists(folder: Path, splits: Mapping[str, Sequence[str]]) -> None:
    """Write ``splits/NAME.txt`` for each split."""
    for name, members in splits.items():
        write_text(folder / "splits" / f"{name}.txt", split_text(members))
