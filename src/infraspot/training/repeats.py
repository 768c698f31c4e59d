"""The same recipe under several seeds: what they agree on, and how far they differ."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from infraspot.core.files import write_text
from infraspot.training.run import Row
from infraspot.training.validation import BOX_NUMBERS, NUMBERS

REPEATS = "repeats.csv"


def spread_of(rows: Sequence[Row]) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation (of a sample, with n - 1) of each number of the validation.

    One row has a deviation of NaN, and so has a number that some row lacks.
    """
    values = {name: [row.get(name, math.nan) for row in rows] for name in _numbers(rows)}
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
    names = _numbers([row for rows in kinds.values() for row in rows.values()])
    lines = [",".join(("weights", "seed", "epoch", *names))]
    for kind, rows in kinds.items():
        for seed, row in rows.items():
            numbers = [row.get(name, math.nan) for name in names]
            lines.append(_line(kind, seed, f"{row['epoch']:.0f}", numbers))
        spread = spread_of(list(rows.values()))
        for place, name in enumerate(("mean", "deviation")):
            lines.append(_line(kind, name, "", [spread[number][place] for number in names]))
    write_text(folder / REPEATS, "\n".join(lines) + "\n")
    return folder / REPEATS


def _numbers(rows: Sequence[Row]) -> tuple[str, ...]:
    """Those of detectors where a row has them, else those of segmentation networks."""
    return BOX_NUMBERS if any("ap" in row for row in rows) else NUMBERS


def _line(kind: str, seed: object, epoch: str, numbers: Sequence[float]) -> str:
    return ",".join((kind, str(seed), epoch, *(f"{number:.8g}" for number in numbers)))
