"""How the background moved between two frames: phase correlation, refined to fractions of a pixel."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

Field = NDArray[np.float32]

SIDE = 224
REACH = 32
SMOOTHING = 1.5
PEAKS = 4
WORST_ERROR = 0.2
_LEAST_SIDE = 16
_ROUNDS = 4
_SLACK = 1.0  # pixels by which the first round may be off
_PATIENCE = 4
_COVERED = 4 * np.pi * SMOOTHING**2  # smoothing makes neighbours agree: one value in so many is independent
_NOISE_GRADIENT = (1 - np.exp(-1 / SMOOTHING**2)) / 2  # of smoothed noise: energy of its central differences
_LEAST_SIGNAL = 0.05
_BLOCKS = 4  # a side


@dataclass(frozen=True)
class Motion:
    """Where the background went from the frame before to this one.

    Attributes
    ----------
    dx, dy
        Pixels a frame, positive to the right and down. Where ``known`` is false, a prediction from the frames
        before.
    error
        Standard error of ``dx`` and of ``dy`` in pixels.
    known
        Whether the motion was measured between two frames.
    """

    dx: float = 0.0
    dy: float = 0.0
    error: float = 0.0
    known: bool = True


class Registrar:
    """Registers each frame of a sequence against the last one that could be registered.

    A frame that cannot be (empty sky, saturation, a jump beyond :data:`REACH`) is reported as such, and is
    expected to have moved as the frames before. The next frame is compared with the reference from before the
    gap, so that the camera's way over the gap is known again. After some failures in a row, the newest frame
    becomes the reference.
    """

    def __init__(self) -> None:
        self._reference: _Prepared | None = None
        self._since = np.zeros(2)  # the way assumed since the reference
        self._velocity = np.zeros(2)
        self._failures = 0

    def step(self, image: NDArray[Any], frames: int = 1) -> Motion:
        """The motion of the background since the frame given last.

        Parameters
        ----------
        image
            (H, W), any linear scale; of the same shape as the frames before.
        frames
            How many frame times have passed; more than 1 where frames are missing.
        """
        prepared = _Prepared(image)
        if self._reference is None:
            self._reference = prepared
            return Motion()
        expected = self._velocity * frames
        shift, error = _register(self._reference, prepared, self._since + expected)
        if error <= WORST_ERROR:
            step = shift - self._since
            self._velocity = step / frames if not self._failures else self._velocity
            self._reference, self._since, self._failures = prepared, np.zeros(2), 0
            return Motion(float(step[1]), float(step[0]), float(error))
        self._failures += 1
        self._since = self._since + expected
        if self._failures >= _PATIENCE:
            self._reference, self._since, self._failures = prepared, np.zeros(2), 0
            self._velocity = np.zeros(2)
        return Motion(float(expected[1]), float(expected[0]), 1.0, known=False)

    def state(self) -> dict[str, NDArray[Any]]:
        """Everything that a later :meth:`restore` needs."""
        flat = np.array([*self._since, *self._velocity, self._failures], np.float64)
        reference = np.zeros((0, 0), np.float32) if self._reference is None else self._reference.image
        return {"motion": flat, "reference": reference}

    def restore(self, state: dict[str, NDArray[Any]]) -> None:
        """Go on from what :meth:`state` gave."""
        flat, reference = state["motion"], state["reference"]
        self._since, self._velocity, self._failures = flat[:2].copy(), flat[2:4].copy(), int(flat[4])
        self._reference = _Prepared.again(reference) if reference.size else None


class _Prepared:
    """The middle of a frame, smoothed; its windowed spectrum is made when it is needed."""

    def __init__(self, image: NDArray[Any]) -> None:
        height, width = image.shape
        top, left = max(height - SIDE, 0) // 2, max(width - SIDE, 0) // 2
        middle = np.asarray(image[top : top + SIDE, left : left + SIDE], np.float32)
        smooth: Field = ndimage.gaussian_filter(middle, SMOOTHING, mode="nearest", truncate=3.0)
        smooth -= smooth[::3, ::3].mean()  # cameras change their gain and level from frame to frame
        self.image: Field = smooth / max(float(np.abs(smooth[::3, ::3]).mean()), 1e-12)
        self._spectrum: NDArray[np.complex64] | None = None

    @classmethod
    def again(cls, smoothed: Field) -> "_Prepared":
        made = cls.__new__(cls)
        made.image, made._spectrum = smoothed, None
        return made

    @property
    def spectrum(self) -> NDArray[np.complex64]:
        if self._spectrum is None:
            self._spectrum = fft.rfft2(self.image * _hann(self.image.shape))
        return self._spectrum


def _register(a: _Prepared, b: _Prepared, expected: NDArray[Any]) -> tuple[NDArray[np.float64], float]:
    """The shift (dy, dx) from ``a`` to ``b`` and its standard error, infinite where there is none."""
    if min(a.image.shape) < _LEAST_SIDE or np.ptp(a.image) == 0 or np.ptp(b.image) == 0:
        return np.zeros(2), np.inf
    candidates = {(0, 0), (int(np.rint(expected[0])), int(np.rint(expected[1]))), *_peaks(a, b)}
    best = min(sorted(candidates), key=lambda shift: _misfit(a.image, b.image, shift))
    return _refine(a.image, b.image, np.array(best, np.float64))


def _peaks(a: _Prepared, b: _Prepared) -> list[tuple[int, int]]:
    """The highest peaks of the phase correlation, as whole shifts within the reach."""
    cross = b.spectrum * a.spectrum.conj()
    cross *= _low_pass(a.image.shape) / np.maximum(np.abs(cross), 1e-12)
    surface = fft.irfft2(cross, s=a.image.shape)
    reach = min(REACH, min(a.image.shape) // 3)
    around = np.arange(-reach, reach + 1)  # the surface goes on at its other side
    near = surface[np.ix_(around, around)]
    found = []
    for _ in range(PEAKS):
        y, x = np.unravel_index(int(near.argmax()), near.shape)
        found.append((int(y) - reach, int(x) - reach))
        near[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2] = -np.inf
    return found


def _overlap(shape: tuple[int, ...], shift: tuple[int, int]) -> tuple[Any, Any]:
    """Slices of the first and of the second frame that show the same under a whole shift."""
    first, second = [], []
    for side, step in zip(shape, shift, strict=True):
        first.append(slice(max(-step, 0), side - max(step, 0)))
        second.append(slice(max(step, 0), side - max(-step, 0)))
    return tuple(first), tuple(second)


def _misfit(a: Field, b: Field, shift: tuple[int, int]) -> float:
    """How badly two frames agree: a mean that a few dead pixels and targets do not move."""
    here, there = _overlap(a.shape, shift)
    if min(a[here].shape, default=0) < _LEAST_SIDE:
        return np.inf
    # Every third row and column: the misfit is only compared.
    rest = b[there][::3, ::3] - a[here][::3, ::3]
    np.abs(rest, out=rest)
    return float(np.minimum(rest, 4 * np.median(rest) + 1e-9, out=rest).mean())


def _refine(a: Field, b: Field, shift: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Least squares on the grey values (Gauss-Newton), with weights that leave out what does not fit."""
    placed = None
    for turn in range(_ROUNDS):
        whole = np.rint(shift).astype(int)
        if np.abs(whole).max() > min(a.shape) // 2:
            return shift, np.inf
        if placed is None or (whole != placed).any():
            placed, (gap, gy, gx) = whole, _compared(a, b, whole)
            steep = np.abs(gy)
            steep += np.abs(gx)
        part = shift - whole
        # second(x + part) - first(x), to first order in the fraction; in place, since fresh memory is slow.
        rest = gy * np.float32(part[0])
        rest += gx * np.float32(part[1])
        rest += gap
        rest -= np.median(rest[::3, ::3])
        scale = 1.4826 * float(np.median(np.abs(rest[::3, ::3]))) + 1e-9
        # Where the shift is still off, edges do not fit either, and they are what tells it.
        bound = steep * np.float32(_SLACK / 2**turn)
        bound += np.float32(4 * scale)
        fits = np.abs(rest) < bound
        wy, wx = gy * fits, gx * fits
        across = np.vdot(wy, wx)
        normal = np.array([[np.vdot(wy, wy), across], [across, np.vdot(wx, wx)]], np.float64)
        # Noise has gradients too, and they say nothing about the motion.
        signal = normal - np.eye(2) * np.count_nonzero(fits) * _NOISE_GRADIENT * scale**2 / 2
        if np.linalg.eigvalsh(signal)[0] <= _LEAST_SIGNAL * np.linalg.eigvalsh(normal)[0]:
            return shift, np.inf
        inverse = np.linalg.inv(signal)
        # Halfway between the step that noise shortens and the one that it makes unsteady.
        taken = np.linalg.inv((signal + normal) / 2)
        step = -taken @ np.array([np.vdot(wy, rest), np.vdot(wx, rest)], np.float64)
        shift = shift + np.clip(step, -1, 1)
        if np.abs(step).max() < 0.01:
            break
    if np.abs(step).max() >= 0.5:
        return shift, np.inf
    by_noise = inverse @ normal @ inverse * _COVERED * scale**2
    by_blocks = taken @ _scatter(wy * rest, wx * rest) @ taken
    return shift, float(np.sqrt(max(np.linalg.eigvalsh(by_noise)[-1], np.linalg.eigvalsh(by_blocks)[-1])))


