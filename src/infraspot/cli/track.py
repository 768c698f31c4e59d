"""``infraspot track``: targets followed through folders of frames, stacks and videos."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import click

from infraspot.cli.console import hear, progress, say, warn
from infraspot.cli.detector import MODEL_HELP
from infraspot.cli.trust import trust_option
from infraspot.core.errors import counted

SCORE = click.FloatRange(0, 1)


@click.command()
@click.argument("source", nargs=-1, required=True)
@click.option("--out", default="infraspot-tracks", show_default=True, help="Folder for the results.")
@click.option("--model", help=MODEL_HELP)
@click.option("--method", help="A classical detector instead of a model; see `infraspot models`.")
@click.option(
    "--sigmas",
    type=click.FloatRange(0, min_open=True),
    help="With --method: threshold in standard deviations above the mean.",
)
@click.option(
    "--start", type=SCORE, help="Score above which a detection may start a track; default: 0.001 for models."
)
@click.option(
    "--low", type=SCORE, help="Score above which a detection may continue a track; default: 1e-5 for models."
)
@click.option(
    "--confirm",
    default="likelihood",
    show_default=True,
    help="When a track is believed: likelihood, or M of N frames, such as 3/5.",
)
@click.option(
    "--output",
    type=click.Choice(["causal", "retro"]),
    default="retro",
    show_default=True,
    help="causal: rows are final at once and begin where a track is confirmed. retro: rows are final DELAY"
    " frames later, and a confirmed track keeps its earlier rows.",
)
@click.option(
    "--still",
    type=click.Choice(["keep", "drop", "flag"]),
    default="flag",
    show_default=True,
    help="Tracks that stand still against the background or on the sensor. flag: write and mark them, with"
    " the doubtful ones. keep: write those that are surely targets, without a mark. drop: write none.",
)
@click.option(
    "--delay",
    type=click.IntRange(1, 1000),
    default=12,
    show_default=True,
    help="Frames by which retro rows wait, and within which a track must be confirmed.",
)
@click.option(
    "--coast",
    type=click.IntRange(1, 1000),
    default=8,
    show_default=True,
    help="Frames without a detection after which a track ends; at most DELAY.",
)
@click.option(
    "--slow",
    type=click.FloatRange(0, 100),
    default=0.3,
    show_default=True,
    help="Speed against the background that counts as standing still, in pixels a frame.",
)
@click.option(
    "--jerk",
    type=click.FloatRange(0, 100),
    default=0.05,
    show_default=True,
    help="How much a target's speed changes from frame to frame, in pixels a frame.",
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
@click.option("--overlay", is_flag=True, help="Write OUT/overlay/: a picture of each frame with its tracks.")
@click.option(
    "--film",
    type=click.FloatRange(0.1, 1000),
    metavar="FPS",
    help="Write OUT/overlay.mp4, a film of the frames with their tracks, at so many frames a second.",
)
@click.option("--restart", is_flag=True, help="Start over where a run was stopped, instead of going on.")
@click.option("--recursive", is_flag=True, help="Read the subfolders of folders as well.")
@click.option("--raw", metavar="FORM", help="What raw files hold: 640x512:uint16, 320x240:uint14:big:512.")
@click.option("--array", metavar="NAME", help="The array to take from a .npz file that holds several.")
@click.option("--max-pixels", type=click.IntRange(1), help="Largest image, in pixels; default: 100 million.")
@click.option("--max-pages", type=click.IntRange(1), help="Most frames of one file; default: 10,000.")
def command(
    source: Sequence[str], max_pixels: int | None, max_pages: int | None, out: str, **options: Any
) -> int:
    """Follow targets through sequences: folders of numbered frames, stacks, videos.

    OUT/tracks.csv has one row for each track and frame, OUT/frames.csv the motion of the background and what
    became of each frame, OUT/detections.csv every detection, OUT/mot.txt the tracks as MOT text, and
    OUT/tracks.json a summary. Files whose names differ in their last number alone are one sequence; of
    several sequences, each has a folder below OUT. A run that was stopped goes on where it was.

    Exit status: 0 all done, also where no track was found; 1 some frames could not be used and the others
    are done; 2 wrong usage.
    """
    from infraspot.data import MAX_PAGES, MAX_PIXELS
    from infraspot.jobs.track import track

    run = track(
        list(source),
        out,
        max_pixels=max_pixels or MAX_PIXELS,
        max_pages=max_pages or MAX_PAGES,
        progress=progress,
        tell=hear,
        **options,
    )
    for name, found in run.sequences.items():
        tracks = found["tracks"]
        counts = Counter(entry["motion"] for entry in tracks)
        marked = {"standing still": counts["still"] + counts["fixed"], "doubtful": counts["doubtful"]}
        of_these = "".join(f", {count} {mark}" for mark, count in marked.items() if count)
        say(f"{name}: {counted(found['frames'], 'frame')}, {counted(len(tracks), 'track')}{of_these}")
        if found["unregistered"]:
            lost = counted(found["unregistered"], "frame")
            warn(f"{name}: the motion of the background is not known in {lost} (see frames.csv)")
    say(f"-> {out}/ (output {options['output']})")
    if failed := len(run.failures):
        warn(f"{counted(failed, 'input')} failed, as said above; the others are done")
        return 1
    return 0
