"""Detectors of sequences that need no training: what differs from the past of a registered background.

Each is a function ``(stack, *, polarity="bright", ...) -> response``; a stack is (T, H, W), registered frames
of which the last one is searched. A target that stands still against the background is part of it, and is not
seen.
"""

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from infraspot.classical.lowrank import shrink, threshold_by_gram
from infraspot.classical.polarity import Polarity, Response, check_polarity
from infraspot.core.errors import InputError
from infraspot.core.frames import as_grey
from infraspot.core.options import require_number, require_whole

Stack = NDArray[np.float32]

FRAMES = 10
"""Frames that the detectors are shown."""

_TO_DEVIATION = 1.4826  # from a median absolute deviation, for normal noise
_SURROUNDINGS = 9  # pixels
_LEAST_NOISE = 0.001  # of the scale: a quarter of a grey level of 8 bits
_GROWTH = 1.5


def temporal_z(stack: NDArray[Any], *, blur: float = 0.8, polarity: Polarity = "bright") -> Response:
    """Robust z-score in time: how far the last frame lies above the median of all frames.

    Parameters
    ----------
    stack
        (T, H, W) in [0, 1].
    blur
        Standard deviation of the point spread that the scores are matched to, pixels.
    polarity
        Look for targets that are brighter or darker than what surrounds them.

    Returns
    -------
    (H, W) float32 >= 0, in standard deviations of the noise.
    """
    require_number(0, 10, blur=blur)
    return _respond(lambda frames: _z_scores(frames, blur, last_only=True)[-1], stack, polarity)


def shift_add(
    stack: NDArray[Any],
    *,
    fastest: float = 2.0,
    step: float = 0.5,
    cap: float = 5.0,
    blur: float = 0.8,
    polarity: Polarity = "bright",
) -> Response:
    """Shift and add: the best sum of z-scores along any straight way that ends at a pixel.

    A matched filter in space and time (I. S. Reed, R. M. Gagliardi, H. M. Shao, "Application of
    three-dimensional filtering to moving target detection", IEEE TAES 19(6), 1983) over a grid of velocities.

    Parameters
    ----------
    stack, blur, polarity
        As in :func:`temporal_z`.
    fastest, step
        Largest speed along each axis, and distance of neighbouring speeds, pixels a frame.
    cap
        A z-score counts up to this, so that one bright pixel makes no way.

    Returns
    -------
    (H, W) float32 >= 0: sums over the square root of T.
    """
    require_number(0, 20, fastest=fastest, blur=blur)
    require_number(0.1, 20, step=step)
    require_number(0.1, 1e3, cap=cap)

    def bright(frames: Stack) -> NDArray[np.float32]:
        z = np.minimum(_z_scores(frames, blur), np.float32(cap))
        count, height, width = z.shape
        reach = int(np.ceil(fastest * (count - 1)))
        framed = np.pad(z, ((0, 0), (reach, reach), (reach, reach)))
        speeds = np.arange(-np.floor(fastest / step), np.floor(fastest / step) + 1) * step
        best = np.full((height, width), -np.inf, np.float32)
        for vy, vx in product(speeds, speeds):
            total = z[-1].copy()
            for back in range(1, count):
                y, x = reach - round(vy * back), reach - round(vx * back)
                total += framed[count - 1 - back, y : y + height, x : x + width]
            np.maximum(best, total, out=best)
        return best / np.float32(np.sqrt(count))

    return _respond(bright, stack, polarity)


def dp_tbd(
    stack: NDArray[Any],
    *,
    reach: int = 2,
    cap: float = 5.0,
    blur: float = 0.8,
    polarity: Polarity = "bright",
) -> Response:
    """Track before detect by dynamic programming: the best sum of z-scores on any way that ends at a pixel.

    I_k(x) = z_k(x) + max of I_{k-1} within ``reach`` (Y. Barniv, "Dynamic programming solution for detecting
    dim moving targets", IEEE TAES 21(1), 1985). The best way of noise has a positive sum, which the median
    takes out. Sums smear over what a way could reach, so that each counts by how near its pixel is to the
    largest z-score around. Extreme values of target-free ways follow a generalised Pareto law, from which
    :func:`infraspot.classical.threshold.cfar` reads the threshold.

    Parameters
    ----------
    stack, blur, polarity
        As in :func:`temporal_z`.
    reach
        Farthest step from frame to frame along each axis, pixels.
    cap
        As in :func:`shift_add`.

    Returns
    -------
    (H, W) float32 >= 0: sums over the square root of T, less their median.
    """
    require_whole(0, 20, reach=reach)
    require_number(0.1, 1e3, cap=cap)
    require_number(0, 10, blur=blur)
    side = 2 * reach + 1

    def bright(frames: Stack) -> NDArray[np.float32]:
        z = np.minimum(_z_scores(frames, blur), np.float32(cap))
        best = z[0]
        for scores in z[1:]:
            best = scores + ndimage.maximum_filter(best, side, mode="constant", cval=0.0)
        above = np.maximum(best - np.median(best), 0) / np.float32(np.sqrt(len(z)))
        now = np.maximum(z[-1], 0)
        nearby = np.maximum(ndimage.maximum_filter(now, side, mode="nearest"), np.float32(1))
        result: NDArray[np.float32] = above * (now / nearby)
        return result

    return _respond(bright, stack, polarity)


