"""``mclc``: Monte Carlo linear clustering (Li et al., ICCV 2023).

The crop is clustered many times under salt noise; how often a pixel falls into the superpixel of the click is
its score, and one step of a dense CRF sharpens it. The authors' program reads the crop's size off the
true mask: that is ``size_prior="oracle"``; by default every target has the middle size. Its compactness is 20
on CIE colours; what that amounts to depends on the version of scikit-image, and 0.1 on grey suits this one.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.annotators.dense_crf import Kernel, mean_field
from infraspot.annotators.inputs import pixel_of
from infraspot.annotators.region import Region
from infraspot.annotators.size_prior import grey_255, size_classes, window_around

_REPEATS = 50
_SALT = 0.05
_SEGMENTS, _COMPACTNESS = 9, 0.1
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
    rng = np.random.default_rng(seed)
    regions = []
    for point, size in zip(points, size_classes(len(points), size_prior, areas), strict=True):
        y, x = pixel_of(point)
        rows, columns = window_around((image.shape[0], image.shape[1]), (y, x), size, rng)
        crop = image[rows, columns]
        votes = _votes(crop, (y - rows.start, x - columns.start), rng)
        belief = 1 / (1 + np.exp(1 - 2 * votes / votes.max()))
        soft = mean_field(belief, grey_255(crop), _KERNELS, steps=1)
        regions.append(Region(rows.start, columns.start, soft))
    return regions


def _votes(
    crop: NDArray[np.float32], click: tuple[int, int], rng: np.random.Generator
) -> NDArray[np.float32]:
    """How often each pixel shares the click's superpixel.

    Salt is white, so that the noisy crop reaches from its own minimum to 1 before it is clustered.
    """
    from skimage.segmentation import slic

    low = float(crop.min())
    stretched = (crop - low) / max(1 - low, 1e-6)
    salt = rng.random((_REPEATS, *crop.shape)) < _SALT
    votes = np.zeros(crop.shape, np.float32)
    for specks in salt:
        noisy = lightness(np.where(specks, np.float32(1), stretched)) / 100
        labels = slic(noisy, n_segments=_SEGMENTS, compactness=_COMPACTNESS, channel_axis=None, start_label=1)
        votes += labels == labels[click]
    return votes


def lightness(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """CIE lightness, 0 to 100, of sRGB grey values in [0, 1]."""
    linear = np.where(grey <= 0.04045, grey / 12.92, ((grey + 0.055) / 1.055) ** 2.4)
    return np.where(linear > 0.008856, 116 * np.cbrt(linear) - 16, 903.3 * linear).astype(np.float32)
