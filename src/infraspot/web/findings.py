"""What `infraspot detect` wrote, to be corrected: ``NAME.json`` and ``NAME.mask.png`` of each frame."""

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from infraspot.core.errors import InputError
from infraspot.core.geometry import find_components
from infraspot.data import Frame, FrameKey, numbered, read_mask
from infraspot.data.listing import IMAGE_SUFFIXES
from infraspot.data.opening import read_text
from infraspot.web.actions import MarkedTarget
from infraspot.web.runs import to_patch

RECORD, MASK = ".json", ".mask.png"
MOST_TARGETS = 10_000
# A folder of another kind is told by its first files; it may hold a hundred thousand.
_PROBED = 20


class FoundTarget(BaseModel):
    """One target of a record; what a person's marks have no use for is passed over."""

    model_config = ConfigDict(allow_inf_nan=False)

    x: float = Field(ge=0)
    y: float = Field(ge=0)
    score: float
    box: tuple[int, int, int, int]


class Record(BaseModel):
    """The JSON of one frame, as :meth:`infraspot.report.detection.Detection.record` makes it."""

    image: str
    page: int | None = None
    width: int
    height: int
    targets: list[FoundTarget] = Field(max_length=MOST_TARGETS)


@dataclass(frozen=True)
class Finding:
    """The results of one frame: a record, a mask, or both.

    Attributes
    ----------
    base
        Path of the results without their endings.
    image
        The file of the frame, below the folder that all frames of the run shared; the name of the results
        where only a mask is.
    page
        Of the frame, where its file holds several.
    """

    base: Path
    image: PurePosixPath
    page: int | None
    record: Path | None
    mask: Path | None

    def is_of(self, key: FrameKey) -> bool:
        """Whether these are the results of a frame: its path ends like theirs, and its page is theirs."""
        if self.record is not None and self.page != key.page:
            return False
        names = (PurePosixPath(key.path.parent.as_posix(), name) for name in names_of(key))
        return any(name.parts[-len(self.image.parts) :] == self.image.parts for name in names)


def names_of(key: FrameKey) -> set[str]:
    """The names by which results mention a frame: its file, with or without suffix and page."""
    path = key.path
    return {path.name, path.stem, numbered(path.name, key.page), numbered(path.stem, key.page)}


def find_findings(place: Path) -> list[Finding] | None:
    """The results below a folder, or in one JSON file; None where the place holds something else."""
    if place.is_file():
        return [_finding(place.parent, place.with_suffix(""))] if _is_record(place) else None
    records = {_base(path, RECORD) for path in _records(place)}
    masks = {_base(path, MASK) for path in place.rglob(f"*{MASK}") if not _has_image(path)}
    return [_finding(place, base) for base in sorted(records | masks)] or None


def targets_of(finding: Finding, frame: Frame) -> tuple[NDArray[np.bool_] | None, list[FoundTarget]]:
    """The mask and the targets of one frame, as far as they were written.

    Raises
    ------
    InputError
        If a file is damaged, or was made for a frame of another size.
    """
    height, width = frame.image.shape
    targets: list[FoundTarget] = []
    if finding.record is not None:
        record = _read(finding.record)
        _same_size(finding.record, (record.height, record.width), (height, width))
        targets = record.targets
        if any(target.x > width - 0.5 or target.y > height - 0.5 for target in targets):
            raise InputError(f"{finding.record} has a target outside its frame; detect again")
    if finding.mask is None:
        return None, targets
    mask = read_mask(finding.mask)
    _same_size(finding.mask, mask.shape, (height, width))
    return mask, targets


def marked(mask: NDArray[np.bool_], targets: list[FoundTarget]) -> Iterator[MarkedTarget]:
    """A mark for each component of a mask, with the score of the target whose box it has."""
    parts = find_components(mask)
    if len(parts) > MOST_TARGETS:
        raise InputError(f"a mask has {len(parts)} targets; expected at most {MOST_TARGETS}, detect anew")
    by_box = {target.box: target for target in targets}
    for index in range(len(parts)):
        x0, y0, x1, y1 = (int(side) for side in parts.boxes[index])
        found = by_box.get((x0, y0, x1, y1))
        y, x = parts.centroids[index] if found is None else (found.y, found.x)
        yield MarkedTarget(
            id=index + 1,
            x=float(x),
            y=float(y),
            method="detect",
            confidence=None if found is None else found.score,
            patch=to_patch(parts.mask(index), (x0, y0)),
        )


def _finding(root: Path, base: Path) -> Finding:
    record, mask = (base.with_name(base.name + ending) for ending in (RECORD, MASK))
    has_record = record.is_file()
    image, page = base.relative_to(root).as_posix(), None
    with suppress(InputError):  # said when the image is taken in
        if has_record:
            said = _read(record)
            image, page = said.image, said.page
    return Finding(
        base, PurePosixPath(image), page, record if has_record else None, mask if mask.is_file() else None
    )


def _read(path: Path) -> Record:
    try:
        return Record.model_validate_json(read_text(path))
    except ValidationError as error:
        raise InputError(
            f"{path} is no result of `infraspot detect`, or is damaged"
            f" ({error.errors()[0]['msg']}); detect again"
        ) from error


def _records(folder: Path) -> list[Path]:
    """Every JSON file of a folder whose first files are records of frames; nothing in other folders."""
    files = (path for path in folder.rglob(f"*{RECORD}") if not path.name.startswith(".") and path.is_file())
    first = list(islice(files, _PROBED))
    if not any(_is_record(path) for path in first):
        return []
    return [path for path in [*first, *files] if path != folder / "coco.json"]


def _is_record(path: Path) -> bool:
    try:
        content: Any = json.loads(read_text(path))
    except (InputError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and {"image", "width", "height", "targets"} <= content.keys()


def _has_image(mask: Path) -> bool:
    """Whether the image of a mask lies beside it, as in a data set of one folder."""
    base = _base(mask, MASK)
    return any(base.with_name(base.name + suffix).is_file() for suffix in IMAGE_SUFFIXES)


def _base(path: Path, ending: str) -> Path:
    return path.with_name(path.name.removesuffix(ending))


def _same_size(path: Path, found: tuple[int, ...], wanted: tuple[int, int]) -> None:
    if found != wanted:
        raise InputError(
            f"{path} was made for a frame of {found[1]}x{found[0]}, and the image is {wanted[1]}x{wanted[0]};"
            " detect again in these images"
        )
