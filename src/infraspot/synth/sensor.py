"""From radiance to stored grey levels: noise, faults of the detector, automatic gain, quantisation."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from infraspot.synth.fractal import Field


@dataclass(frozen=True)
class Sensor:
    """A staring array and its electronics.

    Attributes
    ----------
    bits
        Depth of the stored file: 8, 12, 14 or 16.
    well
        Electrons at radiance 1; shot noise is their square root.
    read
        Read noise, share of full scale.
    pattern
        Fixed pattern left after correction: deviation of offsets (share of full scale) and of gains.
    stripes
        Deviation of the offsets of whole columns (or rows), share of full scale.
    faults
        Share of pixels that are dead or hot.
    grain
        Correlation length of the temporal noise, pixels; 0 is white. Compression and scaling leave grain.
    sharpening
        Edge enhancement in the electronics: how much of the detail is added again; leaves dark halos.
    gain
        Automatic gain: the frame's spread is stretched up to so many times; 1 leaves it alone.
    """

    bits: int = 8
    well: float = 4e5
    read: float = 0.002
    pattern: float = 0.001
    stripes: float = 0.0
    faults: float = 0.0
    grain: float = 0.0
    sharpening: float = 0.0
    gain: float = 1.0

    def without_noise(self) -> "Sensor":
        """The same array with perfect detectors: only shot noise below one level remains."""
        return replace(self, well=1e12, read=0.0, pattern=0.0, stripes=0.0, faults=0.0)


@dataclass(frozen=True, eq=False)
class Array:
    """One particular array: the faults that stay from frame to frame.

    ``gains`` and ``offsets`` are (H, W) float32. ``dead``, ``hot`` and ``warm`` are (H, W) bool and disjoint:
    elements that store nothing, that are at full scale, and that add a part of it.
    """

    gains: Field
    offsets: Field
    dead: NDArray[np.bool_]
    hot: NDArray[np.bool_]
    warm: NDArray[np.bool_]


def make_array(sensor: Sensor, shape: tuple[int, int], rng: np.random.Generator) -> Array:
    """Draw the fixed faults of an array."""
    gains = 1 + np.float32(sensor.pattern) * rng.standard_normal(shape, dtype=np.float32)
    offsets = np.float32(sensor.pattern) * rng.standard_normal(shape, dtype=np.float32)
    by_column = rng.random() < 0.7
    lines = rng.standard_normal((1, shape[1]) if by_column else (shape[0], 1), dtype=np.float32)
    fault, kind = rng.random(shape, dtype=np.float32), rng.random(shape, dtype=np.float32)
    faulty = fault < sensor.faults
    return Array(
        gains=gains,
        offsets=offsets + np.float32(sensor.stripes) * lines,
        dead=faulty & (kind < 0.7),
        hot=faulty & (kind >= 0.7),
        warm=np.zeros(shape, np.bool_),
    )


def noise(sensor: Sensor, radiance: Field, rng: np.random.Generator) -> Field:
    """(H, W) float32: temporal noise of one frame, share of full scale."""
    shot = np.maximum(radiance, 0) / np.float32(sensor.well)
    white = rng.standard_normal(radiance.shape, dtype=np.float32)
    if sensor.grain > 0:
        white = ndimage.gaussian_filter(white, sensor.grain, mode="wrap")
        white /= max(float(white.std()), 1e-6)
    return np.sqrt(shot + np.float32(sensor.read**2)) * white


def expose(sensor: Sensor, array: Array, radiance: Field, frame_noise: Field) -> Field:
    """Signal of each detector element, share of full scale, before gain; linear in ``radiance``."""
    signal = radiance * array.gains + array.offsets + frame_noise
    if sensor.sharpening > 0:
        detail = signal - ndimage.gaussian_filter(signal, 1.5, mode="nearest")
        signal = signal + np.float32(sensor.sharpening) * detail
    return signal


@dataclass(frozen=True)
class Gain:
    """Stored level = (signal - black) * slope, clipped to [0, 1]."""

    slope: float
    black: float


def automatic_gain(sensor: Sensor, signal: Field) -> Gain:
    """Stretch the frame's spread towards the whole scale, at most ``sensor.gain`` times, about its median."""
    low, middle, high = (float(v) for v in np.quantile(signal, [0.002, 0.5, 0.998]))
    slope = min(sensor.gain, 0.9 / max(high - low, 1e-6)) if sensor.gain > 1 else 1.0
    if slope <= 1:
        return Gain(1.0, 0.0)
    aim = float(np.clip(middle, 0.05 + (middle - low) * slope, max(0.95 - (high - middle) * slope, 0.05)))
    return Gain(slope, middle - aim / slope)


def digitise(sensor: Sensor, array: Array, signal: Field, gain: Gain) -> Field:
    """(H, W) float32 in [0, 1], on the levels of ``sensor.bits``; dead pixels are 0, hot ones 1."""
    top = 2**sensor.bits - 1
    stored = np.clip((signal - np.float32(gain.black)) * np.float32(gain.slope), 0, 1)
    stored = np.where(array.dead, 0, np.where(array.hot, 1, stored))
    return (np.rint(stored.astype(np.float64) * top) / top).astype(np.float32)
