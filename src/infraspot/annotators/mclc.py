"""``mclc``: Monte Carlo linear clustering (Li et al., ICCV 2023).

The crop is clustered many times under salt noise; how often a pixel falls into the superpixel of the click is
its score, and one step of a dense CRF sharpens it. The crop is clustered as a colour picture: salt strikes
each channel on its own, so that a speck has a hue and does not pass for a part of the target. The authors'
program reads the crop's size off the true mask: that is ``size_prior="oracle"``; by default every target has
the middle size. What its compactness of 20 amounts to depends on the version of scikit-image.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.annotators.dense_crf import Kernel, mean_field
from infraspot.annotators.inputs import pixel_of
from infraspot.annotators.region import Region
from infraspot.annotators.size_prior import grey_255, size_classes, window_around
from infraspot.core.options import require_whole

_REPEATS = 50
_SALT = 0.05
_SEGMENTS, _COMPACTNESS = 9, 20
_KERNELS = (Kernel(3, 3), Kernel(32, 10, 13))


def annotate_mclc(
    image: NDArray[np.float32],
    points: NDArray[np.float64],
    *,
    size_prior: str = "none",
    areas: Any = None,
    seed: int = 0,
) -> list[Region]:
    """Regions by Monte Carlo linear clustering.

    Parameters
    ----------
    size_prior, areas
        ``"oracle"`` with the true area of each click's target, in pixels, or ``"none"``.
    seed
        Of the salt noise and of the windows' extents.
    """
    require_whole(0, 2**63 - 1, seed=seed)
    rng = np.random.default_rng(seed)
    regions = []
    for point, size in zip(points, size_classes(len(points), size_prior, areas), strict=True):
        y, x = pixel_of(point)
        rows, columns = _short(window_around((image.shape[0], image.shape[1]), (y, x), size, rng), (y, x))
        crop = image[rows, columns]
        votes = _votes(crop, (y - rows.start, x - columns.start), rng)
        soft = mean_field(votes / votes.max(), grey_255(crop), _KERNELS, steps=1)
        regions.append(Region(rows.start, columns.start, soft))
    return regions


def _short(window: tuple[slice, slice], click: tuple[int, int]) -> tuple[slice, slice]:
    """The window without its last row and column, as in the authors' program, but never without the click."""
    rows, columns = (
        slice(part.start, max(part.stop - 1, place + 1)) for part, place in zip(window, click, strict=True)
    )
    return rows, columns


def _votes(
    crop: NDArray[np.float32], click: tuple[int, int], rng: np.random.Generator
) -> NDArray[np.float32]:
    """How often each pixel shares the click's superpixel."""
    from skimage.segmentation import slic

    colour = np.repeat(crop[..., None], 3, axis=2)
    votes = np.zeros(crop.shape, np.float32)
    for _ in range(_REPEATS):
        noisy = np.where(rng.random(colour.shape) < _SALT, np.float32(1), colour)
        labels = slic(noisy, n_segments=_SEGMENTS, compactness=_COMPACTNESS, start_label=1)
        votes += labels == labels[click]
    return votes
