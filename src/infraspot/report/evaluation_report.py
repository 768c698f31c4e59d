"""The report of an evaluation: what its page shows, as one table of plain values."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.core.version import VERSION
from infraspot.metrics import Evaluation
from infraspot.metrics.intervals import curve_bands, rate_interval, share_interval
from infraspot.metrics.strata import AREA_EDGES, AREA_NAMES, RATIO_EDGES, RATIO_NAMES
from infraspot.report.cases import Case, CaseBook, Picture
from infraspot.report.document import write_document
from infraspot.report.pairs import PairList
from infraspot.report.scores import score_rows

MOST_FRAMES, MOST_GROUPS = 1000, 40
BORDER_EDGES, BORDER_NAMES = (2, 7, 31), ("0-2", "3-7", "8-31", ">31")

CASE_COLUMNS = (
    "kind", "frame", "word", "found", "by", "x", "y", "area", "scr", "score", "distance", "iou", "border",
)  # fmt: skip

_LAST_NUMBER = re.compile(r"[-_. ]*\d+\D*$", re.ASCII)


def write_report(
    path: Path | str,
    result: Mapping[str, Any],
    evaluation: Evaluation,
    book: CaseBook,
    pairs: PairList,
    *,
    fps: float = 25.0,
    other: tuple[Mapping[str, Any], Evaluation, PairList] | None = None,
) -> Path:
    """Write the report of an evaluation, and of its comparison with another one over the same frames."""
    source = result["source"]
    bootstrap, seed = source["bootstrap"], source["seed"]
    title = f"{Path(source['prediction']).name} on {Path(source['truth']).name}"
    if source["split"]:
        title += f" {Path(source['split']).stem}"
    names = [source["prediction"]] + ([] if other is None else [other[0]["source"]["prediction"]])
    data = {
        "version": VERSION,
        "title": title,
        "names": names,
        "thresholds": [one["threshold"] for one in (result, other and other[0]) if one],
        "fps": fps,
        "source": {**source, "taken": pairs.taken, **pairs.model},
        "numbers": _numbers(result),
        "rows": score_rows(result),
        "curves": [_curve(result, book, bootstrap, seed)]
        + ([] if other is None else [_plain_curve(other[0], book)]),
        "points": pairs.points,
        "command": _command(source, pairs),
        "strata": _strata(book),
        "errors": result["errors"],
        "causes": dict(sum((view.causes for view in book.frames), Counter())),
        **_frames(evaluation, book),
        "cases": _cases(book.cases),
        "pictures": [_picture(case.picture) for case in book.cases],
        "cases_left_out": book.left_out,
        "frames_not_scored": result["left_out"][:MOST_FRAMES],
        "n_not_scored": len(result["left_out"]),
        "comparison": result.get("comparison"),
    }
    return write_document(path, title, data, ["evaluation.js"])


def _numbers(result: Mapping[str, Any]) -> dict[str, Any]:
    shown = (
        "protocol", "definition", "threshold", "n_images", "n_targets", "n_false_detections", "n_images_niou",
        "iou", "niou", "pd", "fa_area", "fa_pixel", "false_alarms_per_image", "false_alarms_per_megapixel",
        "reasons", "curve_reason", "pixel_auc", "pixel_ap", "target_ap", "box_ap", "points", "sets",
    )  # fmt: skip
    found = {name: result[name] for name in shown if name in result}
    return {**found, "intervals": result.get("intervals", {})}


def _curve(result: Mapping[str, Any], book: CaseBook, draws: int, seed: int) -> dict[str, Any] | None:
    """The operating curve with 95 % bands over frames; None without scores."""
    plain = _plain_curve(result, book)
    # In the order of the headline's intervals, so that both draw the same frames.
    views = sorted((view for view in book.frames if view.hits is not None), key=lambda view: view.id)
    if plain is None or not draws or not views:
        return plain
    targets = np.array([len(view.targets) for view in views], np.float64)
    pixels = np.array([view.pixels for view in views], np.float64)
    hits = np.stack([view.hits for view in views if view.hits is not None])
    false = np.stack([view.false for view in views if view.false is not None])
    bands = curve_bands(hits, false, targets, pixels, draws=draws, seed=seed)
    return {
        **plain,
        "pd_low": bands.pd_low,
        "pd_high": bands.pd_high,
        "false_low": bands.false_low,
        "false_high": bands.false_high,
    }


def _plain_curve(result: Mapping[str, Any], book: CaseBook) -> dict[str, Any] | None:
    """Thresholds, Pd and false alarms a megapixel."""
    curve = result.get("curve")
    if not curve:
        return None
    megapixels = sum(view.pixels for view in book.frames) / 1e6 / len(book.frames)
    return {
        "threshold": curve["threshold"],
        "pd": curve["pd"],
        "false": curve["false_alarms_per_image"] / megapixels,
        "iou": curve["iou"],
    }


def _command(source: Mapping[str, Any], pairs: PairList) -> list[str] | None:
    """``infraspot detect`` for the model that was scored; None for a folder of predictions."""
    return ["infraspot", "detect", "FRAMES", "--model", str(source["prediction"])] if pairs.model else None


def _strata(book: CaseBook) -> list[dict[str, Any]]:
    """Pd by what a target is: rows of range, targets, hits and Wilson's interval."""
    table = np.concatenate([view.targets for view in book.frames] or [np.zeros((0, 4))])
    found, area, ratio, border = table.T
    known = ~np.isnan(ratio)
    strata = [
        (
            "signal-to-clutter ratio",
            "",
            _groups(np.abs(ratio[known]), RATIO_EDGES),
            RATIO_NAMES,
            found[known],
        ),
        ("size", "pixels", _groups(area, AREA_EDGES), AREA_NAMES, found),
        ("distance to the border", "pixels", _groups(border, BORDER_EDGES), BORDER_NAMES, found),
        ("polarity", "", (ratio[known] < 0).astype(np.int64), ("bright", "dark"), found[known]),
    ]
    return [
        {"name": name, "unit": unit, "rows": _stratum_rows(group, names, hits)}
        for name, unit, group, names, hits in strata
        if len(hits)
    ]


