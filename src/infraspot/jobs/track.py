"""Tracking in folders of frames, stacks and videos: read ahead, detect, register, follow, write."""

import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from infraspot.core.errors import DataError, UsageError, counted, unknown_name
from infraspot.core.extras import require
from infraspot.core.files import check_writable
from infraspot.core.options import require_number, require_whole
from infraspot.data import MAX_PAGES, MAX_PIXELS, FrameFile, Reading, parse_raw
from infraspot.jobs.choosing import choose_engine
from infraspot.jobs.places import list_frames
from infraspot.jobs.sequences import find_sequences
from infraspot.jobs.track_overlay import write_overlays
from infraspot.jobs.track_sequence import Detector, SequenceWork
from infraspot.jobs.watching import Progress, Tell, no_progress, tell_nobody
from infraspot.tracking import STILL, Settings, parse_rule
from infraspot.tracking.tracker import OUTPUTS


@dataclass(frozen=True, eq=False)
class TrackRun:
    """What a run found.

    Attributes
    ----------
    sequences
        What ``tracks.json`` says of each sequence, by name.
    failures
        One sentence for each frame or place that could not be used.
    seconds
        Wall time of the run.
    """

    sequences: dict[str, dict[str, Any]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def __repr__(self) -> str:
        tracks = counted(sum(len(one["tracks"]) for one in self.sequences.values()), "track")
        failures = counted(len(self.failures), "failure")
        return f"<TrackRun {counted(len(self.sequences), 'sequence')}, {tracks}, {failures}>"


def track(
    source: str | Path | Iterable[str | Path],
    out: str | Path,
    *,
    model: str | None = None,
    method: str | None = None,
    low: float | None = None,
    start: float | None = None,
    sigmas: float | None = None,
    engine: str = "auto",
    threads: int = 0,
    trust: Collection[str] | str = (),
    polarity: str = "bright",
    confirm: str = "likelihood",
    output: str = "retro",
    still: str = "flag",
    delay: int = 12,
    coast: int = 8,
    slow: float = 0.3,
    jerk: float = 0.05,
    overlay: bool = False,
    film: float | None = None,
    restart: bool = False,
    recursive: bool = False,
    raw: str | None = None,
    array: str | None = None,
    max_pixels: int = MAX_PIXELS,
    max_pages: int | None = MAX_PAGES,
    progress: Progress = no_progress,
    tell: Tell = tell_nobody,
) -> TrackRun:
    """Follow targets through sequences of frames, and write their tracks.

    Parameters
    ----------
    source
        Folder of numbered frames, stack, video, pattern, or several of them. Files of one folder whose names
        differ in their last number alone are one sequence, every other file is one of its own.
    out
        Folder of the tables; of several sequences, each has a folder of its own there. A run that was stopped
        goes on where it was.
    model, method, sigmas, engine, threads, trust, polarity
        The detector (see :func:`infraspot.jobs.choosing.choose_engine`). Where a model has a second look, its
        chances are what tracks that do not move must have (``sure`` and ``taken`` in
        :class:`infraspot.tracking.Settings`).
    low, start
        Scores above which a detection continues a track, and starts one; by default 1e-5 and 1e-3 for models,
        0.3 and 0.5 for classical methods, 0.05 and 0.3 for detectors of boxes.
    confirm
        ``"likelihood"``, or M of N as ``"3/5"`` (see :mod:`infraspot.tracking.confirmation`).
    output, still, delay, coast, slow, jerk
        See :class:`infraspot.tracking.Settings`.
    overlay
        Write a picture of each frame with its tracks into the folder ``overlay``.
    film
        Write ``overlay.mp4`` with so many frames a second; needs the extra ``video``.
    restart
        Start over where a run was stopped.
    recursive, raw, array, max_pixels, max_pages
        As in :func:`infraspot.jobs.detect.detect_files`.
    progress, tell
        See :mod:`infraspot.jobs.watching`.

    Raises
    ------
    UsageError
        If an option is wrong; nothing was done.
    DataError
        If no frame could be read, ``out`` cannot be written to, or holds a stopped run of other options.
    """
    _check(output=output, still=still, low=low, start=start, delay=delay, coast=coast, slow=slow, jerk=jerk)
    if film is not None:
        require_number(0.1, 1000, film=film)
        require("video", "a film of the tracks")
    reading = Reading(max_pixels, max_pages, None if raw is None else parse_raw(raw), array)
    settings = Settings(
        rule=parse_rule(confirm), output=output, still=still, delay=delay, coast=coast, slow=slow, jerk=jerk
    )
    chosen, threshold = choose_engine(
        model=model,
        method=method,
        sigmas=sigmas,
        engine=engine,
        threads=threads,
        trust=trust,
        polarity=polarity,
    )
    detector = Detector(chosen, low, start, threshold)
    settings = replace(settings, start=detector.start, sure=detector.sure, taken=threshold)
    run = TrackRun()
    began = time.perf_counter()
    places = [source] if isinstance(source, str | Path) else list(source)
    folder = Path(out)
    check_writable(folder)
    sequences = find_sequences(_files(places, recursive, reading, folder, run.failures, tell))
    for sequence in sequences:
        where = folder if len(sequences) == 1 else folder / sequence.name
        work = SequenceWork(sequence, detector, settings, reading, where, restart=restart)
        summary = work.run(progress, tell, run.failures)
        if summary is not None:
            run.sequences[sequence.name] = summary
            if overlay or film:
                write_overlays(sequence, where, reading, pictures=overlay, film=film)
    if not run.sequences:
        first = f"; the first error: {run.failures[0]}" if run.failures else ""
        raise DataError(f"no frame could be read, so nothing was tracked{first}")
    return TrackRun(run.sequences, run.failures, time.perf_counter() - began)


def _check(*, output: str, still: str, low: float | None, start: float | None, **options: Any) -> None:
    if output not in OUTPUTS:
        raise unknown_name("output", str(output), OUTPUTS)
    if still not in STILL:
        raise unknown_name("rule for still tracks", str(still), STILL)
    require_whole(1, 1000, delay=options["delay"], coast=options["coast"])
    require_number(0, 100, slow=options["slow"], jerk=options["jerk"])
    given = {name: value for name, value in (("low", low), ("start", start)) if value is not None}
    require_number(0, 1, **given)
    if len(given) == 2 and low > start:  # type: ignore[operator]
        raise UsageError(f"expected low up to start, and low {low:g} and start {start:g} came")


def _files(
    places: Sequence[str | Path],
    recursive: bool,
    reading: Reading,
    out: Path,
    failures: list[str],
    tell: Tell,
) -> list[FrameFile]:
    found = list_frames(places, recursive, reading, out, tell)
    failures.extend(map(str, found.errors))
    return found.files
