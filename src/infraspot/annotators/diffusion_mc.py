"""``diffusion-mc``: a particle walk after the program released with "Diffuse to Detect" (Liu et al., 2026).

The program differs from the paper's Eqs. 2-4 (see :mod:`infraspot.annotators.diffusion`): particles climb the
gradient and jitter by a local diffusivity; where they end is smoothed, fused with the click's superpixel, cut
by one Otsu threshold over the frame, and sharpened by a dense CRF. It reads each target's size class off the
true mask: that is ``size_prior="oracle"``; by default every target has the middle size.

What differs here from the program, whose constants these are:

- The particles of a target are shared among its sources; there each source has as many.
- A particle counts at the nearest pixel and is held inside the window; there its position is cut to whole
  numbers, and only the look-up is held inside, so that particles leave and come back.
- The sources beside the click are the highest peaks of the superpixel; there the first ones in raster order.
- The CRF starts from a belief of 0.7 and runs on the window with its margin; there from certainty, without
  the margin.
- Windows that overlap are united, each pixel going to the nearest click; there later windows overwrite
  earlier ones.
- Superpixels are our own (:mod:`infraspot.annotators.superpixels`), and the entropy repeats the window's
  edge; there scikit-image makes both, and the entropy counts the pixels inside alone.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from infraspot.annotators.dense_crf import Kernel, mean_field
from infraspot.annotators.equalise import equalise
from infraspot.annotators.inputs import pixel_of
from infraspot.annotators.region import Region
from infraspot.annotators.size_prior import SizeClass, grey_255, size_classes, window_around
from infraspot.annotators.superpixels import superpixel_under
from infraspot.core.options import require_number, require_whole

PHYSICS = (3.2, 6.0, 0.84, 0.6)
"""D0, beta, rho and alpha of the program."""
_WALKS = {"point": (20, 3, 0.18), "spot": (260, 40, 0.2), "extended": (400, 120, 0.4)}
"""Particles, steps and time step of each size class."""
_MARGIN = 4
_SEGMENTS, _COMPACTNESS = 16, 0.32
_PEAKS, _PEAK_SIDE, _PEAK_SIGMAS = 5, 7, 1.5
_POINT_FLOOR, _POINT_SPREAD = 0.75, 1.5
_KERNELS = (Kernel(8, 110, 10),)
_CRF_STEPS = 5
_BELIEF = 0.7
"""Probability of a pixel that the threshold lets through, before the CRF."""


def annotate_diffusion_mc(
    image: NDArray[np.float32],
    points: NDArray[np.float64],
    *,
    size_prior: str = "none",
    areas: Any = None,
    seed: int = 0,
    physics: tuple[float, float, float, float] = PHYSICS,
) -> list[Region]:
    """Particle walk from the click, after the released program of Diffuse to Detect.

    Parameters
    ----------
    size_prior, areas
        ``"oracle"`` with the true area of each click's target, in pixels, or ``"none"``.
    seed
        Of the particles and of the windows' extents.
    physics
        D0 and beta of the diffusivity, rho, the share of the heat in the label, and alpha, the share of edges
        in what slows the particles.
    """
    from skimage.filters import threshold_otsu

    require_whole(0, 2**63 - 1, seed=seed)
    d0, beta, rho, alpha = physics
    require_number(0, 1e6, d0=d0, beta=beta)
    require_number(0, 1, rho=rho, alpha=alpha)
    rng = np.random.default_rng(seed)
    frame = equalise(image)
    label = np.zeros(image.shape, np.float32)
    places = []
    for point, size in zip(points, size_classes(len(points), size_prior, areas), strict=True):
        y, x = pixel_of(point)
        place = window_around((image.shape[0], image.shape[1]), (y, x), size, rng, _MARGIN)
        click = (y - place[0].start, x - place[1].start)
        label[place] = np.maximum(label[place], _walk_and_fuse(frame[place], click, size, rng, physics))
        places.append(place)
    rough = label > threshold_otsu(label) if np.ptp(label) > 0 else label > 0
    return [_sharpen(image, rough, place) for place in places]


def _walk_and_fuse(
    crop: NDArray[np.float32],
    click: tuple[int, int],
    size: SizeClass,
    rng: np.random.Generator,
    physics: tuple[float, float, float, float],
) -> NDArray[np.float32]:
    prior = superpixel_under(_stretch(crop), click, segments=_SEGMENTS, compactness=_COMPACTNESS)
    d0, beta, rho, alpha = physics
    heat = _walk(crop, _sources(crop, prior, click), size, rng, (d0, beta, alpha))
    label = rho * heat + (1 - rho) * prior
    if size == "point":
        ys, xs = np.ogrid[: crop.shape[0], : crop.shape[1]]
        bump = np.exp(-((ys - click[0]) ** 2 + (xs - click[1]) ** 2) / (2 * _POINT_SPREAD**2))
        label *= _POINT_FLOOR + (1 - _POINT_FLOOR) * bump
    return label.astype(np.float32)


def _sources(
    crop: NDArray[np.float32], prior: NDArray[np.bool_], click: tuple[int, int]
) -> NDArray[np.float64]:
    """The click and the highest peaks inside its superpixel, (S, 2)."""
    peaks = prior & (crop == ndimage.maximum_filter(crop, _PEAK_SIDE))
    peaks &= crop > crop.mean() + _PEAK_SIGMAS * crop.std()
    ys, xs = np.nonzero(peaks)
    highest = np.argsort(-crop[ys, xs], kind="stable")[:_PEAKS]
    found = [click, *zip(ys[highest].tolist(), xs[highest].tolist(), strict=True)]
    return np.array(list(dict.fromkeys(found)), np.float64)


def _walk(
    crop: NDArray[np.float32],
    sources: NDArray[np.float64],
    size: SizeClass,
    rng: np.random.Generator,
    medium: tuple[float, float, float],
) -> NDArray[np.float32]:
    """Smoothed end points of the particles, maximum 1."""
    particles, steps, dt = _WALKS[size]
    drift = np.stack([_gradient(crop, axis) for axis in (0, 1)], axis=-1)
    spread = np.sqrt(2 * dt * _diffusivity(crop, drift, *medium))
    at = sources[np.arange(particles) % len(sources)]
    highest = np.array(crop.shape) - 1
    for kick in rng.standard_normal((steps, particles, 2)):
        y, x = np.rint(at).astype(int).T
        at = np.clip(at + drift[y, x] * dt + spread[y, x, None] * kick, 0, highest)
    ends = np.zeros(crop.shape, np.float32)
    np.add.at(ends, tuple(np.rint(at).astype(int).T), 1)
    heat = ndimage.convolve(ends, _BINOMIAL, mode="constant")
    return heat / heat.max()


_BINOMIAL = np.outer([1, 2, 1], [1, 2, 1]).astype(np.float32) / 16


def _diffusivity(
    crop: NDArray[np.float32], drift: NDArray[np.float32], d0: float, beta: float, alpha: float
) -> NDArray[np.float32]:
    """D0 exp(-beta (alpha |grad I| + (1 - alpha) H)), H the entropy of 5x5 pixels over 8 bits."""
    slope = np.hypot(drift[..., 0], drift[..., 1])
    hindrance = alpha * slope + (1 - alpha) * _local_entropy(crop) / 8
    diffusivity = d0 * np.exp(-beta * hindrance)
    return diffusivity.astype(np.float32, copy=False)


def _local_entropy(crop: NDArray[np.float32]) -> NDArray[np.float32]:
    """Entropy in bits of the grey values (8 bits) of each 5x5 neighbourhood, edges repeated."""
    padded = np.pad(np.rint(crop * 255).astype(np.int16), 2, mode="edge")
    around = np.lib.stride_tricks.sliding_window_view(padded, (5, 5)).reshape(*crop.shape, 25)
    same = (around[..., :, None] == around[..., None, :]).sum(-1)
    entropy: NDArray[np.float32] = -np.log2(same / np.float32(25)).mean(-1)
    return entropy


def _sharpen(image: NDArray[np.float32], rough: NDArray[np.bool_], place: tuple[slice, slice]) -> Region:
    belief = np.where(rough[place], _BELIEF, 1 - _BELIEF).astype(np.float32)
    soft = mean_field(belief, grey_255(image[place]), _KERNELS, _CRF_STEPS)
    return Region(place[0].start, place[1].start, soft)


def _gradient(crop: NDArray[np.float32], axis: int) -> NDArray[np.float32]:
    if crop.shape[axis] < 2:
        return np.zeros_like(crop)
    slope: NDArray[np.float32] = np.gradient(crop, axis=axis)
    return slope


def _stretch(crop: NDArray[np.float32]) -> NDArray[np.float32]:
    low, high = float(crop.min()), float(crop.max())
    return (crop - low) / max(high - low, 1e-6)
