"""Every transform keeps all that is known about a frame together, also what it does not know itself."""

from dataclasses import dataclass, field, fields

import numpy as np
import pytest
from scipy import ndimage

from infraspot.augment.transforms import (
    TRANSFORMS,
    Compose,
    Crop,
    Flip,
    Gain,
    Rot90,
    Scale,
    Transform,
    Transpose,
)
from infraspot.core.sample import BORDER_LAYER, PER_TARGET, Sample

GEOMETRIC = {
    "crop": {"size": 48, "zoom": (0.8, 1.5)},
    "scale": {"zoom": (0.8, 1.5)},
    "flip": {},
    "transpose": {"p": 1.0},
    "rot90": {},
    "rotate-target": {"p": 1.0},
}
FORMS = {
    f"copy-paste {form}": ("copy-paste", {"form": form, "p": 1.0})
    for form in ("excess", "plain", "context", "gaussian")
}
CASES = {
    **{name: (name, {}) for name in TRANSFORMS},
    **{name: (name, {"p": 1.0}) for name in ("noise", "blur", "copy-paste", "flecks", "rotate-target")},
    **FORMS,
    "copy-paste alike": ("copy-paste", {"form": "gaussian", "place": "alike", "p": 1.0}),
    "bag-cp": ("bag-cp", {"p": 1.0, "sky": False}),
    "bag-cp official": ("bag-cp", {"variant": "official", "p": 1.0, "sky": False}),
    "noise-library": ("noise-library", {"p": 1.0, "flat": 0.1}),
    "noise-library program": ("noise-library", {"p": 1.0, "flat": 0.1, "variant": "program"}),
}


def made(case: str) -> Transform:
    name, options = CASES[case]
    return TRANSFORMS[name](**options)


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
    return Timed(
        "scene",
        image,
        mask,
        points,
        boxes,
        sky.astype(np.uint8),
        bit_depth=16,
        label=mask * np.float32(0.75),
        tracks=np.array([4, 5]),
        classes=np.array([0, 1]),
        depth=image + 2,
        speeds=np.array([0.5, 1.5]),
        time=3.5,
    )


@dataclass(frozen=True, eq=False)
class Timed(Sample):
    """A sample with a layer, rows and a value that the package does not know."""

    depth: np.ndarray | None = field(default=None, metadata=BORDER_LAYER)
    speeds: np.ndarray | None = field(default=None, metadata=PER_TARGET)
    time: float = 0.0


ANNOTATIONS = [part.name for part in fields(Timed) if part.default is None]


def values(sample: Sample) -> dict[str, object]:
    return {part.name: getattr(sample, part.name) for part in fields(sample)}


def copied(sample: Sample) -> dict[str, object]:
    return {
        name: value.copy() if isinstance(value, np.ndarray) else value
        for name, value in values(sample).items()
    }


def test_the_scene_of_these_laws_has_every_field():
    for name, value in values(scene()).items():
        assert value is not None, name


@pytest.mark.parametrize("name", CASES)
def test_the_same_seed_gives_the_same_sample(name):
    transform = made(name)
    one, two = (transform(scene(), np.random.default_rng(7)) for _ in range(2))
    for name, value in values(one).items():
        np.testing.assert_array_equal(value, values(two)[name])


@pytest.mark.parametrize("name", CASES)
def test_the_input_is_left_as_it_was(name):
    sample, before = scene(), copied(scene())
    for seed in range(5):
        made(name)(sample, np.random.default_rng(seed))
    for key, now in values(sample).items():
        np.testing.assert_array_equal(now, before[key])


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("seed", range(5))
def test_types_ranges_and_shapes_are_kept(name, seed):
    before = scene()
    result = made(name)(before, np.random.default_rng(seed))
    assert type(result) is Timed
    for key, value in values(result).items():
        if isinstance(value, np.ndarray):
            assert value.dtype == getattr(before, key).dtype, key
        else:
            assert value == getattr(before, key), key
    for layer_of in (result.image, result.label):
        assert layer_of.min() >= 0
        assert layer_of.max() <= 1
    assert result.depth.min() >= 2
    assert len(result.boxes) == len(result.tracks) == len(result.classes) == len(result.speeds)
    assert result.points.shape[1:] == (2,)
    assert result.boxes.shape[1:] == (4,)


