"""Automatic sky masks for a whole folder; a stopped run goes on where it was."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from infraspot.classical.sky import find_sky
from infraspot.core.errors import InfraspotError, InputError
from infraspot.data import Reader, list_images, open_dataset, read_image, write_mask
from infraspot.data.entries import plain_stem
from infraspot.data.writing import check_id
from infraspot.jobs.growing import GrowingFolder, Record, digest_of, mapper
from infraspot.jobs.watching import Progress, Tell, no_progress, tell_nobody

METHOD = "column cut, 1"
"""Named in ``skies.json``; masks of another method or version are not mixed with these."""

_WORTH_A_POOL = 32
_AT_ONCE = 16


@dataclass(frozen=True)
class SkyRun:
    """Masks that were made, masks that were there before, and sentences about images that failed."""

    made: int
    kept: int
    problems: tuple[str, ...]


def write_skies(
    data: str | Path,
    out: str | Path,
    *,
    workers: int = 1,
    progress: Progress = no_progress,
    tell: Tell = tell_nobody,
) -> SkyRun:
    """Write ``out/ID.png`` for every image of a data set or folder: 255 sky, 0 other.

    ``out/skies.json`` says that the masks are automatic, and gives the share of sky of each. In a folder
    ``sky`` of a data set in the layout of NUAA-SIRST, readers take the masks as the sky of its samples.

    Raises
    ------
    DataError
        If there is no image, or ``out`` holds other files or cannot be written to.
    """
    reader, out = open_dataset(data), Path(out)
    for name in reader.ids:
        check_id(name)
    folder = _folder(out)
    stored = {"automatic": True, "method": METHOD, "images": digest_of(reader.ids)}
    records = folder.open(stored)
    missing = [index for index in range(len(reader)) if index not in records]
    kept, problems = len(records), []
    try:
        with mapper(workers if len(missing) >= _WORTH_A_POOL else 1, _AT_ONCE) as run:
            for record in progress(run(_Maker(reader, out), missing), len(missing), "images"):
                if isinstance(record, InfraspotError):
                    tell(record)
                    problems.append(str(record))
                else:
                    records[record["index"]] = record
    finally:
        folder.close(stored, folder.gathered(records))
    return SkyRun(len(missing) - len(problems), kept, tuple(problems))


def mask_files(folder: Path) -> Mapping[str, Path]:
    """The masks of a folder by the name of their image (``ID.png``, ``ID_pixels0.png``, ``ID_mask.png``).

    Raises
    ------
    DataError
        If the folder is absent or holds no image.
    """
    files = list_images(folder)
    return {**{plain_stem(path): path for path in files}, **{path.stem: path for path in files}}


@dataclass(frozen=True)
class _Maker:
    reader: Reader
    out: Path

    def __call__(self, index: int) -> Record | InfraspotError:
        name = self.reader.ids[index]
        try:
            frame = read_image(self.reader.image_path(index), max_pixels=self.reader.max_pixels)
        except InputError as error:
            return error
        sky = find_sky(frame.image)
        write_mask(self.out / f"{name}.png", sky)
        record = {"index": index, "id": name, "share": round(float(sky.mean()), 4)}
        _folder(self.out).add(record)
        return record


def _folder(out: Path) -> GrowingFolder:
    return GrowingFolder(out, "skies", "skies", lambda record: (out / f"{record['id']}.png").is_file())
