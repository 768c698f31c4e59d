"""``infraspot detect``: the targets of frames, as a table, files and pictures."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from infraspot.cli.console import hear, note, progress, say, warn
from infraspot.cli.detector import detector_options
from infraspot.core.compiled import announcing
from infraspot.core.errors import UsageError, counted
from infraspot.core.extras import require

if TYPE_CHECKING:
    from infraspot.data import Reading
    from infraspot.inference import Engine
    from infraspot.inference.predictor import TargetEngine
    from infraspot.jobs.archive_worker import ArchiveRun
    from infraspot.jobs.detect import DetectionRun
    from infraspot.jobs.shards import Shard, ShardRun
    from infraspot.report.detection import Detection

# Frames up to this many are listed target by target on the screen; more get one line each.
LISTED_FRAMES = 10
# Options that a worker opens a model by.
_OF_MODELS = ("model", "engine", "trust", "polarity", "device", "precision")


@click.command()
@click.pass_context
@click.argument("paths", nargs=-1)
@click.option("--out", default="infraspot-out", show_default=True, help="Folder for the results.")
@click.option(
    "--format",
    "formats",
    default="json,mask,overlay",
    show_default=True,
    help="Comma-separated: mask, json, csv, coco, overlay, prob.",
)
@detector_options
@click.option("--recursive", is_flag=True, help="Read the subfolders of folders as well.")
@click.option("--raw", metavar="FORM", help="What raw files hold: 640x512:uint16, 320x240:uint14:big:512.")
@click.option("--array", metavar="NAME", help="The array to take from a .npz file that holds several.")
@click.option("--max-pixels", type=click.IntRange(1), help="Largest image, in pixels; default: 100 million.")
@click.option("--max-pages", type=click.IntRange(1), help="Most frames of one file; default: 10,000.")
@click.option(
    "--shard",
    metavar="K/N",
    help="Only every N-th frame from the K-th on, into OUT/part-K-of-N.parquet: one row a frame.",
)
@click.option(
    "--stream",
    is_flag=True,
    help="PATHS is one source that goes on: - for standard input, a named pipe, a camera such as /dev/video0,"
    " or an address. One JSON line a frame on standard output.",
)
@click.option(
    "--drop/--no-drop",
    default=None,
    help="With --stream: leave out frames that come too fast, or let the source wait. Default: cameras and"
    " addresses drop, pipes wait.",
)
@click.option(
    "--ray",
    metavar="ADDRESS",
    help="On a Ray cluster, into OUT/part-*.parquet; auto takes RAY_ADDRESS, or starts Ray on this machine.",
)
@click.option("--actors", type=click.IntRange(1), help="With --ray: workers; default: one a processor.")
@click.option("--resume", is_flag=True, help="With --ray: go on with the results that are in OUT.")
@click.option("--demo", is_flag=True, help="Make four scenes and detect in them.")
@click.option("--seed", default=0, show_default=True, help="Seed of the scenes of --demo.")
def command(
    context: click.Context,
    paths: Sequence[str],
    out: str,
    formats: str,
    recursive: bool,
    raw: str | None,
    array: str | None,
    max_pixels: int | None,
    max_pages: int | None,
    shard: str | None,
    stream: bool,
    drop: bool | None,
    ray: str | None,
    actors: int | None,
    resume: bool,
    demo: bool,
    seed: int,
    **options: Any,
) -> int:
    """Find targets in images, stacks, videos, folders and globs.

    Stacks are TIFF, GIF, animated PNG, .npy, .npz and, with --raw, raw files; videos need the extra video.
    Results lie below OUT as the images lie below the folder that they share: OUT/STEM.json for one folder,
    OUT/night/STEM.json and OUT/day/STEM.json for two. Images that would share results keep their suffix
    (same.png.json, same.bmp.json); pages of stacks and videos get numbers (film-0001.json). A run that was
    stopped is started over: it writes the same files again.

    An archive is divided among processes or machines by --shard 1/16 to --shard 16/16, with the same PATHS. A
    shard that was stopped goes on where it was, and damaged frames are rows with an error. With --ray
    the machines of a Ray cluster share the work; PATH and OUT are then a folder each that all of them reach,
    or URLs such as s3://bucket/night.

    A camera or a pipe is followed by --stream: raw frames with --raw, encoded ones without it; Ctrl-C ends
    it.

    Exit status: 0 all done, also where no target was found; 1 some inputs failed and the others are done; 2
    wrong usage.
    """
    from infraspot.data import MAX_PAGES, MAX_PIXELS, Reading, parse_raw
    from infraspot.jobs.choosing import choose_engine
    from infraspot.jobs.detect import check_formats
    from infraspot.jobs.shards import parse_shard

    if bool(paths) == demo:
        raise UsageError("expected images, folders or globs to detect in, or else --demo")
    wanted = [name.strip() for name in formats.split(",") if name.strip()]
    check_formats(wanted)
    form = None if raw is None else parse_raw(raw)
    reading = Reading(max_pixels or MAX_PIXELS, max_pages or MAX_PAGES, form, array)
    _refuse_contradictions(context)
    part = None if shard is None else parse_shard(shard)
    context.with_resource(announcing(note))
    engine, threshold = choose_engine(**options, reading=reading, tell=hear)
    if stream:
        return _follow(engine, threshold, paths[0], reading, drop)
    how: dict[str, Any] = {"recursive": recursive, "reading": reading, "progress": progress, "tell": hear}
    if ray is not None:
        far = {"address": ray, "actors": actors, "resume": resume}
        return _show_rows(_detect_by_ray(paths[0], out, engine, threshold, options, **far, **how), out)
    if part is not None:
        rows = _detect_shard(paths, Path(out), engine, threshold, part, options, **how)
        return _show_rows(rows, rows.path)
    scenes = seed if demo else None
    return _detect_here(paths, Path(out), engine, threshold, wanted, scenes, **how)


def _refuse_contradictions(context: click.Context) -> None:
    """Refuse options that do not go together, before anything is opened."""
    from infraspot.data.storage import is_url

    given = context.params
    if given["stream"]:
        _refuse_beside_stream(context, given["paths"])
    elif given["drop"] is not None:
        raise UsageError("--drop and --no-drop are for --stream")
    places = () if given["stream"] else (*given["paths"], given["out"])  # a stream may be an address
    of_ray = given["actors"] is not None or given["resume"] or any(map(is_url, places))
    if given["ray"] is None and of_ray:
        raise UsageError("--actors, --resume and URLs need --ray; give --ray auto")
    if given["shard"] is not None and given["ray"] is not None:
        raise UsageError("--shard and --ray each divide an archive; give one of them")
    if given["shard"] is not None or given["ray"] is not None:
        _refuse_beside_parquet(context, given["demo"], "archive" if given["ray"] is None else "ray")
    if given["ray"] is not None and len(given["paths"]) != 1:
        raise UsageError(f"--ray takes one folder or URL, and {len(given['paths'])} came")


def _refuse_beside_parquet(context: click.Context, demo: bool, extra: str) -> None:
    require(extra, f"`infraspot detect --{'shard' if extra == 'archive' else 'ray'}`")
    if demo or context.get_parameter_source("formats") is not ParameterSource.DEFAULT:
        raise UsageError("--shard and --ray write Parquet files; leave out --format and --demo")


def _refuse_beside_stream(context: click.Context, paths: Sequence[str]) -> None:
    wrong = [
        f"--{name}"
        for name in ("shard", "ray", "demo", "recursive", "array", "formats", "out", "max_pages")
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT
    ]
    if len(paths) != 1 or wrong:
        named = " and ".join(wrong).replace("formats", "format").replace("_", "-")
        reason = f"leave out {named}" if wrong else f"{len(paths)} sources came"
        raise UsageError(f"--stream takes one source and writes JSON lines to standard output; {reason}")


def _follow(
    engine: "Engine | TargetEngine", threshold: float, source: str, reading: "Reading", drop: bool | None
) -> int:
    """Detect in a stream until it ends; JSON lines go to standard output, all else to standard error."""
    from infraspot.jobs.live import detect_live

    note(f"{engine.name} at the threshold {threshold:g}; Ctrl-C stops")
    run = detect_live(
        engine,
        threshold,
        source,
        lambda record: say(json.dumps(record)),
        reading=reading,
        drop=drop,
        tell=hear,
    )
    frames = counted(run.detected, "frame")
    parts = [f"{frames} detected", f"{run.dropped} dropped", f"{run.failed} could not be read"]
    note(f"{'stopped: ' if run.stopped else ''}{', '.join(parts)}")
    return 0 if run.whole and not run.failed else 1


def _detect_here(
    paths: Sequence[str],
    out: Path,
    engine: "Engine | TargetEngine",
    threshold: float,
    formats: Sequence[str],
    demo: int | None,
    **how: Any,
) -> int:
    """Detect in every frame, or in the scenes of the seed ``demo``, and show what was found."""
    from infraspot.jobs.detect import make_demo, run_engine

    if demo is not None:
        paths = (str(make_demo(out / "demo", demo)),)
    run = run_engine(engine, threshold, paths, out, formats=formats, show=_show, **how)
    say(f"threshold {threshold:g}")
    _show_sum(run, f"{out}/ ({', '.join(formats)})")
    return 1 if run.failures else 0


def _detect_shard(
    paths: Sequence[str],
    out: Path,
    engine: "Engine | TargetEngine",
    threshold: float,
    part: "Shard",
    options: dict[str, Any],
    **how: Any,
) -> "ShardRun":
    from infraspot.jobs.shards import detect_shard

    return detect_shard(engine, threshold, paths, out, part, weights=_weights(options), **how)


def _detect_by_ray(
    source: str,
    out: str,
    engine: "Engine | TargetEngine",
    threshold: float,
    options: dict[str, Any],
    **how: Any,
) -> "ArchiveRun":
    from infraspot.inference.engines import DEFAULT_MODEL, packaged_models
    from infraspot.jobs.archive import detect_archive

    by_method = options["method"] is not None
    kept = ("method", "sigmas", "fa_per_mpx", "polarity", "trust") if by_method else _OF_MODELS
    level = {} if by_method else {"threshold": threshold}
    return detect_archive(
        source,
        out,
        engine,
        threshold,
        {**{name: options[name] for name in kept}, **level},
        weights=_weights(options),
        ship=(options["model"] or DEFAULT_MODEL) not in packaged_models(),
        **how,
    )


def _weights(options: dict[str, Any]) -> Path | None:
    """The file of the model's weights; None of a classical method."""
    from infraspot.inference.engines import DEFAULT_MODEL, locate

    if options["method"] is not None:
        return None
    return locate(options["model"] or DEFAULT_MODEL, options["engine"])


