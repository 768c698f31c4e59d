"""Which results belong to which image: names that mirror the inputs and never meet."""

import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from infraspot.core.errors import UsageError
from infraspot.inference.stream import NamedFile

_PAGED = frozenset({".tif", ".tiff"})
_NUMBERED = re.compile(r"(.+)-\d{4,}")


def name_results(files: Iterable[Path], *, reserved: Collection[str] = ()) -> list[NamedFile]:
    """Name the results of each image.

    Results lie below the output folder as the images lie below the deepest folder that holds them all:
    ``night/0001.png`` and ``day/0001.png`` give ``night/0001`` and ``day/0001``, the images of one folder
    their stems. Where two images of a folder would share results, their suffix stays in the name:
    ``same.png`` and ``same.bmp`` give ``same.png`` and ``same.bmp``. Pages of a TIFF are numbered
    (``film-0001``), and a TIFF whose numbers could meet another name keeps its suffix as well.

    Parameters
    ----------
    files
        Images; one that comes twice is named once.
    reserved
        Names that results must not have.
    """
    places = list(dict.fromkeys(Path(os.path.abspath(file)) for file in files))  # noqa: PTH100 (links stay)
    if not places:
        return []
    base = _common_folder(places)
    below = [place.relative_to(base) for place in places]
    return [
        NamedFile(place, name, path.as_posix())
        for place, path, name in zip(places, below, _names(below, reserved), strict=True)
    ]


def refuse_overwriting(files: Sequence[NamedFile], out: Path, endings: Collection[str]) -> None:
    """Refuse to write a result over an image that is read in the same run.

    Raises
    ------
    UsageError
        If a result would have the path of one of the images.
    """
    names = {file.name for file in files}
    paged = {file.name for file in files if may_hold_pages(file.path)}
    folder = Path(os.path.abspath(out))  # noqa: PTH100 (links stay)
    for file in files:
        if not file.path.is_relative_to(folder):
            continue
        rest = file.path.relative_to(folder).as_posix()
        for ending in endings:
            name = rest.removesuffix(ending)
            if name != rest and (name in names or _first_part(name) in paged):
                raise UsageError(
                    f"{file.path} is read in this run, and results would overwrite it; choose another --out"
                )


def _common_folder(places: Sequence[Path]) -> Path:
    try:
        return Path(os.path.commonpath([place.parent for place in places]))
    except ValueError as error:
        raise UsageError("the images lie on several drives; give those of one drive") from error


def _names(below: Sequence[Path], reserved: Collection[str]) -> list[str]:
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
            and (count[name] > 1 or _first_part(name) in grown or (may_hold_pages(path) and name in pages_of))
        ]
        if not meeting:
            return names
        for place in meeting:
            names[place] = whole[place]


def may_hold_pages(path: Path) -> bool:
    """Whether a file of this name may hold several frames."""
    return path.suffix.lower() in _PAGED


def _first_part(name: str) -> str | None:
    """The name without the number of a page; None where it has none."""
    match = _NUMBERED.fullmatch(name)
    return match and match.group(1)
