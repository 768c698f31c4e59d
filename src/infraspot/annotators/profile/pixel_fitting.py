"""Fitting the network of pixels of ``profile`` to the masks of a data set."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from infraspot.annotators.inputs import pixel_of
from infraspot.annotators.profile.features import frame_features, level_features
from infraspot.annotators.profile.fitting import target_under
from infraspot.annotators.profile.level import lowest_level
from infraspot.annotators.profile.pixels import CLIP, Array, PixelNet, candidates
from infraspot.annotators.surroundings import look_around
from infraspot.core.geometry import find_components

_LAYERS = (48, 24, 1)
_AREA_POWER = 0.4
_STEPS, _BATCH, _RATE, _DECAY = 1500, 2048, 4e-3, 0.01
_LEAST_SCALE = np.float32(1e-3)
"""Added to each deviation, so that features that hardly vary are not blown up."""
_ADAM = (0.9, 0.999, 1e-8)


@dataclass(frozen=True, eq=False)
class PixelExamples:
    """The candidate pixels of labelled targets.

    Attributes
    ----------
    features
        (P, F) float32.
    inside
        (P,) bool: whether the pixel is on the true target.
    weight
        (P,) how often a pixel is drawn: those of large targets less often.
    group
        (P,) which image; cross-validation never splits an image.
    """

    features: Array
    inside: NDArray[np.bool_]
    weight: NDArray[np.float64]
    group: NDArray[np.int64]

    def take(self, chosen: NDArray[np.bool_]) -> "PixelExamples":
        """Some of the pixels."""
        return PixelExamples(
            self.features[chosen], self.inside[chosen], self.weight[chosen], self.group[chosen]
        )


def pixels_of(
    image: NDArray[np.float32], mask: NDArray[np.bool_], points: NDArray[np.float64], group: int
) -> list[PixelExamples]:
    """Examples of each target of a frame under a click, as ``examples_of`` of the levels takes them."""
    parts = find_components(mask)
    frame = frame_features(image, len(points))
    found = []
    for point in points:
        owner = target_under(parts, point)
        if owner is None:
            continue
        target = look_around(image, *pixel_of(point))
        near = candidates(target, level_features(target, frame)[0], lowest_level(target))
        inside = parts.labels[near.rows + target.top, near.columns + target.left] == owner + 1
        weight = np.full(len(inside), float(parts.areas[owner]) ** -_AREA_POWER)
        found.append(PixelExamples(near.features, inside, weight, np.full(len(inside), group)))
    return found


def join_pixels(examples: Sequence[PixelExamples]) -> PixelExamples:
    """The examples of several targets as one."""
    names = ("features", "inside", "weight", "group")
    return PixelExamples(*(np.concatenate([getattr(one, name) for one in examples]) for name in names))


def fit_pixels(examples: PixelExamples, *, seed: int = 0, steps: int = _STEPS) -> PixelNet:
    """Fit a :class:`PixelNet` by AdamW on the cross-entropy of batches of pixels."""
    rng = np.random.default_rng(seed)
    mean, scale = examples.features.mean(0), examples.features.std(0) + _LEAST_SCALE
    sizes = (len(mean), *_LAYERS)
    parameters: list[Array] = []
    for inputs, outputs in pairwise(sizes):
        parameters += [
            rng.uniform(-1, 1, (inputs, outputs)).astype(np.float32) / np.float32(inputs**0.5),
            np.zeros(outputs, np.float32),
        ]
    first, second = ([np.zeros_like(one) for one in parameters] for _ in range(2))
    drawn = np.cumsum(examples.weight / examples.weight.sum())
    for step in range(1, steps + 1):
        batch = np.minimum(np.searchsorted(drawn, rng.random(_BATCH)), len(drawn) - 1)
        features = np.clip((examples.features[batch] - mean) / scale, -CLIP, CLIP)
        gradients = _gradients(parameters, features, examples.inside[batch])
        pace = np.float32(_RATE * 0.5 * (1 + np.cos(np.pi * step / steps)))
        for p, g, m, v in zip(parameters, gradients, first, second, strict=True):
            m += np.float32(1 - _ADAM[0]) * (g - m)
            v += np.float32(1 - _ADAM[1]) * (g * g - v)
            update = m / (1 - _ADAM[0] ** step) / (np.sqrt(v / (1 - _ADAM[1] ** step)) + _ADAM[2])
            p -= pace * (update + np.float32(_DECAY) * p).astype(np.float32)
    return PixelNet(mean, scale, tuple(parameters[::2]), tuple(parameters[1::2]))


def _gradients(parameters: Sequence[Array], features: Array, inside: NDArray[np.bool_]) -> list[Array]:
    """Gradient of the mean cross-entropy over the pixels of a batch."""
    weights, biases = parameters[::2], parameters[1::2]
    values = [features]
    for matrix, bias in zip(weights[:-1], biases[:-1], strict=True):
        values.append(np.maximum(values[-1] @ matrix + bias, 0))
    logit = (values[-1] @ weights[-1] + biases[-1])[:, 0]
    slope = ((1 / (1 + np.exp(-logit)) - inside) / np.float32(len(inside))).astype(np.float32)[:, None]
    found: list[Array] = []
    for matrix, value in zip(reversed(weights), reversed(values), strict=True):
        found = [value.T @ slope, slope.sum(0), *found]
        slope = (slope @ matrix.T) * (value > 0)
    return found
