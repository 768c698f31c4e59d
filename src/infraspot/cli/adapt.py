"""``infraspot adapt``: a model for a new camera in a few minutes."""

from pathlib import Path
from typing import Any

import click

from infraspot.cli.console import hear, progress, say, table
from infraspot.cli.trust import trust_option
from infraspot.core.extras import require

POINT = "balanced"


@click.command()
@click.option("--to", required=True, help="Frames of the new camera, as `detect` takes them.")
@click.option("--shots", help="Labelled frames of that camera, 1 to 20: a data set of any layout.")
@click.option("--empty", help="Frames of that camera without any target.")
@click.option("--assume-empty", is_flag=True, help="Take the frames of --to for frames without any target.")
@click.option("--source", help="Data set that the start was trained on; keeps more than generated scenes do.")
@click.option("--forget", is_flag=True, help="Learn the shots alone: better there, worse on other cameras.")
@click.option("--start", default="compact-sirst1", help="Weight file, run folder or packaged model to adapt.")
@click.option("--minutes", type=click.FloatRange(0, min_open=True), default=5.0, help="Limit of time.")
@click.option(
    "--fa-per-mpx",
    type=click.FloatRange(0, min_open=True),
    help="Wanted false alarms in 10^6 pixels at the point balanced; that of the start if not given.",
)
@click.option("--out", required=True, help="Weight file to write: my-camera.safetensors.")
@click.option("--json", "json_file", help="JSON file for the figures before and after.")
@click.option("--seed", type=click.IntRange(0), default=0, help="Random seed.")
@trust_option
def command(json_file: str | None, **options: Any) -> int:
    """Adapt a model to a new camera.

    Without labels, the network trains itself on --to where that helps to find targets that are pasted in, and
    the operating points are chosen for these frames. With --empty, it learns what is no target. With --shots,
    the network is tuned, and how far is chosen by shots that are held out. On old frames, of
    --source or generated, the answers of the start are kept, unless you say --forget.

    The figures are before -> after. Nothing is written where held-out shots got worse (exit status 1). The
    command ends with the five frames that would teach most: `annotate --queue FILE.json` opens them in order.

    The file is replaced when all is done; Ctrl-C before leaves everything as it was.
    """
    require("train", "`infraspot adapt`")
    from infraspot.jobs.adapt import adapt

    done = adapt(**options, json=json_file, progress=progress, tell=hear)
    _show(done.figures)
    if done.label_next:
        say("label next: " + ", ".join(Path(name).name for name in done.label_next))
    say(f"-> {done.path}   use it with `infraspot detect --model {done.path}`")
    return 0


def _show(figures: dict[str, Any]) -> None:
    rows = []
    for what, part in (("held-out shots", "held_out_shots"), ("old frames", "old_frames")):
        if figures[part] is None:
            continue
        before, after = (figures[part][when] for when in ("before", "after"))
        for name, key, scale in (
            ("IoU", "frame_iou", 100),
            ("Pd", "pd", 100),
            ("false a frame", "false_per_frame", 1),
        ):
            rows.append(
                (
                    f"{what}, {name}",
                    *(f"{scale * row[key]:.{1 if scale > 1 else 2}f}" for row in (before, after)),
                )
            )
    for name, key in (("targets", "targets_per_mpx"), ("expected false", "expected_false_per_mpx")):
        before, after = (figures["new_frames"][when][key] for when in ("before", "after"))
        rows.append((f"new frames, {name} a Mpx", f"{before:.2f}", f"{after:.2f}"))
    rows.append(("threshold", *(f"{figures['threshold'][when]:g}" for when in ("before", "after"))))
    table(["", "before", "after"], rows)
    choice = figures["choice"]
    look = ", second look tuned" if choice["second_look"] else ""
    say(f"{choice['steps']} steps{look}; {figures['seconds']:.0f} s")
