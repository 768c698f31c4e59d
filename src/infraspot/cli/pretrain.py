"""``infraspot pretrain``: weights to begin with, from frames without labels."""

import json
from collections.abc import Sequence
from pathlib import Path

import click

from infraspot.cli.console import say
from infraspot.cli.train import open_run_in, train_to_end
from infraspot.cli.trust import trust_option
from infraspot.core.errors import UsageError
from infraspot.core.extras import require

METHODS = ("paste", "displace", "inpaint")


@click.command()
@click.argument("frames", required=False)
@click.option("--out", required=True, help="Run folder.")
@click.option(
    "--method",
    type=click.Choice(METHODS),
    default=METHODS[0],
    show_default=True,
    help="Find drawn targets; the same with noise moved between frames; or fill in hidden blocks.",
)
@click.option("--split", help="Part of a data set to read, such as train; else every frame.")
@click.option("--network", help="Network to pre-train; compact if not given.")
@click.option("--epochs", type=click.IntRange(1), help="Passes over the frames.")
@click.option("--batch", type=click.IntRange(2), help="Frames in a batch.")
@click.option("--seed", type=click.IntRange(0), help="Random seed.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), help="Where to train.")
@click.option("--set", "changes", multiple=True, metavar="PART.OPTION=VALUE", help="Change the recipe.")
@click.option("--resume", is_flag=True, help="Go on with the run in the folder.")
@trust_option
def command(
    frames: str | None,
    out: str,
    method: str,
    split: str | None,
    network: str | None,
    changes: Sequence[str],
    resume: bool,
    trust: tuple[str, ...],
    **shortcuts: object,
) -> int:
    """Pre-train a network on FRAMES, which need no labels.

    FRAMES is a folder of images, stacks or videos, one such file, or a data set, of which the images alone
    are read. Begin from the result with `infraspot train RECIPE --set network.start=OUT`.

    Ctrl-C saves and stops; --resume --out OUT goes on from there. Without --epochs, --batch, --seed and
    --device, the values of the recipe pretrain/METHOD hold.
    """
    require("train", "`infraspot pretrain`")
    from infraspot import training

    if frames is None and not resume:
        raise UsageError(
            "name the frames: `infraspot pretrain FRAMES --out RUN`, or go on with --resume --out RUN"
        )
    folder = Path(out)
    given = {
        "data.path": None if frames is None else json.dumps(str(Path(frames).resolve())),
        "data.split": None if split is None else json.dumps(split),
        "network.name": None if network is None else json.dumps(network),
        **{f"train.{name}": value for name, value in shortcuts.items()},
    }
    changes = [*(f"{place}={value}" for place, value in given.items() if value is not None), *changes]
    recipe = f"pretrain/{method}" if frames is not None else None
    with training.locked(folder):
        run = open_run_in(folder, recipe, changes, resume=resume, trust=trust)
        status = train_to_end(run, again=f"`infraspot pretrain --resume --out {folder}` goes on")
    if status == 0:
        say(f"begin from it with `infraspot train RECIPE --set network.start={folder}`")
    return status
