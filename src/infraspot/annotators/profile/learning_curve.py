"""How much labelling a fitted level is worth: the figure against the number of labelled targets."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from infraspot.annotators.profile.fitting import Examples, Fit, best_levels, folds_by_image, set_iou


def learning_curve(
    examples: Examples,
    judged: NDArray[np.bool_],
    fit: Fit,
    sizes: Sequence[int],
    *,
    folds: int = 5,
    repeats: int = 3,
    seed: int = 0,
) -> Iterator[tuple[int, list[float]]]:
    """Set IoU against the number of labelled targets, cross-validated by image.

    In each fold the level is fitted to images drawn from the other folds until they hold ``size`` targets.

    Parameters
    ----------
    judged
        (N,) which examples count as targets and are scored; the others, further clicks on the same targets,
        only take part in the fit.
    sizes
        Rising numbers of labelled targets; those that the other folds cannot fill are left out, and all of
        their targets come last.

    Yields
    ------
    The number of labelled targets, and the IoU over all judged targets of each of ``repeats`` draws.
    """
    fold = folds_by_image(examples.group, folds, seed)
    most = min(int((judged & (fold != k)).sum()) for k in range(folds))
    for size in [*(size for size in sizes if size < most), most]:
        ious = []
        for repeat in range(repeats):
            levels = np.zeros(len(examples), np.int64)
            for k in range(folds):
                chosen = _draw(
                    examples.group, judged, fold != k, size, np.random.default_rng([seed, repeat, k])
                )
                held = judged & (fold == k)
                levels[held] = best_levels(fit(chosen, seed + repeat), examples.take(held))
            ious.append(set_iou(examples.take(judged), levels[judged]))
        yield size, ious


def _draw(
    group: NDArray[np.int64],
    judged: NDArray[np.bool_],
    usable: NDArray[np.bool_],
    size: int,
    rng: np.random.Generator,
) -> NDArray[np.bool_]:
    """(N,) examples of images drawn until they hold ``size`` judged targets."""
    images = rng.permutation(np.unique(group[usable]))
    running = np.cumsum([(judged & (group == image)).sum() for image in images])
    drawn: NDArray[np.bool_] = np.isin(group, images[: int(np.searchsorted(running, size)) + 1])
    return drawn
