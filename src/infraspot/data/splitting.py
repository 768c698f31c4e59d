"""Dividing a data set into training, validation and test images, evenly in what they show."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from infraspot.data.inspection import Inspection

_SIZES = (9, 81)  # pixels: the point, spot and extended targets of the SIRST benchmarks
_MANY = 3


def stratified_split(
    inspections: Sequence[Inspection], ratios: Sequence[float], *, seed: int
) -> list[list[str]]:
    """Divide images in the given proportions, alike in number and size of targets.

    Images are grouped by their number of targets (0, 1, 2, more) and the area of the median one (up to 9
    pixels, up to 81, more), shuffled within each group, and dealt one by one to the split that is furthest
    behind its share. Images with the same pixels stay together, so that no test image was trained on.

    Returns
    -------
    One list of ids for each ratio, in the order of ``inspections``.
    """
    twins: dict[str, list[int]] = defaultdict(list)
    for index, inspection in enumerate(inspections):
        twins[inspection.digest or f"unreadable {index}"].append(index)
    groups = list(twins.values())
    order = np.random.default_rng(seed).permutation(len(groups))
    ordered = sorted((groups[k] for k in order), key=lambda group: _stratum(inspections[group[0]]))
    shares = np.asarray(ratios, np.float64) / np.sum(ratios)
    counts = np.zeros(len(shares))
    members: list[list[int]] = [[] for _ in shares]
    for group in ordered:
        behind = shares * (counts.sum() + len(group)) - counts
        chosen = int(np.argmax(np.where(shares > 0, behind, -np.inf)))
        members[chosen] += group
        counts[chosen] += len(group)
    return [[inspections[index].id for index in sorted(chosen)] for chosen in members]


def _stratum(inspection: Inspection) -> tuple[int, int]:
    if inspection.areas is None or not len(inspection.areas):
        return 0, 0
    area = float(np.median(inspection.areas))
    return min(len(inspection.areas), _MANY), sum(area > size for size in _SIZES)
