"""The threshold for one's own camera, from frames of it that hold no target."""

from collections.abc import Iterable, Iterator
from copy import copy
from itertools import chain
from pathlib import Path

from infraspot.core.errors import Caution, InfraspotError, counted, named
from infraspot.core.sample import Sample
from infraspot.data import Reading
from infraspot.inference import Engine
from infraspot.inference.false_alarms import calibrate_on
from infraspot.inference.predictor import TargetEngine
from infraspot.inference.stream import NamedFile, stream_frames
from infraspot.jobs.cameras import Sight, sight_of, told_apart
from infraspot.jobs.places import frames_at
from infraspot.jobs.watching import Tell

NAMED = 3


def calibrated(
    engine: Engine | TargetEngine,
    places: str | Path | Iterable[str | Path],
    rate: float,
    *,
    reading: Reading | None,
    tell: Tell,
) -> tuple[Engine | TargetEngine, float]:
    """The engine, whose card says under ``calibrated_on`` what came of it, and the threshold that gives
    ``rate`` false alarms a megapixel in these frames.

    What came of it is told, and what speaks against the frames.

    Raises
    ------
    UsageError
        If the frames are too few, or no threshold keeps to the rate.
    InfraspotError
        If one of them cannot be read, since the bound counts them all.
    """
    sights: list[Sight] = []
    found = calibrate_on(engine, _frames_at(places, reading, sights), rate)
    engine = copy(engine)
    engine.card = {**engine.card, "calibrated_on": found}
    tell(
        f"calibrated on {counted(found['frames'], 'frame')} ({found['megapixels']:.3g} Mpx):"
        f" {counted(found['false_alarms'], 'false alarm')} above {found['threshold']:g},"
        f" {found['rate']:.3g} a megapixel; with 95 % confidence below {found['upper']:.3g}"
    )
    for doubt in _doubts(found["likely"], told_apart(sights)):
        tell(Caution(doubt))
    return engine, float(found["threshold"])


def _frames_at(
    places: str | Path | Iterable[str | Path], reading: Reading | None, sights: list[Sight]
) -> Iterator[Sample]:
    """The frames of the places; what tells the camera of each is added to ``sights``."""
    for place in [places] if isinstance(places, str | Path) else places:
        found = frames_at(place, reading=reading)
        files = [NamedFile(file.path, file.path.name, str(file.path)) for file in found.files]
        for item in chain(found.errors, stream_frames(files, reading)):
            if isinstance(item, InfraspotError):
                raise item
            frame = Sample(item.name, item.frame.image, bit_depth=item.frame.bit_depth)
            sights.append(sight_of(frame))
            yield frame


def _doubts(likely: list[str], cameras: list[str]) -> Iterator[str]:
    """What speaks against frames that a threshold was chosen on."""
    if likely:
        frames = counted(len(likely), "frame to calibrate on holds", "frames to calibrate on hold")
        yield (
            f"{frames} what is likely a target to this model ({named(likely, NAMED)}): where it is one, leave"
            " the frame out, since it raises the threshold"
        )
    if cameras:
        yield (
            f"the frames to calibrate on seem to be of {len(cameras)} cameras: {'; '.join(cameras)}; a"
            " threshold is right for one camera"
        )
