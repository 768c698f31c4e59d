"""Pictures of a tracked sequence, from its frames and its finished table."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from itertools import groupby
from pathlib import Path
from typing import Any

from PIL import Image

from infraspot.core.extras import require
from infraspot.core.files import replacing
from infraspot.data import Reading
from infraspot.inference.frames import as_displayed
from infraspot.inference.stream import StreamedFrame, one_ahead
from infraspot.jobs.sequences import FileSequence, numbered_frames
from infraspot.jobs.track_files import read_table
from infraspot.report.track_overlay import draw_tracks

FOLDER = "overlay"
FILM = "overlay.mp4"
_WAY = 20
_BITS = 4_000_000  # a second


def write_overlays(
    sequence: FileSequence,
    folder: Path,
    reading: Reading,
    *,
    pictures: bool = True,
    film: float | None = None,
) -> None:
    """Draw each frame of a sequence with its tracks, from the tables in its folder, one at a time.

    Parameters
    ----------
    pictures
        Write ``overlay/000001.png`` and so on.
    film
        Write ``overlay.mp4`` with so many frames a second; a frame that cannot be read leaves the one before.

    Raises
    ------
    UsageError
        If a film is asked for, and PyAV is not installed.
    """
    with ExitStack() as open_files:
        stream = open_files.enter_context(_film(folder / FILM, film)) if film else None
        for number, picture in _drawn(sequence, folder, reading):
            if pictures:
                with replacing(folder / FOLDER / f"{number:06d}.png") as temporary:
                    picture.save(temporary, format="png")
            if stream is not None:
                stream(picture)


def _drawn(sequence: FileSequence, folder: Path, reading: Reading) -> Iterator[tuple[int, Image.Image]]:
    rows = _by_frame(folder / "tracks.csv")
    number, of_frame = next(rows, (None, []))
    ways: dict[str, deque[tuple[float, float]]] = {}
    for numbered in one_ahead(numbered_frames(sequence, reading)):
        while number is not None and number < numbered.number:
            number, of_frame = next(rows, (None, []))
        here = of_frame if number == numbered.number else []
        ways = {row["id"]: ways.get(row["id"], deque(maxlen=_WAY)) for row in here}
        for row in here:
            ways[row["id"]].append((float(row["x"]), float(row["y"])))
        if isinstance(numbered.item, StreamedFrame):
            yield numbered.number, draw_tracks(as_displayed(numbered.item.frame).image, here, ways)


@contextmanager
def _film(path: Path, fps: float) -> Iterator[Callable[[Image.Image], None]]:
    """A film that takes pictures one by one; all get the size of the first, made even as codecs want it."""
    require("video", "a film of the tracks")
    import av

    with replacing(path) as temporary, av.open(str(temporary), "w", format="mp4") as container:
        stream: Any = container.add_stream("mpeg4", rate=Fraction(fps).limit_denominator(1000))
        stream.bit_rate = _BITS
        size: tuple[int, int] | None = None

        def take(picture: Image.Image) -> None:
            nonlocal size
            if size is None:
                size = (picture.width + picture.width % 2, picture.height + picture.height % 2)
                stream.width, stream.height = size
            canvas = Image.new("RGB", size)
            canvas.paste(picture)
            container.mux(stream.encode(av.VideoFrame.from_image(canvas)))

        yield take
        if size is not None:
            container.mux(stream.encode())


def _by_frame(path: Path) -> Iterator[tuple[int, list[dict[str, str]]]]:
    for frame, rows in groupby(read_table(path), key=lambda row: int(row["frame"])):
        yield frame, list(rows)
