"""The report of training runs: their figures, their curves, and the options that differ."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from infraspot.core.version import VERSION
from infraspot.report.document import write_document
from infraspot.report.run_curves import PANELS, option_rows
from infraspot.report.runs import RunRecord, jsonable_run

MOST_RUNS, MOST_POINTS = 200, 400


def write_run_report(path: Path | str, records: Sequence[RunRecord], names: Sequence[str]) -> Path:
    """Write one offline page of runs; ``names`` are theirs on the page. The first 200 are taken."""
    shown, called = records[:MOST_RUNS], list(names[:MOST_RUNS])
    data = {
        "version": VERSION,
        "title": f"{len(records)} training run{'' if len(records) == 1 else 's'}",
        "runs": [_run(record, name) for record, name in zip(shown, called, strict=True)],
        "panels": PANELS,
        "options": [["option", *called], *option_rows(shown)],
        "runs_left_out": len(records) - len(shown),
    }
    return write_document(path, str(data["title"]), data, ["runs.js"])


def _run(record: RunRecord, name: str) -> dict[str, Any]:
    known = jsonable_run(record)
    rows = record.rows[:: -(-len(record.rows) // MOST_POINTS) or 1]
    return {
        "name": name,
        "network": record.option("network.name"),
        "scheme": record.option("scheme.name"),
        "seed": record.option("train.seed"),
        "epochs": record.epochs,
        "state": record.state,
        "best": known["best"],
        "last": known["last"],
        "curves": {
            number: [[row["epoch"], row[number]] for row in rows if number in row] for number, _, _ in PANELS
        },
    }
