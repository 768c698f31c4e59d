"""Detection in whole folders: read ahead, score, write behind."""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from infraspot.core.errors import DataError, InfraspotError, UsageError, unknown_name
from infraspot.core.files import check_writable
from infraspot.core.options import require_number, require_text, require_whole, shown
from infraspot.data import (
    MAX_PAGES,
    MAX_PIXELS,
    Frame,
    FrameFile,
    Reading,
    find_frames,
    open_dataset,
    parse_raw,
    write_grey,
)
from infraspot.data.finding import Found
from infraspot.data.recordings import expected_frames
from infraspot.inference import DEFAULT_MODEL, Engine, open_engine, predict
from infraspot.inference.frames import POLARITIES, as_displayed
from infraspot.inference.predictor import TargetEngine
from infraspot.inference.stream import NamedFile, StreamedFrame, one_ahead, stream_frames
from infraspot.jobs.naming import name_results, refuse_overwriting
from infraspot.jobs.watching import Progress, Tell, no_progress, tell_nobody
from infraspot.report.detection import Detection
from infraspot.report.detections import FRAME_FORMATS, RUN_FORMATS, RunFiles, write_frame

FORMATS = ("json", "mask", "overlay")
DEMO_SCENES = 4
MOST_THREADS = 4096


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
        targets = sum(len(record["targets"]) for record in self.records)
        return f"<DetectionRun {len(self.records)} frames, {targets} targets, {len(self.failures)} failures>"


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
        See :func:`choose_engine`.
    calibrate_on
        See :func:`choose_engine`.
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


def choose_engine(
    *,
    model: str | Engine | TargetEngine | None = None,
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
    reading: Reading | None = None,
    tell: Tell = tell_nobody,
) -> tuple[Engine | TargetEngine, float]:
    """Open a model or a classical method, and settle the threshold of its scores.

    Parameters
    ----------
    model
        Packaged model, weight file, run folder or engine; the packaged model by default.
    method
        A classical detector instead of a model.
    threshold
        Least score of a target pixel, in [0, 1]; the model's own by default.
    fa_per_mpx
        Or the threshold that gives this many false alarms a megapixel.
    operating_point
        Or the threshold that the model's card gives this name, such as ``"quiet"``.
    sigmas
        Or, for a classical method, standard deviations above the mean response.
    engine, threads, trust
        See :func:`infraspot.inference.open_engine`.
    polarity
        ``"bright"``, ``"dark"`` or ``"both"``: targets against their surroundings.
    calibrate_on
        Images of this camera without any target: the threshold is that which gives ``fa_per_mpx`` in them, or
        the rate of the operating point. The engine's card says under ``calibrated_on`` what came of it.
    reading, tell
        How these images are read, and who hears of the calibration.

    Raises
    ------
    UsageError
        If two options contradict each other, a name is unknown, or the frames to calibrate on are too few.
    InputError
        If the weight file, or an image to calibrate on, cannot be used.
    """
    if calibrate_on is not None:
        _refuse_beside_calibration(threshold=threshold, sigmas=sigmas)
        require_number(1e-9, 1e6, **_given(fa_per_mpx=fa_per_mpx))
        if fa_per_mpx is not None and operating_point is not None:
            raise UsageError("the options fa-per-mpx and operating-point each set the rate; give one of them")
    if polarity not in POLARITIES:
        raise unknown_name("polarity", str(polarity), POLARITIES)
    opened, level = _open_at(
        model=model,
        method=method,
        threshold=threshold,
        fa_per_mpx=None if calibrate_on is not None else fa_per_mpx,
        operating_point=operating_point,
        sigmas=sigmas,
        engine=engine,
        threads=threads,
        trust=trust,
    )
    if polarity != "bright":
        opened = copy(opened)
        opened.polarity = polarity  # type: ignore[union-attr]
    if calibrate_on is None:
        return opened, level
    from infraspot.inference.false_alarms import calibrate_on as calibrate_on_frames
    from infraspot.inference.operating_points import DEFAULT_POINT, rate_at

    rate = fa_per_mpx or rate_at(operating_point or DEFAULT_POINT, opened.card, opened.name)
    found = calibrate_on_frames(opened, _frames_of(calibrate_on, reading), rate)
    opened = copy(opened)
    opened.card = {**opened.card, "calibrated_on": found}
    tell(
        f"calibrated on {found['frames']} frames ({found['megapixels']:.3g} Mpx): {found['false_alarms']}"
        f" false alarms above {found['threshold']:g}, {found['rate']:.3g} a megapixel; with 95 % confidence"
        f" below {found['upper']:.3g}"
    )
    return opened, float(found["threshold"])


