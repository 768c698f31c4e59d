"""``infraspot rank``: which frames, or candidates, words fit best."""

from pathlib import Path

import click

from infraspot.cli.console import hear, progress, say, table
from infraspot.core.errors import counted
from infraspot.core.extras import require

SHOWN = 20


@click.command()
@click.argument("frames", nargs=-1, required=True)
@click.option("--text", multiple=True, required=True, help="What to look for: 'a small bright target'.")
@click.option(
    "--against", multiple=True, help="What to tell it from: 'empty sky'; a list of clutter by default."
)
@click.option("--weights", required=True, help="Folder with the weights of CLIP, or of CLIPSeg for map.")
@click.option(
    "--by",
    type=click.Choice(["frames", "candidates", "map"]),
    default="frames",
    show_default=True,
    help="Whole frames, a detector's candidates, or the best place of each frame.",
)
@click.option(
    "--model",
    help="Detector of the candidates: packaged model, weight file or run folder; default: compact-sirst1.",
)
@click.option("--method", help="Or a classical detector; see `infraspot models`.")
@click.option(
    "--threshold", type=click.FloatRange(0, 1), help="Score from which there is a candidate; a model's: 0.1."
)
@click.option("--out", type=click.Path(path_type=Path), help="A CSV file with every row.")
@click.option("--recursive", is_flag=True, help="Read the subfolders of folders as well.")
def command(
    frames: tuple[str, ...],
    text: tuple[str, ...],
    against: tuple[str, ...],
    weights: str,
    by: str,
    model: str | None,
    method: str | None,
    threshold: float | None,
    out: Path | None,
    recursive: bool,
) -> int:
    """Rank FRAMES, or candidates in them, by how well words fit.

    Weights come from a folder on this machine, as save_pretrained writes it, with the tokenizer. They were
    trained on photographs: look at the first rows before you rely on the order.
    """
    require("text", "`infraspot rank`")
    from infraspot.jobs.rank import rank_frames

    ranking = rank_frames(
        frames,
        text,
        weights,
        against=against,
        by=by,  # type: ignore[arg-type]
        out=out,
        model=model,
        method=method,
        threshold=threshold,
        recursive=recursive,
        progress=progress,
        tell=hear,
    )
    columns = [name for name in ("frame", "rank", "x", "y", "score", "detector") if _has(ranking.rows, name)]
    rows = [[_cell(row.get(name)) for name in columns] for row in ranking.rows[:SHOWN]]
    if rows:
        table(columns, rows)
    more = len(ranking.rows) - SHOWN
    say(f"{counted(len(ranking.rows), 'row')}" + (f", {more} of them not shown" if more > 0 else ""))
    if not rows:
        say("the detector has no candidate in these frames; lower --threshold")
    if out is not None:
        say(f"-> {out}")
    return 1 if ranking.failures else 0


def _has(rows: list[dict[str, object]], name: str) -> bool:
    return any(name in row for row in rows)


def _cell(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)
