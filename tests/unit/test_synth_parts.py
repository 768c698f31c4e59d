"""Optics, targets, sensor and backgrounds of synthetic scenes against physics by hand."""

import numpy as np
import pytest

from infraspot.synth.backgrounds import BACKGROUNDS
from infraspot.synth.fractal import fractal
from infraspot.synth.optics import Optics
from infraspot.synth.sensor import Sensor, automatic_gain, digitise, expose, make_array, noise
from infraspot.synth.targets import target_pattern


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize(("optics", "lost"), [(Optics("gaussian", 0.8), 1e-4), (Optics("airy", 2.0), 0.06)])
def test_a_point_source_keeps_its_energy_and_its_place(optics, lost):
    point = optics.point(31, (0.3, -0.2))
    assert 1 - lost <= point.sum() <= 1.001
    core = optics.point(11, (0.3, -0.2))
    y, x = np.indices(core.shape) - 5
    assert (core * y).sum() / core.sum() == pytest.approx(0.3, abs=0.05)
    assert (core * x).sum() / core.sum() == pytest.approx(-0.2, abs=0.05)


def test_a_sharp_point_falls_on_one_pixel_and_on_four_when_it_lies_between_them():
    assert Optics("gaussian", 0.01).point(5)[2, 2] == pytest.approx(1)
    np.testing.assert_allclose(Optics("gaussian", 0.01).point(5, (0.5, 0.5))[2:4, 2:4], 0.25, atol=1e-6)


def test_the_first_dark_ring_of_airy_lies_at_its_width():
    optics = Optics("airy", 10.0)
    profile = optics.point(41)[20]
    assert profile[29:32].argmin() + 29 == 30
    assert profile[30] < 1e-3 * profile[20]


def test_the_fractal_field_has_the_wanted_slope(rng):
    power = np.abs(np.fft.fft2(fractal((256, 256), 3.0, rng))) ** 2
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(256), np.fft.fftfreq(256)))
    use = (frequency > 0.02) & (frequency < 0.4)
    slope = np.polyfit(np.log(frequency[use]), np.log(power[use]), 1)[0]
    assert slope == pytest.approx(-3, abs=0.1)


@pytest.mark.parametrize("kind", list(BACKGROUNDS))
@pytest.mark.parametrize("shape", [(1, 1), (2, 9), (120, 90)])
def test_backgrounds_fill_any_frame_within_the_scale(kind, shape, rng):
    background = BACKGROUNDS[kind](shape, rng)
    assert background.radiance.shape == background.sky.shape == shape
    assert background.radiance.dtype == np.float32
    assert background.radiance.min() >= 0
    assert background.radiance.max() <= 1
    assert set(np.unique(background.sky)) <= {0, 1}


def test_mixed_frames_have_sky_above_and_something_else_below():
    shares = [BACKGROUNDS["mixed"]((80, 80), np.random.default_rng(seed)).sky for seed in range(10)]
    assert np.mean([sky[:8].mean() for sky in shares]) > 0.9
    assert np.mean([sky[-3:].mean() for sky in shares]) < 0.1


@pytest.mark.parametrize("diameter", [0.0, 3.0, 9.0])
def test_the_mask_is_where_the_signal_reaches_the_stated_share_of_its_peak(diameter, rng):
    pattern = target_pattern((20.3, 30.6), diameter, Optics(width=0.9), rng, mask_share=0.4)
    assert pattern.signal.max() == pytest.approx(1)
    np.testing.assert_array_equal(pattern.mask, pattern.signal >= 0.4)
    assert pattern.mask[0].sum() == pattern.mask[-1].sum() == 0


@pytest.mark.parametrize("centre", [(-40.0, 5.0), (5.0, 60.0), (500.0, 500.0), (0.0, 0.0), (-2.0, 19.0)])
def test_a_target_at_or_beyond_the_edge_is_cut_alike_from_frame_and_pattern(centre, rng):
    pattern = target_pattern(centre, 8.0, Optics(), rng)
    there, here = pattern.cut((20, 20))
    assert np.zeros((20, 20))[there].shape == pattern.signal[here].shape


def test_noise_has_the_variance_of_shot_and_read_noise_together(rng):
    sensor = Sensor(well=1e4, read=0.005)
    level = noise(sensor, np.full((400, 400), 0.5, np.float32), rng).std()
    assert level == pytest.approx(np.sqrt(0.5 / 1e4 + 0.005**2), rel=0.01)


def test_grain_joins_neighbours_and_keeps_the_level(rng):
    grainy = noise(Sensor(well=1e9, read=0.01, grain=1.0), np.ones((200, 200), np.float32), rng)
    assert grainy.std() == pytest.approx(0.01, rel=0.01)
    assert np.corrcoef(grainy[:, 1:].ravel(), grainy[:, :-1].ravel())[0, 1] > 0.5


def test_stripes_run_along_lines_and_stay_with_the_array(rng):
    array = make_array(Sensor(pattern=0.0, stripes=0.01), (50, 60), rng)
    constant_along = [np.ptp(array.offsets, axis=axis).max() for axis in (0, 1)]
    assert min(constant_along) == 0
    assert max(constant_along) > 0


@pytest.mark.parametrize("bits", [8, 12, 14, 16])
def test_levels_lie_on_the_scale_of_the_depth(bits, rng):
    sensor = Sensor(bits=bits, faults=0.05, gain=3.0)
    array = make_array(sensor, (64, 64), rng)
    radiance = rng.uniform(0.4, 0.6, (64, 64)).astype(np.float32)
    signal = expose(sensor, array, radiance, noise(sensor, radiance, rng))
    image = digitise(sensor, array, signal, automatic_gain(sensor, signal))
    levels = image.astype(np.float64) * (2**bits - 1)
    np.testing.assert_allclose(levels, np.rint(levels), atol=0.01)
    assert (image[array.dead] == 0).all()
    assert (image[array.hot] == 1).all()
    assert array.dead.any()
    assert array.hot.any()


def test_automatic_gain_spreads_a_flat_frame_and_no_more_than_it_may(rng):
    signal = rng.uniform(0.45, 0.55, (100, 100)).astype(np.float32)
    assert automatic_gain(Sensor(gain=4.0), signal).slope == pytest.approx(4)
    assert automatic_gain(Sensor(gain=100.0), signal).slope == pytest.approx(9, rel=0.02)
    assert automatic_gain(Sensor(gain=1.0), signal).slope == 1
