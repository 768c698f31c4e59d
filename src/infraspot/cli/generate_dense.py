"""``infraspot generate dense``: clusters of small targets in the skies of a base set."""

from pathlib import Path

import click

from infraspot.cli.console import hear, progress, say
from infraspot.cli.ranges import counts
from infraspot.core.cores import available_cores
from infraspot.core.errors import counted


@click.command()
@click.option("--base", type=click.Path(path_type=Path), required=True, help="A data set with masks.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the new data set.")
@click.option("--count", type=click.IntRange(1, 1_000_000), required=True, help="Number of frames to make.")
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Random seed; the same seed makes the same frames.",
)
@click.option(
    "--sky",
    default="auto",
    show_default=True,
    help="Folder of sky masks, or auto: those of the base where it has them, else automatic ones.",
)
@click.option(
    "--layout",
    type=click.Choice(["infraspot", "densesirst"]),
    default="infraspot",
    show_default=True,
    help="Layout of the new data set; densesirst is that of the released DenseSIRST.",
)
@click.option(
    "--patches",
    type=click.Choice(["background", "targets"]),
    default="background",
    show_default=True,
    help="What the pasted targets are cut from: background is as bright as the released set, targets is"
    " what the paper says.",
)
@click.option("--areas", default="1-3", show_default=True, help="Fewest and most areas of a frame.")
@click.option(
    "--area", type=click.IntRange(1), default=20, show_default=True, help="Height and width of an area."
)
@click.option("--targets", default="8-12", show_default=True, help="Fewest and most targets of an area.")
@click.option(
    "--side",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    help="Height and width of a pasted patch; the target is its bright part.",
)
@click.option(
    "--gap", type=click.IntRange(0), default=1, show_default=True, help="Fewest pixels between two targets."
)
@click.option("--workers", type=click.IntRange(1), help="Number of processes; default: one for each core.")
def command(
    base: Path,
    out: Path,
    count: int,
    seed: int,
    sky: str,
    layout: str,
    patches: str,
    areas: str,
    area: int,
    targets: str,
    side: int,
    gap: int,
    workers: int | None,
) -> int:
    """Paste clusters of small targets into the skies of a base set, as DenseSIRST was made.

    Targets are cut from the training split alone. Areas, sides and gaps are in pixels. An area takes as many
    targets as fit. dense.json lists what each frame was made of. The same options always make the same
    frames.

    After an interruption, the same command goes on where it stopped; a larger --count adds to what is there.
    """
    from infraspot.jobs.dense import write_dense
    from infraspot.synth.dense import DenseOptions

    run = write_dense(
        base,
        out,
        count,
        seed,
        DenseOptions(
            areas=counts("--areas", areas),
            area=area,
            targets=counts("--targets", targets),
            side=side,
            gap=gap,
        ),
        sky=sky,
        layout=layout,
        patches="targets" if patches == "targets" else "background",
        workers=workers or available_cores(),
        progress=progress,
        tell=hear,
    )
    frames, targets = counted(run.made + run.kept, "frame"), counted(run.targets, "target")
    say(f"{frames} ({run.kept} were there already), {targets} -> {out}")
    if run.unchanged:
        say(f"{run.unchanged} of them got no cluster: their sky has no room for an area")
    return 1 if run.problems else 0
