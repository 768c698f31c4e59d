"""The sky without labels: borders are found exactly, and plain frames come out as a person would say."""

import itertools

import numpy as np
import pytest

from infraspot.classical import sky as module
from infraspot.classical.sky import find_sky


def test_the_border_found_is_the_best_of_all():
    for seed in range(20):
        cost = np.random.default_rng(seed).normal(0, 3, (4, 4))
        found = module._best_border(cost)

        def price(border, cost=cost):
            above = sum(cost[:row, column].sum() for column, row in enumerate(border))
            return above + module._STEP * np.abs(np.diff(border)).sum()

        least = min(price(border) for border in itertools.product(range(5), repeat=4))
        assert price(found) == pytest.approx(least)


@pytest.mark.parametrize("shape", [(60, 80), (240, 320), (301, 517), (480, 90)])
@pytest.mark.parametrize("brighter", [True, False])
def test_an_even_sky_over_rough_ground_is_found(shape, brighter):
    rng = np.random.default_rng(0)
    height, width = shape
    border = (0.6 + 0.1 * np.sin(np.arange(width) / width * 6)) * height
    truth = np.arange(height)[:, None] < border
    ground = rng.uniform(0.0, 0.4, shape) if brighter else rng.uniform(0.6, 1.0, shape)
    image = np.where(truth, 0.5 + rng.normal(0, 0.005, shape), ground).clip(0, 1)
    found = find_sky(image)
    assert found.shape == shape
    assert (found & truth).sum() / (found | truth).sum() > 0.93


def test_a_frame_without_edges_is_all_sky():
    slope = np.linspace(0, 1, 50)[:, None] * np.ones(70)
    assert find_sky(slope.astype(np.float32)).all()


def test_clouds_as_grey_as_the_sky_are_sky():
    rng = np.random.default_rng(0)
    image = np.full((60, 80), 0.5)
    image[30:] += rng.uniform(-0.2, 0.2, (30, 80))
    assert find_sky(image).all()
    image[30:] -= 0.2
    assert not find_sky(image)[40:].any()


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (40, 1), (2, 3), (3, 2), (5, 400)])
def test_odd_sizes_give_a_mask_of_their_size(shape):
    noise = np.random.default_rng(1).random(shape).astype(np.float32)
    assert find_sky(noise).shape == shape
