"""The seeded-profile annotator: levels, polarity, borders, crowds and nothing at all."""

import json
from itertools import pairwise

import numpy as np
import pytest
from scipy import ndimage
from skimage.morphology import reconstruction

from infraspot.annotators import annotate, flood
from infraspot.annotators.profile.features import NAMES, UNIT_FREE, frame_features, level_features
from infraspot.annotators.profile.fitting import (
    cross_validate,
    examples_of,
    fit_scorer,
    join,
    set_iou,
)
from infraspot.annotators.profile.learning_curve import learning_curve
from infraspot.annotators.profile.level import jumped
from infraspot.annotators.profile.level_file import read_level, save_level
from infraspot.annotators.surroundings import LEVELS, look_around
from infraspot.core.errors import InputError, UsageError


def blob(
    shape: tuple[int, int] = (61, 61), centre: tuple[float, float] = (30, 30), spread: float = 2.0,
    peak: float = 0.6, noise: float = 0.003, seed: int = 0,
) -> np.ndarray:  # fmt: skip
    ys, xs = np.mgrid[: shape[0], : shape[1]]
    frame = 0.2 + peak * np.exp(-((ys - centre[0]) ** 2 + (xs - centre[1]) ** 2) / (2 * spread**2))
    return np.clip(frame + np.random.default_rng(seed).normal(0, noise, shape), 0, 1).astype(np.float32)


def test_reach_is_the_greyscale_reconstruction_from_the_seed() -> None:
    window = np.random.default_rng(1).random((15, 13)).astype(np.float32)
    seed = np.zeros_like(window)
    seed[7, 6] = window[7, 6]
    reach, order = flood.flood(window, 7, 6)
    assert np.allclose(reach, reconstruction(seed, window, footprint=np.ones((3, 3))))
    assert sorted(order.tolist()) == list(range(window.size))
    assert (np.diff(reach.ravel()[order]) <= 0).all()


def test_description_of_each_level_agrees_with_morphology() -> None:
    window = ndimage.gaussian_filter(np.random.default_rng(2).random((17, 19)), 1).astype(np.float32)
    reach, order = flood.flood(window, 8, 9)
    rim = np.zeros(window.shape, bool)
    rim[0] = True
    slope = np.abs(np.gradient(window, axis=0)).astype(np.float32)
    thresholds = np.linspace(float(window[8, 9]), float(window.min()), 12).astype(np.float32)
    table = flood.describe(window, slope, reach, order, rim, thresholds)
    for row, threshold in zip(table, thresholds, strict=True):
        mask = reach >= threshold
        inner = mask & ~ndimage.binary_erosion(mask, np.ones((3, 3)), border_value=1)
        outer = ndimage.binary_dilation(mask, np.ones((3, 3))) & ~mask
        ys, xs = np.nonzero(mask)
        assert row[flood.AREA] == mask.sum()
        assert (row[flood.INNER], row[flood.OUTER]) == (inner.sum(), outer.sum())
        assert row[flood.INNER_SUM] == pytest.approx(window[inner].sum(), abs=1e-4)
        assert row[flood.OUTER_SUM] == pytest.approx(window[outer].sum(), abs=1e-4)
        assert row[flood.SLOPE_SUM] == pytest.approx(slope[inner | outer].sum(), abs=1e-4)
        assert row[flood.RIM] == (mask & rim).sum()
        assert row[flood.YX] == pytest.approx(((ys - ys.mean()) * (xs - xs.mean())).sum(), abs=1e-6)


def test_holes_are_filled_as_scipy_fills_them() -> None:
    mask = np.random.default_rng(3).random((20, 20)) > 0.4
    assert (flood.filled(mask) == ndimage.binary_fill_holes(mask)).all()


