"""Sets of sequences that are no folders of images and masks: MOT, NUDT-MIRSDT, RGBT-Tiny, lists of boxes."""

import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from infraspot.core.errors import DataError, InputError
from infraspot.data.boxes import checked_boxes
from infraspot.data.coordinates import checked_coordinates
from infraspot.data.entries import Entry
from infraspot.data.listing import images_in, natural_key
from infraspot.data.opening import is_regular, read_text

LAST_PAGE = -1
"""The page of an entry whose image is the last frame of its file."""

THERMAL = "01"  # of RGBT-Tiny's two cameras; 00 sees colours
_MOT_TEXTS = ("gt/gt.txt", "gt.txt")

# The test split of NUDT-MIRSDT, as its authors divide it.
_NUDT_TEST = frozenset(f"Sequence{number}" for number in (*range(85, 98), 47, 56, 59, 76, 101, 105, 119))


def mot_entries(root: Path) -> list[Entry]:
    """Sequences of MOT: ``SEQ/img1`` (or the folder itself) and ``SEQ/gt/gt.txt``.

    Boxes are corner and size; pixels count from 1 there. Rows that are marked as not to be counted (a seventh
    number of 0) are left out. A frame without a row holds no target.
    """
    found = []
    for folder in _folders(root):
        text = next((folder / name for name in _MOT_TEXTS if is_regular(folder / name)), None)
        if text is None:
            continue
        frames = images_in(folder / "img1") or images_in(folder)
        rows = _mot_rows(text)
        for path in frames:
            number = _number(path)
            mine = rows.get(number, [])
            found.append(_entry(folder.name, path, mine, f"{text}, frame {number}"))
    return found


def rgbt_entries(root: Path) -> list[Entry]:
    """The thermal frames of RGBT-Tiny: ``SEQ/01/00000.jpg`` with ``00000.xml`` beside it.

    A target is told from the others of its sequence by its class and its id together.
    """
    found = []
    for folder in _folders(root):
        known: dict[str, int] = {}
        for path in images_in(folder / THERMAL):
            text = path.with_suffix(".xml")
            rows = _voc_rows(text, known) if is_regular(text) else []
            found.append(_entry(folder.name, path, rows, str(text)))
    return found


def nudt_entries(root: Path) -> list[Entry]:
    """NUDT-MIRSDT: the last frame of ``SequenceN/Mix/00001.mat``, with ``SequenceN/masks/00001.png``."""
    found = []
    for folder in _folders(root):
        role = "test" if folder.name in _NUDT_TEST else "train"
        for path in sorted((folder / "Mix").glob("*.mat"), key=natural_key):
            mask = folder / "masks" / f"{path.stem}.png"
            name = f"{folder.name}_{path.stem}"
            page, found_mask = LAST_PAGE, mask if is_regular(mask) else None
            found.append(Entry(name, path, mask=found_mask, section=f"{role}/{folder.name}", page=page))
    return found


def list_entries(root: Path) -> list[Entry]:
    """DAUB and ITSDT-15K as lists: a line ``PATH x0,y0,x1,y1,class ...`` for each frame, one list a split.

    Of a path, which is that of its author's machine, the last two parts count: sequence and frame.
    """
    found = []
    for text in sorted(root.glob("*.txt"), key=natural_key):
        for number, line in enumerate(read_text(text).split("\n"), 1):
            if parts := line.split():
                found.append(_listed(root, text, number, parts))
    return found


def is_box_list(root: Path) -> bool:
    """Whether the first text file of a folder is such a list."""
    for text in sorted(root.glob("*.txt"), key=natural_key)[:1]:
        try:
            first = next((line for line in read_text(text).split("\n") if line.strip()), "")
        except InputError:
            return False
        return re.search(r"\.\w{3,4}( \d+,\d+,\d+,\d+,\d+)+\s*$", first) is not None
    return False


