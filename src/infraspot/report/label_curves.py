"""A picture of how the labels of a run evolved, so that growth beyond the targets is seen."""

import csv
from pathlib import Path

from infraspot.report.plots import FOUND_COLOUR, TRUTH_COLOUR, blank_figure, save_figure

KINDS = {"label": ("train", FOUND_COLOUR), "val_label": ("val", "#4c6ef5")}


def write_label_curves(log: Path, path: Path) -> bool:
    """Draw mass of the labels by epoch, and their IoU to the truth where there is any, from a run's log.

    Returns
    -------
    Whether there was anything to draw: schemes that train on masks have no such columns.
    """
    with log.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    masses = {kind: _column(rows, f"{kind}_mass") for kind in KINDS}
    if not any(masses.values()):
        return False
    figure = blank_figure(8.0, 3.4)
    left, right = figure.subplots(1, 2)
    for kind, (name, colour) in KINDS.items():
        left.plot(
            *zip(*masses[kind], strict=True) if masses[kind] else ([], []), ".-", color=colour, label=name
        )
        if overlap := _column(rows, f"{kind}_iou"):
            right.plot(*zip(*overlap, strict=True), ".-", color=colour, label=f"labels, {name}")
    if scores := _column(rows, "iou"):
        right.plot(*zip(*scores, strict=True), "--", color=TRUTH_COLOUR, label="network, val")
    left.set(xlabel="epoch", ylabel="pixels of label a frame", title="mass of the labels")
    left.set_ylim(bottom=0)
    right.set(xlabel="epoch", ylabel="IoU to the truth", ylim=(0, 1), title="for the report alone")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        if axes.has_data():
            axes.legend()
    save_figure(figure, path)
    return True


def _column(rows: list[dict[str, str]], name: str) -> list[tuple[float, float]]:
    """(epoch, value) where the column has a value."""
    return [(float(row["epoch"]), float(row[name])) for row in rows if row.get(name)]