def test_ring_statistics_agree_with_numpy() -> None:
    values = np.random.default_rng(4).random((25, 25)).astype(np.float32)
    values[8, 8] = 9
    mask = np.zeros((25, 25), bool)
    mask[12, 10:13] = True
    ring = ndimage.binary_dilation(mask, np.ones((3, 3)), 6) & ~ndimage.binary_dilation(
        mask, np.ones((3, 3)), 2
    )
    count, median, deviation, spread, clean = flood.ring_statistics(values, mask, np.zeros_like(mask), 3, 6)
    expected = np.median(values[ring])
    assert count == ring.sum()
    assert median == pytest.approx(expected)
    assert deviation == pytest.approx(1.4826 * np.median(np.abs(values[ring] - expected)), rel=1e-5)
    assert spread == pytest.approx(values[ring].std(), rel=1e-4)
    away = np.abs(values[ring] - expected)
    kept = values[ring][away <= 3.75 * away.mean()]
    assert clean == pytest.approx(kept.std(), rel=1e-4)


def test_half_level_of_a_blob_is_its_half_maximum() -> None:
    found = annotate(blob(noise=0), [(30, 30)], level=0.5)
    ys, xs = np.mgrid[:61, :61]
    radius = 2.0 * np.sqrt(2 * np.log(2))
    assert (found.mask == (np.hypot(ys - 30, xs - 30) <= radius)).all()
    assert found.clicks[0].level == 0.5


def test_lower_levels_contain_higher_ones() -> None:
    masks = [annotate(blob(), [(30, 30)], level=level).mask for level in (0.2, 0.4, 0.6, 0.8)]
    for larger, smaller in pairwise(masks):
        assert (larger >= smaller).all()
        assert larger.sum() > smaller.sum()


def test_auto_does_not_depend_on_the_unit_of_grey() -> None:
    frame = blob()
    assert (annotate(frame, [(30, 30)]).mask == annotate(frame * 0.1 + 0.05, [(30, 30)]).mask).all()


def test_dark_target_gets_the_mask_of_its_bright_twin() -> None:
    frame = blob(spread=2.5)
    bright, dark = annotate(frame, [(30, 30)]), annotate(1 - frame, [(30, 30)])
    assert (bright.mask == dark.mask).all()
    assert (bright.clicks[0].polarity, dark.clicks[0].polarity) == (1, -1)
    assert dark.clicks[0].contrast < -0.1


@pytest.mark.parametrize("offset", [(0, 2), (-2, 1), (3, 0)])
def test_click_a_few_pixels_off_finds_the_same_target(offset: tuple[int, int]) -> None:
    frame = blob(noise=0.001)
    near = annotate(frame, [(30 + offset[0], 30 + offset[1])], level=0.4).mask
    assert (near == annotate(frame, [(30, 30)], level=0.4).mask).all()


def test_touching_targets_are_split_between_their_clicks() -> None:
    frame = np.maximum(blob(centre=(30, 26), noise=0), blob(centre=(30, 33), noise=0))
    found = annotate(frame, [(30, 26), (30, 33)], level=0.2)
    areas = [click.area for click in found.clicks]
    assert sum(areas) == found.mask.sum()
    assert abs(areas[0] - areas[1]) <= 8


def test_second_of_two_equal_clicks_is_left_without_pixels() -> None:
    found = annotate(blob(), [(30, 30), (30, 30)])
    assert found.clicks[0].area == found.mask.sum()
    assert found.clicks[1].area == 0


@pytest.mark.parametrize("click", [(0, 0), (0, 30), (60, 60)])
def test_target_at_the_border_is_found(click: tuple[int, int]) -> None:
    found = annotate(blob(centre=click), [click])
    assert found.mask[click]
    assert 3 <= found.clicks[0].area <= 80
    assert found.clicks[0].confidence > 0.8


@pytest.mark.parametrize("seed", range(5))
def test_click_on_nothing_gives_a_small_unsure_mask(seed: int) -> None:
    frame = np.clip(np.random.default_rng(seed).normal(0.5, 0.05, (80, 80)), 0, 1)
    found = annotate(frame, [(40, 40)])
    assert 1 <= found.mask.sum() <= 60
    assert found.clicks[0].confidence < 0.5
    assert annotate(blob(), [(30, 30)]).clicks[0].confidence > 0.95


@pytest.mark.parametrize("level", ["auto", "preset:sirst-v1"])
def test_click_on_a_soft_cloud_does_not_flood(level: str) -> None:
    rng = np.random.default_rng(3)
    cloud = ndimage.gaussian_filter(rng.normal(size=(90, 90)), 9)
    frame = 0.4 + 0.5 * cloud + 0.01 * rng.normal(size=(90, 90))
    for click in ((20, 20), (45, 45), (70, 30), (30, 70)):
        assert annotate(frame.clip(0, 1), [click], level=level).mask.sum() <= 30