def _show_rows(run: "ShardRun | ArchiveRun", where: object) -> int:
    targets, errors = counted(run.targets, "target"), counted(run.errors, "error")
    before = counted(run.before, "frame was", "frames were")
    say(f"{counted(run.frames, 'frame')}, {targets}, {errors}; {before} done before")
    say(f"-> {where}")
    return 1 if run.errors else 0


def _show(found: "Detection", frames: int) -> None:
    height, width = found.prediction.shape
    name = (found.source if found.page is None else found.name).replace("\n", "\\n")
    pace = f"{1000 * found.seconds:.0f} ms"
    say(f"{name} {width}x{height} {found.bit_depth}-bit   {counted(len(found), 'target')}   {pace}")
    if frames > LISTED_FRAMES or not found.targets:
        return
    say("  id       x       y   area  score    SCR")
    for number, target in enumerate(found.targets, 1):
        ratio = "-" if target.scr is None else f"{target.scr:.1f}"
        where = f"{target.x:7.1f} {target.y:7.1f}"
        say(f"{number:4d} {where}  {target.area:5d}  {target.score:5.2f}  {ratio:>5}")


def _show_sum(run: "DetectionRun", where: str) -> None:
    frames, targets = len(run.records), sum(len(record["targets"]) for record in run.records)
    if frames > 1:
        pace = f"{run.seconds:.1f} s, {run.seconds / frames * 1000:.0f} ms a frame"
        say(f"{frames} frames, {counted(targets, 'target')}, {pace}")
    say(f"-> {where}")
    if failed := len(run.failures):
        warn(f"{counted(failed, 'input')} failed, as said above; the others are done")
