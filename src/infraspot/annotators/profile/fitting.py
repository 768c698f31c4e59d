"""Fitting the level scorer of ``profile`` to the labelling convention of a data set.

The loss is the expected cost of a level under the softmax of the scores; the cost of a level is
``lam * union - intersection`` against the true target (Dinkelbach's form of the set IoU, lam near the IoU to
be reached), divided by a power of the target's area so that large targets do not outvote the others.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.annotators import flood
from infraspot.annotators.inputs import pixel_of
from infraspot.annotators.profile.features import NAMES, frame_features, level_features
from infraspot.annotators.profile.learning import Convention
from infraspot.annotators.profile.level import automatic, plausible
from infraspot.annotators.profile.scorer import CLIP, Scorer, columns_of
from infraspot.annotators.surroundings import LEVELS, Surroundings, look_around
from infraspot.core.geometry import Components, find_components

Array = NDArray[np.float64]
Fit = Callable[[NDArray[np.bool_], int], Scorer | Convention]
"""A level from some of the examples, (N,) bool, and a random seed."""

MIN_TARGETS = 5
"""Fewer labelled targets than this cannot be cross-validated."""

_LAMBDA = 0.82
_AREA_POWER = 0.4
_HIGHEST_COST = 3.0
_STEPS, _STEPS_AN_IMAGE = (100, 600), 4
_BATCH = 128
_REACH = 2
_ADAM = (0.9, 0.99, 1e-8)


@dataclass(frozen=True, eq=False)
class Examples:
    """What a fit needs of N labelled targets with L candidate levels each.

    Attributes
    ----------
    features
        (N, L, F).
    area, hits
        (N, L): pixels of the component; those of them on the true target.
    allowed
        (N, L): levels that may be chosen.
    truth
        (N,): pixels of the true target.
    group
        (N,): which image; cross-validation never splits an image.
    """

    features: Array
    area: Array
    hits: Array
    allowed: NDArray[np.bool_]
    truth: Array
    group: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.truth)

    def take(self, chosen: NDArray[Any]) -> "Examples":
        """Some of the targets, by index or by mask."""
        parts = (getattr(self, field.name)[chosen] for field in fields(self))
        return Examples(*parts)

    def first_allowed(self, levels: NDArray[np.int64]) -> NDArray[np.int64]:
        """(N,) the given levels, raised to the nearest one that may be chosen."""
        steps = np.arange(self.allowed.shape[1])
        reachable = self.allowed & (steps <= levels[:, None])
        raised: NDArray[np.int64] = np.where(reachable, steps, 0).max(1)
        return raised

    def union(self) -> Array:
        """(N, L) pixels in the component or on the true target."""
        union: Array = self.area + self.truth[:, None] - self.hits
        return union


def examples_of(
    image: NDArray[np.float32], mask: NDArray[np.bool_], points: NDArray[np.float64], group: int
) -> Examples | None:
    """Examples of one labelled frame; None where no click lies on or within two pixels of a target.

    A click stands for the nearest target (8-connected component of the mask).
    """
    parts = find_components(mask)
    rows = []
    frame = frame_features(image, len(points))
    for point in points:
        owner = target_under(parts, point)
        if owner is not None:
            target = look_around(image, *pixel_of(point))
            rows.append(_example(target, frame, parts, owner, group))
    if not rows:
        return None
    return Examples(*(np.stack(column) for column in zip(*rows, strict=True)))


def join(examples: Sequence[Examples]) -> Examples:
    """The examples of several frames as one."""
    columns = ([getattr(part, field.name) for part in examples] for field in fields(Examples))
    return Examples(*(np.concatenate(column) for column in columns))


def fit_scorer(
    examples: Examples,
    *,
    beside: Examples | None = None,
    share: float = 1 / 3,
    reads: Sequence[str] = NAMES,
    members: int = 5,
    width: int = 24,
    steps: int | None = None,
    decay: float = 0.1,
    rate: float = 0.01,
    seed: int = 0,
) -> Scorer:
    """Fit a :class:`Scorer` of ``members`` networks by AdamW on batches of targets.

    With few labelled images many steps overfit; ``steps=None`` chooses the steps by their number.

    Parameters
    ----------
    beside
        Examples of another convention; a ``share`` of each batch is drawn from them.
    reads
        Names of the features that the networks see.
    members, width, steps, decay, rate
        Networks, hidden units of each, and their AdamW.
    """
    if steps is None:
        steps = int(np.clip(_STEPS_AN_IMAGE * len(np.unique(examples.group)), *_STEPS))
    pools = [(np.arange(len(examples)), _BATCH)]
    if beside is not None:
        others = round(share * _BATCH)
        pools = [(pools[0][0], _BATCH - others), (len(examples) + np.arange(len(beside)), others)]
        examples = join([examples, beside])
    features = examples.features[:, :, columns_of(reads)]
    rows = features.reshape(-1, features.shape[-1])
    mean, scale = rows.mean(0), rows.std(0) + 1e-6
    standard = np.clip((features - mean) / scale, -CLIP, CLIP).astype(np.float32)
    cost = _costs(examples).astype(np.float32)
    nets = [
        _fit_member(standard, cost, pools, width, steps, decay, rate, np.random.default_rng([seed, member]))
        for member in range(members)
    ]
    hidden, bias, out = (np.stack(parts).astype(np.float64) for parts in zip(*nets, strict=True))
    return Scorer(tuple(reads), mean, scale, hidden, bias, out)


def learn_convention(examples: Examples) -> Convention:
    """What a person teaches who corrects each of the targets once, to the best of its allowed levels."""
    cost = np.where(examples.allowed, _LAMBDA * examples.union() - examples.hits, np.inf)
    return Convention.of(
        [*measured, float(LEVELS[best])]
        for measured, best in zip(_measures(examples), cost.argmin(1), strict=True)
    )


def _measures(examples: Examples) -> list[list[float]]:
    """Contrast, noise and area of each target, as a convention wants them."""
    columns = columns_of(["contrast", "noise", "area at .34"])
    logs = examples.features[:, 0, columns]
    measured: list[list[float]] = np.exp(logs).tolist()
    return measured


def set_iou(examples: Examples, levels: NDArray[np.int64]) -> float:
    """Pixel IoU over all targets when target i takes its component ``levels[i]``."""
    rows = np.arange(len(examples))
    return float(examples.hits[rows, levels].sum() / examples.union()[rows, levels].sum())


def best_levels(level: Scorer | Convention, examples: Examples) -> NDArray[np.int64]:
    """(N,) index of the level of the highest score."""
    if isinstance(level, Convention):
        return highest(scores_of(automatic(), examples), examples, level)
    return highest(scores_of(level, examples), examples)


def scores_of(scorer: Scorer, examples: Examples) -> Array:
    """(N, L) score of each level."""
    return np.array([scorer.score(features) for features in examples.features])


def highest(scores: Array, examples: Examples, convention: Convention | None = None) -> NDArray[np.int64]:
    """(N,) index of the allowed level of the highest score, less the pull of a convention."""
    if convention is not None:
        scores = scores - np.array([convention.pull(*measured) for measured in _measures(examples)])
    return np.where(examples.allowed, scores, -np.inf).argmax(1)


def oracle_levels(examples: Examples) -> NDArray[np.int64]:
    """(N,) index of the level that a person who sees the truth would take."""
    return (_LAMBDA * examples.union() - examples.hits).argmin(1)


def folds_by_image(group: NDArray[np.int64], folds: int, seed: int) -> NDArray[np.int64]:
    """(N,) fold of each target; an image is never split between folds."""
    images, inverse = np.unique(group, return_inverse=True)
    of_image = np.random.default_rng(seed).permutation(len(images)) % folds
    fold: NDArray[np.int64] = of_image[inverse]
    return fold


def cross_validate(examples: Examples, fit: Fit, *, folds: int = 5, seed: int = 0) -> NDArray[np.int64]:
    """(N,) the level of each target chosen by a fit that never saw the target's image."""
    fold = folds_by_image(examples.group, folds, seed)
    levels = np.zeros(len(examples), np.int64)
    for k in range(folds):
        held = fold == k
        if held.any():
            levels[held] = best_levels(fit(~held, seed + k), examples.take(held))
    return levels


