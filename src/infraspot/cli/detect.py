"""``infraspot detect``: the targets of frames, as a table, files and pictures."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from infraspot.cli.console import hear, progress, say, warn
from infraspot.cli.trust import trust_option
from infraspot.core.errors import UsageError

if TYPE_CHECKING:
    from infraspot.jobs.detect import DetectionRun
    from infraspot.report.detection import Detection

# Frames up to this many are listed target by target on the screen; more get one line each.
LISTED_FRAMES = 10
POSITIVE = click.FloatRange(0, min_open=True)


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
@click.option(
    "--threshold", type=click.FloatRange(0, 1), help="Score above which a pixel belongs to a target."
)
@click.option("--operating-point", help="Threshold by name, such as quiet, balanced or keen.")
@click.option("--fa-per-mpx", type=POSITIVE, help="Choose the threshold by false alarms per megapixel.")
@click.option(
    "--sigmas", type=POSITIVE, help="With --method: threshold in standard deviations above the mean."
)
@click.option(
    "--calibrate-on",
    metavar="FRAMES",
    help="Folder of this camera's frames without targets: choose the threshold by the false alarms in them.",
)
@click.option(
    "--polarity",
    type=click.Choice(["bright", "dark", "both"]),
    default="bright",
    show_default=True,
    help="Targets against their surroundings; both takes twice the time.",
)
@click.option(
    "--engine",
    type=click.Choice(["auto", "onnx", "torch"]),
    default="auto",
    show_default=True,
    help="What runs the model; auto takes ONNX Runtime where there is an ONNX file.",
)
@click.option(
    "--threads", type=click.IntRange(0), default=0, help="CPU threads for each frame; 0 takes every core."
)
@trust_option
@click.option("--recursive", is_flag=True, help="Read the subfolders of folders as well.")
@click.option("--raw", metavar="FORM", help="What raw files hold: 640x512:uint16, 320x240:uint14:big:512.")
@click.option("--array", metavar="NAME", help="The array to take from a .npz file that holds several.")
@click.option("--max-pixels", type=click.IntRange(1), help="Largest image, in pixels; default: 100 million.")
@click.option("--max-pages", type=click.IntRange(1), help="Most frames of one file; default: 10,000.")
@click.option("--demo", is_flag=True, help="Make four scenes and detect in them.")
@click.option("--seed", default=0, show_default=True, help="Seed of the scenes of --demo.")
def command(
    paths: Sequence[str],
    out: str,
    formats: str,
    recursive: bool,
    raw: str | None,
    array: str | None,
    max_pixels: int | None,
    max_pages: int | None,
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

    Exit status: 0 all done, also where no target was found; 1 some inputs failed and the others are done; 2
    wrong usage.
    """
    from infraspot.data import MAX_PAGES, MAX_PIXELS, Reading, parse_raw
    from infraspot.jobs.detect import check_formats, choose_engine, make_demo, run_engine

    if bool(paths) == demo:
        raise UsageError("expected images, folders or globs to detect in, or else --demo")
    wanted = [name.strip() for name in formats.split(",") if name.strip()]
    check_formats(wanted)
    form = None if raw is None else parse_raw(raw)
    reading = Reading(max_pixels or MAX_PIXELS, max_pages or MAX_PAGES, form, array)
    engine, threshold = choose_engine(**options, reading=reading, tell=hear)
    folder = Path(out)
    if demo:
        paths = (str(make_demo(folder / "demo", seed)),)
    run = run_engine(
        engine,
        threshold,
        paths,
        folder,
        formats=wanted,
        recursive=recursive,
        reading=reading,
        progress=progress,
        tell=hear,
        show=_show,
    )
    say(f"threshold {threshold:g}")
    _show_sum(run, f"{folder}/ ({', '.join(wanted)})")
    return 1 if run.failures else 0


def _show(found: "Detection", frames: int) -> None:
    height, width = found.prediction.shape
    count = len(found.targets)
    name = found.source if found.page is None else found.name
    plural = "" if count == 1 else "s"
    pace = f"{1000 * found.seconds:.0f} ms"
    say(f"{name} {width}x{height} {found.bit_depth}-bit   {count} target{plural}   {pace}")
    if frames > LISTED_FRAMES or not count:
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
        say(f"{frames} frames, {targets} targets, {pace}")
    say(f"-> {where}")
    if failed := len(run.failures):
        warn(f"{failed} input{'' if failed == 1 else 's'} failed, as said above; the others are done")
