"""What detection takes: files, folders, arrays, tensors, pictures, samples, and lists of these."""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from infraspot.core.errors import InfraspotError, InputError, UsageError
from infraspot.core.frames import as_grey, as_plane
from infraspot.core.options import shown
from infraspot.core.sample import Sample
from infraspot.data import Frame, FrameFile, Reader, Reading, picture_frame
from infraspot.inference.scores import first_line
from infraspot.inference.stream import NamedFile, StreamedFrame, stream_frames
from infraspot.jobs.naming import may_hold_pages, name_results
from infraspot.jobs.places import frames_at

Found = StreamedFrame | InfraspotError

_EXPECTED = (
    "expected a path, a folder, a grey image (H, W) as array, tensor or Pillow picture, or a list of these"
)


class Source:
    """Frames in their order, each decoded when its turn comes.

    Parameters
    ----------
    given
        A path to an image, stack, video, folder, data set or pattern; one frame in memory; or several of
        these as a list, another sequence (a data set's reader) or an iterator.
    reading
        Limits, and how raw files and archives of arrays are read.
    recursive
        Read the subfolders of folders as well.

    Attributes
    ----------
    single
        Whether it was given as one frame or one file, and not as a list, folder, pattern or iterator.
    once
        Whether it can be gone through once only.

    Raises
    ------
    UsageError
        If it is nothing of the kind, or an empty list.
    InfraspotError
        If a path does not exist, or an array in a list is no grey image.
    """

    def __init__(self, given: Any, reading: Reading | None = None, *, recursive: bool = False) -> None:
        self._reading = reading
        self.once = isinstance(given, Iterator)
        self.single = _is_frame(given) or (_is_path(given) and Path(given).is_file())
        self._items: Iterable[Any]
        if isinstance(given, Reader):
            given = [given.image_path(index) for index in range(len(given))]
        self._items = given if self.once else _checked(given, reading, recursive)

    def __iter__(self) -> Iterator[Found]:
        for number, item in enumerate(self._items, 1):
            try:
                entry = _entry(item) if self.once else item
            except InfraspotError as error:
                yield error
                continue
            if isinstance(entry, NamedFile):
                yield from stream_frames([entry], self._reading)
            else:
                yield _in_memory(entry, number, alone=self.single)

    @property
    def count(self) -> int | None:
        """How many frames there are; None where files of several pages, or an iterator, leave it open."""
        if not isinstance(self._items, Sequence):
            return None
        paged = (isinstance(item, NamedFile) and may_hold_pages(item.path) for item in self._items)
        return None if any(paged) else len(self._items)


def _checked(given: Any, reading: Reading | None, recursive: bool) -> list[Any]:
    """Every file that is named, with the name of its results, and every frame in memory, in their order."""
    several = isinstance(given, Sequence) and not _is_path(given) and not _is_frame(given)
    if isinstance(given, bytes | bytearray) or not (several or _is_path(given) or _is_frame(given)):
        raise UsageError(f"{_EXPECTED}, and {type(given).__name__} came: {shown(given)}")
    if several and not given:
        raise UsageError(f"{_EXPECTED}, and an empty {type(given).__name__} came")
    entries: list[Any] = []
    for number, item in enumerate(given if several else [given], 1):
        try:
            entries.extend(_files(item, reading, recursive) if _is_path(item) else [_frame_like(item)])
        except InfraspotError as error:
            raise type(error)(f"item {number} of the list: {error}" if several else str(error)) from error
    named = {
        file.path: file for file in name_results(item for item in entries if isinstance(item, FrameFile))
    }
    return [named[_absolute(item.path)] if isinstance(item, FrameFile) else item for item in entries]


def _entry(item: Any) -> Any:
    """One thing that an iterator gives; a path must name one file."""
    if not _is_path(item):
        return _frame_like(item)
    path = Path(item)
    if not path.is_file():
        raise InputError(f"there is no file {path}; an iterator may give files and frames, and no folders")
    (named,) = name_results([path])
    return named


def _files(place: str | Path, reading: Reading | None, recursive: bool) -> list[FrameFile]:
    if not str(place):
        raise UsageError("expected the path of an image or a folder, and an empty string came")
    found = frames_at(place, recursive=recursive, reading=reading)
    for error in found.errors:
        raise error
    return found.files


def _frame_like(item: Any) -> Any:
    """The item, if its kind and shape are those of a frame; its values are looked at later."""
    if isinstance(item, Frame | Sample) or _is_picture(item):
        return item
    if isinstance(item, list | tuple | Iterator):
        raise UsageError("lists in lists are not taken; pass one list of paths and frames")
    if not hasattr(item, "__array__"):
        raise UsageError(f"{_EXPECTED}, and {type(item).__name__} came: {shown(item)}")
    array = _to_numpy(item)
    shape = getattr(array, "shape", ())
    if len(shape) > 2:
        raise InputError(
            f"expected a grey image (H, W), and the shape is {tuple(shape)}; of a colour image pass one"
            " channel, of several frames a list: `list(frames)`"
        )
    return as_plane(array)


def _in_memory(item: Any, number: int, *, alone: bool) -> Found:
    """A frame that is no file, named by its sample or by its place in the list."""
    name = item.id if isinstance(item, Sample) else "frame" if alone else f"frame-{number:04d}"
    try:
        return StreamedFrame(NamedFile(Path(name), name, name), None, _to_frame(item))
    except InfraspotError as error:
        return error if alone else type(error)(f"{name}: {error}")


def _to_frame(item: Any) -> Frame:
    if isinstance(item, Frame):
        return item
    if isinstance(item, Sample):
        return Frame(item.image, item.bit_depth)
    if _is_picture(item):
        return picture_frame(item)
    kind = item.dtype
    return Frame(as_grey(item), 8 * kind.itemsize if kind.kind == "u" else 8)


def _to_numpy(item: Any) -> Any:
    """Tensors of torch leave their graph and their device; everything else stays what it is."""
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(item, torch.Tensor):
        return item
    try:
        tensor = item.detach().cpu()
        return (tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor).numpy()
    except (TypeError, RuntimeError) as error:  # sparse, quantised, or without values
        raise InputError(
            f"expected a dense tensor of uint8, uint16 or floats, and the image is {item.dtype},"
            f" {item.layout}, on {item.device}: {first_line(error)}"
        ) from error


def _is_path(given: Any) -> bool:
    return isinstance(given, str | os.PathLike)


def _is_picture(given: Any) -> bool:
    pillow = sys.modules.get("PIL.Image")
    return pillow is not None and isinstance(given, pillow.Image)


def _is_frame(given: Any) -> bool:
    """Whether this is one frame in memory, or means to be one."""
    return isinstance(given, Frame | Sample | np.generic) or hasattr(given, "__array__") or _is_picture(given)


def _absolute(path: Path) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100 (links stay)
