"""``infraspot detect``: the targets of frames, as a table, files and pictures."""

import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from infraspot.cli.console import fail, progress, say
from infraspot.core.errors import DataError, InfraspotError, UsageError, unknown_name

if TYPE_CHECKING:
    from infraspot.inference import Engine
    from infraspot.inference.stream import StreamedFrame
    from infraspot.report.detections import Detection, RunFiles

# Frames up to this many are listed target by target on the screen; more get one line each.
LISTED_FRAMES = 10
DEMO_SCENES = 4
POSITIVE = click.FloatRange(0, min_open=True)


@dataclass(frozen=True)
class Options:
    """What the command line says about the detector and its threshold."""

    model: str | None
    method: str | None
    threshold: float | None
    fa_per_mpx: float | None
    sigmas: float | None
    engine: str
    threads: int


@click.command()
@click.argument("paths", nargs=-1)
@click.option("--out", default="infraspot-out", show_default=True, help="Folder for the results.")
@click.option(
    "--format",
    "formats",
    default="json,mask,overlay",
    show_default=True,
    help="Comma-separated: mask, json, csv, coco, overlay, prob.",
)
@click.option("--model", help="Packaged model, .onnx or .safetensors file, or run folder.")
@click.option("--method", help="A classical detector instead of a model; see `infraspot models`.")
@click.option("--threshold", type=click.FloatRange(0, 1), help="Least score of a target pixel.")
@click.option("--fa-per-mpx", type=POSITIVE, help="Threshold for this many false alarms a megapixel.")
@click.option("--sigmas", type=POSITIVE, help="With --method: threshold in standard deviations.")
@click.option("--engine", type=click.Choice(["auto", "onnx", "torch"]), default="auto", show_default=True)
@click.option("--threads", type=click.IntRange(0), default=0, help="Threads of a frame; 0 takes every core.")
@click.option("--demo", is_flag=True, help="Make four scenes and detect in them.")
@click.option("--seed", default=0, show_default=True, help="Seed of the scenes of --demo.")
def command(paths: Sequence[str], out: str, formats: str, demo: bool, seed: int, **options: object) -> int:
    """Find targets in images, folders, globs and multi-page TIFF files.

    Exit status: 0 all done, 1 some inputs failed and the others are done, 2 wrong usage.
    """
    if bool(paths) == demo:
        raise UsageError("expected images, folders or globs to detect in, or else --demo")
    wanted = _check_formats(formats)
    engine, threshold = _open(Options(**options))  # type: ignore[arg-type]
    folder = Path(out)
    _check_writable(folder)
    if demo:
        paths = (str(_make_demo(folder / "demo", seed)),)
    return _detect_all(paths, folder, wanted, engine, threshold)


def _check_formats(text: str) -> list[str]:
    from infraspot.report.detections import FRAME_FORMATS, RUN_FORMATS

    known = [*FRAME_FORMATS, *RUN_FORMATS]
    wanted = [name.strip() for name in text.split(",") if name.strip()]
    for name in wanted:
        if name not in known:
            raise unknown_name("format", name, known)
    if not wanted:
        raise UsageError(f"--format is empty; expected some of {', '.join(known)}")
    return wanted


def _open(options: Options) -> tuple["Engine", float]:
    """The engine and the threshold that the options ask for."""
    from infraspot.inference.engines import DEFAULT_MODEL, ClassicalEngine, open_engine
    from infraspot.inference.false_alarms import threshold_for

    rules = {
        "--threshold": options.threshold,
        "--fa-per-mpx": options.fa_per_mpx,
        "--sigmas": options.sigmas,
    }
    given = [name for name, value in rules.items() if value is not None]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} each set the threshold; give one of them")
    engine: Engine
    if options.method is not None:
        if options.model is not None:
            raise UsageError("--model and --method exclude each other; give one of them")
        engine = ClassicalEngine(options.method, sigmas=options.sigmas, fa_per_mpx=options.fa_per_mpx)
    elif options.sigmas is not None:
        raise UsageError("--sigmas needs --method; for a model give --threshold or --fa-per-mpx")
    else:
        engine = open_engine(options.model or DEFAULT_MODEL, engine=options.engine, threads=options.threads)
        if options.fa_per_mpx is not None:
            return engine, threshold_for(options.fa_per_mpx, engine.card, engine.name)
    default = float(engine.card.get("threshold", 0.5))
    return engine, default if options.threshold is None else options.threshold


def _check_writable(folder: Path) -> None:
    """Fail before the work, not after it."""
    from infraspot.core.files import replacing

    probe = folder / ".infraspot-probe"
    with replacing(probe):
        pass
    probe.unlink(missing_ok=True)