def _listed(root: Path, text: Path, number: int, parts: list[str]) -> Entry:
    source = f"{text}, line {number}"
    path = PureWindowsPath(parts[0])  # knows both slashes
    sequence, name = path.parts[-2:] if len(path.parts) > 1 else ("", path.name)
    if ".." in (sequence, name):
        raise InputError(f"{source} leads out of the data set; give names without '..'")
    places = (
        root / folder / sequence / name
        for folder in ("images", "", path.parts[-3] if len(path.parts) > 2 else "")
    )
    image = next((place for place in places if ".." not in place.parts and is_regular(place)), None)
    if image is None:
        raise DataError(
            f"{source} names {parts[0]!r:.80}, and there is no {sequence}/{name} in {root}; add it"
        )
    try:
        rows = np.array([part.split(",") for part in parts[1:]], np.float64).reshape(-1, 5)
    except ValueError as error:
        raise InputError(
            f"{source}: expected boxes x0,y0,x1,y1,class after the path; mend the line"
        ) from error
    role = next((name for name in ("train", "val", "test") if name in text.stem.lower()), text.stem)
    boxes = checked_boxes(checked_coordinates(rows[:, :4], source), source)
    classes = rows[:, 4].astype(np.int64)
    return Entry(
        f"{sequence}_{image.stem}", image, boxes=boxes, classes=classes, section=f"{role}/{sequence}"
    )


def _folders(root: Path) -> Iterator[Path]:
    """The folder of one sequence, and those one or two levels below, in natural order."""
    yield root
    for folder in sorted((path for path in root.iterdir() if path.is_dir()), key=natural_key):
        yield folder
        if not (folder / "img1").is_dir():
            yield from sorted((path for path in folder.iterdir() if path.is_dir()), key=natural_key)


def _entry(sequence: str, image: Path, rows: list[list[float]], source: str) -> Entry:
    """``rows`` are track, x0, y0, x1, y1."""
    table: NDArray[np.float64] = np.array(rows, np.float64).reshape(-1, 5)
    boxes = checked_boxes(checked_coordinates(table[:, 1:], source), source)
    tracks = table[:, 0].astype(np.int64)
    return Entry(f"{sequence}_{image.stem}", image, boxes=boxes, tracks=tracks, section=sequence)


def _number(path: Path) -> int:
    """The last number of a name."""
    digits = re.findall(r"\d+", path.stem, re.ASCII)
    if not digits or len(digits[-1]) > 15:
        raise DataError(
            f"{path} has no number in its name, and frames of a sequence are told by it; rename it"
        )
    return int(digits[-1])


def _mot_rows(path: Path) -> dict[int, list[list[float]]]:
    rows: dict[int, list[list[float]]] = defaultdict(list)
    for number, line in enumerate(read_text(path).split("\n"), 1):
        parts = line.replace(",", " ").split()
        if not parts:
            continue
        try:
            frame, track, left, top, width, height, *more = (float(part) for part in parts)
            if not (np.isfinite([frame, track, left, top, width, height]).all() and abs(track) < 2**53):
                raise ValueError
        except ValueError as error:
            raise InputError(
                f"{path}, line {number}: expected frame, id, left, top, width, height, and {line!r:.60} came"
            ) from error
        if not more or more[0] != 0:
            rows[int(frame)].append([track, left - 1, top - 1, left - 1 + width, top - 1 + height])
    return rows


def _voc_rows(path: Path, known: dict[str, int]) -> list[list[float]]:
    text = read_text(path)
    if "<!ENTITY" in text:
        raise InputError(f"{path} defines XML entities, which annotations do not need; remove them")
    try:
        rows = []
        for one in ElementTree.fromstring(text).iter("object"):
            name = f"{one.findtext('name')} {one.findtext('id')}"
            track = known.setdefault(name, len(known) + 1)
            x0, y0, x1, y1 = (
                float(one.findtext(f"bndbox/{side}", "")) for side in ("xmin", "ymin", "xmax", "ymax")
            )
            rows.append([track, x0 - 1, y0 - 1, x1, y1])
    except (ElementTree.ParseError, ValueError) as error:
        raise InputError(f"{path} is no annotation of boxes ({error}); restore it from its source") from error
    return rows
