"""The compiled parts of ``profile`` against the same in plain numpy."""

from pathlib import Path

import numpy as np
import pytest

from infraspot.annotators import annotate, flood
from infraspot.annotators.profile.annotator import _soften
from infraspot.annotators.profile.features import frame_features
from infraspot.annotators.region import Region, merge_regions
from infraspot.data import open_dataset
from infraspot.data.clicks import sample_points


@pytest.mark.parametrize("shape", [(37, 37), (5, 2), (1, 7), (1, 1)])
def test_slope_is_the_size_of_numpys_gradient(shape: tuple[int, int]) -> None:
    window = np.random.default_rng(0).random(shape).astype(np.float32)
    squares = sum(np.gradient(window, axis=axis) ** 2 for axis in (0, 1) if shape[axis] > 1)
    assert np.allclose(flood.slope(window), np.sqrt(squares), atol=1e-6)


@pytest.mark.parametrize("sign", [1, -1])
def test_plateaus_and_negative_values_are_flooded_in_order(sign: int) -> None:
    window = sign * np.random.default_rng(1).integers(0, 4, (21, 19)).astype(np.float32)
    reach, order = flood.flood(window, 3, 4)
    assert sorted(order.tolist()) == list(range(window.size))
    assert (np.diff(reach.ravel()[order]) <= 0).all()
    assert (reach <= np.minimum(window, window[3, 4])).all()


@pytest.mark.parametrize("shape", [(40, 56), (200, 33), (3, 2), (1, 1)])
def test_frame_features_agree_with_numpy(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(2).random(shape).astype(np.float32)
    sample = image[:: max(min(4, shape[0] // 32), 1)].astype(np.float64)
    low, middle, high = np.percentile(sample, (1, 50, 99))
    first, second = (np.abs(np.diff(sample, n=n, axis=1)).sum() for n in (1, 2))
    expected = [
        np.log(max(high - low, 0.01)), middle, sample.std(), second / max(first, 1e-6),
        np.log(min(shape)), 3,
    ]  # fmt: skip
    assert np.allclose(frame_features(image, 3), expected, atol=1e-9)


def test_soft_edge_is_a_ramp_that_the_mask_keeps_to_its_side() -> None:
    reach = np.array([[1.0, 0.45, 0.4, 0.3, 0.0]], np.float32)
    mask = np.array([[True, True, False, True, False]])
    assert np.allclose(_soften(reach, mask, 0.4), [[1.0, 0.625, 0.499, 0.5, 0.0]], atol=1e-6)


def test_pixels_go_to_the_nearest_click_and_on_a_tie_to_the_earlier() -> None:
    points = np.array([[2.0, 1.0], [2.0, 5.0]])
    regions = [Region(0, 0, np.full((5, 7), value, np.float32)) for value in (0.6, 0.9)]
    mask, soft, owner = merge_regions((5, 8), points, regions)
    assert owner[2].tolist() == [0, 0, 0, 0, 1, 1, 1, -1]
    assert mask.sum() == 35
    assert soft[2, 0] == np.float32(0.9)


def test_ring_of_an_empty_mask_is_empty() -> None:
    nothing = np.zeros((6, 6), bool)
    assert flood.ring_statistics(np.ones((6, 6), np.float32), nothing, nothing, 1, 3)[0] == 0


@pytest.mark.real
@pytest.mark.parametrize(("level", "pixels"), [("auto", 10507), ("preset:sirst-v1", 10817)])
def test_masks_of_sirst_train_are_those_of_the_packaged_levels(sirst1: Path, level: str, pixels: int) -> None:
    """So that work on speed changes no mask; a few pixels may go with another rounding."""
    samples = open_dataset(sirst1, split="train")
    found = (annotate(s.image, sample_points(s, "centroid", 0), level=level).mask.sum() for s in samples)
    assert abs(int(sum(found)) - pixels) <= 5
