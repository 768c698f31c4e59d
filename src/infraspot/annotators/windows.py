"""Simple annotators in a window around the click: Otsu, watershed, random walker."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from infraspot.annotators import flood
from infraspot.annotators.inputs import pixel_of
from infraspot.annotators.region import Region, soft_of
from infraspot.annotators.surroundings import Surroundings, look_around

Segmenter = Callable[[NDArray[np.float32], tuple[int, int]], NDArray[np.bool_]]

_HALF = 10
_EIGHT = np.ones((3, 3), bool)
_CORE, _OUTSIDE = 0.8, 0.1
"""Levels that a marker of the target, and one of the background, must reach or stay below."""
_RIM = 9


def annotate_otsu(image: NDArray[np.float32], points: NDArray[np.float64]) -> list[Region]:
    """Otsu's threshold (IEEE TSMC 1979) of a 21x21 window; the component at the click's peak."""
    return _each(image, points, _otsu)


def annotate_watershed(image: NDArray[np.float32], points: NDArray[np.float64]) -> list[Region]:
    """Watershed of the gradient from two markers: the target's core, and the window's dim or far pixels.

    Meyer & Beucher, Morphological segmentation, 1990.
    """
    return _each(image, points, _watershed)


def annotate_random_walker(image: NDArray[np.float32], points: NDArray[np.float64]) -> list[Region]:
    """Random walker between the two markers of the watershed (Grady, IEEE TPAMI 2006)."""
    return _each(image, points, _random_walker)


def _each(image: NDArray[np.float32], points: NDArray[np.float64], segment: Segmenter) -> list[Region]:
    return [_in_window(look_around(image, *pixel_of(point)), segment) for point in points]


def _in_window(target: Surroundings, segment: Segmenter) -> Region:
    y, x = target.peak
    top, left = max(y - _HALF, 0), max(x - _HALF, 0)
    window = target.window[top : y + _HALF + 1, left : x + _HALF + 1]
    peak = (y - top, x - left)
    mask = np.zeros(window.shape, bool)
    if np.ptp(window) > 0:
        mask = seeded_component(segment(window, peak), peak)
    mask[peak] = True
    return Region(target.top + top, target.left + left, soft_of(flood.filled(mask)))


def seeded_component(mask: NDArray[np.bool_], seed: tuple[int, int]) -> NDArray[np.bool_]:
    """The 8-connected component that holds the seed; empty where the seed is outside the mask."""
    labels, _ = ndimage.label(mask, structure=_EIGHT)
    component: NDArray[np.bool_] = (labels == labels[seed]) & bool(labels[seed])
    return component


def _otsu(window: NDArray[np.float32], _: tuple[int, int]) -> NDArray[np.bool_]:
    from skimage.filters import threshold_otsu

    above: NDArray[np.bool_] = window > threshold_otsu(window)
    return above


def _markers(window: NDArray[np.float32], peak: tuple[int, int]) -> NDArray[np.int32]:
    """1 the core of the target, 2 the background: dim pixels and those far from the peak."""
    core = seeded_component(window >= _CORE, peak)
    core[peak] = True
    ys, xs = np.ogrid[: window.shape[0], : window.shape[1]]
    far = np.maximum(abs(ys - peak[0]), abs(xs - peak[1])) >= _RIM
    markers = np.zeros(window.shape, np.int32)
    markers[(window <= _OUTSIDE) | far] = 2
    markers[core] = 1
    return markers


def _watershed(window: NDArray[np.float32], peak: tuple[int, int]) -> NDArray[np.bool_]:
    from skimage.segmentation import watershed

    slope = ndimage.gaussian_gradient_magnitude(window, 0.7)
    basin: NDArray[np.bool_] = watershed(slope, _markers(window, peak), connectivity=_EIGHT) == 1
    return basin


def _random_walker(window: NDArray[np.float32], peak: tuple[int, int]) -> NDArray[np.bool_]:
    from skimage.segmentation import random_walker

    markers = _markers(window, peak)
    if not (markers == 2).any() or not (markers == 0).any():
        return markers == 1
    walked: NDArray[np.bool_] = random_walker(window, markers, beta=90, mode="bf", prob_tol=1) == 1
    return walked
