"""Targets cut out and pasted, noise lent by flat windows, targets turned where they are."""

import numpy as np
import pytest

from infraspot.augment.copy_paste import CopyPaste
from infraspot.augment.noise_library import NoiseLibrary
from infraspot.augment.rotate_target import RotateTarget
from infraspot.core.sample import Sample


def donor(level=0.3, peak=0.8):
    """A cross of five pixels on a flat frame."""
    image, mask = np.full((40, 40), level, np.float32), np.zeros((40, 40), bool)
    mask[20, 19:22] = mask[19:22, 20] = True
    image[mask] = peak
    return Sample("donor", image, mask)


def pasted(form, ground=0.5, **options):
    """A flat frame with one target of the donor, and where it is."""
    flat = Sample("flat", np.full((60, 60), ground, np.float32), np.zeros((60, 60), bool))
    options = {"donors": [donor()], "count": (1, 1), "gain": (1.0, 1.0), "p": 1.0} | options
    result = CopyPaste(form=form, **options)(flat, np.random.default_rng(0))
    return result.image, result.mask


def test_the_plain_form_replaces_the_rectangle_with_all_its_grey_values():
    image, mask = pasted("plain")
    ys, xs = np.nonzero(mask)
    rectangle = image[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
    np.testing.assert_allclose(rectangle[[0, 0, 2, 2], [0, 2, 0, 2]], 0.3, atol=1e-6)
    np.testing.assert_allclose(image[mask], 0.8, atol=1e-6)
    assert np.count_nonzero(image != np.float32(0.5)) == 9


def test_local_context_comes_along_with_as_many_pixels_as_asked_for():
    image, mask = pasted("context", context=4)
    assert np.count_nonzero(image != np.float32(0.5)) == 11 * 11
    assert np.count_nonzero(np.isclose(image, 0.3)) == 11 * 11 - 5
    np.testing.assert_allclose(image[mask], 0.8, atol=1e-6)


def test_the_gaussian_form_corrects_the_grey_values_and_leaves_no_step():
    image, mask = pasted("gaussian", ground=0.2)
    # The donor's surroundings are 0.3 and the place is 0.2: the peak of 0.8 becomes 0.7.
    assert image.max() == pytest.approx(0.7, abs=1e-6)
    assert image[mask].min() > 0.2 + 0.5 * 0.6
    # Both grounds are flat, so that nothing but the target differs from the place.
    np.testing.assert_allclose(image[~mask], 0.2, atol=1e-6)


def test_the_gaussian_form_lowers_a_peak_to_the_full_scale():
    image, _ = pasted("gaussian", ground=0.9)
    assert image.max() == pytest.approx(1.0, abs=1e-6)


def test_a_rectangle_with_a_neighbour_labels_both():
    one = donor()
    image, mask = one.image.copy(), one.mask.copy()
    mask[20, 24], image[20, 24] = True, 0.8
    flat = Sample("flat", np.full((60, 60), 0.5, np.float32), np.zeros((60, 60), bool), np.empty((0, 2)))
    paste = CopyPaste(donors=[Sample("pair", image, mask)], form="context", count=(1, 1), p=1.0)
    result = paste(flat, np.random.default_rng(0))
    assert result.mask.sum() == 6
    assert len(result.points) == 2
    assert all(result.mask[round(y), round(x)] for y, x in result.points)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"form": "poisson"}, "form must be one of excess, plain, context, gaussian"),
        ({"form": "plain", "scr": (2.0, 4.0)}, "use gain"),
        ({"context": -1}, "number of pixels"),
    ],
)
def test_options_of_pasting_that_mean_nothing_are_refused(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        CopyPaste(**options)


def noisy(deviation=0.02, slope=0.0, side=96):
    rng = np.random.default_rng(3)
    image = 0.4 + slope * np.arange(side) + deviation * rng.standard_normal((side, side))
    return Sample("noisy", image.astype(np.float32), np.zeros((side, side), bool))


def test_lent_noise_has_the_deviation_of_its_window_and_no_mean():
    flat = Sample("flat", np.full((256, 200), 0.5, np.float32))
    lend = NoiseLibrary(donors=[noisy(slope=0.0005)], strength=(1.0, 1.0), p=1.0)
    added = lend(flat, np.random.default_rng(0)).image - flat.image
    # 1024 pixels give the deviation to about 2 %, and the 16-pixel slope must be gone.
    assert added.std() == pytest.approx(0.02, rel=0.1)
    assert abs(added[:224, :192].mean()) < 1e-3


def test_lent_noise_is_the_window_itself_mirrored_from_tile_to_tile():
    flat = Sample("flat", np.full((128, 128), 0.5, np.float32))
    lend = NoiseLibrary(donors=[noisy()], strength=(1.0, 1.0), p=1.0)
    added = lend(flat, np.random.default_rng(0)).image - flat.image
    np.testing.assert_allclose(added[:64], added[64:], atol=1e-6)
    np.testing.assert_allclose(added[:, :64], added[:, 64:], atol=1e-6)
    assert len(np.unique(np.round(added, 6))) > 900


def test_the_programs_form_mixes_and_so_lowers_contrast():
    target = donor(level=0.2, peak=0.9)
    mix = NoiseLibrary(donors=[noisy()], variant="program", strength=(0.25, 0.25), p=1.0)
    image = mix(target, np.random.default_rng(0)).image
    contrast = image[target.mask].mean() - image[~target.mask].mean()
    assert contrast == pytest.approx(0.75 * 0.7, abs=0.02)
    assert image[~target.mask].mean() == pytest.approx(0.75 * 0.2 + 0.25 * 0.4, abs=0.01)


def test_a_window_that_is_not_flat_or_holds_a_target_lends_nothing():
    flat = Sample("flat", np.full((64, 64), 0.5, np.float32))
    all_target = noisy().replace(mask=np.ones((96, 96), bool))
    for lender in (noisy(deviation=0.1), all_target, noisy(side=20)):
        result = NoiseLibrary(donors=[lender], p=1.0)(flat, np.random.default_rng(0))
        np.testing.assert_array_equal(result.image, flat.image)


@pytest.mark.parametrize("options", [{"variant": "paper"}, {"side": 1}])
def test_options_of_noise_that_mean_nothing_are_refused(options):
    with pytest.raises(ValueError, match="must be"):
        NoiseLibrary(**options)


def lettered():
    """An L of three pixels in a frame whose pixels all differ."""
    image = np.linspace(0, 1, 30 * 30, dtype=np.float32).reshape(30, 30)
    mask = np.zeros((30, 30), bool)
    mask[10, 12] = mask[11, 12] = mask[11, 13] = True
    return Sample("L", image, mask, np.array([[11.0, 12.0]]), np.array([[12.0, 10.0, 14.0, 12.0]]))


def test_a_square_around_a_target_takes_all_eight_symmetries_and_nothing_else_moves():
    sample, seen = lettered(), set()
    for seed in range(100):
        result = RotateTarget(sides=(6,), p=1.0)(sample, np.random.default_rng(seed))
        square = np.s_[8:14, 10:16]
        seen.add(result.image[square].tobytes())
        outside = np.ones((30, 30), bool)
        outside[square] = False
        np.testing.assert_array_equal(result.image[outside], sample.image[outside])
        # Each pixel of the target keeps its grey value, and the click its pixel.
        np.testing.assert_array_equal(np.sort(result.image[result.mask]), np.sort(sample.image[sample.mask]))
        y, x = result.points[0].astype(int)
        assert result.image[y, x] == sample.image[11, 12]
    expected = {
        np.rot90(part, k).tobytes()
        for part in (sample.image[square], sample.image[square].T)
        for k in range(4)
    }
    assert seen == expected


def test_a_square_grows_to_hold_its_target():
    sample = lettered()
    results = [RotateTarget(sides=(1,), p=1.0)(sample, np.random.default_rng(seed)) for seed in range(20)]
    assert all(result.mask.sum() == 3 for result in results)
    assert any((result.mask != sample.mask).any() for result in results)


def test_a_target_stays_where_its_square_would_cut_another():
    sample = lettered()
    mask = sample.mask.copy()
    mask[11, 16:20] = True
    crowded = sample.replace(mask=mask, points=None, boxes=None)
    result = RotateTarget(sides=(8,), p=1.0)(crowded, np.random.default_rng(0))
    np.testing.assert_array_equal(result.image, crowded.image)


def test_a_frame_smaller_than_the_square_is_left_alone():
    small = Sample("small", np.zeros((20, 20), np.float32), np.eye(20, dtype=bool))
    result = RotateTarget(sides=(32,), p=1.0)(small, np.random.default_rng(0))
    np.testing.assert_array_equal(result.mask, small.mask)


def test_sides_that_are_none_are_refused():
    for sides in ((), (0,)):
        with pytest.raises(ValueError, match="one or more"):
            RotateTarget(sides=sides)
