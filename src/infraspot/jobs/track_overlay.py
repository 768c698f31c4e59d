"""Pictures of a tracked sequence, from its frames and its finished table."""

from collections import deque
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from infraspot.core.files import replacing
from infraspot.data import Reading
from infraspot.inference.frames import as_displayed
from infraspot.inference.stream import StreamedFrame, one_ahead
from infraspot.jobs.sequences import FileSequence, numbered_frames
from infraspot.jobs.track_files import read_table
from infraspot.report.track_overlay import draw_tracks

FOLDER = "overlay"
_WAY = 20


def write_overlays(sequence: FileSequence, folder: Path, reading: Reading) -> None:
    """Write ``overlay/000001.png`` and so on beside the tables of a sequence; one frame is held at a time."""
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
            picture = draw_tracks(as_displayed(numbered.item.frame).image, here, ways)
            with replacing(folder / FOLDER / f"{numbered.number:06d}.png") as temporary:
                picture.save(temporary, format="png")


def _by_frame(path: Path) -> Iterator[tuple[int, list[dict[str, str]]]]:
    for frame, rows in groupby(read_table(path), key=lambda row: int(row["frame"])):
        yield frame, list(rows)
