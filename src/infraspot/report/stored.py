"""Stored masks and score maps by the name of their frame: files of a tree, and pages of stacks."""

import re
from pathlib import Path

from infraspot.core.errors import DataError, InputError
from infraspot.data import FrameKey, find_frames, frame_keys, natural_key, numbered
from infraspot.data.decoding import count_pages
from infraspot.data.listing import PAGED_SUFFIXES, VIDEO_SUFFIXES

ENDING = re.compile(r"(_pixels0|\.mask|_mask|\.prob|_prob)$")
NOT_PREDICTIONS = re.compile(r"\.overlay$")
_PAGE = re.compile(r"(.+)-(\d{4,18})", re.ASCII)


def stem_of(path: Path) -> str:
    """The name that a prediction and its truth share.

    >>> [stem_of(Path(name)) for name in ("Misc_1_pixels0.png", "Misc_1.mask.png", "Misc_1.png")]
    ['Misc_1', 'Misc_1', 'Misc_1']
    """
    return ENDING.sub("", path.stem)


def name_below(path: Path, folder: Path) -> str:
    """The name of a frame within a tree: ``night/0001`` for ``night/0001.mask.png``."""
    return (path.parent / stem_of(path)).relative_to(folder).as_posix()


def stored_frames(folder: Path, *, recursive: bool = False) -> dict[str, FrameKey]:
    """Every mask of a folder by the name of its frame, in natural order; pages of stacks are numbered.

    Raises
    ------
    DataError
        If the folder holds none.
    InputError
        If a stack cannot be read.
    """
    frames: dict[str, FrameKey] = {}
    for path in _files(folder, recursive):
        keys = frame_keys(path) if path.suffix.lower() in PAGED_SUFFIXES else [FrameKey(path)]
        for key in keys:
            frames[numbered(name_below(path, folder), key.page)] = key
    return frames


class Predictions:
    """Files of predictions that are taken one by one; score maps (``.prob``, ``.npy``) go before masks.

    Raises
    ------
    DataError
        If the folder is absent or holds none.
    """

    def __init__(self, folder: Path, *, recursive: bool = False) -> None:
        if not folder.is_dir():
            raise DataError(f"there is no folder {folder}; expected a folder of masks or score maps")
        files = sorted(_files(folder, recursive), key=lambda path: (_is_score_map(path), natural_key(path)))
        self.folder = folder
        self._paths = {
            name_below(path, folder): path for path in files if not NOT_PREDICTIONS.search(path.stem)
        }
        if not self._paths:
            raise DataError(f"{folder} holds no prediction; expected PNG, BMP, TIFF or .npy files")
        # Data sets of several folders put the folder's name before the id: night_0001.
        self._joined = {name.replace("/", "_"): name for name in self._paths}
        self._pages: dict[str, set[int]] = {}
        self._whole: set[str] = set()

    def take(self, frame: str) -> FrameKey | None:
        """The prediction of a frame: a file of its name, or a page of a stack; None where there is none."""
        for wanted in (frame, ENDING.sub("", frame)):
            name = wanted if wanted in self._paths else self._joined.get(wanted, "")
            if name in self._paths and name not in self._whole:
                self._whole.add(name)
                return FrameKey(self._paths[name])
        match = _PAGE.fullmatch(frame)
        name = (
            "" if match is None else match[1] if match[1] in self._paths else self._joined.get(match[1], "")
        )
        if match is None or name not in self._paths:
            return None
        if name not in self._pages:
            self._pages[name] = _page_numbers(self._paths[name])
        if (page := int(match[2])) not in self._pages[name]:
            return None
        self._pages[name].remove(page)
        return FrameKey(self._paths[name], page)

    @property
    def surplus(self) -> list[str]:
        """Predictions that were not taken: files, and pages of stacks as ``FILE#PAGE``."""
        left: list[str] = []
        for name, path in self._paths.items():
            shown = path.relative_to(self.folder).as_posix()
            if name in self._pages:
                left.extend(f"{shown}#{page}" for page in sorted(self._pages[name]))
            elif name not in self._whole:
                left.append(shown)
        return left


def _files(folder: Path, recursive: bool) -> list[Path]:
    found = find_frames(folder, recursive=recursive)
    for error in found.errors:
        if not found.files:
            hint = "; its subfolders are read with --recursive" if "--recursive" in str(error) else ""
            raise DataError(
                f"{folder} holds no prediction or mask; expected PNG, BMP, TIFF or .npy files{hint}"
            )
        raise error
    return [file.path for file in found.files if file.path.suffix.lower() not in VIDEO_SUFFIXES]


def _page_numbers(path: Path) -> set[int]:
    try:
        pages = count_pages(path)
    except InputError:
        return set()
    return set(range(1, pages + 1)) if pages > 1 else set()


def _is_score_map(path: Path) -> bool:
    return path.suffix.lower() == ".npy" or path.stem.endswith(("prob",))
