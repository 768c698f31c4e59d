"""Which pixels belong to a target: a tiny network that looks at each of them, beside the scorer of levels.

A level set follows the brightness alone. A person also closes gaps and rounds corners, so that the best level
of a target reaches an IoU of .89 at most. The network sees the neighbourhood of a pixel, turned so that all
eight directions from the peak look alike; its answer is averaged with the scorer's, as a share of the levels
that reach the pixel.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from infraspot.annotators.profile.features import NAMES
from infraspot.annotators.profile.learning import Convention, measures
from infraspot.annotators.surroundings import LEVELS, Surroundings
from infraspot.core.geometry import find_components

Array = NDArray[np.float32]

CLIP = 4.0
"""Features further out than this many deviations count as that far."""
_MOST = 900
"""Pixels that are looked at, those of the highest reach."""
_LEAST = 0.02
_OWN = NAMES.index("contrast")
"""From here on, the features of a level are those of the target and its frame."""
_COUNT = 25 + 9 + 6 + len(NAMES) - _OWN
_TILT, _INSIDE = 0.3, 0.45
"""Added to the network's logit; least mean of both answers of a pixel that is taken."""
_ASCENDING = np.argsort(LEVELS)


class Candidates(NamedTuple):
    """Pixels that may belong to a target: (P,) rows and columns in its window, (P, F) float32 features."""

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    features: Array


def candidates(target: Surroundings, features: NDArray[np.float64], lowest: float) -> Candidates:
    """The pixels whose reach is ``lowest`` or more.

    ``features`` is any row of :func:`infraspot.annotators.profile.features.level_features`.
    """
    reach = target.reach
    rows, columns = np.nonzero(reach >= max(lowest, _LEAST))
    if len(rows) > _MOST:
        kept = np.argsort(-reach[rows, columns], kind="stable")[:_MOST]
        rows, columns = rows[kept], columns[kept]
    down, right = rows - target.peak[0], columns - target.peak[1]
    own = reach[rows, columns]
    ordered = np.sort(reach.ravel())
    depth = np.log(np.maximum(own, _LEAST))
    expected = np.log(Convention().expected(*measures(target)))
    seen = np.empty((len(rows), _COUNT), np.float32)
    # Mirrored so that each pixel lies below the peak, and less to the right than down.
    turn = (down < 0) + 2 * (right < 0) + 4 * (np.abs(right) > np.abs(down))
    seen[:, :25] = _around(target.window, rows, columns, turn, _NEAR)
    seen[:, 25:34] = _around(reach, rows, columns, turn, _NEXT)
    seen[:, 34], seen[:, 35], seen[:, 36] = depth, depth - expected, np.hypot(down, right)
    for column, factor in enumerate((1, 1.5, 0.67), 37):
        seen[:, column] = np.log(np.maximum(reach.size - np.searchsorted(ordered, factor * own), 1))
    seen[:, 40:] = features[_OWN:]
    return Candidates(rows, columns, seen)


