"""Random fields with a power-law spectrum: the stuff of clouds, waves, soil and mountains."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

Field = NDArray[np.float32]


def fractal(
    shape: tuple[int, int],
    slope: float,
    rng: np.random.Generator,
    *,
    stretch: float = 1.0,
    largest: float | None = None,
) -> Field:
    """Gaussian field whose power falls as frequency ** -slope.

    Parameters
    ----------
    shape
        Height and width in pixels; the field repeats itself beyond them.
    slope
        Exponent of the two-dimensional power spectrum: 2 is rough ground, 3 is cloud, 4 is haze.
    rng
        Source of all randomness.
    stretch
        How many times longer than high the structures are.
    largest
        Structures above this size, in pixels, get no more power; default: the larger side.

    Returns
    -------
    (H, W) float32 with mean 0 and standard deviation 1 (all 0 for a single pixel).
    """
    height, width = shape
    fy = fft.fftfreq(height)[:, None]
    fx = fft.rfftfreq(width)[None, :] * stretch
    lowest = 1 / (largest or max(shape))
    amplitude = np.maximum(np.hypot(fy, fx), lowest) ** (-slope / 2)
    amplitude[0, 0] = 0
    spectrum = fft.rfft2(rng.standard_normal(shape)) * amplitude
    return _standard(fft.irfft2(spectrum, s=shape))


def fractal_line(length: int, slope: float, rng: np.random.Generator) -> Field:
    """(length,) float32: the one-dimensional field, for skylines and columns; it does not repeat itself."""
    frequency = np.maximum(fft.rfftfreq(2 * length), 1 / (2 * length))
    amplitude = frequency ** (-slope / 2)
    amplitude[0] = 0
    return _standard(fft.irfft(fft.rfft(rng.standard_normal(2 * length)) * amplitude, n=2 * length)[:length])


def warped(field: Field, along: Field, across: Field, reach: float) -> Field:
    """``field`` pulled about by two other fields of the same shape, by about ``reach`` pixels."""
    y, x = np.indices(field.shape, np.float32)
    places = [y + np.float32(reach) * across, x + np.float32(reach) * along]
    pulled: Field = ndimage.map_coordinates(field, places, order=1, mode="grid-wrap")
    return pulled


def _standard(values: NDArray[Any]) -> Field:
    deviation = values.std()
    centred = values - values.mean()
    return (centred / (deviation if deviation > 0 else 1)).astype(np.float32)
