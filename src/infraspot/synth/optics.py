"""How a point of light falls on the pixels: diffraction or blur, then integration over each element."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, signal, special

Field = NDArray[np.float32]

_FINE = 5
_AIRY_SIGMA = 0.345  # of the first dark ring's radius: the Gaussian that fits the central disc best


@dataclass(frozen=True)
class Optics:
    """The point spread of lens and detector.

    Attributes
    ----------
    shape
        ``"gaussian"``, or ``"airy"`` for a lens limited by diffraction.
    width
        Standard deviation of the Gaussian, or radius of the first dark ring of the Airy pattern, pixels.
    """

    shape: Literal["gaussian", "airy"] = "gaussian"
    width: float = 0.8

    def point(self, size: int, offset: tuple[float, float] = (0.0, 0.0)) -> Field:
        """A point source of unit energy as the pixels collect it.

        Parameters
        ----------
        size
            Odd side of the answer in pixels; the source lies at its centre, moved by ``offset``.
        offset
            (y, x) in pixels, usually within half a pixel.

        Returns
        -------
        (size, size) float32; its sum is the share of the energy that falls within.
        """
        if self.shape == "gaussian":
            y, x = (_collected(size, shift, self.width) for shift in offset)
            return np.outer(y, x).astype(np.float32)
        return binned(self._airy(_fine_grid(size), offset), _FINE)

    def blur(self, picture: Field, fine: int) -> Field:
        """Blur a picture on a grid ``fine`` times finer than the pixels, then integrate over the pixels."""
        if self.shape == "gaussian":
            blurred = ndimage.gaussian_filter(picture, self.width * fine, mode="constant")
        else:
            reach = int(np.ceil(3 * self.width * fine))
            grid = np.arange(-reach, reach + 1) / fine
            kernel = self._airy(grid, (0.0, 0.0))
            blurred = signal.fftconvolve(picture, kernel / kernel.sum(), mode="same").astype(np.float32)
        return binned(blurred, fine)

    def soften(self, background: Field) -> Field:
        """A background through the same lens: the Gaussian nearest to the point spread is enough for it."""
        sigma = self.width if self.shape == "gaussian" else _AIRY_SIGMA * self.width
        soft: Field = ndimage.gaussian_filter(background, sigma, mode="nearest")
        return soft

    def _airy(self, grid: NDArray[np.float64], offset: tuple[float, float]) -> Field:
        """(2 J_1(r) / r) ** 2 on the grid, scaled so that the whole plane holds unit energy a pixel."""
        radius = np.hypot(grid[:, None] - offset[0], grid[None, :] - offset[1])
        r = np.maximum(3.8317 * radius / self.width, 1e-9)
        peak = 3.8317**2 / (4 * np.pi * self.width**2)
        return (peak * (2 * special.j1(r) / r) ** 2).astype(np.float32)


def binned(fine_picture: Field, fine: int) -> Field:
    """Mean over squares of ``fine`` pixels: what detector elements without gaps collect."""
    height, width = (side // fine for side in fine_picture.shape)
    return fine_picture[: height * fine, : width * fine].reshape(height, fine, width, fine).mean(axis=(1, 3))


def _collected(size: int, shift: float, sigma: float) -> NDArray[np.float64]:
    """Share of a Gaussian line that each of ``size`` pixels collects."""
    edges = np.arange(size + 1) - size / 2 - shift
    share: NDArray[np.float64] = np.diff(special.ndtr(edges / sigma))
    return share


def _fine_grid(size: int) -> NDArray[np.float64]:
    """Sub-pixel positions, in pixels from the centre of the middle pixel."""
    return (np.arange(size * _FINE) + 0.5) / _FINE - size / 2
