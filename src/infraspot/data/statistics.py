"""What a data set is like: sizes, depths, brightness, and its targets' number, area and contrast."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.core.files import replacing
from infraspot.data.inspection import Inspection

_FEW = 30
QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


def summarise(inspections: Iterable[Inspection]) -> dict[str, Any]:
    """Counts and quantiles, ready for JSON; unreadable images are counted and left out of the rest.

    ``targets_per_image``, ``area`` (pixels), ``scr``, ``brightness`` and ``deviation`` (in [0, 1]) each hold
    ``mean`` and ``quantiles`` at 0, 5, 25, 50, 75, 95 and 100 %, None where nothing is known.
    """
    inspections = list(inspections)
    read = [inspection for inspection in inspections if inspection.shape is not None]
    annotated = [inspection for inspection in read if inspection.areas is not None]
    shapes = Counter(f"{x.shape[1]}x{x.shape[0]}" for x in read if x.shape is not None)
    areas, ratios = pooled(annotated, "areas"), pooled(annotated, "ratios")
    return {
        "images": len(inspections),
        "unreadable": len(inspections) - len(read),
        "annotated": len(annotated),
        "without_target": sum(not len(x.areas) for x in annotated if x.areas is not None),
        "targets": len(areas),
        "sizes": len(shapes),
        "commonest_sizes": dict(shapes.most_common(5)),
        "bit_depths": {
            str(bits): count for bits, count in sorted(Counter(x.bit_depth for x in read).items())
        },
        "up_to_9_px": int((areas <= 9).sum()),
        "10_to_81_px": int(((areas > 9) & (areas <= 81)).sum()),
        "over_81_px": int((areas > 81).sum()),
        "width": _distribution([x.shape[1] for x in read if x.shape is not None]),
        "height": _distribution([x.shape[0] for x in read if x.shape is not None]),
        "targets_per_image": _distribution([len(x.areas) for x in annotated if x.areas is not None]),
        "area": _distribution(areas),
        "scr": _distribution(ratios),
        "brightness": _distribution([x.mean for x in read]),
        "deviation": _distribution([x.deviation for x in read]),
    }


def pooled(inspections: Iterable[Inspection], name: str) -> NDArray[np.float64]:
    """One array with the ``areas`` or ``ratios`` of every target."""
    parts = [getattr(inspection, name) for inspection in inspections]
    return np.concatenate([np.empty(0), *(part for part in parts if part is not None)])


def draw_statistics(inspections: Iterable[Inspection], path: Path | str, title: str) -> None:
    """Six histograms in one picture (PNG, PDF or SVG by the suffix).

    Raises
    ------
    DataError
        If the picture cannot be written.
    """
    from matplotlib.figure import Figure  # slow to import, and only this picture needs it

    read = [inspection for inspection in inspections if inspection.shape is not None]
    annotated = [inspection for inspection in read if inspection.areas is not None]
    ratios = pooled(annotated, "ratios")
    panels: list[tuple[str, Any, str]] = [
        ("image width / px", [x.shape[1] for x in read if x.shape is not None], "images"),
        ("image height / px", [x.shape[0] for x in read if x.shape is not None], "images"),
        ("mean brightness / full scale", [x.mean for x in read], "images"),
        ("targets an image", [len(x.areas) for x in annotated if x.areas is not None], "images"),
        ("target area / px", pooled(annotated, "areas"), "targets"),
        ("signal-to-clutter ratio", ratios[np.isfinite(ratios)], "targets"),
    ]
    figure = Figure(figsize=(11, 6), layout="constrained")
    figure.suptitle(title)
    for axes, (label, values, counted) in zip(figure.subplots(2, 3).flat, panels, strict=True):
        _histogram(axes, np.asarray(values, np.float64), logarithmic=counted == "targets")
        axes.set_xlabel(label)
        axes.set_ylabel(counted)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120)


def _histogram(axes: Any, values: NDArray[np.float64], *, logarithmic: bool) -> None:
    values = values[np.isfinite(values)]
    if logarithmic:
        values = values[values > 0]
    if not len(values):
        axes.text(0.5, 0.5, "not known", ha="center", va="center", transform=axes.transAxes)
        return
    low, high = float(values.min()), float(values.max())
    if logarithmic and high > low:
        axes.set_xscale("log")
        axes.hist(values, bins=np.geomspace(low, high, 30))
    elif high - low < _FEW and np.array_equal(values, values.round()):
        axes.hist(values, bins=np.arange(low - 0.5, high + 1), rwidth=0.9)
    else:
        axes.hist(values, bins=30)


def _distribution(values: Any) -> dict[str, Any]:
    finite = np.asarray(values, np.float64)
    finite = finite[np.isfinite(finite)]
    if not len(finite):
        return {"mean": None, "quantiles": None}
    return {"mean": float(finite.mean()), "quantiles": [float(q) for q in np.quantile(finite, QUANTILES)]}