def target_under(parts: Components, point: NDArray[np.float64]) -> int | None:
    """Index of the component that a click stands for; None where there is none within two pixels."""
    y, x = pixel_of(point)
    top, left = max(y - _REACH, 0), max(x - _REACH, 0)
    around = parts.labels[top : y + _REACH + 1, left : x + _REACH + 1]
    ys, xs = np.nonzero(around)
    if not len(ys):
        return None
    nearest = np.hypot(ys + top - y, xs + left - x).argmin()
    return int(around[ys[nearest], xs[nearest]]) - 1


def _example(
    target: Surroundings, frame: Array, parts: Components, owner: int, group: int
) -> tuple[Any, ...]:
    height, width = target.reach.shape
    window = parts.labels[target.top : target.top + height, target.left : target.left + width]
    on_target = np.sort(target.reach[window == owner + 1])
    hits = len(on_target) - np.searchsorted(on_target, LEVELS)
    return (
        level_features(target, frame),
        target.table[:, flood.AREA],
        hits.astype(np.float64),
        plausible(target),
        np.float64(parts.areas[owner]),
        np.int64(group),
    )


def _costs(examples: Examples) -> Array:
    cost = (_LAMBDA * examples.union() - examples.hits) / examples.truth[:, None] ** _AREA_POWER
    cost -= cost.min(1, keepdims=True)
    typical = float(np.median(examples.truth)) ** (1 - _AREA_POWER)
    clipped: Array = np.minimum(cost, _HIGHEST_COST * typical) / typical
    return clipped


