"""Pd and IoU by the size of the targets and by how far they stand out."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.metrics.frame import FrameRecord

AREA_EDGES = (4, 9, 25, 81)
AREA_NAMES = ("<=4", "5-9", "10-25", "26-81", ">81")
RATIO_EDGES = (1.0, 2.0, 4.0, 8.0)
RATIO_NAMES = ("<=1", "1-2", "2-4", "4-8", ">8")


def target_table(records: list[FrameRecord]) -> dict[str, NDArray[Any]]:
    """One entry a target: area, ratio, hit, IoU with its detection (0 without one), pixels found."""
    columns: dict[str, list[NDArray[Any]]] = {name: [] for name in ("area", "ratio", "hit", "iou", "found")}
    for record in records:
        found = np.bincount(record.shared[:, 0], weights=record.shared[:, 2], minlength=len(record.targets))
        if not record.by_pixel:
            found = np.full(len(record.targets), np.nan)
        columns["area"].append(record.targets.areas)
        columns["ratio"].append(record.ratios)
        columns["hit"].append(record.hit)
        columns["iou"].append(matched_ious(record))
        columns["found"].append(found)
    return {name: np.concatenate(parts) if parts else np.zeros(0) for name, parts in columns.items()}


def matched_ious(record: FrameRecord) -> NDArray[np.float64]:
    """(T,) float64: IoU of each target with its own detection, 0 without one; NaN without a score map."""
    if not record.by_pixel:
        return np.full(len(record.targets), np.nan)
    ious = np.zeros(len(record.targets))
    rows, columns, pixels = record.shared.T
    kept = record.match[rows] == columns
    rows, columns, pixels = rows[kept], columns[kept], pixels[kept]
    ious[rows] = pixels / (record.targets.areas[rows] + record.detections.areas[columns] - pixels)
    return ious


def stratify(records: list[FrameRecord]) -> dict[str, list[dict[str, Any]] | None]:
    """Rows ``{range, targets, hits, pd, target_iou, pixel_recall}`` by area and by signal-to-clutter ratio.

    ``target_iou`` is the mean IoU of each target with its own detection, a missed one counting 0; it and
    ``pixel_recall`` are NaN without score maps. Without images there is no ratio, and ``scr`` is None.
    """
    table = target_table(records)
    known = ~np.isnan(table["ratio"])
    by_ratio = {name: column[known] for name, column in table.items()}
    return {
        "area": _rows(table, np.searchsorted(AREA_EDGES, table["area"]), AREA_NAMES),
        "scr": _rows(by_ratio, np.searchsorted(RATIO_EDGES, by_ratio["ratio"]), RATIO_NAMES)
        if known.any()
        else None,
    }


def _rows(
    table: dict[str, NDArray[Any]], stratum: NDArray[np.int64], names: tuple[str, ...]
) -> list[dict[str, Any]]:
    rows = []
    for k, name in enumerate(names):
        inside = stratum == k
        count = int(np.count_nonzero(inside))
        hits = int(np.count_nonzero(table["hit"][inside]))
        area = float(table["area"][inside].sum())
        rows.append(
            {
                "range": name,
                "targets": count,
                "hits": hits,
                "pd": hits / count if count else np.nan,
                "target_iou": float(table["iou"][inside].mean()) if count else np.nan,
                "pixel_recall": float(table["found"][inside].sum()) / area if count else np.nan,
            }
        )
    return rows
