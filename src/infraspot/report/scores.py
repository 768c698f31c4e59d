"""The numbers of an evaluation as a table on the screen, as JSON and as CSV."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from infraspot.core.files import write_json, write_text
from infraspot.metrics import jsonable

PER_MILLION = 1e6

ROWS: tuple[tuple[str, str, float, str], ...] = (
    ("IoU", "iou", 1, ".4f"),
    ("nIoU", "niou", 1, ".4f"),
    ("Pd", "pd", 1, ".4f"),
    ("AP of targets, all thresholds", "target_ap.all_thresholds", 1, ".4f"),
    ("Fa of components, 1e-6", "fa_area", PER_MILLION, ".2f"),
    ("Fa of pixels, 1e-6", "fa_pixel", PER_MILLION, ".2f"),
    ("false alarms an image", "false_alarms_per_image", 1, ".4f"),
    ("false alarms a megapixel", "false_alarms_per_megapixel", 1, ".3f"),
    ("pixel precision", "precision", 1, ".4f"),
    ("pixel recall", "recall", 1, ".4f"),
    ("pixel F1", "f1", 1, ".4f"),
    ("target precision", "target_precision", 1, ".4f"),
    ("target F1", "target_f1", 1, ".4f"),
    ("hIoU", "hiou", 1, ".4f"),
    ("AP of the protocol's boxes", "ap", 1, ".4f"),
    ("AP of targets, centre <= 3 px", "target_ap.centre_3", 1, ".4f"),
    ("pixel ROC area", "pixel_auc", 1, ".5f"),
    ("pixel average precision", "pixel_ap", 1, ".4f"),
)
"""Label, place in the result, factor on the screen, format."""


def score_rows(result: Mapping[str, Any]) -> list[list[str]]:
    """Rows of label, value and 95 % interval for the screen; a missing number shows its reason."""
    rows = []
    for label, place, factor, style in ROWS:
        value = _look_up(result, place)
        if value is None:
            continue
        if math.isnan(value):
            reason = result["reasons"].get(place) or result.get("curve_reason") or ""
            rows.append([label, "-", reason])
            continue
        low, high = result.get("intervals", {}).get(place, (math.nan, math.nan))
        interval = "" if math.isnan(low) else f"[{low * factor:{style}}, {high * factor:{style}}]"
        rows.append([label, f"{value * factor:{style}}", interval])
    return rows


BOX_ROWS = (
    ("IoU .5, 11-point, sides + 1", "ap07_legacy"),
    ("IoU .5, area, sides + 1", "ap12_legacy"),
    ("IoU .5, 11-point", "ap07"),
    ("IoU .5, area", "ap12"),
    ("IoU .25, area", "ap25"),
    ("IoU .75, area", "ap75"),
    ("centres within 1.5 px", "centre_1.5"),
    ("centres within 3 px", "centre_3"),
)


def box_rows(result: Mapping[str, Any]) -> list[list[str]]:
    """Rows of a criterion for boxes: average precision, its 95 % interval, recall."""
    rows = []
    for label, name in BOX_ROWS:
        low, high = result.get("intervals", {}).get(f"box_ap.{name}", (math.nan, math.nan))
        interval = "" if math.isnan(low) else f"[{low:.3f}, {high:.3f}]"
        numbers = (result["box_ap"][name], result["box_recall"][name])
        ap, recall = ("-" if math.isnan(number) else f"{number:.3f}" for number in numbers)
        rows.append([label, ap, interval, recall])
    return rows


def strata_rows(result: Mapping[str, Any]) -> list[list[str]]:
    """Rows of range, targets, Pd, mean IoU and pixel recall, by area and by signal-to-clutter ratio."""
    rows = []
    for name, label in (("area", "area"), ("scr", "SCR")):
        for one in result["strata"][name] or ():
            if one["targets"]:
                numbers = [f"{one[key]:.3f}" for key in ("pd", "target_iou", "pixel_recall")]
                rows.append([f"{label} {one['range']}", str(one["targets"]), *numbers])
    return rows


def folder_rows(result: Mapping[str, Any]) -> list[list[str]]:
    """A row for each folder of a tree: images, IoU, nIoU and Pd as fractions, Fa in millionths."""
    return [
        [
            name,
            f"{found['n_images']}",
            *(f"{found[number]:.4f}" for number in ("iou", "niou", "pd")),
            f"{found['fa_area'] * PER_MILLION:.2f}",
        ]
        for name, found in result["sets"].items()
    ]


def point_rows(result: Mapping[str, Any]) -> list[list[str]]:
    """Rows of allowance, best Pd and its threshold; none without curves."""
    points = result.get("points")
    if not points:
        return []
    rows = []
    for name, factor, label in (
        ("pd_at_false_alarms_per_image", 1.0, "false alarms an image"),
        ("pd_at_fa_area", PER_MILLION, "e-6 Fa"),
    ):
        for one in points[name]:
            pd, threshold = (
                "-" if math.isnan(one[key]) else f"{one[key]:.4g}" for key in ("pd", "threshold")
            )
            rows.append([f"at most {one['limit'] * factor:g} {label}", pd, threshold])
    return rows


def error_line(result: Mapping[str, Any]) -> str:
    """The error taxonomy in one line."""
    return ", ".join(f"{kind.replace('_', ' ')} {count}" for kind, count in result["errors"].items())


COMPARED: dict[str, tuple[str, float, str]] = {
    "iou": ("IoU", 1, ".4f"),
    "niou": ("nIoU", 1, ".4f"),
    "pd": ("Pd", 1, ".4f"),
    "fa_area": ("Fa of components, 1e-6", PER_MILLION, ".2f"),
    "false_alarms_per_megapixel": ("false alarms a megapixel", 1, ".3f"),
}


def comparison_rows(comparison: Mapping[str, Any]) -> list[list[str]]:
    """A row for each number of two detectors: both values, their difference, its interval and its p."""
    rows = []
    for name, (label, factor, style) in COMPARED.items():
        found = comparison["numbers"][name]
        one, other, gap, low, high = (
            "-" if math.isnan(found[key]) else f"{found[key] * factor:{style}}"
            for key in ("one", "other", "difference", "low", "high")
        )
        p = "-" if math.isnan(found["p"]) else f"{found['p']:.3f}"
        rows.append([label, one, other, gap, "" if low == "-" else f"[{low}, {high}]", p])
    return rows


def target_line(comparison: Mapping[str, Any]) -> str:
    """Which targets two detectors find, in one line."""
    found = comparison["targets"]
    return (
        f"targets: {found['both']} found by both, {found['only_one']} by this one only,"
        f" {found['only_other']} by the other only, {found['neither']} by neither;"
        f" McNemar's exact test p = {found['p']:.3f}"
    )


def write_scores(path: Path | str, result: Mapping[str, Any], per_image: Sequence[Mapping[str, Any]]) -> None:
    """Write everything as JSON; a number that does not exist becomes null."""
    write_json(path, jsonable({**result, "per_image": list(per_image)}))


def write_table(path: Path | str, per_image: Sequence[Mapping[str, Any]]) -> None:
    """Write one line a frame as CSV; an IoU that does not exist stays empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(per_image[0]) if per_image else ["id"], lineterminator="\n")
    writer.writeheader()
    for row in per_image:
        writer.writerow({key: "" if value != value else value for key, value in row.items()})
    write_text(path, text.getvalue())


def _look_up(result: Mapping[str, Any], place: str) -> float | None:
    value: Any = result
    for key in place.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, float) else None