@pytest.mark.parametrize("name", GEOMETRIC)
@pytest.mark.parametrize("seed", range(8))
def test_layers_and_rows_that_no_transform_knows_follow_too(name, seed):
    result = TRANSFORMS[name](**GEOMETRIC[name])(scene(), np.random.default_rng(seed))
    np.testing.assert_allclose(result.depth, result.image + 2, atol=1e-5)
    np.testing.assert_array_equal(result.speeds, result.tracks - 3.5)
    np.testing.assert_array_equal(result.classes, result.tracks - 4)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("seed", range(5))
def test_mask_and_label_move_alike(name, seed):
    hard = scene().replace(label=scene().mask)
    result = made(name)(hard, np.random.default_rng(seed))
    np.testing.assert_array_equal(result.mask, result.label)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("absent", [*([name] for name in ANNOTATIONS), ANNOTATIONS])
def test_what_is_not_annotated_stays_so(name, absent):
    if absent in (["points"], ["boxes"]):
        absent = [*absent, "tracks", "classes", "speeds"]
    bare = scene().replace(**dict.fromkeys(absent))
    result = made(name)(bare, np.random.default_rng(0))
    for key, value in values(result).items():
        assert (value is None) == (key in absent), key


@pytest.mark.parametrize("name", CASES)
def test_a_frame_without_targets_stays_without(name):
    rows = dict.fromkeys(("tracks", "classes", "speeds"), np.empty(0, np.int64))
    nothing = {"mask": np.zeros((70, 90), bool), "label": np.zeros((70, 90), np.float32)}
    empty = scene().replace(points=np.empty((0, 2)), boxes=np.empty((0, 4)), **nothing, **rows)
    result = made(name)(empty, np.random.default_rng(0))
    assert not result.mask.any()
    assert not result.label.any()
    assert result.points.shape == (0, 2)
    assert result.boxes.shape == (0, 4)


def boxes_of(mask: np.ndarray) -> list[tuple[int, ...]]:
    found = ndimage.find_objects(ndimage.label(mask, np.ones((3, 3)))[0])
    return sorted((x.start, y.start, x.stop, y.stop) for y, x in found)


@pytest.mark.parametrize("name", [*GEOMETRIC, *FORMS])
@pytest.mark.parametrize("seed", range(8))
def test_boxes_and_points_follow_the_mask(name, seed):
    transform = TRANSFORMS[name](**GEOMETRIC[name]) if name in GEOMETRIC else made(name)
    result = transform(scene(), np.random.default_rng(seed))
    np.testing.assert_allclose(sorted(map(tuple, result.boxes)), boxes_of(result.mask), atol=1.01)
    for y, x in result.points:
        assert result.mask[round(y), round(x)]


def corners(bit_depth: int = 16) -> Sample:
    """Targets of one pixel in two corners and at one edge of a flat frame, as 16-bit files hold them."""
    rng = np.random.default_rng(1)
    image, mask = rng.integers(9000, 9400, (50, 60)), np.zeros((50, 60), bool)
    places = np.array([[0, 0], [49, 59], [0, 30]])
    mask[tuple(places.T)] = True
    image[mask] = 40000
    boxes = np.concatenate([places[:, ::-1], places[:, ::-1] + 1], axis=1).astype(np.float64)
    scaled = (image / np.float32(65535)).astype(np.float32)
    return Sample("corners", scaled, mask, places.astype(np.float64), boxes, bit_depth=bit_depth)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("seed", range(6))
def test_a_target_of_one_pixel_at_the_border_is_kept_or_dropped_whole(name, seed):
    if name in ("crop", "scale"):
        pytest.skip("a pixel may fall below one half where the frame is resampled")
    result = made(name)(corners(), np.random.default_rng(seed))
    assert result.bit_depth == 16
    assert sorted(map(tuple, result.boxes)) == boxes_of(result.mask)
    centres = np.sort((result.boxes[:, [1, 0]] + result.boxes[:, [3, 2]] - 1) / 2, axis=0)
    np.testing.assert_allclose(np.sort(result.points, axis=0), centres)


@pytest.mark.parametrize("name", ["flip", "transpose", "rot90", "rotate-target", *FORMS])
@pytest.mark.parametrize("seed", range(6))
def test_a_target_of_one_pixel_stays_the_brightest_thing(name, seed):
    result = made(name)(corners(), np.random.default_rng(seed))
    assert result.image[result.mask].min() > 2 * result.image[~result.mask].max()


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
    labelled = paste(ground.replace(mask=None, label=ground.mask), np.random.default_rng(0))
    np.testing.assert_array_equal(labelled.label, result.mask)
    assert labelled.mask is None
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
