"""One image's clicks grown to masks by one or several methods."""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.annotators import ADAPTERS, LabelledMask, annotate
from infraspot.core.errors import UsageError
from infraspot.core.geometry import find_components
from infraspot.core.sample import Sample

_ORACLE_METHODS = ("mclc", "diffusion-mc")
_SEEDED_METHODS = ("mclc", "diffusion-mc")


@dataclass(frozen=True)
class LabelOptions:
    """How clicks become masks.

    Attributes
    ----------
    methods
        Keys of :data:`infraspot.annotators.ANNOTATORS` or :data:`~infraspot.annotators.ADAPTERS`.
    level
        Boundary level of ``profile``: ``auto``, a number, ``preset:NAME`` or a file.
    size_prior
        ``none``, or ``oracle``: tell mclc and diffusion-mc each target's true area, as their authors did.
    seed
        Of the random methods.
    weights
        Folder with the model of ``sam`` or ``sam2``.
    """

    methods: tuple[str, ...]
    level: str = "auto"
    size_prior: str = "none"
    seed: int = 0
    weights: str | None = None


@dataclass(frozen=True, eq=False)
class Labelling:
    """The mask of one method, and the milliseconds of thread time that it took."""

    labelled: LabelledMask
    milliseconds: float


def label_sample(sample: Sample, points: NDArray[np.float64], options: LabelOptions) -> dict[str, Labelling]:
    """Grow the clicks of one image by every method.

    Parameters
    ----------
    points
        (N, 2) clicks (y, x).

    Raises
    ------
    InputError
        If a click lies outside the image.
    UsageError
        If true areas are asked for and the sample has no mask.
    """
    labelled = {}
    for method in options.methods:
        chosen = _method_options(sample, points, options, method)
        start = time.thread_time()
        grown = annotate(sample.image, points, method, **chosen)
        labelled[method] = Labelling(grown, 1000 * (time.thread_time() - start))
    return labelled


def _method_options(
    sample: Sample, points: NDArray[np.float64], given: LabelOptions, method: str
) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if method == "profile":
        options["level"] = given.level
    if method in ADAPTERS:
        options["weights"] = given.weights
    if method in _SEEDED_METHODS:
        options["seed"] = given.seed
    if method in _ORACLE_METHODS and given.size_prior == "oracle":
        options |= {"size_prior": "oracle", "areas": _true_areas(sample, points)}
    return options


def _true_areas(sample: Sample, points: NDArray[np.float64]) -> NDArray[np.int64]:
    """Area of the true target nearest to each click."""
    if sample.mask is None:
        raise UsageError(f"{sample.id}: --size-prior oracle needs true masks, and the image has none")
    parts = find_components(sample.mask)
    if not len(parts):
        return np.zeros(len(points), np.int64)
    apart = np.hypot(*(points[:, None] - parts.centroids[None]).transpose(2, 0, 1))
    areas: NDArray[np.int64] = parts.areas[apart.argmin(1)] if len(points) else np.zeros(0, np.int64)
    return areas
