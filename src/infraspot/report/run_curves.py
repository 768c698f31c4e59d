"""Curves of several runs in one picture, and their figures in one offline page."""

import base64
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from infraspot.core.files import write_text
from infraspot.report.plots import blank_figure, save_figure
from infraspot.report.runs import RunRecord, differing

PANELS = (
    ("loss", "loss", 1.0),
    ("iou", "IoU", 1.0),
    ("niou", "nIoU", 1.0),
    ("pd", "Pd", 1.0),
    ("fa_area", "Fa of components, 1e-6", 1e6),
    ("ap", "AP of boxes", 1.0),
    ("ap_centre", "AP of centres", 1.0),
    ("lr", "learning rate", 1.0),
)

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Runs</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; color: #222; margin: 2rem auto; max-width: 70rem }
table { border-collapse: collapse; margin: 1rem 0 }
td, th { padding: .15rem .9rem .15rem 0; text-align: right; font-variant-numeric: tabular-nums }
td:first-child, th:first-child { text-align: left }
th { border-bottom: 1px solid #bbb; font-weight: 600 }
img { max-width: 100% }
</style></head><body>
<h1>Runs</h1>
{% for head, rows in tables if rows %}
<table><tr>{% for name in head %}<th>{{ name }}</th>{% endfor %}</tr>
{% for row in rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</table>
{% endfor %}
{% if starred %}<p>{{ starred }}</p>{% endif %}
<img alt="curves" src="data:image/png;base64,{{ curves }}">
</body></html>
"""

STAR = "*"
STARRED = "* against the masks that `profile` grows from the clicks of val"

HEAD = ("run", "weights", "epoch", "IoU", "nIoU", "Pd", "Fa, 1e-6", "AP")


def figure_rows(records: Sequence[RunRecord], names: Sequence[str]) -> list[list[str]]:
    """Two rows a run, of its best and its last validated epoch, under :data:`HEAD`."""
    rows = []
    for name, record in zip(names, records, strict=True):
        for kind, row in (("best", record.best), ("last", record.last)):
            if row is not None:
                rows.append([name, kind, f"{row['epoch']:.0f}", *figures(row)])
    return rows


def figures(row: Mapping[str, float] | None) -> list[str]:
    """IoU, nIoU, Pd, Fa and AP of one epoch, as text: the first four of masks, the last of boxes.

    Where val has no masks, the first four are by its clicks, and a star says so.
    """
    by_clicks = row is not None and "iou" not in row and "click_iou" in row
    prefix, mark = ("click_", STAR) if by_clicks else ("", "")
    factors = {"iou": (1.0, ".4f"), "niou": (1.0, ".4f"), "pd": (1.0, ".4f"), "fa_area": (1e6, ".1f")}
    of_masks = [_number(row, prefix + name, *how) + mark for name, how in factors.items()]
    return [*of_masks, _number(row, "ap")]


def note_of(rows: Sequence[Sequence[str]]) -> str | None:
    """What the stars in a table mean; None where there are none."""
    return STARRED if any(cell.endswith(STAR) for row in rows for cell in row[1:]) else None


def option_rows(records: Sequence[RunRecord]) -> list[list[str]]:
    """A row for each option that differs: its name, then its value in each run."""
    return [[name, *(record.option(name) for record in records)] for name in differing(records)]


def write_comparison(folder: Path, records: Sequence[RunRecord], names: Sequence[str]) -> list[Path]:
    """Write ``curves.png`` and ``runs.html``, a page that needs no network; returns both."""
    from jinja2 import Environment

    curves = _draw(folder / "curves.png", records, names)
    rows = figure_rows(records, names)
    tables = [(HEAD, rows), (["option", *names], option_rows(records))]
    picture = base64.b64encode(curves.read_bytes()).decode()
    page = Environment(autoescape=True).from_string(PAGE)
    text = page.render(tables=tables, starred=note_of(rows), curves=picture)
    write_text(folder / "runs.html", text)
    return [curves, folder / "runs.html"]


def _draw(path: Path, records: Sequence[RunRecord], names: Sequence[str]) -> Path:
    figure = blank_figure(12.0, 6.5)
    known = {number for record in records for row in record.rows for number in row}
    panels = [panel for panel in PANELS if panel[0] in known]
    for place, (number, label, factor) in enumerate(panels):
        axes = figure.add_subplot(2, -(-len(panels) // 2), place + 1)
        for name, record in zip(names, records, strict=True):
            drawn = [row for row in record.rows if number in row]
            # Names may hold signs that matplotlib would take for formulas.
            axes.plot(
                [row["epoch"] for row in drawn],
                [factor * row[number] for row in drawn],
                label=name.replace("$", r"\$"),
            )
        axes.set(xlabel="epoch", ylabel=label)
        axes.grid(alpha=0.3)
        if place == 0:
            axes.legend(fontsize=7)
    return save_figure(figure, path)


def _number(row: Mapping[str, float] | None, name: str, factor: float = 1.0, style: str = ".4f") -> str:
    value = math.nan if row is None else row.get(name, math.nan)
    return "-" if math.isnan(value) else f"{value * factor:{style}}"