def _make_demo(folder: Path, seed: int) -> Path:
    from infraspot.data import write_grey
    from infraspot.synth import generate

    for scene in generate(DEMO_SCENES, seed):
        for frame in scene.frames:
            write_grey(folder / f"{frame.id}.png", frame.image, bits=16 if frame.bit_depth > 8 else 8)
    return folder


def _detect_all(
    paths: Sequence[str], folder: Path, formats: list[str], engine: "Engine", threshold: float
) -> int:
    """Detect in every frame while the next is decoded and the last is written."""
    from infraspot.inference.stream import one_ahead, stream_frames
    from infraspot.report.detections import RunFiles

    files, failures = _list(paths)
    run, started = RunFiles(), time.perf_counter()
    written: Future[None] | None = None
    try:
        with ThreadPoolExecutor(1) as writer:
            for item in progress(one_ahead(stream_frames(files)), len(files), "detecting"):
                if isinstance(item, InfraspotError):
                    fail(str(item))
                    failures += 1
                    continue
                found, milliseconds = _detect(item, engine, threshold)
                if written is not None:
                    written.result()
                written = writer.submit(_write_frame, found, folder, formats)
                run.records.append(found.record())
                _show(found, milliseconds, listed=len(files) <= LISTED_FRAMES)
            if written is not None:
                written.result()
    finally:
        _write_run(run, folder, formats)
    _show_sum(run, f"{folder}/ ({', '.join(formats)})", time.perf_counter() - started)
    return 1 if failures else 0


def _list(paths: Sequence[str]) -> tuple[list[Path], int]:
    """Every image that the arguments name, and how many arguments named none."""
    files: list[Path] = []
    failures = 0
    for path in paths:
        try:
            files.extend(_images_at(path))
        except InfraspotError as error:
            fail(str(error))
            failures += 1
    return list(dict.fromkeys(files)), failures


def _images_at(path: str) -> list[Path]:
    """The images that one argument names; a data set's folder stands for its images, without the masks."""
    from infraspot.data import list_images, open_dataset

    try:
        return list_images(path)
    except DataError:
        try:
            reader = open_dataset(path)
        except InfraspotError:
            reader = None
        if reader is None:
            raise
        return [reader.image_path(index) for index in range(len(reader))]


def _detect(item: "StreamedFrame", engine: "Engine", threshold: float) -> tuple["Detection", float]:
    from infraspot.core.prediction import Prediction
    from infraspot.inference import score_frame, stretch
    from infraspot.report.detections import Detection

    image, bit_depth = item.frame.image, item.frame.bit_depth
    started = time.perf_counter()
    scores = score_frame(engine, image, bit_depth)
    targets = Prediction(item.stem, scores).targets(threshold, image)
    milliseconds = (time.perf_counter() - started) * 1000
    found = Detection(
        stem=item.stem,
        source=item.file.name,
        image=stretch(image) if bit_depth > 8 else image,
        bit_depth=bit_depth,
        model=engine.name,
        threshold=threshold,
        score_map=scores,
        targets=targets,
    )
    return found, milliseconds


def _write_frame(found: "Detection", folder: Path, formats: list[str]) -> None:
    from infraspot.report.detections import FRAME_FORMATS

    for name in formats:
        if name in FRAME_FORMATS:
            FRAME_FORMATS[name](found, folder)


def _write_run(run: "RunFiles", folder: Path, formats: list[str]) -> None:
    from infraspot.report.detections import RUN_FORMATS

    for name in formats:
        if name in RUN_FORMATS:
            RUN_FORMATS[name](run, folder)


def _show(found: "Detection", milliseconds: float, *, listed: bool) -> None:
    height, width = found.score_map.shape
    count = len(found.targets)
    name = found.source if Path(found.source).stem == found.stem else found.stem
    plural = "" if count == 1 else "s"
    say(f"{name} {width}x{height} {found.bit_depth}-bit   {count} target{plural}   {milliseconds:.0f} ms")
    if not listed or not count:
        return
    say("  id       x       y   area  score    SCR")
    for number, target in enumerate(found.targets, 1):
        ratio = "-" if target.scr is None else f"{target.scr:.1f}"
        where = f"{target.x:7.1f} {target.y:7.1f}"
        say(f"{number:4d} {where}  {target.area:5d}  {target.score:5.2f}  {ratio:>5}")


def _show_sum(run: "RunFiles", where: str, seconds: float) -> None:
    frames, targets = len(run.records), sum(len(record["targets"]) for record in run.records)
    if not frames:
        raise DataError("no frame could be detected in; the lines above say why")
    if frames > 1:
        pace = f"{seconds:.1f} s, {seconds / frames * 1000:.0f} ms a frame"
        say(f"{frames} frames, {targets} targets, {pace}")
    say(f"-> {where}")
