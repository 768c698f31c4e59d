"""Finding image files, in the order in which a person would count them."""

import re
from glob import glob, has_magic
from pathlib import Path

from infraspot.core.errors import DataError

IMAGE_SUFFIXES = frozenset({".png", ".bmp", ".jpg", ".jpeg", ".tif", ".tiff"})
VIDEO_SUFFIXES = frozenset(
    {".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".wmv", ".flv", ".mpg", ".mpeg", ".y4m"}
)
RAW_SUFFIXES = frozenset({".raw", ".bin", ".dat", ".y16"})
ARRAY_SUFFIXES = frozenset({".npy", ".npz"})
RECORDING_SUFFIXES = frozenset({".fits", ".fit", ".fts", ".hdr", ".cptv", ".h5", ".hdf5", ".mat"})
PAGED_SUFFIXES = (
    frozenset({".tif", ".tiff", ".gif"}) | ARRAY_SUFFIXES | RECORDING_SUFFIXES | RAW_SUFFIXES | VIDEO_SUFFIXES
)
"""Of files that may hold several frames; animated PNGs are told by their content."""
_NAMES = "PNG, BMP, JPEG or TIFF"


def list_images(*places: Path | str) -> list[Path]:
    """Every image that the given files, folders and glob patterns name.

    Each place keeps its turn; the images of one folder or pattern come in natural order (``2`` before
    ``10``), and none comes twice. A folder counts without its subfolders and hidden files; a pattern may hold
    ``**``. A named file is taken as it is, even one that is absent: reading it says what is wrong, and the
    other files are not held up.

    Raises
    ------
    DataError
        If a folder or a pattern holds no image, or a place is neither a file, a folder nor a pattern.
    """
    found: dict[Path, None] = {}
    for place in places:
        found.update(dict.fromkeys(_expand(Path(place))))
    return list(found)


def natural_key(name: object) -> tuple[tuple[int, str], ...]:
    """Sorting key that compares runs of digits by their value: ``a2`` comes before ``a10``."""
    parts = re.split(r"(\d+)", str(name))
    numbers = [part.lstrip("0") if index % 2 else part for index, part in enumerate(parts)]
    return tuple((len(part) if index % 2 else 0, part) for index, part in enumerate(numbers))


def is_image_name(path: Path) -> bool:
    """Whether the name ends as an image's does and is not hidden (macOS leaves ``._name.png`` files)."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def is_frame_name(path: Path, *, raw: bool = False) -> bool:
    """Whether the name is that of an image, stack, array or video, or with ``raw`` of a raw file."""
    suffix = path.suffix.lower()
    known = suffix in IMAGE_SUFFIXES or (suffix in PAGED_SUFFIXES and (raw or suffix not in RAW_SUFFIXES))
    return known and not path.name.startswith(".")


def images_in(folder: Path) -> list[Path]:
    """The images directly inside a folder, in natural order; a folder that is absent holds none.

    Raises
    ------
    DataError
        If the folder may not be read.
    """
    try:
        found = [path for path in folder.iterdir() if is_image_name(path)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise DataError(f"cannot list {folder}: {error.strerror}; change its permissions") from error
    return sorted(found, key=lambda path: natural_key(path.name))


def _expand(place: Path) -> list[Path]:
    if place.is_dir():
        found, kind = images_in(place), "folder"
    elif place.exists() or (place.suffix.lower() in IMAGE_SUFFIXES and not has_magic(str(place))):
        return [place]
    elif has_magic(str(place)):
        matches = (Path(match) for match in glob(str(place), recursive=True))  # noqa: PTH207 (it takes absolute patterns)
        found = sorted((path for path in matches if is_image_name(path)), key=natural_key)
        kind = "pattern"
    else:
        raise DataError(
            f"no such file or folder: {place}; expected an image, a folder of images or a pattern"
        )
    if not found:
        raise DataError(f"the {kind} {place} holds no image; expected {_NAMES} files")
    return found
