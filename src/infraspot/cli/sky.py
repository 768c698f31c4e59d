"""``infraspot sky``: automatic sky masks for a folder of images."""

from pathlib import Path

import click

from infraspot.cli.console import hear, progress, say
from infraspot.core.cores import available_cores
from infraspot.core.errors import counted


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder of the masks. DATA/sky is where readers find them.",
)
@click.option("--workers", type=click.IntRange(1), help="Number of processes; default: one for each core.")
def command(data: Path, out: Path, workers: int | None) -> int:
    """Guess the sky of every image of a data set or folder, without labels.

    Writes OUT/ID.png (255 sky, 0 other) and OUT/skies.json, which marks the masks as automatic. Soft
    mountains and hard clouds mislead the method; correct its masks with the sky tool of `infraspot annotate`.

    After an interruption, the same command goes on where it stopped.
    """
    from infraspot.jobs.sky import write_skies

    run = write_skies(data, out, workers=workers or available_cores(), progress=progress, tell=hear)
    say(f"{counted(run.made + run.kept, 'automatic sky mask')} ({run.kept} were there already) -> {out}")
    return 1 if run.problems else 0
