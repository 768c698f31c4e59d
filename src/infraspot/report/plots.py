"""Plots of an evaluation: Pd against false alarms, IoU by size, the worst frames."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.core.files import replacing
from infraspot.core.prediction import Target
from infraspot.metrics import FrameRecord
from infraspot.report.pairs import LoadedPair

TRUTH_COLOUR, FOUND_COLOUR = "#2f9e44", "#e8590c"
WORST_FRAMES = 12
HALF_WINDOW = 24


def write_plots(folder: Path, result: Mapping[str, Any]) -> list[Path]:
    """Write the curves and the strata as PNG files; returns those that could be drawn."""
    drawings: dict[str, Callable[[Any, Mapping[str, Any]], bool]] = {
        "pd_fa.png": _draw_pd_fa,
        "iou_by_size.png": _draw_strata,
        "pixel_curves.png": _draw_pixel_curves,
    }
    written = []
    for name, draw in drawings.items():
        figure = blank_figure(6.0, 4.2)
        if draw(figure, result):
            written.append(save_figure(figure, folder / name))
    return written


def rank_frames(records: Sequence[FrameRecord]) -> list[FrameRecord]:
    """Frames with an error, worst first: missed targets and false detections, then lost pixels."""

    def badness(record: FrameRecord) -> tuple[int, int]:
        wrong = int(np.count_nonzero(~record.hit)) + int(np.count_nonzero(record.false))
        return wrong, record.true_pixels + record.predicted_pixels - 2 * record.common_pixels

    faulty = [record for record in records if badness(record) > (0, 0)]
    return sorted(faulty, key=badness, reverse=True)[:WORST_FRAMES]


def write_worst(
    folder: Path, worst: Sequence[FrameRecord], load: Callable[[str], LoadedPair], *, threshold: float
) -> list[Path]:
    """Write one sheet of the worst frames: outlines of truth (green) and prediction (orange) over the image.

    Each picture is the neighbourhood of one frame's first error; without an image the score map is shown.
    """
    if not worst:
        return []
    columns = min(4, len(worst))
    figure = blank_figure(3.0 * columns, 3.3 * -(-len(worst) // columns))
    for place, record in enumerate(worst):
        axes = figure.add_subplot(-(-len(worst) // columns), columns, place + 1)
        _draw_frame(axes, record, load(record.id), threshold)
    figure.suptitle("worst frames: truth green, prediction orange", fontsize=10)
    return [save_figure(figure, folder / "worst.png")]


def blank_figure(width: float, height: float) -> Any:
    """A figure that needs no screen and leaves matplotlib's global state alone."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Any, path: Path) -> Path:
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png")
    return path


def _draw_pd_fa(figure: Any, result: Mapping[str, Any]) -> bool:
    curve = result.get("curve")
    if not curve or np.isnan(curve["pd"]).all():
        return False
    axes = figure.add_subplot()
    shown = curve["fa_area"] > 0
    axes.semilogx(curve["fa_area"][shown] * 1e6, curve["pd"][shown], ".-", color=FOUND_COLOUR, markersize=3)
    axes.plot(
        [max(result["fa_area"], 1e-9) * 1e6], [result["pd"]], "o", color="black", label=_operating(result)
    )
    axes.set(xlabel="Fa of components, 1e-6", ylabel="Pd", ylim=(-0.02, 1.02), title=result["protocol"])
    axes.legend(loc="lower right")
    axes.grid(alpha=0.3)
    return True


def _operating(result: Mapping[str, Any]) -> str:
    return f"threshold {result['threshold']:g}: Pd {result['pd']:.3f}, Fa {result['fa_area'] * 1e6:.1f}e-6"


def _draw_strata(figure: Any, result: Mapping[str, Any]) -> bool:
    strata = {name: [one for one in rows or () if one["targets"]] for name, rows in result["strata"].items()}
    strata = {name: rows for name, rows in strata.items() if rows}
    titles = {"area": "target area, pixels", "scr": "signal-to-clutter ratio"}
    for place, (name, rows) in enumerate(strata.items()):
        axes = figure.add_subplot(1, len(strata), place + 1)
        at = np.arange(len(rows))
        axes.bar(at - 0.2, [one["pd"] for one in rows], 0.4, label="Pd", color="#4c6ef5")
        axes.bar(at + 0.2, [one["target_iou"] for one in rows], 0.4, label="IoU", color=TRUTH_COLOUR)
        axes.set_xticks(at, [f"{one['range']}\n({one['targets']})" for one in rows], fontsize=8)
        axes.set(ylim=(0, 1.02), xlabel=titles[name])
        if not place:
            axes.legend(loc="lower right")
    return bool(strata)


