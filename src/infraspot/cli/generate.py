"""``infraspot generate``: synthetic scenes as a data set that every reader takes."""

from pathlib import Path

import click
from click.core import ParameterSource

from infraspot.cli.console import progress, say, table
from infraspot.cli.generate_dense import command as dense
from infraspot.cli.groups import CommandGroup
from infraspot.cli.ranges import counts
from infraspot.core.cores import available_cores
from infraspot.core.errors import UsageError, counted


@click.group(cls=CommandGroup, invoke_without_command=True)
@click.option("--scenes", type=click.IntRange(1), default=200, show_default=True, help="How many scenes.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the data set; needed.")
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Random seed; the same seed gives the same scenes.",
)
@click.option("--size", help="WIDTHxHEIGHT of every frame; default: many sizes, as in SIRST.")
@click.option(
    "--kind",
    help="Backgrounds, with shares if not even: street, or street=3,roofs=1,sky=2; of sky, sea, ground,"
    " mixed, street, roofs, towers. Default: sky=62,mixed=20,sea=9,ground=9.",
)
@click.option(
    "--bits",
    type=click.Choice(["8", "12", "14", "16"]),
    default="8",
    show_default=True,
    help="Bit depth of the sensor.",
)
@click.option("--targets", default="1-3", show_default=True, help="Fewest and most targets of a scene.")
@click.option(
    "--scr", default="4-35", show_default=True, help="Lowest and highest signal-to-clutter ratio of a target."
)
@click.option(
    "--frames",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Frames of each scene; more than 1 makes sequences.",
)
@click.option(
    "--pan",
    type=click.FloatRange(0, 50),
    default=0.3,
    show_default=True,
    help="With --frames: standard deviation of the camera's steady motion, in pixels a frame.",
)
@click.option(
    "--jitter",
    type=click.FloatRange(0, 50),
    default=0.0,
    show_default=True,
    help="With --frames: standard deviation of the camera's shake, in pixels.",
)
@click.option(
    "--parallax",
    type=click.FloatRange(0, 10),
    default=0.0,
    show_default=True,
    help="With --frames: how much further the ground moves than the sky, such as 0.5 for half as far again.",
)
@click.option(
    "--hover",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="With --frames: share of targets that stand still against the background.",
)
@click.option(
    "--blink",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="With --frames: share of targets that vanish for some frames.",
)
@click.option(
    "--cross",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="With --frames: share of scenes of two targets or more in which two meet.",
)
@click.option(
    "--dark", type=click.FloatRange(0, 1), default=0.0, show_default=True, help="Share of dark targets."
)
@click.option(
    "--clutter",
    help="Fewest and most spots of a scene that are no targets, such as 10-40; default: 3-60 a million"
    " pixels for street, roofs and towers, none for the others.",
)
@click.option("--workers", type=click.IntRange(1), help="Number of processes; default: one for each core.")
@click.option(
    "--compare",
    type=click.Path(path_type=Path),
    help="A real data set: write comparison.png and comparison.json beside the scenes.",
)
@click.option("--compare-split", help="Compare with this split of the real data set; default: all of it.")
@click.pass_context
def command(
    context: click.Context,
    scenes: int,
    out: Path | None,
    seed: int,
    size: str | None,
    kind: str | None,
    bits: str,
    targets: str,
    scr: str,
    frames: int,
    pan: float,
    jitter: float,
    parallax: float,
    hover: float,
    blink: float,
    cross: float,
    dark: float,
    clutter: str | None,
    workers: int | None,
    compare: Path | None,
    compare_split: str | None,
) -> int | None:
    """Make synthetic infrared scenes with exact masks, points, boxes and sky, in the layout of NUAA-SIRST.

    clutter.json lists what each frame shows and is no target: buildings, trees, poles, lamps, birds, dead
    pixels and more. With --frames, tracks/NAME holds the true tracks of a sequence as MOT text and the true
    motion of its background.

    The same options always make the same scenes. After an interruption, the same command goes on where it
    stopped; a larger --scenes adds to what is there.
    """
    if context.invoked_subcommand is not None:
        _refuse_options(context)
        return None
    if out is None:
        raise click.UsageError("Missing option '--out'.", context)
    from infraspot.jobs.generate import write_scenes
    from infraspot.synth import SceneRanges

    if frames == 1:
        _refuse_motion(context)
    kinds, weights = (SceneRanges.kinds, SceneRanges.weights) if kind is None else _shares(kind)
    ranges = SceneRanges(
        size=None if size is None else _size(size),
        kinds=kinds,
        weights=weights,
        bits=int(bits),
        targets=counts("--targets", targets),
        scr=_interval("--scr", scr),
        dark=dark,
        frames=frames,
        pan=pan,
        jitter=jitter,
        parallax=parallax,
        hover=hover,
        blink=blink,
        cross=cross,
        clutter=None if clutter is None else counts("--clutter", clutter),
    )
    made = write_scenes(out, scenes, seed, ranges, workers=workers or available_cores(), progress=progress)
    say(f"{counted(scenes, 'scene')} ({scenes - made} were there already) -> {out}")
    if compare is not None:
        _compare(compare, compare_split, out)
    return 0


command.add_command(dense, "dense")

_MOTION = ("pan", "jitter", "parallax", "hover", "blink", "cross")


def _refuse_motion(context: click.Context) -> None:
    """Options of motion would be passed over in silence where nothing moves."""
    given = [
        f"--{name}" for name in _MOTION if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    ]
    if given:
        raise UsageError(f"{', '.join(given)} need sequences; add --frames with more than 1")


def _refuse_options(context: click.Context) -> None:
    """Options of scenes before the name of a command below would be passed over in silence."""
    given = [
        name for name in context.params if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    ]
    if given:
        raise UsageError(
            f"--{given[0]} stands before {context.invoked_subcommand} and belongs to scenes; "
            f"put the options of {context.invoked_subcommand} after its name"
        )


def _compare(real: Path, split: str | None, out: Path) -> None:
    from infraspot.jobs.generate import compare_with_real

    result = compare_with_real(out, real, split)
    rows = [
        (name, *("  ".join(f"{q:.2f}" for q in part[side]) for side in ("real", "made")), part["distance"])
        for name, part in result.items()
        if isinstance(part, dict)
    ]
    table(("quartiles", "real", "made", "distance"), rows)
    say(f"-> {out / 'comparison.png'}, {out / 'comparison.json'}")


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise UsageError(f"--size must look like 320x240, and {text!r} came")
    return int(width), int(height)


def _shares(text: str) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Names of backgrounds and their shares."""
    parts = [part.partition("=") for part in text.split(",")]
    try:
        return tuple(name.strip() for name, _, _ in parts), tuple(float(share or 1) for _, _, share in parts)
    except ValueError as error:
        raise UsageError(f"--kind must look like street or street=3,sky=1, and {text!r} came") from error


def _interval(option: str, text: str) -> tuple[float, float]:
    low, _, high = text.partition("-")
    try:
        return float(low), float(high or low)
    except ValueError as error:
        raise UsageError(f"{option} must look like 2-20 or 5, and {text!r} came") from error
