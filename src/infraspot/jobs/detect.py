"""Detection in whole folders: read ahead, score, write behind."""

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infraspot.core.errors import Caution, DataError, InfraspotError, UsageError, counted, named, unknown_name
from infraspot.core.files import check_writable
from infraspot.data import MAX_PAGES, MAX_PIXELS, Reading, parse_raw, write_grey
from infraspot.data.recordings import expected_frames
from infraspot.inference import Engine
from infraspot.inference.frames import as_displayed
from infraspot.inference.predictor import TargetEngine, gives_maps, predict_displayed
from infraspot.inference.sequences import FrameByFrame
from infraspot.inference.stream import StreamedFrame, one_ahead, stream_frames
from infraspot.jobs.choosing import choose_engine
from infraspot.jobs.naming import name_results, refuse_overwriting
from infraspot.jobs.places import list_frames
from infraspot.jobs.sequences import sequence_of
from infraspot.jobs.watching import Progress, Tell, no_progress, tell_nobody
from infraspot.report.detection import Detection
from infraspot.report.detections import FRAME_FORMATS, RUN_FORMATS, RunFiles, write_frame

FORMATS = ("json", "mask", "overlay")
DEMO_SCENES = 4


@dataclass(frozen=True, eq=False)
class DetectionRun:
    """What a run found.

    Attributes
    ----------
    records
        The JSON of each frame, in the order of the inputs.
    failures
        One sentence for each input that could not be used.
    seconds
        Wall time of the run.
    """

    records: list[dict[str, Any]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def __repr__(self) -> str:
        targets = counted(sum(len(record["targets"]) for record in self.records), "target")
        failures = counted(len(self.failures), "failure")
        return f"<DetectionRun {counted(len(self.records), 'frame')}, {targets}, {failures}>"


def detect_files(
    places: str | Path | Iterable[str | Path],
    out: str | Path,
    *,
    formats: Sequence[str] = FORMATS,
    model: str | None = None,
    method: str | None = None,
    threshold: float | None = None,
    fa_per_mpx: float | None = None,
    operating_point: str | None = None,
    sigmas: float | None = None,
    engine: str = "auto",
    threads: int = 0,
    trust: Collection[str] | str = (),
    polarity: str = "bright",
    calibrate_on: str | Path | Iterable[str | Path] | None = None,
    recursive: bool = False,
    raw: str | None = None,
    array: str | None = None,
    max_pixels: int = MAX_PIXELS,
    max_pages: int = MAX_PAGES,
    progress: Progress = no_progress,
    tell: Tell = tell_nobody,
) -> DetectionRun:
    """Find the targets in images, stacks, videos, folders and glob patterns, and write what was found.

    Parameters
    ----------
    places
        What to detect in; the folder of a data set stands for its images.
    out
        Folder for the results, named by :func:`infraspot.jobs.naming.name_results`. Results of an earlier
        run there are overwritten: a run that was stopped is simply done again.
    formats
        Some of ``json``, ``mask``, ``overlay``, ``prob`` (one file a frame), ``csv`` and ``coco`` (one file
        for all).
    model, method, threshold, fa_per_mpx, operating_point, sigmas, engine, threads, trust, polarity
        See :func:`infraspot.jobs.choosing.choose_engine`.
    calibrate_on
        See :func:`infraspot.jobs.choosing.choose_engine`.
    recursive
        Read the subfolders of folders as well.
    raw
        What raw files hold (see :func:`infraspot.data.parse_raw`); without it they are passed over.
    array
        Name of the array to take from ``.npz`` files of several.
    max_pixels, max_pages
        Larger images and longer files are refused (see :func:`infraspot.data.read_frames`).
    progress, tell
        See :mod:`infraspot.jobs.watching`.

    Raises
    ------
    UsageError
        If an option is wrong, or a result would overwrite an image; nothing was done.
    DataError
        If no frame could be read, or ``out`` cannot be written to.
    """
    check_formats(formats)
    reading = Reading(max_pixels, max_pages, None if raw is None else parse_raw(raw), array)
    chosen, level = choose_engine(
        model=model,
        method=method,
        threshold=threshold,
        fa_per_mpx=fa_per_mpx,
        operating_point=operating_point,
        sigmas=sigmas,
        engine=engine,
        threads=threads,
        trust=trust,
        polarity=polarity,
        calibrate_on=calibrate_on,
        reading=reading,
        tell=tell,
    )
    named = [places] if isinstance(places, str | Path) else list(places)
    return run_engine(
        chosen,
        level,
        named,
        Path(out),
        formats=formats,
        recursive=recursive,
        reading=reading,
        progress=progress,
        tell=tell,
    )


def check_formats(formats: Sequence[str]) -> None:
    """Refuse names that are no format, and an empty list.

    Raises
    ------
    UsageError
        If one is unknown or there is none.
    """
    known = [*FRAME_FORMATS, *RUN_FORMATS]
    for name in formats:
        if name not in known:
            raise unknown_name("format", name, known)
    if not formats:
        raise UsageError(f"there is no format; expected some of {', '.join(known)}")


def run_engine(
    engine: Engine | TargetEngine,
    threshold: float,
    places: Sequence[str | Path],
    out: Path,
    *,
    formats: Sequence[str] = FORMATS,
    recursive: bool = False,
    reading: Reading | None = None,
    progress: Progress = no_progress,
    tell: Tell = tell_nobody,
    show: Callable[[Detection, int], None] | None = None,
) -> DetectionRun:
    """Detect in every frame while the next one is decoded and the last one is written.

    Parameters
    ----------
    engine, threshold
        What :func:`infraspot.jobs.choosing.choose_engine` gives.
    show
        Called with each frame's detection and the number of frames that the run seems to have.

    Other parameters and errors are those of :func:`detect_files`.
    """
    if not places:
        raise UsageError("expected images, stacks, videos, folders or glob patterns, and none came")
    reading = reading or Reading()
    _check_map_formats(engine, formats)
    check_writable(out)
    started = time.perf_counter()
    found = list_frames(places, recursive, reading, out, tell)
    failures = [str(error) for error in found.errors]
    files = name_results(found.files, reserved=[name for name in formats if name == "coco"])
    refuse_overwriting(files, out, [FRAME_FORMATS[name].ending for name in formats if name in FRAME_FORMATS])
    total = sum(expected_frames(file.path, reading) for file in files)
    whole, blank = RunFiles(), list[str]()
    written: Future[None] | None = None
    try:
        with ThreadPoolExecutor(1) as writer:
            stream = stream_frames(files, reading)
            for item in progress(one_ahead(stream), total, "detecting"):
                if isinstance(item, InfraspotError):
                    tell(item)
                    failures.append(str(item))
                    continue
                detection = detect_in(item, engine, threshold)
                if written is not None:
                    written.result()
                written = writer.submit(write_frame, detection, out, formats)
                whole.add(detection)
                if detection.blank:
                    blank.append(item.name)
                if show is not None:
                    show(detection, total)
            if written is not None:
                written.result()
    finally:
        whole.write(out, formats)
    if not whole.records:
        why = f"; the first error: {failures[0]}" if tell is tell_nobody else ""
        raise DataError(f"no frame could be read, so nothing was detected{why}")
    if blank:
        frames = counted(len(blank), "frame has", "frames have")
        tell(Caution(f"{frames} one value in every pixel, where nothing can be found: {named(blank)}"))
    return DetectionRun(whole.records, failures, time.perf_counter() - started)


def make_demo(folder: Path, seed: int) -> Path:
    """Write four synthetic scenes to detect in, and return their folder."""
    from infraspot.synth import generate

    for scene in generate(DEMO_SCENES, seed):
        for frame in scene.frames:
            write_grey(folder / f"{frame.id}.png", frame.image, bits=16 if frame.bit_depth > 8 else 8)
    return folder


def _check_map_formats(engine: Engine | TargetEngine, formats: Sequence[str]) -> None:
    """Refuse formats of score maps where the engine gives targets only."""
    wrong = [name for name in formats if name in FRAME_FORMATS and FRAME_FORMATS[name].needs_map]
    if wrong and not gives_maps(engine):
        raise UsageError(f"{engine.name} gives targets without score maps; leave out {' and '.join(wrong)}")


def detect_in(item: StreamedFrame, engine: Engine | TargetEngine, threshold: float) -> Detection:
    """The detection of one frame; the engine and the threshold are those of
    :func:`infraspot.jobs.choosing.choose_engine`."""
    started = time.perf_counter()
    if isinstance(engine, FrameByFrame):
        engine.enter(sequence_of(item.file.path, item.page))
    frame, shown = item.frame, as_displayed(item.frame)
    prediction = predict_displayed(engine, frame, shown, item.name)
    targets = prediction.find_targets(threshold, frame.image)
    return Detection(
        name=item.name,
        source=item.file.source,
        page=item.page,
        image=shown.image,
        bit_depth=frame.bit_depth,
        model=engine.name,
        threshold=threshold,
        prediction=prediction,
        targets=targets,
        seconds=time.perf_counter() - started,
    )
