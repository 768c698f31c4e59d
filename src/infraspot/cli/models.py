"""``infraspot models``: every network and method, with its cost and where it comes from."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from infraspot.cli.console import progress, say, table, warn
from infraspot.core.errors import UsageError, unknown_name
from infraspot.core.extras import is_installed, require

if TYPE_CHECKING:
    from infraspot.networks import SegmentationNetwork
    from infraspot.networks.sheet import Sheet

HEADER = (
    "FLOPs are multiply-accumulates at 256x256, counted as the survey's Table 6 counts them;"
    " ms and MB are of one frame on this machine"
)
AFRESH = "Apache-2.0, written afresh"
SAM_NOTE = "pip install 'infraspot[sam]', and give it weights that are on this machine"


@dataclass(frozen=True)
class Entry:
    """Something that can be listed; ``describe`` counts and measures it."""

    name: str
    family: str
    describe: Callable[[], dict[str, Any]]


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
    chosen = _choose(_entries(on, counted=bool(names or family or measure)), names, family)
    rows = [entry.describe() for entry in progress(chosen, len(chosen), "models")]
    if as_json:
        say(json.dumps(rows, indent=2))
        return 0
    table(
        ("name", "family", "params", "paper", "FLOPs", "paper", "ms", "MB", "source"),
        [_cells(row) for row in rows],
        title=HEADER,
    )
    noted: dict[str, list[str]] = {}
    for row in rows:
        noted.setdefault(row["note"], []).append(row["name"])
    for note, known in noted.items():
        if note:
            say(f"{', '.join(known)}: {note}")
    return 0


def _entries(on: int | None, *, counted: bool) -> list[Entry]:
    """Everything that can be listed; without torch, what works without it."""
    if on is not None:
        require("train", "`infraspot models --measure`")
    with_torch = is_installed("torch")
    entries = [*_weights(with_torch), *_methods(with_torch)]
    if with_torch:
        return [*_networks(on), *_detectors(), *_readings(on, counted=counted), *entries]
    warn("networks and SAM are not listed: they need torch, which `pip install 'infraspot[train]'` brings")
    return entries


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


def _networks(threads: int | None) -> Iterator[Entry]:
    from infraspot.networks import NETWORKS

    for name, network in NETWORKS.items():
        yield Entry(name, network.sheet.family, partial(_network, name, network, network.sheet, threads))


def _detectors() -> Iterator[Entry]:
    """Detectors of boxes, with their parameters; what they compute hangs on what they find."""
    from infraspot.detection import DETECTORS

    for name, detector in DETECTORS.items():
        family = f"detector of boxes, {detector.sheet.family}"
        yield Entry(name, family, partial(_detector, name, family))


def _detector(name: str, family: str) -> dict[str, Any]:
    import torch

    from infraspot.detection import DETECTORS

    sheet = DETECTORS[name].sheet
    paper = _whole(sheet.paper_params)
    try:
        with torch.device("meta"):
            params = sum(parameter.numel() for parameter in DETECTORS[name]().parameters())
    except UsageError as error:  # it needs a package that is not here
        return _row(name, family, sheet.source, AFRESH, paper_params=paper, note=str(error))
    return _row(name, family, sheet.source, AFRESH, params=params, paper_params=paper, note=sheet.note)


def _readings(threads: int | None, *, counted: bool) -> Iterator[Entry]:
    """The readings of the survey; their figures take longer than the rest of the list, so they may wait."""
    from infraspot.networks.readings import survey_readings

    for name, reading in survey_readings().items():
        sheet = reading.sheet
        describe = partial(_row, name, sheet.family, sheet.source, sheet.licence, note=sheet.note)
        if counted:
            describe = partial(_network, name, reading.build, sheet, threads)
        yield Entry(name, sheet.family, describe)


def _network(
    name: str, build: "Callable[[], SegmentationNetwork]", sheet: "Sheet", threads: int | None
) -> dict[str, Any]:
    """One network, measured on ``threads`` threads (0: all) unless that is None."""
    from infraspot.weights.cost import cost

    counted = cost(build)
    return _row(
        name,
        sheet.family,
        sheet.source,
        sheet.licence,
        params=counted.params,
        flops_256=counted.flops,
        macs_256=counted.macs,
        paper_params=_whole(sheet.paper_params),
        paper_flops=_whole(sheet.paper_flops),
        note=sheet.note,
        **({} if threads is None else _measured(build, threads)),
    )


def _measured(build: Callable[[], Any], threads: int) -> dict[str, Any]:
    import torch

    from infraspot.inference.prepared import prepare_for_inference
    from infraspot.weights.cost import measure

    if threads:
        torch.set_num_threads(threads)
    measured = measure(prepare_for_inference(build()))
    return {"ms_256": round(measured.milliseconds, 2), "peak_bytes_256": measured.peak_bytes}


def _weights(with_torch: bool) -> Iterator[Entry]:
    """The models that ship with the package."""
    from infraspot.inference.engines import packaged_models

    for name in packaged_models():
        yield Entry(name, "packaged weights", partial(_packaged, name, counted=with_torch))


def _packaged(name: str, *, counted: bool) -> dict[str, Any]:
    """Packaged weights by their card; their cost is counted with torch."""
    from infraspot.inference.engines import open_engine

    card = open_engine(name).card
    return _row(
        name,
        "packaged weights",
        f"infraspot: {card['network']['name']}",
        str(card.get("licence", "Apache-2.0")),
        **(_cost_of(card["network"]) if counted else {}),
        trained_on=card.get("trained_on"),
        operating_points=card.get("operating_points"),
        calibration=card.get("calibration"),
        asked_against_given=card.get("asked_against_given"),
    )


def _cost_of(network: dict[str, Any]) -> dict[str, Any]:
    from infraspot.weights.cost import cost
    from infraspot.weights.files import build_network

    counted = cost(partial(build_network, network))
    return {"params": counted.params, "flops_256": counted.flops, "macs_256": counted.macs}


def _methods(with_torch: bool) -> Iterator[Entry]:
    """What needs no training here: classical detectors and annotators."""
    from infraspot.annotators import ADAPTERS, ANNOTATORS, find_annotator
    from infraspot.classical import CLASSICAL
    from infraspot.classical.sequences import SEQUENCES

    adapters = {name: find_annotator(name) for name in ADAPTERS} if with_torch else {}
    for family, members, note in (
        ("classical detector", CLASSICAL, ""),
        ("detector of sequences", SEQUENCES, ""),
        ("annotator", ANNOTATORS, ""),
        ("annotator", adapters, SAM_NOTE),
    ):
        for name, method in members.items():
            first = (method.__doc__ or "").strip().split("\n", 1)[0].partition(";")[0]
            yield Entry(name, family, partial(_row, name, family, first, "Apache-2.0", note=note))


def _row(name: str, family: str, source: str, licence: str, **known: Any) -> dict[str, Any]:
    empty = dict.fromkeys(
        (
            "params",
            "flops_256",
            "macs_256",
            "ms_256",
            "peak_bytes_256",
            "paper_params",
            "paper_flops",
            "trained_on",
            "operating_points",
            "calibration",
            "asked_against_given",
        )
    )
    row = {"name": name, "family": family, "source": source, **empty, "note": "", "licence": licence}
    return row | known


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)


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
        row["source"][:70],
    )
