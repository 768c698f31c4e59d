"""How made scenes compare with real ones: statistics side by side, and a picture to look at."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import fft

from infraspot.core.contrast import signal_to_clutter
from infraspot.core.errors import UsageError
from infraspot.core.files import replacing
from infraspot.core.geometry import find_components
from infraspot.core.sample import Sample

_QUARTILES = (25, 50, 75)
_LAPLACIAN_GAIN = 6.0
_TILE = (200, 160)
_COLUMNS = 5
_GAP = 12


def scene_statistics(samples: Sequence[Sample]) -> dict[str, list[float]]:
    """What the frames and targets of a set look like, one value a frame or a target.

    Returns
    -------
    ``mean`` and ``spread`` of grey levels, ``gradient`` (mean length) and ``noise`` (deviation), where white
    is 255; ``spectrum_slope`` (power falls as frequency ** -slope); and for each target its
    ``area`` in pixels, local ``scr``, and ``contrast`` to the mean of the frame in grey levels.

    Raises
    ------
    UsageError
        If there is no sample.
    """
    if not samples:
        raise UsageError("no frames to compare; name a data set with images")
    values: dict[str, list[float]] = {
        name: []
        for name in ("mean", "spread", "gradient", "noise", "spectrum_slope", "area", "scr", "contrast")
    }
    for sample in samples:
        grey = sample.image.astype(np.float64) * 255
        values["mean"].append(float(grey.mean()))
        values["spread"].append(float(grey.std()))
        values["gradient"].append(float(np.hypot(*np.gradient(grey)).mean()) if min(grey.shape) > 1 else 0.0)
        values["noise"].append(noise_level(grey))
        values["spectrum_slope"].append(spectrum_slope(grey))
        if sample.mask is not None:
            parts = find_components(sample.mask)
            values["area"] += [float(area) for area in parts.areas]
            values["scr"] += [float(ratio) for ratio in signal_to_clutter(grey, parts)]
            peaks = [grey[parts.labels == k + 1].max() - grey.mean() for k in range(len(parts))]
            values["contrast"] += [float(peak) for peak in peaks]
    return values


def noise_level(image: NDArray[np.float64]) -> float:
    """Deviation of the noise, in the unit of the image: the median response of a mask blind to planes.

    J. Immerkaer, "Fast noise variance estimation", Computer Vision and Image Understanding 64(2), 1996, with
    the median in place of the mean, so that edges do not count.
    """
    if min(image.shape) < 3:
        return 0.0
    twice = np.diff(np.diff(image, n=2, axis=0), n=2, axis=1)
    return float(np.median(np.abs(twice)) / 0.6745 / _LAPLACIAN_GAIN)


def spectrum_slope(image: NDArray[np.float64]) -> float:
    """Exponent of the power spectrum from 1/64 to 1/8 of a cycle a pixel; 0 for frames under 64 pixels."""
    height, width = image.shape
    if min(height, width) < 64:
        return 0.0
    window = np.outer(np.hanning(height), np.hanning(width))
    power = np.abs(fft.rfft2((image - image.mean()) * window)) ** 2
    frequency = np.hypot(fft.fftfreq(height)[:, None], fft.rfftfreq(width)[None, :])
    edges = np.geomspace(1 / 64, 1 / 8, 9)
    bins = np.digitize(frequency.ravel(), edges)
    sums = np.bincount(bins, power.ravel(), minlength=10)[1:9]
    counts = np.bincount(bins, minlength=10)[1:9]
    mean = sums / np.maximum(counts, 1)
    if (mean <= 0).any():
        return 0.0
    return float(-np.polyfit(np.log(np.sqrt(edges[1:] * edges[:-1])), np.log(mean), 1)[0])


def compare_scenes(real: Sequence[Sample], made: Sequence[Sample]) -> dict[str, Any]:
    """Quartiles of each statistic in both sets, and how far apart the two distributions are.

    ``distance`` is the Kolmogorov-Smirnov distance: 0 for equal distributions, 1 for separate ones.
    """
    from scipy.stats import ks_2samp

    ours, theirs = scene_statistics(made), scene_statistics(real)
    comparison: dict[str, Any] = {"real_frames": len(real), "made_frames": len(made)}
    for name in ours:
        a, b = (np.array(values)[np.isfinite(values)] for values in (theirs[name], ours[name]))
        if len(a) and len(b):
            comparison[name] = {
                "real": [round(float(q), 3) for q in np.percentile(a, _QUARTILES)],
                "made": [round(float(q), 3) for q in np.percentile(b, _QUARTILES)],
                "distance": round(float(ks_2samp(a, b).statistic), 3),
            }
    return comparison


def draw_comparison(
    path: Path | str, real: Sequence[Sample], made: Sequence[Sample], *, rows: int = 6
) -> None:
    """A picture of thumbnails at true grey levels: real frames on the left, made ones on the right."""
    width, height = _TILE
    sheet = Image.new("L", (2 * _COLUMNS * width + _GAP, rows * height), 255)
    for side, samples in enumerate((real, made)):
        chosen = np.linspace(0, len(samples) - 1, min(len(samples), rows * _COLUMNS)).astype(int)
        for place, index in enumerate(chosen):
            row, column = divmod(place, _COLUMNS)
            picture = Image.fromarray(np.rint(samples[index].image * 255).astype(np.uint8))
            left = side * (_COLUMNS * width + _GAP) + column * width
            sheet.paste(picture.resize(_TILE, Image.Resampling.BILINEAR), (left, row * height))
    with replacing(path) as temporary:
        sheet.save(temporary, "PNG")