def test_click_in_a_large_bright_region_does_not_flood() -> None:
    frame = np.full((90, 90), 0.2, np.float32)
    frame[:, 40:] = 0.8
    found = annotate(frame, [(45, 50)], level=0.3)
    assert found.mask.sum() <= 37 * 37


def test_thousand_clicks_are_labelled() -> None:
    points = np.random.default_rng(0).integers(0, 61, (1000, 2))
    found = annotate(blob(), points)
    assert len(found.clicks) == 1000
    assert sum(click.area for click in found.clicks) == found.mask.sum()


def test_wrong_levels_are_refused() -> None:
    for level in ("1.5", "preset:sirst", "nowhere.json", 0):
        with pytest.raises(UsageError):
            annotate(blob(), [(30, 30)], level=level)


def test_unknown_option_names_those_there_are() -> None:
    with pytest.raises(UsageError, match="no option lvel; it takes level"):
        annotate(blob(), [(30, 30)], lvel=0.3)


def test_oracle_needs_areas_and_is_stamped() -> None:
    with pytest.raises(UsageError, match="one true area per click"):
        annotate(blob(), [(30, 30)], "mclc", size_prior="oracle")
    found = annotate(blob(), [(30, 30)], "mclc", size_prior="oracle", areas=[20])
    assert found.provenance["size_prior"] == "oracle"


@pytest.mark.parametrize(
    "image", [np.zeros((3, 3, 3)), np.zeros((0, 5)), np.full((3, 3), 7.0), np.full((2, 2), np.nan)]
)
def test_unusable_images_are_refused(image: np.ndarray) -> None:
    with pytest.raises(InputError):
        annotate(image, [(0, 0)])


def convention(level: float, count: int) -> list:
    """Examples of blobs whose truth lies at one level."""
    found = []
    for index in range(count):
        frame = blob(spread=1.2 + 0.1 * (index % 12), peak=0.3 + 0.02 * (index % 15), seed=index)
        target = look_around(frame, 30, 30)
        truth = np.zeros(frame.shape, bool)
        height, width = target.reach.shape
        place = np.s_[target.top : target.top + height, target.left : target.left + width]
        truth[place] = target.component(level)
        found.append(examples_of(frame, truth, np.array([[30.0, 30.0]]), index))
    return found


@pytest.mark.parametrize("level", [0.2, 0.5])
def test_calibration_learns_a_convention_from_thirty_targets(level: float) -> None:
    examples = join(convention(level, 30))
    levels = cross_validate(
        examples, lambda known, seed: fit_scorer(examples.take(known), members=2, steps=200, seed=seed)
    )
    assert set_iou(examples, levels) > 0.93


def test_learning_curve_rises_to_all_targets_of_the_other_folds() -> None:
    examples = join(convention(0.3, 24))
    judged = np.ones(24, bool)

    def fit(known, seed):
        return fit_scorer(examples.take(known), members=1, steps=80, seed=seed)

    curve = list(learning_curve(examples, judged, fit, (5, 10, 50), folds=2, repeats=2))
    assert [size for size, _ in curve] == [5, 10, 12]
    assert all(len(ious) == 2 for _, ious in curve)
    assert np.mean(curve[-1][1]) > 0.85
    assert np.mean(curve[-1][1]) >= np.mean(curve[0][1]) - 0.02


def test_saved_level_reads_back_and_drives_the_annotator(tmp_path) -> None:
    scorer = fit_scorer(join(convention(0.4, 20)), members=2, width=4, steps=100)
    save_level(scorer, tmp_path / "level.json")
    again = read_level(tmp_path / "level.json")
    features = np.zeros((len(LEVELS), len(NAMES)))
    assert np.allclose(again.score(features), scorer.score(features), rtol=0.02, atol=0.02)
    found = annotate(blob(), [(30, 30)], level=str(tmp_path / "level.json"))
    assert 0.3 <= found.clicks[0].level <= 0.5


def features_at(frame: np.ndarray) -> np.ndarray:
    return level_features(look_around(frame, 30, 30), frame_features(frame, 1))


