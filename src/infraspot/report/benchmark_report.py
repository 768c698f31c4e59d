"""The tables of a grid as one offline page: sorted, with intervals drawn, pairs at hand."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from infraspot.core.version import VERSION
from infraspot.report.document import write_document
from infraspot.report.score_tables import COMPARED, ScoreTable


def write_benchmark_report(path: Path | str, tables: Sequence[ScoreTable], title: str) -> Path:
    """Write the page; returns its path."""
    data = {
        "version": VERSION,
        "title": title,
        "compared": COMPARED,
        "tables": [_table(table) for table in tables],
    }
    return write_document(path, title, data, ["benchmark.js"])


def _table(table: ScoreTable) -> dict[str, Any]:
    rows = [
        {
            "network": row.network,
            "scheme": row.scheme,
            "seeds": row.seeds,
            "figures": {
                name: [figure.mean, figure.deviation, figure.low, figure.high, figure.paper]
                for name, figure in row.figures.items()
            },
        }
        for row in table.rows
    ]
    pairs = [
        [pair.one, pair.other, pair.number, pair.difference, pair.low, pair.high, pair.p, pair.p_family]
        for pair in table.pairs
    ]
    return {
        "title": table.title,
        "numbers": list(table.numbers),
        "rows": rows,
        "pairs": pairs,
        "notes": list(table.notes),
    }