def _groups(values: NDArray[np.float64], edges: Sequence[float]) -> NDArray[np.int64]:
    return np.searchsorted(edges, values).astype(np.int64)


def _stratum_rows(
    group: NDArray[np.int64], names: Sequence[str], found: NDArray[np.float64]
) -> list[dict[str, Any]]:
    targets = np.bincount(group, minlength=len(names))
    hits = np.bincount(group, weights=found, minlength=len(names))
    low, high = share_interval(hits, targets)
    return [
        {"range": name, "targets": int(targets[k]), "hits": int(hits[k]), "low": low[k], "high": high[k]}
        for k, name in enumerate(names)
    ]


def _frames(evaluation: Evaluation, book: CaseBook) -> dict[str, Any]:
    """Frames, those with the most errors first, and false alarms by scene."""
    shapes = {view.id: view.shape for view in book.frames}
    rows: list[list[Any]] = []
    for record in evaluation.records:
        missed, false = int((~record.hit).sum()), int(record.false.sum())
        height, width = shapes[record.id]
        rows.append([record.id, width, height, len(record.targets), missed, false, record.false_area])
    scenes: dict[str, list[float]] = {}
    for name, width, height, targets, missed, false, _ in rows:
        entry = scenes.setdefault(_LAST_NUMBER.sub("", name) or name, [0] * 5)
        for place, value in enumerate((1, targets, missed, false, width * height / 1e6)):
            entry[place] += value
    groups = sorted(scenes.items(), key=lambda item: (-item[1][3], item[0]))[:MOST_GROUPS]
    rows.sort(key=lambda row: (-row[4] - row[5], -row[6], row[0]))
    return {
        "frames": rows[:MOST_FRAMES],
        "frames_left_out": max(len(rows) - MOST_FRAMES, 0),
        "scenes": [[name, *entry, *_rate(entry[3], entry[4])] for name, entry in groups],
        "scenes_left_out": len(scenes) - len(groups),
        "megapixels": sum(view.pixels for view in book.frames) / 1e6,
    }


def _rate(events: float, amount: float) -> list[float]:
    low, high = rate_interval(events, max(amount, 1e-9))
    return [float(low), float(high)]


def _cases(cases: Sequence[Case]) -> dict[str, Any]:
    return {
        "columns": CASE_COLUMNS,
        "rows": [[_shortened(getattr(case, name)) for name in CASE_COLUMNS] for case in cases],
    }


def _shortened(value: Any) -> Any:
    """Floats with five significant digits, so that the file stays small."""
    return float(f"{value:.5g}") if isinstance(value, float) else value


def _picture(picture: Picture | None) -> list[Any] | None:
    if picture is None:
        return None
    window = picture.window
    place = [window.left, window.top, window.width, window.height]
    return [picture.png, *place, picture.truth, picture.found, picture.other]