def stt(
    stack: NDArray[Any],
    *,
    weight: float = 1.0,
    tolerance: float = 1e-3,
    steps: int = 60,
    polarity: Polarity = "bright",
) -> Response:
    """Spatial-temporal tensor: a background of low rank along time, and what is sparse in it.

    The frames are the rows of a matrix D; those of a registered background are all alike.
    min |B|_* + lambda |E|_1 subject to B + E = D by inexact augmented Lagrange multipliers (Z. Lin, M. Chen,
    Y. Ma, 2010). After the spatial-temporal models of Y. Sun, J. Yang, W. An, "Infrared dim and small target
    detection via multiple subspace learning and spatial-temporal patch-tensor model", IEEE TGRS 59(5), 2021,
    of which this is the unfolding along time.

    Parameters
    ----------
    stack, polarity
        As in :func:`temporal_z`.
    weight
        lambda in units of 1 / sqrt(pixels of a frame).
    tolerance, steps
        Stop when the relative error of B + E = D falls below ``tolerance``, or after ``steps``.

    Returns
    -------
    (H, W) float32 >= 0, grey levels on the scale of ``stack``, exactly 0 on most pixels.
    """
    require_number(0, 1e6, weight=weight, tolerance=tolerance)
    require_whole(1, 1000, steps=steps)

    def bright(frames: Stack) -> NDArray[np.float32]:
        sparse = _sparse_part(frames.reshape(len(frames), -1), weight, tolerance, steps)
        return sparse.reshape(frames.shape)[-1]

    return _respond(bright, stack, polarity)


SEQUENCES: dict[str, Callable[..., NDArray[np.float32]]] = {
    "temporal-z": temporal_z,
    "shift-add": shift_add,
    "dp-tbd": dp_tbd,
    "stt": stt,
}


def _respond(bright: Callable[[Stack], NDArray[Any]], stack: NDArray[Any], polarity: Polarity) -> Response:
    """Run a detector of bright targets for the wanted polarity.

    Raises
    ------
    InputError
        If the stack is no (T, H, W) array of frames.
    UsageError
        If the polarity is unknown.
    """
    check_polarity(polarity)
    frames = np.asarray(stack)
    if frames.ndim != 3 or not len(frames):
        raise InputError(
            f"expected a stack of frames as (T, H, W), and an array of the shape {frames.shape} came"
        )
    grey = np.stack([as_grey(frame) for frame in frames])
    response = np.maximum.reduce([bright(one) for one in _turned(grey, polarity)])
    return np.maximum(response, 0).astype(np.float32, copy=False)


def _turned(frames: Stack, polarity: Polarity) -> Iterator[Stack]:
    if polarity != "dark":
        yield frames
    if polarity != "bright":
        yield 1 - frames


def _z_scores(frames: Stack, blur: float, *, last_only: bool = False) -> Stack:
    """(T, H, W) deviations from the median in time, in units of the noise around each pixel.

    Edges that registration leaves unsteady have a noise of their own, which is larger.
    """
    level = frames - ndimage.uniform_filter(frames, (0, 32, 32), mode="nearest")  # gain and level of a frame
    middle = np.median(level, axis=0)
    change = level - middle
    spread = np.float32(_TO_DEVIATION) * np.median(np.abs(change), axis=0)
    around = ndimage.uniform_filter(spread, _SURROUNDINGS, mode="nearest")
    wanted = change[-1:] if last_only else change
    z: Stack = wanted / (np.maximum(spread, around) + np.float32(_LEAST_NOISE))
    if blur:
        z = ndimage.gaussian_filter(z, (0, blur, blur), mode="nearest")
        z *= np.float32(_gain_of(blur))
    return z


def _gain_of(blur: float) -> float:
    """What brings blurred white noise back to a deviation of 1."""
    reach = int(4 * blur + 0.5)
    taps = np.exp(-0.5 * (np.arange(-reach, reach + 1) / blur) ** 2)
    taps /= taps.sum()
    return float(1 / (taps**2).sum())


def _sparse_part(D: NDArray[np.float32], weight: float, tolerance: float, steps: int) -> NDArray[np.float32]:
    largest = float(np.linalg.norm(D, 2)) if D.size else 0.0
    if largest == 0 or np.ptp(D) == 0:
        return np.zeros_like(D)
    lam = weight / np.sqrt(max(D.shape))
    mu = 1.25 / largest
    E, Y = np.zeros_like(D), np.zeros_like(D)
    whole = float(np.linalg.norm(D))
    for _ in range(steps):
        B = threshold_by_gram(D - E + Y / np.float32(mu), 1 / mu)
        E = shrink(D - B + Y / np.float32(mu), lam / mu)
        gap = D - B - E
        Y += np.float32(mu) * gap
        mu *= _GROWTH
        if np.linalg.norm(gap) < tolerance * whole:
            break
    return E
