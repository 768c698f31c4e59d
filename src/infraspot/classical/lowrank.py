"""The two steps of every low-rank method: thresholding singular values, and shrinking entries."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]

_SPARE = 6


class SingularValueThreshold:
    """Repeated singular value thresholding of a slowly changing matrix.

    The matrices of one decomposition change little from step to step and few of their singular values exceed
    the threshold. So the right singular vectors of one step start a subspace iteration in the next (N. Halko,
    P.-G. Martinsson, J. A. Tropp, "Finding structure with randomness", SIAM Review 53(2), 2011, algorithm
    4.4), which costs two thin products instead of a full decomposition. The subspace grows until its smallest
    singular values lie below the threshold.

    Parameters
    ----------
    rng
        Draws the directions that widen the subspace.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._basis: Matrix | None = None

    def __call__(self, matrix: NDArray[Any], threshold: float) -> Matrix:
        """Lower every singular value of ``matrix`` (M, N) by ``threshold``, those below it to 0."""
        full = min(matrix.shape)
        basis = self._draw(matrix.shape[1], min(2 * _SPARE, full)) if self._basis is None else self._basis
        while True:
            range_, _ = np.linalg.qr(matrix @ basis)
            left, values, right = np.linalg.svd(range_.T @ matrix, full_matrices=False)
            rank = int(np.count_nonzero(values > threshold))
            if rank <= len(values) - _SPARE // 2 or len(values) >= full:
                break
            wider = min(len(values) + max(_SPARE, rank // 2), full)
            basis = np.hstack([right.T, self._draw(matrix.shape[1], wider - len(values))])
        self._basis = right[: rank + _SPARE].T
        lowered: Matrix = (range_ @ (left[:, :rank] * (values[:rank] - threshold))) @ right[:rank]
        return lowered

    def _draw(self, rows: int, columns: int) -> Matrix:
        return self._rng.standard_normal((rows, columns), dtype=np.float32)


def threshold_by_gram(matrix: Matrix, threshold: float) -> Matrix:
    """Singular value thresholding through the Gram matrix of the shorter side, for any rank.

    For X = U S V^T the result U (S - t)+ V^T equals U (1 - t / S)+ U^T X: one small eigenproblem, and V is
    never formed.
    """
    if matrix.shape[0] > matrix.shape[1]:
        return threshold_by_gram(matrix.T, threshold).T
    gram = (matrix @ matrix.T).astype(np.float64)
    squares, left = np.linalg.eigh(gram)
    values = np.sqrt(np.maximum(squares, 1e-30))
    kept = np.maximum(1 - threshold / values, 0)
    projector = ((left * kept) @ left.T).astype(np.float32)
    lowered: Matrix = projector @ matrix
    return lowered


def shrink(values: NDArray[Any], threshold: float | NDArray[Any]) -> NDArray[np.float32]:
    """Soft threshold: towards 0 by ``threshold``, and no further."""
    bound = np.asarray(threshold, np.float32)
    shrunk: NDArray[np.float32] = values - np.clip(values, -bound, bound)
    return shrunk
