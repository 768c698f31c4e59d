"""Every transform keeps image, mask, points, boxes and sky together."""

import numpy as np
import pytest
from scipy import ndimage

from infraspot.augment.transforms import TRANSFORMS, Compose, Crop, Flip, Gain, Rot90, Scale, Transpose
from infraspot.core.sample import Sample

GEOMETRIC = {
    "crop": {"size": 48, "zoom": (0.8, 1.5)},
    "scale": {"zoom": (0.8, 1.5)},
    "flip": {},
    "transpose": {"p": 1.0},
    "rot90": {},
}
ALWAYS = {name: {"p": 1.0} for name in ("noise", "blur", "copy-paste", "flecks")}


def scene(seed: int = 0, height: int = 70, width: int = 90) -> Sample:
    """Two bright 5x7 blocks on a dark ramp; the sky is the upper half."""
    rng = np.random.default_rng(seed)
    image = np.linspace(0.1, 0.3, width, dtype=np.float32) + np.zeros((height, 1), np.float32)
    image += rng.normal(0, 0.002, image.shape).astype(np.float32)
    mask = np.zeros((height, width), bool)
    boxes = np.array([[20, 15, 27, 20], [60, 50, 67, 55]], np.float64)
    for x0, y0, x1, y1 in boxes.astype(int):
        image[y0:y1, x0:x1] += 0.5
        mask[y0:y1, x0:x1] = True
    points = np.stack([(boxes[:, 1] + boxes[:, 3] - 1) / 2, (boxes[:, 0] + boxes[:, 2] - 1) / 2], axis=1)
    sky = (np.arange(height)[:, None] < height // 2) * np.ones((1, width), np.uint8)
    return Sample("scene", image, mask, points, boxes, sky.astype(np.uint8))


def layers(sample: Sample) -> list[np.ndarray]:
    return [sample.image, sample.mask, sample.points, sample.boxes, sample.sky]


@pytest.mark.parametrize("name", TRANSFORMS)
def test_the_same_seed_gives_the_same_sample(name):
    transform = TRANSFORMS[name](**ALWAYS.get(name, {}))
    one, two = (transform(scene(), np.random.default_rng(7)) for _ in range(2))
    for a, b in zip(layers(one), layers(two), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_the_input_is_left_as_it_was(name):
    sample, before = scene(), [layer.copy() for layer in layers(scene())]
    for seed in range(5):
        TRANSFORMS[name](**ALWAYS.get(name, {}))(sample, np.random.default_rng(seed))
    for now, was in zip(layers(sample), before, strict=True):
        np.testing.assert_array_equal(now, was)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_types_and_ranges_are_kept(name):
    for seed in range(5):
        result = TRANSFORMS[name](**ALWAYS.get(name, {}))(scene(), np.random.default_rng(seed))
        assert result.image.dtype == np.float32
        assert result.mask.dtype == bool
        assert result.sky.dtype == np.uint8
        assert result.image.min() >= 0
        assert result.image.max() <= 1
        assert result.points.shape[1:] == (2,)
        assert result.boxes.shape[1:] == (4,)


@pytest.mark.parametrize("name", TRANSFORMS)
@pytest.mark.parametrize("seed", range(5))
def test_a_soft_label_stays_soft(name, seed):
    soft = scene().replace(mask=scene().mask * np.float32(0.75))
    result = TRANSFORMS[name](**ALWAYS.get(name, {}))(soft, np.random.default_rng(seed))
    assert result.mask.dtype == np.float32
    assert result.mask.min() >= 0
    assert result.mask.max() <= 1


@pytest.mark.parametrize("name", TRANSFORMS)
def test_what_is_not_annotated_stays_so(name):
    bare = scene().replace(mask=None, points=None, boxes=None, sky=None)
    result = TRANSFORMS[name](**ALWAYS.get(name, {}))(bare, np.random.default_rng(0))
    assert layers(result)[1:] == [None] * 4


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_frame_without_targets_stays_without(name):
    empty = scene().replace(mask=np.zeros((70, 90), bool), points=np.empty((0, 2)), boxes=np.empty((0, 4)))
    result = TRANSFORMS[name](**ALWAYS.get(name, {}))(empty, np.random.default_rng(0))
    assert not result.mask.any()
    assert result.points.shape == (0, 2)
    assert result.boxes.shape == (0, 4)


@pytest.mark.parametrize("name", [*GEOMETRIC, "copy-paste"])
@pytest.mark.parametrize("seed", range(8))
def test_boxes_and_points_follow_the_mask(name, seed):
    result = TRANSFORMS[name](**GEOMETRIC.get(name, {"p": 1.0}))(scene(), np.random.default_rng(seed))
    found = ndimage.find_objects(ndimage.label(result.mask, np.ones((3, 3)))[0])
    expected = sorted((x.start, y.start, x.stop, y.stop) for y, x in found)
    np.testing.assert_allclose(sorted(map(tuple, result.boxes)), expected, atol=1.01)
    for y, x in result.points:
        assert result.mask[round(y), round(x)]


@pytest.mark.parametrize("name", GEOMETRIC)
@pytest.mark.parametrize("seed", range(8))
def test_the_mask_stays_on_the_bright_pixels(name, seed):
    options = GEOMETRIC[name] | ({"on_target": 1.0} if name == "crop" else {})
    result = TRANSFORMS[name](**options)(scene(), np.random.default_rng(seed))
    assert result.image[result.mask].min() > 0.1 + 0.5 / 2 - 0.02
    assert result.image[~result.mask].max() < 0.3 + 0.5 / 2 + 0.02


@pytest.mark.parametrize(("height", "width"), [(10, 200), (200, 10), (48, 48), (300, 300)])
def test_a_crop_has_its_size_whatever_the_frame(height, width):
    sample = Sample("flat", np.full((height, width), 0.5, np.float32), np.ones((height, width), bool))
    result = Crop(size=48, zoom=(0.7, 1.4))(sample, np.random.default_rng(0))
    assert result.shape == (48, 48)
    np.testing.assert_allclose(result.image, 0.5, atol=1e-6)


def test_beyond_the_frame_there_is_no_target():
    sample = Sample("all target", np.ones((8, 8), np.float32), np.ones((8, 8), bool))
    result = Crop(size=32)(sample, np.random.default_rng(0))
    assert result.mask.sum() == 64


def test_a_crop_on_targets_holds_one():
    crop = Crop(size=32, on_target=1.0)
    assert all(crop(scene(), np.random.default_rng(seed)).mask.any() for seed in range(20))


def test_a_crop_on_clutter_finds_the_bright_spot_that_is_no_target():
    image = np.zeros((64, 64), np.float32)
    image[38:48, 18:28] = 1.0
    sample = Sample("glint", image, np.zeros((64, 64), bool))
    crop = Crop(size=16, on_target=0.0, on_clutter=1.0)
    hits = [crop(sample, np.random.default_rng(seed)).image.max() == 1.0 for seed in range(20)]
    assert sum(hits) >= 12


def test_symmetries_agree_with_numpy():
    sample = scene()
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(Transpose(p=1.0)(sample, rng).image, sample.image.T)
    np.testing.assert_array_equal(Flip(p=1.0)(sample, rng).image, sample.image[::-1, ::-1])
    turned = {Rot90()(sample, np.random.default_rng(seed)).image.tobytes() for seed in range(40)}
    assert turned == {np.rot90(sample.image, k).tobytes() for k in range(4)}


def test_scaling_by_two_doubles_sides_and_boxes():
    sample = scene()
    result = Scale(zoom=(2.0, 2.0))(sample, np.random.default_rng(0))
    assert result.shape == (140, 180)
    np.testing.assert_allclose(result.boxes, 2 * sample.boxes)
    assert result.mask.sum() == 4 * sample.mask.sum()


def test_gain_keeps_the_mean_and_scales_the_contrast():
    sample = scene()
    result = Gain(gain=(0.5, 0.5), bias=0.0)(sample, np.random.default_rng(0))
    np.testing.assert_allclose(result.image.mean(), sample.image.mean(), rtol=1e-5)
    np.testing.assert_allclose(result.image.std(), sample.image.std() / 2, rtol=1e-5)


def test_copy_paste_takes_targets_from_donors():
    ground = Sample("ground", np.full((64, 64), 0.2, np.float32), np.zeros((64, 64), bool))
    paste = TRANSFORMS["copy-paste"](donors=[scene()], count=(1, 1), gain=(1.0, 1.0), p=1.0)
    result = paste(ground, np.random.default_rng(0))
    assert result.mask.sum() == 35
    np.testing.assert_allclose(result.image[result.mask], 0.7, atol=0.03)


def test_a_target_that_would_saturate_is_not_pasted():
    white = Sample("white", np.full((64, 64), 0.9, np.float32), np.zeros((64, 64), bool))
    result = TRANSFORMS["copy-paste"](donors=[scene()], p=1.0)(white, np.random.default_rng(0))
    assert not result.mask.any()


def test_flecks_brighten_background_and_spare_targets():
    sample = scene()
    for seed in range(10):
        added = TRANSFORMS["flecks"](p=1.0)(sample, np.random.default_rng(seed)).image - sample.image
        assert added.min() >= -1e-6
        assert added[sample.mask].max() <= 3 * 0.1 * 0.5


def test_compose_runs_its_steps_in_order():
    steps = Compose([Crop(size=32), Flip(), Transpose()])
    result = steps(scene(), np.random.default_rng(3))
    rng = np.random.default_rng(3)
    expected = Transpose()(Flip()(Crop(size=32)(scene(), rng), rng), rng)
    np.testing.assert_array_equal(result.image, expected.image)
