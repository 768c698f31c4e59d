"""The reliability diagram of a model's scores: what they say against how often they are right."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from infraspot.core.errors import UsageError
from infraspot.core.files import replacing
from infraspot.report.plots import FOUND_COLOUR, blank_figure

FORMATS = ("png", "svg", "pdf")


def write_reliability(path: Path | str, card: Mapping[str, Any], model: str) -> Path:
    """Draw the ``calibration`` of a card as PNG, SVG or PDF, by the ending of the file's name.

    A point is a bin of scores: their mean, and the share of targets among the candidates with such scores.
    The bars below are the share of candidates in each bin.

    Raises
    ------
    UsageError
        If the card has no calibration, or the ending is another.
    """
    path, calibration = Path(path), card.get("calibration")
    if path.suffix.lower().removeprefix(".") not in FORMATS:
        raise UsageError(f"{path}: expected a file that ends in .{', .'.join(FORMATS)}")
    if not calibration or not calibration.get("bins"):
        raise UsageError(f"the card of {model} has no calibration to draw; `infraspot train` writes it")
    figure = blank_figure(4.6, 4.6)
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], "--", color="grey", linewidth=1)
    drawn = [("held-out frames", calibration, FOUND_COLOUR)]
    if calibration.get("left_out"):
        drawn.append(("cameras left out", calibration["left_out"], "#1971c2"))
    for label, measured, colour in drawn:
        said, seen, share = np.array(measured["bins"]).T
        axes.plot(said, seen, "o-", color=colour, label=f"{label}: error {measured['error']:.3f}")
        axes.bar(said, 0.2 * share, width=0.03, color=colour, alpha=0.3)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="score", ylabel="share of targets", title=model)
    axes.legend(fontsize=8)
    with replacing(path) as temporary:
        figure.savefig(temporary, format=path.suffix.lower().removeprefix("."))
    return path
