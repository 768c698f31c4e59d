"""The files of frames at the places that a caller names."""

from collections.abc import Sequence
from pathlib import Path

from infraspot.core.errors import InfraspotError
from infraspot.data import FrameFile, Reading, find_frames, open_dataset
from infraspot.data.finding import Found
from infraspot.jobs.watching import Tell


def list_frames(
    places: Sequence[str | Path], recursive: bool, reading: Reading, out: Path, tell: Tell
) -> Found:
    """Every file of frames that the places name; what was passed over and what failed is told."""
    found = Found()
    for place in places:
        at = frames_at(place, recursive=recursive, reading=reading, out=out)
        found.files.extend(at.files)
        found.remarks.extend(at.remarks)
        found.errors.extend(at.errors)
    for remark in found.remarks:
        tell(remark)
    for error in found.errors:
        tell(error)
    return found


def frames_at(
    place: str | Path, *, recursive: bool = False, reading: Reading | None = None, out: Path | None = None
) -> Found:
    """The files of frames at one place; a data set's folder stands for its images, without the masks."""
    raw = reading is not None and reading.raw is not None
    found = find_frames(place, recursive=recursive, raw=raw, leave_out=out)
    images = [] if found.files else _images_of_set(Path(place))
    return Found(images) if images else found


def _images_of_set(place: Path) -> list[FrameFile]:
    """The images of a data set's folder; empty where it is none."""
    try:
        reader = open_dataset(place)
    except InfraspotError:
        return []
    paths = [reader.image_path(index) for index in range(len(reader))]
    return [FrameFile(path, path.parent) for path in paths]
