"""Which files make up a sequence, and the number of each frame in it."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from infraspot.core.errors import InfraspotError
from infraspot.data import FrameFile, Reading
from infraspot.data.listing import natural_key
from infraspot.inference.stream import NamedFile, StreamedFrame, stream_frames

_NUMBER = re.compile(r"(.*?)(\d{1,18})(\D*)", re.DOTALL | re.ASCII)
_LONGEST_GAP = 1000


@dataclass(frozen=True)
class FileSequence:
    """One sequence: its name, and its files in order with the number that each name holds (None: none)."""

    name: str
    files: tuple[NamedFile, ...]
    numbers: tuple[int | None, ...]


@dataclass(frozen=True, eq=False)
class NumberedFrame:
    """One frame of a sequence: its number from 1 on, its name, and the frame or why it cannot be read."""

    number: int
    name: str
    item: StreamedFrame | InfraspotError


def sequence_of(path: Path, page: int | None) -> tuple[Path, str, str]:
    """What the frames of one sequence share: a file of many frames, or a name but for its last number."""
    match = None if page is not None else _NUMBER.fullmatch(path.stem)
    if match is None:
        return path.parent, path.name, ""
    return path.parent, match[1], match[3] + path.suffix.lower()


def find_sequences(files: Iterable[FrameFile]) -> list[FileSequence]:
    """Group files of frames into sequences.

    Files of one folder whose names differ in their last number alone are one sequence (``night_0001.png``,
    ``night_0002.png``), in the order of the numbers. Every other file is a sequence of its own: a stack, a
    video, a single image. The sequences keep the order of their first files.
    """
    groups: dict[tuple[Path, str, str], list[tuple[int, NamedFile]]] = {}
    for path, root in files:
        match = _NUMBER.fullmatch(path.stem)
        folder = path.relative_to(root).parent if path.is_relative_to(root) else Path()
        named = NamedFile(path, path.stem, path.as_posix())
        if match is None:
            groups[folder, path.name, ""] = [(0, named)]
            continue
        key = (folder, match[1], match[3] + path.suffix.lower())
        groups.setdefault(key, []).append((int(match[2]), named))
    taken: Counter[str] = Counter()
    found = []
    for (folder, start, _), members in groups.items():
        members.sort(key=lambda member: (member[0], natural_key(member[1].name)))
        alone = len(members) == 1
        stem = members[0][1].name if alone else start.strip("_-. ") or folder.name or "frames"
        name = (folder / stem).as_posix()
        taken[name] += 1
        name = name if taken[name] == 1 else f"{name}~{taken[name]}"
        numbers = (None,) if alone else tuple(number for number, _ in members)
        found.append(FileSequence(name, tuple(file for _, file in members), numbers))
    return found


def numbered_frames(sequence: FileSequence, reading: Reading, after: int = 0) -> Iterator[NumberedFrame]:
    """The frames of a sequence in order, numbered from 1 on without a number twice.

    Numbers that are missing among the names of files are missing frames. Frames that cannot be read keep
    their number.

    Parameters
    ----------
    after
        Frames up to this number are left out; files of single frames are not even opened.
    """
    number = 0
    for file, start in zip(sequence.files, _starts(sequence.numbers), strict=True):
        if start is not None and start <= after and _is_single(file.path):
            number = start
            continue
        for item in stream_frames([file], reading):
            number = max(number + 1, start or 0)
            if number > after:
                name = item.name if isinstance(item, StreamedFrame) else file.name
                yield NumberedFrame(number, name, item)


def _is_single(path: Path) -> bool:
    return path.suffix.lower() in {".png", ".bmp", ".jpg", ".jpeg"}


def _starts(numbers: Sequence[int | None]) -> list[int | None]:
    """The frame number of each file's first frame, from the numbers in their names and their usual step."""
    if len(numbers) < 2 or any(number is None for number in numbers):
        return [None] * len(numbers)
    whole = [int(number) for number in numbers if number is not None]
    steps = Counter(b - a for a, b in pairwise(whole) if b > a)
    usual = max(steps, key=lambda step: (steps[step], -step)) if steps else 1
    starts: list[int | None] = [1]
    for a, b in pairwise(whole):
        gap = round((b - a) / usual)
        starts.append((starts[-1] or 1) + (gap if 1 <= gap <= _LONGEST_GAP else 1))
    return starts
