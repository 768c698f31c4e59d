"""The logistic curve that turns what is known of a candidate into its score, with the weights of a card."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Logistic:
    """Scores of candidates from their evidence.

    Parameters
    ----------
    card
        A weight for each name of ``evidence``, and ``offset``.
    evidence
        Names of the columns of what is known.
    """

    def __init__(self, card: Mapping[str, Any], evidence: Sequence[str]) -> None:
        self._weights = np.array([card[name] for name in evidence], np.float64)
        self._offset = float(card["offset"])

    def __call__(self, known: NDArray[np.float64]) -> NDArray[np.float64]:
        """(N,) in [0, 1], from (N, K) evidence."""
        logits = np.clip(known @ self._weights + self._offset, -50, 50)
        scores: NDArray[np.float64] = 1 / (1 + np.exp(-logits))
        return scores
