"""A level scorer: a handful of tiny networks that judge the nested components of a target."""

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.core.errors import InputError
from infraspot.core.files import write_text

FORMAT = "infraspot-level-1"
CLIP = 4.0
"""Features further out than this many deviations count as that far."""

_LONGEST = 10_000_000
_ARRAYS = ("mean", "scale", "hidden", "hidden_bias", "out")

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Scorer:
    """Mean of M networks of one hidden layer over standardised features; the best score wins.

    Attributes
    ----------
    mean, scale
        (F,) of the features.
    hidden, hidden_bias
        (M, F, K), (M, K).
    out
        (M, K).
    about
        Where it was fitted, on how many targets, with which cross-validated figures.
    """

    mean: Array
    scale: Array
    hidden: Array
    hidden_bias: Array
    out: Array
    about: dict[str, Any] = field(default_factory=dict)

    def score(self, features: Array) -> Array:
        """Score of each row, (L, F) -> (L,); only differences within a target have a meaning."""
        standard = np.clip((features - self.mean) / self.scale, -CLIP, CLIP)
        active = np.maximum(standard @ self._side_by_side + self.hidden_bias.ravel(), 0)
        score: Array = active @ self.out.ravel() / len(self.out)
        return score

    @cached_property
    def _side_by_side(self) -> Array:
        """(F, M * K) the hidden weights of all members."""
        return np.ascontiguousarray(self.hidden.transpose(1, 0, 2).reshape(len(self.mean), -1))

    def save(self, path: Path | str) -> None:
        """Write as JSON, numbers to four significant digits."""
        numbers = {name: _rounded(getattr(self, name)) for name in _ARRAYS}
        write_text(path, json.dumps({"format": FORMAT, "about": self.about, **numbers}) + "\n")

    @classmethod
    def load(cls, path: Path | str) -> "Scorer":
        """Read what :meth:`save` wrote.

        Raises
        ------
        InputError
            If the file is absent or is not a level preset.
        """
        try:
            with Path(path).open(encoding="utf-8") as file:
                text = file.read(_LONGEST + 1)
            if len(text) > _LONGEST:
                raise ValueError(f"it is longer than {_LONGEST} characters")
            found = json.loads(text)
            if found["format"] != FORMAT:
                raise ValueError(f"its format is {found['format']!r}")
            arrays = {name: np.asarray(found[name], np.float64) for name in _ARRAYS}
            scorer = cls(**arrays, about=dict(found["about"]))
            scorer._check_shapes()
        except OSError as error:
            raise InputError(
                f"cannot read the level preset {path}: {error.strerror}; check its name"
            ) from error
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
            raise InputError(
                f"{path} is not a level preset ({error}); make one with `infraspot calibrate DATA --out FILE`"
            ) from error
        return scorer

    def _check_shapes(self) -> None:
        if self.hidden.ndim != 3 or not self.hidden.size:
            raise ValueError(f"its hidden weights have shape {self.hidden.shape}, expected three dimensions")
        members, features, width = self.hidden.shape
        wanted = [(features,), (features,), (members, width), (members, width)]
        came = [array.shape for array in (self.mean, self.scale, self.hidden_bias, self.out)]
        if came != wanted:
            raise ValueError(f"its arrays have shapes {came}, expected {wanted}")
        if not all(np.isfinite(getattr(self, name)).all() for name in _ARRAYS) or (self.scale <= 0).any():
            raise ValueError("it holds a number that is not finite, or a scale that is not positive")


def _rounded(array: Array) -> Any:
    return np.vectorize(lambda value: float(f"{value:.4g}"))(array).tolist()
