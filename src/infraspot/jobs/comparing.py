"""Two evaluations of the same frames side by side."""

from typing import Any

from infraspot.metrics import Evaluation
from infraspot.metrics.paired import compare, mcnemar, numbers_of

NUMBERS = ("iou", "niou", "pd", "fa_area", "false_alarms_per_megapixel")


def compare_evaluations(
    one: Evaluation, other: Evaluation, *, bootstrap: int = 1000, seed: int = 0
) -> dict[str, Any]:
    """How two detectors differ over the same frames, in the same order.

    Returns
    -------
    ``numbers``: for IoU, nIoU, Pd, Fa and false alarms a megapixel the values of both, their difference
    (one - other), its 95 % interval over frames drawn with replacement and the p of sign flips over frames
    (NaN without ``bootstrap``). ``targets``: those that both, only the one, only the other, or neither finds,
    and the p of McNemar's exact test.
    """
    counts = one.count_rows()[None], other.count_rows()[None]
    here, there = (numbers_of(rows) for rows in counts)
    tests = compare(*counts, NUMBERS, draws=max(bootstrap, 1), seed=seed)
    numbers = {}
    for name in NUMBERS:
        found = tests[name]
        drawn = (found.low, found.high, found.p) if bootstrap else (float("nan"),) * 3
        numbers[name] = {
            "one": here[name],
            "other": there[name],
            "difference": found.difference,
            **dict(zip(("low", "high", "p"), drawn, strict=True)),
        }
    hits = [[bool(hit) for record in side.records for hit in record.hit] for side in (one, other)]
    test = mcnemar(*hits)
    both = sum(a and b for a, b in zip(*hits, strict=True))
    return {
        "numbers": numbers,
        "targets": {
            "both": both,
            "only_one": test.only_one,
            "only_other": test.only_other,
            "neither": test.targets - both - test.only_one - test.only_other,
            "p": test.p,
        },
    }
