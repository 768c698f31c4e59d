"""How good grown masks are: pixels in common with the truth, of an image and of a set."""

from collections.abc import Sequence
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.core.geometry import find_components

SIZES = {"up to 9 px": (0, 9), "10 to 81 px": (10, 81), "over 81 px": (82, None)}
"""The size classes of the field's point-supervision papers, true area in pixels."""


def overlap(mask: NDArray[np.bool_], truth: NDArray[np.bool_]) -> dict[str, Any]:
    """Pixels that a grown mask shares with the truth.

    Parameters
    ----------
    mask, truth
        (H, W) bool.

    Returns
    -------
    ``common`` and ``union``, pixels of the image; ``targets``, for each true target its area, and common and
    united pixels with the parts of the mask that touch it.
    """
    parts, found = find_components(truth), find_components(mask)
    targets = []
    for index, area in enumerate(parts.areas):
        on_target = parts.labels == index + 1
        touching = np.unique(found.labels[on_target])
        mine = np.isin(found.labels, touching[touching > 0]) & ((parts.labels == 0) | on_target)
        common = int((mine & on_target).sum())
        targets.append([int(area), common, int(mine.sum()) + int(area) - common])
    return {"common": int((mask & truth).sum()), "union": int((mask | truth).sum()), "targets": targets}


def summarise(results: Sequence[dict[str, Any]], method: str) -> dict[str, Any]:
    """Figures of one method: shares as fractions, None without truth; thread time as a median over images."""
    found = [result["methods"][method] for result in results]
    truths = [one["truth"] for one in found if "truth" in one]
    pace = [one["ms"] / len(one["clicks"]) for one in found if one["clicks"]]
    filled = [t for t in truths if t["union"]]
    targets = [target for truth in truths for target in truth["targets"]]
    return {
        "targets": len(targets) if truths else sum(len(one["clicks"]) for one in found),
        "iou": _share(sum(t["common"] for t in truths), sum(t["union"] for t in truths)),
        "niou": _mean([t["common"] / t["union"] for t in filled]),
        "target_iou": _mean([common / union for _, common, union in targets]),
        "ms_per_target": median(pace) if pace else None,
        "by_size": {name: _stratum(targets, low, high) for name, (low, high) in SIZES.items()}
        if truths
        else {},
    }


def _stratum(targets: Sequence[Sequence[int]], low: int, high: int | None) -> dict[str, Any]:
    inside = [target for target in targets if target[0] >= low and (high is None or target[0] <= high)]
    return {
        "targets": len(inside),
        "iou": _share(sum(t[1] for t in inside), sum(t[2] for t in inside)),
        "target_iou": _mean([common / union for _, common, union in inside]),
    }


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