def _scatter(down: Field, right: Field) -> NDArray[np.float64]:
    """Covariance (2, 2) of the sums of two fields, from how the sums of 16 blocks differ.

    Noise alone does not tell how sure a shift is: where the blocks of a frame ask for different ones, their
    residuals are alike within a block (White's standard error for clusters).
    """
    height, width = (
        np.equal.outer(np.arange(_BLOCKS), np.arange(side) * _BLOCKS // side) for side in down.shape
    )
    sums = np.stack([height @ field @ width.T for field in (down, right)]).reshape(2, -1).astype(np.float64)
    sums -= sums.mean(axis=1, keepdims=True)
    return sums @ sums.T * (_BLOCKS**2 / (_BLOCKS**2 - 1))


def _compared(a: Field, b: Field, whole: NDArray[Any]) -> tuple[Field, Field, Field]:
    """Under a whole shift: what ``b`` has more than ``a``, and the slopes of ``b`` down and to the right."""
    here, there = _overlap(a.shape, (int(whole[0]), int(whole[1])))
    first, second = a[here], b[there]
    down, right = second[2:, 1:-1] - second[:-2, 1:-1], second[1:-1, 2:] - second[1:-1, :-2]
    down *= np.float32(0.5)
    right *= np.float32(0.5)
    return second[1:-1, 1:-1] - first[1:-1, 1:-1], down, right


_windows: dict[tuple[str, tuple[int, ...]], Field] = {}


def _hann(shape: tuple[int, ...]) -> Field:
    key = ("hann", shape)
    if key not in _windows:
        _windows[key] = np.outer(np.hanning(shape[0]), np.hanning(shape[1])).astype(np.float32)
    return _windows[key]


def _low_pass(shape: tuple[int, ...]) -> Field:
    """Weight of each frequency: fine ones hold noise."""
    key = ("low", shape)
    if key not in _windows:
        y, x = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None]
        _windows[key] = np.exp(-2 * (np.pi * 1.0) ** 2 * (y**2 + x**2)).astype(np.float32)
    return _windows[key]
