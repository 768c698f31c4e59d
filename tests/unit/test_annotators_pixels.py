"""The network of pixels beside the scorer of levels: its features, its fit, its file."""

import copy
import json
from dataclasses import replace

import numpy as np
import pytest

from infraspot.annotators import annotate, read_level, save_level
from infraspot.annotators.profile.features import frame_features, level_features
from infraspot.annotators.profile.level import automatic, load_level, lowest_level
from infraspot.annotators.profile.pixel_fitting import _gradients, fit_pixels, join_pixels, pixels_of
from infraspot.annotators.profile.pixels import PixelNet, _share_of_levels, candidates
from infraspot.annotators.surroundings import LEVELS, look_around
from infraspot.core.errors import InputError


def scene(seed, size=48):
    """A blob that is wider than high, and the mask that a person draws: a box of 9x5 pixels."""
    rng = np.random.default_rng(seed)
    ys, xs = np.mgrid[:size, :size]
    y, x = rng.integers(18, size - 18, 2)
    image = 0.2 + 0.01 * rng.standard_normal((size, size))
    image += 0.5 * np.exp(-(((ys - y) / 2) ** 2 + ((xs - x) / 4) ** 2) / 2)
    mask = (np.abs(ys - y) <= 2) & (np.abs(xs - x) <= 4)
    return np.clip(image, 0, 1).astype(np.float32), mask, np.array([[y, x]], float)


def found(image, point):
    target = look_around(image, int(point[0]), int(point[1]))
    features = level_features(target, frame_features(image, 1))[0]
    return target, candidates(target, features, lowest_level(target))


@pytest.fixture(scope="module")
def net():
    parts = [part for seed in range(12) for part in pixels_of(*scene(seed), seed)]
    return fit_pixels(join_pixels(parts), steps=150)


@pytest.mark.parametrize("turn", [np.fliplr, np.flipud, np.transpose, lambda a: np.rot90(a, 1)])
def test_a_pixel_looks_the_same_however_the_frame_is_turned(turn):
    image, _, (point,) = scene(1)
    place = np.zeros(image.shape)
    place[tuple(point.astype(int))] = 1
    turned = np.ascontiguousarray(turn(image))
    moved = np.argwhere(turn(place))[0]
    _, before = found(image, point)
    _, after = found(turned, moved)
    # Features of the frame look at rows; those of the pixel itself come first.
    first, second = (np.sort(one.features[:, 34:40], axis=0) for one in (before, after))
    np.testing.assert_allclose(first, second, atol=1e-4)
    sums = [np.sort(one.features[:, :25].sum(1)) for one in (before, after)]
    np.testing.assert_allclose(sums[0], sums[1], atol=1e-3)


def test_neighbourhoods_begin_with_the_window_around_each_pixel():
    image, _, (point,) = scene(2)
    target, near = found(image, point)
    peak = np.flatnonzero((near.rows == target.peak[0]) & (near.columns == target.peak[1]))[0]
    y, x = target.peak
    np.testing.assert_allclose(
        near.features[peak, :25].reshape(5, 5), target.window[y - 2 : y + 3, x - 2 : x + 3]
    )
    assert near.features[peak, 36] == 0
    assert np.isfinite(near.features).all()


def test_the_share_of_levels_is_the_softmax_below_a_pixel():
    score = np.full(len(LEVELS), -np.inf)
    score[[3, 10]] = np.log([3.0, 1.0])
    reach = np.array([LEVELS[3] + 0.01, LEVELS[10] + 0.01, LEVELS[10] - 0.01], np.float32)
    np.testing.assert_allclose(_share_of_levels(score, reach), [1.0, 0.25, 0.0])


def test_gradients_are_those_of_the_mean_cross_entropy():
    rng = np.random.default_rng(0)
    sizes = (6, 5, 4, 1)
    parameters = [
        rng.normal(0, 1, shape) for n in range(3) for shape in (sizes[n : n + 2], sizes[n + 1 : n + 2])
    ]
    features, inside = rng.normal(0, 1, (20, 6)), rng.random(20) < 0.4

    def loss(values):
        value = features
        for layer in range(2):
            value = np.maximum(value @ values[2 * layer] + values[2 * layer + 1], 0)
        logit = (value @ values[4] + values[5])[:, 0]
        return float(np.mean(np.log1p(np.exp(logit)) - inside * logit))

    for place, gradient in enumerate(_gradients(parameters, features, inside)):
        index = tuple(0 for _ in gradient.shape)
        values = copy.deepcopy(parameters)
        values[place][index] += 1e-5
        slope = (loss(values) - loss(parameters)) / 1e-5
        assert gradient[index] == pytest.approx(slope, abs=1e-4)


def test_a_fitted_network_draws_what_a_person_draws_better_than_any_level(net):
    scorer = replace(automatic(), pixels=net)
    gained = []
    for seed in range(20, 28):
        image, mask, points = scene(seed)
        target, _ = found(image, points[0])
        features = level_features(target, frame_features(image, 1))
        score = np.log(np.full(len(LEVELS), 1e-9))
        truth = mask[target.top : target.top + 37, target.left : target.left + 37]
        own = scorer.pixels.mask(target, features[0], lowest_level(target), score)
        ious = [
            (target.component(level) & truth).sum() / (target.component(level) | truth).sum()
            for level in LEVELS
        ]
        gained.append((own & truth).sum() / (own | truth).sum() - np.mean(ious))
    assert np.mean(gained) > 0


def test_the_same_seed_fits_the_same_network(net):
    parts = [part for seed in range(12) for part in pixels_of(*scene(seed), seed)]
    again = fit_pixels(join_pixels(parts), steps=150)
    for one, other in zip(net.weights, again.weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_scorer_with_a_network_comes_back_from_its_file(net, tmp_path):
    save_level(replace(automatic(), pixels=net), tmp_path / "level.json")
    again = read_level(tmp_path / "level.json")
    image, _, points = scene(5)
    _, near = found(image, points[0])
    np.testing.assert_allclose(
        again.pixels.probability(near.features), net.probability(near.features), atol=0.02
    )
    mask = annotate(image, points, level=str(tmp_path / "level.json")).mask
    assert mask[tuple(points[0].astype(int))]


def test_the_preset_has_a_network_and_auto_has_none():
    assert isinstance(load_level("preset:sirst-v1").pixels, PixelNet)
    assert automatic().pixels is None


CHANGES = [
    lambda found: found.pop("mean"),
    lambda found: found.update(mean=[0.0]),
    lambda found: found.update(scale=[0.0] * len(found["scale"])),
    lambda found: found.update(layers=[]),
    lambda found: found.update(layers="many"),
    lambda found: found["layers"].pop(),
    lambda found: found["layers"][0].update(bias=[1.0]),
    lambda found: found["layers"][2].update(weights=[[1.0, 2.0]]),
    lambda found: found["layers"][1]["bias"].__setitem__(0, float("nan")),
    lambda found: found["layers"][1]["bias"].__setitem__(0, 1e300),
    lambda found: found["layers"][1].update(weights=[[[1.0]]]),
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_damaged_network_is_refused_with_the_name_of_its_file(net, tmp_path, change):
    plain = replace(automatic(), pixels=net).plain()
    change(plain["pixels"])
    (tmp_path / "bad.json").write_text(json.dumps(plain))
    with pytest.raises(InputError, match=r"bad\.json"):
        read_level(tmp_path / "bad.json")
