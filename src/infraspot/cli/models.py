"""``infraspot models``: every network and method, with its cost and where it comes from."""

import json
from collections.abc import Sequence
from typing import Any

import click

from infraspot.cli.console import note, progress, say, table
from infraspot.cli.model_entries import Entry, all_entries
from infraspot.core.errors import UsageError, unknown_name
from infraspot.core.extras import is_installed, require

HEADER = (
    "FLOPs are multiply-accumulates at 256x256, counted as the survey's Table 6 counts them;"
    " ms and MB are of one frame on this machine"
)
TEXT = ("family", "source")
COLUMNS = ("name", "family", "params", "paper", "FLOPs", "paper: FLOPs", "ms", "MB", "source")
NO_TORCH = "networks and SAM are not listed: they need torch, which `pip install 'infraspot[train]'` brings"


@click.command("models")
@click.argument("names", nargs=-1)
@click.option("--family", help="Only this family, such as fusion, classical detector or annotator.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list instead of a table.")
@click.option("--measure", is_flag=True, help="Run every network once: time and peak memory of a frame.")
@click.option(
    "--threads",
    type=click.IntRange(0),
    default=1,
    show_default=True,
    help="Threads for --measure; 0 takes every core.",
)
@click.option(
    "--reliability",
    metavar="FILE",
    help="Draw what the scores of one packaged model say against how often they are right: PNG, SVG or PDF.",
)
def command(
    names: tuple[str, ...],
    family: str | None,
    as_json: bool,
    measure: bool,
    threads: int,
    reliability: str | None,
) -> int:
    """List networks, classical methods, annotators and packaged weights, or only those in NAMES.

    \b
    name     what --model, --method or a recipe's [network] takes;
             survey/NAME is a recipe: name it to have it counted
    family   what a network adds, or what kind of method it is
    params   learnt numbers in millions; beside it, what the paper says
    FLOPs    of a 256x256 frame in 1e9 multiply-accumulates, counted as the
             survey's Table 6 does; beside it, what that table says
    ms, MB   median time and peak memory of such a frame, with --measure
    source   the paper, or what a method does

    Notes below the table say why a figure differs from the paper's, or what has to be installed. With --json,
    a row also holds the plain multiply-accumulates, the licence, what weights were trained on, and their
    operating points. Networks are listed where torch is installed.
    """
    if reliability is not None:
        return _draw_reliability(names, reliability)
    on = threads if measure else None
    if not is_installed("torch"):
        note(NO_TORCH)
    chosen = _choose(all_entries(on, counted=bool(names or family or measure)), names, family)
    rows = [entry.describe() for entry in progress(chosen, len(chosen), "models")]
    if as_json:
        say(json.dumps(rows, indent=2))
        return 0
    _show(rows)
    for row in rows if names else ():
        if row["operating_points"]:
            _show_points(row)
    return 0


def _show(rows: Sequence[dict[str, Any]]) -> None:
    """The table, without the columns that nothing is known for, and the notes below it."""
    cells = [dict(zip(COLUMNS, _cells(row), strict=True)) for row in rows]
    known = [column for column in COLUMNS if any(row[column] for row in cells)]
    counted = "FLOPs" in known or "ms" in known
    heads = [column.partition(":")[0] for column in known]
    table(
        heads,
        [[row[column] for column in known] for row in cells],
        title=HEADER if counted else None,
        text=TEXT,
    )
    noted: dict[str, list[str]] = {}
    for row in rows:
        noted.setdefault(row["note"], []).append(row["name"])
    for remark, names in noted.items():
        if remark:
            say(f"{', '.join(names)}: {remark}")


def _show_points(row: dict[str, Any]) -> None:
    """What each operating point of a packaged model gave, on each set that it was measured on."""
    measured = [
        (name, f"{point['threshold']:g}", *_measured(one))
        for name, point in row["operating_points"].items()
        for one in point.get("measured", ())
    ]
    if measured:
        say()
        heads = ("point", "threshold", "frames", "Pd", "false a frame", "false a Mpx", "on")
        table(heads, measured, title=f"operating points of {row['name']}", text=("on",))


def _measured(one: dict[str, Any]) -> tuple[str, ...]:
    pd = "" if one["pd"] is None else f"{one['pd']:.3f}"
    return f"{one['frames']}", pd, f"{one['false_per_frame']:.2f}", f"{one['false_per_mpx']:.2f}", one["data"]


def _draw_reliability(names: Sequence[str], file: str) -> int:
    require("report", "--reliability")
    from infraspot.inference.engines import open_engine, packaged_models
    from infraspot.report.reliability import write_reliability

    if len(names) != 1 or names[0] not in packaged_models():
        raise UsageError(
            f"--reliability needs the name of one packaged model: {', '.join(packaged_models())}"
        )
    say(f"-> {write_reliability(file, open_engine(names[0], threads=1).card, names[0])}")
    return 0


def _choose(entries: Sequence[Entry], names: Sequence[str], family: str | None) -> list[Entry]:
    """The entries of these names and this family; all where none are given.

    Raises
    ------
    UsageError
        If there is no such name or family; the nearest one is suggested.
    """
    for name in names:
        if name not in (known := [entry.name for entry in entries]):
            raise unknown_name("model", name, known)
    families = {part for entry in entries for part in _parts(entry.family)}
    if family is not None and family not in families:
        raise unknown_name("family", family, families)
    return [
        entry
        for entry in entries
        if (not names or entry.name in names) and (family is None or family in _parts(entry.family))
    ]


def _parts(family: str) -> set[str]:
    """A network may belong to several families: ``"fusion, local"``."""
    return set(family.split(", "))


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    def scaled(key: str, unit: float, form: str) -> str:
        return "" if row[key] is None else format(row[key] / unit, form)

    return (
        row["name"],
        row["family"],
        scaled("params", 1e6, ".3f"),
        scaled("paper_params", 1e6, ".2f"),
        scaled("flops_256", 1e9, ".2f"),
        scaled("paper_flops", 1e9, ".2f"),
        scaled("ms_256", 1, ".0f"),
        scaled("peak_bytes_256", 1e6, ".0f"),
        row["source"],
    )
