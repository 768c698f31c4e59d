"""The same recipe under several seeds: what they agree on, and how far they differ."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from infraspot.core.files import write_text
from infraspot.training.run import Row
from infraspot.training.validation import NUMBERS

REPEATS = "repeats.csv"


def spread_of(rows: Sequence[Row]) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation (of a sample, with n - 1) of each number of the validation.

    One row has a deviation of NaN, and so has a number that some row lacks.
    """
    values = {name: [row.get(name, math.nan) for row in rows] for name in NUMBERS}
    return {
        name: (float(np.mean(given)), float(np.std(given, ddof=1)) if len(given) > 1 else math.nan)
        for name, given in values.items()
    }


def write_repeats(folder: Path, kinds: Mapping[str, Mapping[int, Row]]) -> Path:
    """Write a line a seed, then mean and deviation, for each kind of weights; returns the file.

    Parameters
    ----------
    kinds
        From ``best`` or ``last`` to the validation of these weights by seed.
    """
    lines = [",".join(("weights", "seed", "epoch", *NUMBERS))]
    for kind, rows in kinds.items():
        for seed, row in rows.items():
            numbers = [row.get(name, math.nan) for name in NUMBERS]
            lines.append(_line(kind, seed, f"{row['epoch']:.0f}", numbers))
        spread = spread_of(list(rows.values()))
        for place, name in enumerate(("mean", "deviation")):
            lines.append(_line(kind, name, "", [spread[number][place] for number in NUMBERS]))
    write_text(folder / REPEATS, "\n".join(lines) + "\n")
    return folder / REPEATS


def _line(kind: str, seed: object, epoch: str, numbers: Sequence[float]) -> str:
    return ",".join((kind, str(seed), epoch, *(f"{number:.8g}" for number in numbers)))
