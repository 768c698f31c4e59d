"""Split lists: which text files of a data set name its training, validation and test images."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from infraspot.core.errors import InputError, UsageError, unknown_name
from infraspot.data.listing import natural_key
from infraspot.data.opening import read_text
from infraspot.data.points import drop_image_suffix
from infraspot.data.writing import check_id

# splits/, Splits/, img_idx/, video_idx/, idx_427/, 50_50/, 10000_100/, ImageSets/Main/
_FOLDER = re.compile(r"splits?|lists?|((img|video)_)?idx\w*|\d+_\d+|imagesets|main", re.IGNORECASE)
_WORDS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing"),
    "trainval": ("trainval",),
    "trainvaltest": ("trainvaltest", "all"),
}
# open-sirst-v2 publishes several families of lists; the one that holds every image comes first.
_PREFERRED = ("", "_full", "_v2", "_v1")


def find_split_lists(root: Path) -> dict[str, Path]:
    """The split lists of a data set, by their path from ``root`` without ``.txt``, in natural order."""
    outer = _list_folders(root)
    inner = [folder for parent in outer for folder in _list_folders(parent)]
    found = {
        path.relative_to(root).with_suffix("").as_posix(): path
        for folder in (root, *outer, *inner)
        for path in folder.glob("*.txt")
        if folder != root or split_role(path.stem)
    }
    return dict(sorted(found.items(), key=lambda item: natural_key(item[0])))


def names_of_split(lists: Mapping[str, Path], split: str) -> list[str]:
    """The images of a split; ``trainval`` without a list of its own is ``train`` and ``val`` together.

    Raises
    ------
    InputError, UsageError
        As :func:`read_split_list` and :func:`pick_split_list`.
    """
    roles = {split_role(name.rpartition("/")[2]) for name in lists}
    parts = ("train", "val") if split == "trainval" and split not in roles else (split,)
    names = (name for part in parts for name in read_split_list(pick_split_list(lists, part)))
    return list(dict.fromkeys(names))


def pick_split_list(lists: Mapping[str, Path], split: str) -> Path:
    """The list that ``split`` means: its name, or ``train``, ``val``, ``test``, ``trainval`` in any spelling.

    Of several lists for one role, the one with the plainest name is taken: ``train``, ``train_full``,
    ``train_v2``, ``train_v1``; the others are asked for by their own name, such as ``50_50/train``.

    Raises
    ------
    UsageError
        If no list fits, or several fit equally well.
    """
    exact = [name for name in lists if split in (name, name.rpartition("/")[2])]
    names = exact or [name for name in lists if split_role(name.rpartition("/")[2]) == split]
    if not names:
        raise unknown_name("split", split, lists)
    ranks = {name: (_rank(name, split), name.count("/")) for name in names}
    best = [name for name in names if ranks[name] == min(ranks.values())]
    if len(best) > 1:
        raise UsageError(f"several lists fit the split {split!r}: {', '.join(best)}; name one of them")
    return lists[best[0]]


def read_split_list(path: Path) -> list[str]:
    """The image names in a list: one a line, folders and image suffixes dropped, blank lines skipped.

    Raises
    ------
    InputError
        If the file cannot be read or names an image twice.
    """
    lines = (line.strip(" \t").replace("\\", "/") for line in read_text(path).split("\n"))
    names = [drop_image_suffix(line) for line in lines if line]
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise InputError(f"{path} names {repeated[0]:.60} twice; remove one of the lines")
    return names


def split_text(names: Iterable[str]) -> str:
    """The text of a split list; an InputError if a name cannot be a line of it."""
    names = list(names)
    for name in names:
        check_id(name)
    return "".join(f"{name}\n" for name in names)


def _list_folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and _FOLDER.fullmatch(path.name))


def split_role(stem: str) -> str | None:
    """What a list is for, by its first word: ``train`` for ``train_NUDT-SIRST`` and ``Training``."""
    word = re.split(r"[_\-. ]", stem.lower())[0]
    return next((role for role, words in _WORDS.items() if word in words), None)


def _rank(name: str, split: str) -> int:
    stem = name.rpartition("/")[2].lower()
    endings = [split + ending for ending in _PREFERRED]
    return endings.index(stem) if stem in endings else len(endings)