def _draw_pixel_curves(figure: Any, result: Mapping[str, Any]) -> bool:
    curves = result.get("pixel_curves")
    if not curves or not len(curves["recall"]):
        return False
    left, right = figure.subplots(1, 2)
    left.plot(curves["false_positive_rate"], curves["recall"], color=FOUND_COLOUR)
    left.set(xlabel="false positive rate", ylabel="recall", title=f"ROC, area {result['pixel_auc']:.5f}")
    left.set_xscale("symlog", linthresh=1e-6)
    left.set_ylim(-0.02, 1.02)
    right.plot(curves["recall"], curves["precision"], color=TRUTH_COLOUR)
    right.set(xlabel="recall", ylabel="precision", title=f"precision, mean {result['pixel_ap']:.4f}")
    right.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    return True


def _draw_frame(axes: Any, record: FrameRecord, pair: LoadedPair, threshold: float) -> None:
    scores = pair.prediction.score_map
    picture = pair.image if pair.image is not None else pair.truth if scores is None else scores
    height, width = picture.shape
    y, x = _first_error(record)
    top, left = _window_start(y, height), _window_start(x, width)
    window = np.s_[top : top + 2 * HALF_WINDOW, left : left + 2 * HALF_WINDOW]
    axes.imshow(picture[window], cmap="gray", interpolation="nearest")
    _outline(axes, pair.truth[window], TRUTH_COLOUR)
    if scores is None:
        _draw_boxes(axes, pair.prediction.find_targets(threshold), top, left)
    elif scores.shape == pair.truth.shape:
        _outline(axes, scores[window] > threshold, FOUND_COLOUR)
    missed, false = int(np.count_nonzero(~record.hit)), int(np.count_nonzero(record.false))
    axes.set_title(f"{record.id}\nmissed {missed}, false {false}", fontsize=7)
    axes.set_axis_off()


def _draw_boxes(axes: Any, targets: Sequence[Target], top: int, left: int) -> None:
    from matplotlib.patches import Rectangle

    for target in targets:
        x0, y0, x1, y1 = target.box
        corner = (x0 - left - 0.5, y0 - top - 0.5)
        axes.add_patch(Rectangle(corner, x1 - x0, y1 - y0, fill=False, edgecolor=FOUND_COLOUR))


def _window_start(centre: float, side: int) -> int:
    return int(np.clip(centre - HALF_WINDOW, 0, max(side - 2 * HALF_WINDOW, 0)))


def _first_error(record: FrameRecord) -> NDArray[np.float64]:
    """(y, x) of a missed target, else of a false detection, else of any target or detection.

    Under a protocol with a grid this is a place on the grid, and the window is the nearest one of the frame.
    """
    for regions, wrong in ((record.targets, ~record.hit), (record.detections, record.false)):
        if wrong.any():
            place: NDArray[np.float64] = regions.centroids[np.argmax(wrong)]
            return place
    return np.concatenate([record.targets.centroids, record.detections.centroids])[0]


def _outline(axes: Any, mask: NDArray[np.bool_], colour: str) -> None:
    """The pixel edges of a mask, so that no pixel of a target is covered."""
    padded = np.pad(mask, 1)
    across, down = padded[:, 1:] != padded[:, :-1], padded[1:] != padded[:-1]
    lines = [[(x - 0.5, y - 1.5), (x - 0.5, y - 0.5)] for y, x in np.argwhere(across)]
    lines += [[(x - 1.5, y - 0.5), (x - 0.5, y - 0.5)] for y, x in np.argwhere(down)]
    from matplotlib.collections import LineCollection

    axes.add_collection(LineCollection(lines, colors=colour, linewidths=1.2))
