"""A level scorer: a handful of tiny networks that judge the nested components of a target."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.annotators.profile.features import NAMES
from infraspot.annotators.profile.pixels import PixelNet

FORMAT = "infraspot-level-2"
CLIP = 4.0
"""Features further out than this many deviations count as that far."""

_ARRAYS = ("mean", "scale", "hidden", "hidden_bias", "out")

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Scorer:
    """Mean of M networks of one hidden layer over standardised features; the best score wins.

    Attributes
    ----------
    reads
        F names of :data:`infraspot.annotators.profile.features.NAMES`.
    mean, scale
        (F,) of these features.
    hidden, hidden_bias
        (M, F, K), (M, K).
    out
        (M, K).
    about
        Where it was fitted, on how many targets, with which cross-validated figures.
    pixels
        A network beside it that makes the mask more than a level set, or None.
    """

    reads: tuple[str, ...]
    mean: Array
    scale: Array
    hidden: Array
    hidden_bias: Array
    out: Array
    about: dict[str, Any] = field(default_factory=dict)
    pixels: PixelNet | None = None

    def score(self, features: Array) -> Array:
        """Score of each row of ``level_features``; only differences within a target have a meaning.

        (L, len(NAMES)) -> (L,)
        """
        standard = np.clip((features[:, self._columns] - self.mean) / self.scale, -CLIP, CLIP)
        active = np.maximum(standard @ self._side_by_side + self.hidden_bias.ravel(), 0)
        score: Array = active @ self.out.ravel() / len(self.out)
        return score

    @cached_property
    def _columns(self) -> list[int]:
        return columns_of(self.reads)

    @cached_property
    def _side_by_side(self) -> Array:
        """(F, M * K) the hidden weights of all members."""
        return np.ascontiguousarray(self.hidden.transpose(1, 0, 2).reshape(len(self.mean), -1))

    def plain(self) -> dict[str, Any]:
        """What a level file holds; numbers to four significant digits."""
        numbers = {name: _rounded(getattr(self, name)) for name in _ARRAYS}
        pixels = {} if self.pixels is None else {"pixels": self.pixels.plain()}
        return {"format": FORMAT, "about": self.about, "reads": list(self.reads), **numbers, **pixels}

    @classmethod
    def from_plain(cls, found: dict[str, Any]) -> "Scorer":
        """From what :meth:`plain` gave; a ValueError says what is wrong with it."""
        arrays = {name: np.asarray(found[name], np.float64) for name in _ARRAYS}
        pixels = PixelNet.from_plain(found["pixels"]) if "pixels" in found else None
        scorer = cls(_names(found["reads"]), **arrays, about=dict(found["about"]), pixels=pixels)
        scorer._check_shapes()
        return scorer

    def _check_shapes(self) -> None:
        if self.hidden.ndim != 3 or not self.hidden.size:
            raise ValueError(f"its hidden weights have shape {self.hidden.shape}, expected three dimensions")
        members, features, width = self.hidden.shape
        wanted = [*[(features,)] * 3, *[(members, width)] * 2]
        came = [(len(self.reads),)] + [
            array.shape for array in (self.mean, self.scale, self.hidden_bias, self.out)
        ]
        if came != wanted:
            raise ValueError(f"its arrays have shapes {came}, expected {wanted}")
        if not all(np.isfinite(getattr(self, name)).all() for name in _ARRAYS) or (self.scale <= 0).any():
            raise ValueError("it holds a number that is not finite, or a scale that is not positive")


def columns_of(names: Sequence[str]) -> list[int]:
    """Where the named features stand in ``level_features``."""
    return [NAMES.index(name) for name in names]


def _names(found: Any) -> tuple[str, ...]:
    if not isinstance(found, list) or not all(name in NAMES for name in found):
        raise ValueError("it reads features that this version does not have")
    return tuple(found)


def _rounded(array: Array) -> Any:
    return np.vectorize(lambda value: float(f"{value:.4g}"))(array).tolist()