@dataclass(frozen=True, eq=False)
class PixelNet:
    """A network of three layers over standardised features.

    Attributes
    ----------
    mean, scale
        (F,) of the features of :func:`candidates`.
    weights, biases
        Of each layer, (inputs, outputs) and (outputs,); the last has one output.
    """

    mean: Array
    scale: Array
    weights: tuple[Array, ...]
    biases: tuple[Array, ...]

    def mask(
        self, target: Surroundings, features: NDArray[np.float64], lowest: float, score: NDArray[np.float64]
    ) -> NDArray[np.bool_]:
        """(h, w) the target's pixels, in one piece with its peak.

        ``score`` is that of each level, (L,), minus infinity where it may not be chosen; other parameters
        are those of :func:`candidates`.
        """
        found = candidates(target, features, lowest)
        reach = target.reach[found.rows, found.columns]
        share = (self.probability(found.features) + _share_of_levels(score, reach)) / 2
        mask = np.zeros(target.reach.shape, np.bool_)
        mask[found.rows, found.columns] = share > _INSIDE
        mask[target.peak] = True
        labels = find_components(mask).labels
        piece: NDArray[np.bool_] = labels == labels[target.peak]
        return piece

    def probability(self, features: Array) -> Array:
        """(P,) of pixels with the features (P, F)."""
        value = np.clip((features - self.mean) / self.scale, -CLIP, CLIP)
        for weights, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            value = np.maximum(value @ weights + bias, 0)
        logit = (value @ self.weights[-1] + self.biases[-1])[:, 0]
        answer: Array = 1 / (1 + np.exp(-(logit + np.float32(_TILT))))
        return answer

    def plain(self) -> dict[str, Any]:
        """What a level file holds; weights to four significant digits."""
        layers = [
            {"weights": _rounded(weights), "bias": _rounded(bias)}
            for weights, bias in zip(self.weights, self.biases, strict=True)
        ]
        return {"mean": _rounded(self.mean, 8), "scale": _rounded(self.scale, 8), "layers": layers}

    @classmethod
    def from_plain(cls, found: dict[str, Any]) -> "PixelNet":
        """From what :meth:`plain` gave; a ValueError says what is wrong with it."""
        layers = [(layer["weights"], layer["bias"]) for layer in found["layers"]]
        with np.errstate(over="ignore"):  # what is infinite afterwards is refused below
            mean, scale = (np.asarray(found[name], np.float32) for name in ("mean", "scale"))
            weights = tuple(np.asarray(one, np.float32) for one, _ in layers)
            biases = tuple(np.asarray(one, np.float32) for _, one in layers)
        if len(layers) != 3 or any(one.ndim != 2 for one in weights):
            raise ValueError("its network of pixels has not three layers")
        sizes = [_COUNT, *(one.shape[1] for one in weights)]
        came = [mean.shape, scale.shape, *(one.shape for one in weights), *(one.shape for one in biases)]
        wanted = [(_COUNT,)] * 2 + list(pairwise(sizes)) + [(n,) for n in sizes[1:]]
        if came != wanted or sizes[-1] != 1:
            raise ValueError(f"its network of pixels has shapes {came}, expected {wanted}")
        if not all(np.isfinite(one).all() for one in (mean, scale, *weights, *biases)) or (scale <= 0).any():
            raise ValueError("its network of pixels holds a number that is not finite, or a scale that is 0")
        return cls(mean, scale, weights, biases)


def _turns(reach: int) -> NDArray[np.intp]:
    """(2, 8, K) steps down and right to the neighbours of a pixel in each of the eight ways to turn them."""
    down, right = np.mgrid[-reach : reach + 1, -reach : reach + 1].reshape(2, -1)
    turned = []
    for turn in range(8):
        first, second = (right, down) if turn & 4 else (down, right)
        turned.append((-first if turn & 1 else first, -second if turn & 2 else second))
    return np.array(turned, np.intp).transpose(1, 0, 2)


_NEAR, _NEXT = _turns(2), _turns(1)


def _around(
    values: Array,
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
    turn: NDArray[np.intp],
    by: NDArray[np.intp],
) -> Array:
    """(P, K) neighbours of each pixel, turned; the window's edge is repeated. ``by`` is of :func:`_turns`."""
    reach = int(by.max())
    padded = np.pad(values, reach, mode="edge")
    places = (by[0] * padded.shape[1] + by[1])[turn]
    places += ((rows + reach) * padded.shape[1] + columns + reach)[:, None]
    return padded.ravel()[places]


def _share_of_levels(score: NDArray[np.float64], reach: Array) -> NDArray[np.float64]:
    """(P,) how much of the softmax over levels lies at or below the reach of each pixel."""
    share = np.exp(score - score.max())
    below = np.concatenate([[0], np.cumsum(share[_ASCENDING])]) / share.sum()
    found: NDArray[np.float64] = below[np.searchsorted(LEVELS[_ASCENDING], reach, side="right")]
    return found


def _rounded(array: Array, digits: int = 4) -> Any:
    return np.vectorize(lambda value: float(f"{value:.{digits}g}"), otypes=[float])(array).tolist()