def test_every_column_of_features_has_a_name() -> None:
    assert features_at(blob()).shape == (len(LEVELS), len(NAMES))
    assert len(set(NAMES)) == len(NAMES)


def test_unit_free_features_are_those_of_the_frame_in_another_unit() -> None:
    columns = [NAMES.index(name) for name in UNIT_FREE]
    frame = blob(noise=0.01)
    assert np.allclose(features_at(frame)[:, columns], features_at(frame * 0.25 + 0.3)[:, columns], atol=0.01)


def test_damaged_level_file_is_refused_by_name(tmp_path) -> None:
    for text in ("{", "[]", json.dumps({"format": "other"})):
        path = tmp_path / "level.json"
        path.write_text(text)
        with pytest.raises(InputError, match=r"level\.json"):
            read_level(path)


def test_packaged_preset_is_small_and_says_where_it_is_from() -> None:
    from infraspot.annotators.profile.level import PRESETS, load_level

    for path in PRESETS.glob("*.json"):
        assert path.stat().st_size <= 80_000
        assert load_level(f"preset:{path.stem}").about["split"] == "train"


def test_a_component_that_jumps_within_three_levels_is_given_up_from_there_on() -> None:
    steady = np.array([4, 30, 40, 60, 90, 110, 140, 170, 200], float)
    assert not jumped(steady).any()
    leap = np.array([4, 30, 40, 45, 50, 90, 160, 170, 171], float)
    assert jumped(leap).tolist() == [False] * 6 + [True] * 3
    small = np.array([1, 2, 4, 30, 40, 60, 99], float)
    assert not jumped(small).any()


def cloudy() -> np.ndarray:
    """A blob beside a patch of clouds of a sixth of its height."""
    frame = blob(noise=0, peak=0.5)
    frame[22:40, 34:44] += 0.08
    return frame


def test_a_number_stops_before_the_component_jumps_unless_a_person_wants_it() -> None:
    held = annotate(cloudy(), [(30, 30)], level=0.1)
    taken = annotate(cloudy(), [(30, 30)], level=0.1, guarded=False)
    assert held.clicks[0].level > 0.1 == taken.clicks[0].level
    assert held.mask.sum() < 100 < taken.mask.sum()
    assert (taken.mask >= held.mask).all()


@pytest.mark.parametrize("level", ["auto", "preset:sirst-v1"])
def test_a_frame_of_16_bits_gets_the_mask_of_its_8_bit_twin(level: str) -> None:
    grey = np.round(blob(noise=0.01) * 255)
    assert (
        annotate(grey.astype(np.uint8), [(30, 30)], level=level).mask
        == annotate((grey * 257).astype(np.uint16), [(30, 30)], level=level).mask
    ).all()


def test_auto_gives_a_12_bit_signal_in_16_bits_the_mask_of_the_whole_range() -> None:
    grey = np.round(blob(noise=0.01) * 4095).astype(np.uint16)
    low, whole = (annotate(grey * factor, [(30, 30)]).mask for factor in (1, 16))
    assert (low ^ whole).sum() <= 2


@pytest.mark.parametrize("seed", range(4))
def test_dark_targets_in_noise_get_the_mask_of_their_bright_twins(seed: int) -> None:
    frame = blob(noise=0.03, seed=seed, spread=1.5 + 0.3 * seed)
    bright, dark = (annotate(image, [(30, 30)]) for image in (frame, 1 - frame))
    assert (bright.mask == dark.mask).all()
    assert dark.clicks[0].polarity == -1


@pytest.mark.parametrize("level", ["auto", "preset:sirst-v1"])
@pytest.mark.parametrize("smooth", [0, 1, 3])
def test_clicks_on_nothing_keep_small_masks(level: str, smooth: float) -> None:
    rng = np.random.default_rng(7)
    grain = ndimage.gaussian_filter(rng.normal(size=(120, 120)), smooth)
    frame = np.clip(0.4 + 0.03 * grain / grain.std(), 0, 1)
    clicks = rng.integers(5, 115, (30, 2))
    areas = [annotate(frame, [click], level=level).mask.sum() for click in clicks]
    assert np.median(areas) <= 40
    assert max(areas) <= 400