def _refuse_beside_calibration(**options: object) -> None:
    for name in _given(**options):
        raise UsageError(f"the options {name} and calibrate-on each set the threshold; give one of them")


def _frames_of(places: str | Path | Iterable[str | Path], reading: Reading | None) -> Iterator[Frame]:
    """The frames to calibrate on; one that cannot be read is an error, since the bound counts them all."""
    for place in [places] if isinstance(places, str | Path) else places:
        found = frames_at(place, reading=reading)
        files = [NamedFile(file.path, file.path.stem, str(file.path)) for file in found.files]
        for item in chain(found.errors, stream_frames(files, reading)):
            if isinstance(item, InfraspotError):
                raise item
            yield as_displayed(item.frame)


def _open_at(
    *,
    model: str | Engine | TargetEngine | None,
    method: str | None,
    threshold: float | None,
    fa_per_mpx: float | None,
    operating_point: str | None,
    sigmas: float | None,
    engine: str,
    threads: int,
    trust: Collection[str] | str,
) -> tuple[Engine | TargetEngine, float]:
    """The engine at a threshold that its card or the caller knows; see :func:`choose_engine`."""
    from infraspot.inference.engines import ClassicalEngine
    from infraspot.inference.false_alarms import threshold_for
    from infraspot.inference.operating_points import threshold_at

    rules = {
        "threshold": threshold,
        "fa-per-mpx": fa_per_mpx,
        "operating-point": operating_point,
        "sigmas": sigmas,
    }
    given = [name for name, value in rules.items() if value is not None]
    if len(given) > 1:
        raise UsageError(f"the options {' and '.join(given)} each set the threshold; give one of them")
    require_text(**_given(method=method, operating_point=operating_point))
    require_whole(0, MOST_THREADS, threads=threads)
    require_number(0, 1, **_given(threshold=threshold))
    require_number(1e-9, 1e6, **_given(fa_per_mpx=fa_per_mpx))
    require_number(0, 1e9, **_given(sigmas=sigmas))
    chosen: Engine | TargetEngine
    if method is not None:
        if model is not None:
            raise UsageError("the options model and method exclude each other; give one of them")
        if operating_point is not None:
            raise UsageError(
                "a classical method has no operating points; give threshold, fa-per-mpx or sigmas"
            )
        chosen = ClassicalEngine(method, sigmas=sigmas, fa_per_mpx=fa_per_mpx)
    elif sigmas is not None:
        raise UsageError("the option sigmas needs a method; for a model give threshold or fa-per-mpx")
    else:
        model = model or DEFAULT_MODEL
        if isinstance(model, str):
            chosen = open_engine(model, engine=engine, threads=threads, trust=trust)
        elif hasattr(model, "card") and (hasattr(model, "score") or hasattr(model, "predict")):
            chosen = model
        else:
            raise UsageError(
                "expected the model as a packaged name, a weight file, a run folder or an engine, and"
                f" {shown(model)} came"
            )
        if fa_per_mpx is not None:
            return chosen, threshold_for(fa_per_mpx, chosen.card, chosen.name)
        if operating_point is not None:
            return chosen, threshold_at(operating_point, chosen.card, chosen.name)
    default = float(chosen.card.get("threshold", 0.5))
    return chosen, default if threshold is None else threshold


def _given(**options: Any) -> dict[str, Any]:
    """The options that are not None."""
    return {name: value for name, value in options.items() if value is not None}


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
        What :func:`choose_engine` gives.
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
    whole = RunFiles()
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
                whole.records.append(detection.record())
                if show is not None:
                    show(detection, total)
            if written is not None:
                written.result()
    finally:
        whole.write(out, formats)
    if not whole.records:
        raise DataError(f"no frame could be read, so nothing was detected; the first error: {failures[0]}")
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
    if wrong and isinstance(engine, TargetEngine):
        raise UsageError(f"{engine.name} gives targets without score maps; leave out {' and '.join(wrong)}")


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


def detect_in(item: StreamedFrame, engine: Engine | TargetEngine, threshold: float) -> Detection:
    """The detection of one frame; the engine and the threshold are those of :func:`choose_engine`."""
    started = time.perf_counter()
    frame, shown = item.frame, as_displayed(item.frame)
    prediction = predict(engine, frame if isinstance(engine, TargetEngine) else shown, item.name)
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
