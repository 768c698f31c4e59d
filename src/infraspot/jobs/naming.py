"""Which results belong to which image: names that mirror the inputs and never meet."""

import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from infraspot.core.errors import InputError, UsageError
from infraspot.data import FrameFile
from infraspot.data.decoding import count_pages
from infraspot.data.listing import PAGED_SUFFIXES
from infraspot.inference.stream import NamedFile

_NUMBERED = re.compile(r"(.+)-\d{4,}")


def name_results(files: Iterable[FrameFile | Path], *, reserved: Collection[str] = ()) -> list[NamedFile]:
    """Name the results of each file of frames.

    Results lie below the output folder as the files lie below the deepest folder that holds every root:
    ``night/0001.png`` and ``day/0001.png`` give ``night/0001`` and ``day/0001``, the images of one folder
    their stems. Where two files of a folder would share results, their suffix stays in the name: ``same.png``
    and ``same.bmp`` give ``same.png`` and ``same.bmp``. Pages of a stack or video are numbered
    (``film-0001``), and a stack whose numbers could meet another name keeps its suffix as well.

    Parameters
    ----------
    files
        Files of frames; the root of a bare path is its folder. One that comes twice is named once.
    reserved
        Names that results must not have.
    """
    rooted = [file if isinstance(file, FrameFile) else FrameFile(file, file.parent) for file in files]
    places = {_absolute(file.path): _absolute(file.root) for file in rooted}
    if not places:
        return []
    base = _common_folder(places.values())
    below = [place.relative_to(base) for place in places]
    return [
        NamedFile(place, name, path.as_posix())
        for place, path, name in zip(places, below, _names(base, below, reserved), strict=True)
    ]


def refuse_overwriting(files: Sequence[NamedFile], out: Path, endings: Collection[str]) -> None:
    """Refuse to write a result over an image that is read in the same run.

    Raises
    ------
    UsageError
        If a result would have the path of one of the images.
    """
    places = {file.name: file.path for file in files}
    folder = _absolute(out)
    for file in files:
        if not file.path.is_relative_to(folder):
            continue
        rest = file.path.relative_to(folder).as_posix()
        for ending in endings:
            name = rest.removesuffix(ending)
            stack = places.get(_first_part(name) or "")
            if name != rest and (name in places or (stack is not None and _is_paged(stack))):
                raise UsageError(
                    f"{file.path} is read in this run, and results would overwrite it; choose another --out"
                )


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100 (links stay)


def _common_folder(roots: Iterable[Path]) -> Path:
    try:
        return Path(os.path.commonpath(list(roots)))
    except ValueError as error:
        raise UsageError("the images lie on several drives; give those of one drive") from error


def _names(base: Path, below: Sequence[Path], reserved: Collection[str]) -> list[str]:
    """Stems, or whole names where stems would meet; each name grows once at most, so this ends."""
    whole = [path.as_posix() for path in below]
    names = [path.with_suffix("").as_posix() for path in below]
    while True:
        count = Counter([*names, *reserved])
        pages_of = {_first_part(name) for name in names}
        grown = {name for name, full in zip(names, whole, strict=True) if name == full}
        meeting = [
            place
            for place, (name, full, path) in enumerate(zip(names, whole, below, strict=True))
            if name != full
            and (
                count[name] > 1 or _first_part(name) in grown or (name in pages_of and _is_paged(base / path))
            )
        ]
        if not meeting:
            return names
        for place in meeting:
            names[place] = whole[place]


def may_hold_pages(path: Path) -> bool:
    """Whether a file of this name may hold several frames."""
    return path.suffix.lower() in PAGED_SUFFIXES


def _is_paged(path: Path) -> bool:
    """The same, by the content too: an animated PNG is known by nothing else."""
    if may_hold_pages(path):
        return True
    try:
        return count_pages(path) > 1
    except InputError:
        return False


def _first_part(name: str) -> str | None:
    """The name without the number of a page; None where it has none."""
    match = _NUMBERED.fullmatch(name)
    return match and match.group(1)
