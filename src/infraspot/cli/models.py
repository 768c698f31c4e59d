"""``infraspot models``: every network and method, with its cost and where it comes from."""

import json
from collections.abc import Iterable
from functools import partial
from typing import Any

import click

from infraspot.cli.console import progress, say, table

HEADER = (
    "FLOPs are multiply-accumulates at 256x256, counted as the survey's Table 6 counts them;"
    " ms and MB are of one frame on this machine"
)


@click.command("models")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list instead of a table.")
@click.option("--measure", is_flag=True, help="Run every network once: time and peak memory of a frame.")
@click.option(
    "--threads", type=click.IntRange(0), default=1, show_default=True, help="For --measure; 0: all."
)
def command(as_json: bool, measure: bool, threads: int) -> int:
    """List networks, classical methods, annotators and packaged weights: size, cost, licence, source."""
    rows = [*_networks(measure, threads), *_weights(), *_methods()]
    if as_json:
        say(json.dumps(rows, indent=2))
        return 0
    table(
        ("name", "family", "params", "paper", "FLOPs", "paper", "ms", "MB", "source"),
        [_cells(row) for row in rows],
        title=HEADER,
    )
    for row in rows:
        if row["note"]:
            say(f"{row['name']}: {row['note']}")
    return 0


def _networks(measure: bool, threads: int) -> Iterable[dict[str, Any]]:
    from infraspot.networks import NETWORKS
    from infraspot.networks.profile import cost
    from infraspot.networks.sheets import SHEETS

    for name, build in progress(NETWORKS.items(), len(NETWORKS), "networks"):
        counted = cost(build)
        sheet = SHEETS[name]
        yield _row(
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
            **(_measured(build, threads) if measure else {}),
        )


def _measured(build: Any, threads: int) -> dict[str, Any]:
    import torch

    from infraspot.networks.profile import measure, prepare_for_inference

    if threads:
        torch.set_num_threads(threads)
    measured = measure(prepare_for_inference(build()))
    return {"ms_256": round(measured.milliseconds, 2), "peak_bytes_256": measured.peak_bytes}


def _weights() -> Iterable[dict[str, Any]]:
    """The models that ship with the package."""
    from infraspot.inference.engines import WEIGHTS, packaged_models
    from infraspot.inference.weights import read_card
    from infraspot.networks import NETWORKS
    from infraspot.networks.profile import cost

    for name in packaged_models():
        card = read_card(WEIGHTS / f"{name}.safetensors")
        network, options = card["network"]["name"], card["network"].get("options", {})
        counted = cost(partial(NETWORKS[network], **options))
        yield _row(
            name,
            "packaged weights",
            f"infraspot: {network}",
            str(card.get("licence", "Apache-2.0")),
            params=counted.params,
            flops_256=counted.flops,
            macs_256=counted.macs,
            trained_on=card.get("trained_on"),
        )


def _methods() -> Iterable[dict[str, Any]]:
    """What needs no training: classical detectors and annotators."""
    from infraspot.annotators import ANNOTATORS
    from infraspot.classical import CLASSICAL

    for family, members in (("classical detector", CLASSICAL), ("annotator", ANNOTATORS)):
        for name, method in members.items():
            first = (method.__doc__ or "").strip().split("\n", 1)[0]
            yield _row(name, family, first, "Apache-2.0")


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
