"""Labels on a new grid of pixels: masks stay masks, soft labels stay soft."""

import numpy as np
import pytest

from infraspot.augment.resampling import resample
from infraspot.augment.transforms import TRANSFORMS
from infraspot.core.sample import Sample

GEOMETRIC = {
    "crop": {"size": 40, "zoom": (0.6, 1.7), "on_target": 1.0},
    "scale": {"zoom": (0.6, 1.7)},
    "flip": {},
    "transpose": {"p": 1.0},
    "rot90": {},
}


def spot(side=64, sigma=3.0):
    """A soft label: 1 at the centre, falling to 0."""
    y, x = np.mgrid[:side, :side] - side // 2
    label = np.exp(-(y**2 + x**2) / (2 * sigma**2)).astype(np.float32)
    return Sample("spot", label, np.where(label > 0.02, label, 0).astype(np.float32))


def whole(sample, zoom):
    height, width = (round(side * zoom) for side in sample.shape)
    return resample(sample, np.zeros(2), zoom, (height, width)).mask


@pytest.mark.parametrize("name", GEOMETRIC)
@pytest.mark.parametrize("seed", range(6))
def test_a_soft_label_stays_soft_and_within_0_and_1(name, seed):
    label = TRANSFORMS[name](**GEOMETRIC[name])(spot(), np.random.default_rng(seed)).mask
    assert label.dtype == np.float32
    assert label.min() >= 0
    assert 0.5 < label.max() <= 1
    assert ((label > 0.1) & (label < 0.9)).any()


@pytest.mark.parametrize("zoom", [0.5, 0.75, 1.0, 1.3, 2.0])
def test_the_sum_of_a_soft_label_scales_with_the_area(zoom):
    sample = spot()
    assert whole(sample, zoom).sum() == pytest.approx(zoom**2 * sample.mask.sum(), rel=0.01)


def test_a_label_of_ones_never_exceeds_1():
    ones = Sample("ones", np.ones((33, 47), np.float32), np.ones((33, 47), np.float32))
    for zoom in np.linspace(0.5, 2.0, 31):
        assert whole(ones, zoom).max() <= 1


def test_a_mask_is_the_soft_label_above_one_half():
    mask = spot().mask > 0.4
    for zoom in (0.7, 1.0, 1.6):
        hard = whole(Sample("hard", np.zeros(mask.shape, np.float32), mask), zoom)
        soft = whole(Sample("soft", np.zeros(mask.shape, np.float32), mask.astype(np.float32)), zoom)
        assert hard.dtype == np.bool_
        np.testing.assert_array_equal(hard, soft >= 0.5)


def test_doubling_a_pixel_spreads_it_linearly():
    label = np.zeros((3, 3), np.float32)
    label[1, 1] = 0.8
    doubled = whole(Sample("one", label, label), 2.0)
    line = np.array([0, 0.25, 0.75, 0.75, 0.25, 0])
    np.testing.assert_allclose(doubled, 0.8 * np.outer(line, line), atol=1e-6)