def _fit_member(
    features: NDArray[np.float32],
    cost: NDArray[np.float32],
    pools: Sequence[tuple[NDArray[np.int64], int]],
    width: int,
    steps: int,
    decay: float,
    rate: float,
    rng: np.random.Generator,
) -> Sequence[NDArray[np.float32]]:
    """Parameters of one network; each batch takes so many targets of each pool of indices."""
    inputs = features.shape[-1]
    spread = np.sqrt(2 / inputs)
    parameters = [
        rng.normal(0, spread, (inputs, width)).astype(np.float32),
        np.zeros(width, np.float32),
        rng.normal(0, 1 / np.sqrt(width), width).astype(np.float32),
    ]
    first, second = ([np.zeros_like(p) for p in parameters] for _ in range(2))
    for step in range(1, steps + 1):
        chosen = np.concatenate(
            [rng.choice(pool, min(size, len(pool)), replace=False) for pool, size in pools]
        )
        gradients = _gradients(parameters, features[chosen], cost[chosen])
        pace = rate * 0.5 * (1 + np.cos(np.pi * step / steps))
        for p, g, m, v in zip(parameters, gradients, first, second, strict=True):
            m += (1 - _ADAM[0]) * (g - m)
            v += (1 - _ADAM[1]) * (g * g - v)
            update = m / (1 - _ADAM[0] ** step) / (np.sqrt(v / (1 - _ADAM[1] ** step)) + _ADAM[2])
            p -= pace * (update + decay * p)
    return parameters


def _gradients(
    parameters: Sequence[NDArray[np.float32]], features: NDArray[np.float32], cost: NDArray[np.float32]
) -> list[NDArray[np.float32]]:
    """Gradient of the mean over targets of sum_l softmax(score)_l * cost_l."""
    hidden, bias, out = parameters
    count, levels, inputs = features.shape
    rows = features.reshape(-1, inputs)
    active = np.maximum(rows @ hidden + bias, 0)
    score = (active @ out).reshape(count, levels)
    share = np.exp(score - score.max(1, keepdims=True))
    share /= share.sum(1, keepdims=True)
    expected = (share * cost).sum(1, keepdims=True)
    by_score = (share * (cost - expected) / count).reshape(-1)
    by_active = np.outer(by_score, out) * (active > 0)
    return [rows.T @ by_active, by_active.sum(0), active.T @ by_score]
