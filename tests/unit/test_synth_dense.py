"""Clusters pasted into skies: where they lie, what they add, and what the truth says of them."""

import numpy as np
import pytest
from scipy import ndimage

from infraspot.core.errors import DataError, UsageError
from infraspot.core.pasting import gaussian_weights
from infraspot.core.sample import Sample
from infraspot.synth.dense import DenseOptions, add_clusters
from infraspot.synth.library import build_library, cut_patches

FLAT = np.full((1, 5, 5), 0.5, np.float32)


def frame(height=60, width=80, level=0.3, sky_rows=60) -> Sample:
    sky = np.zeros((height, width), np.uint8)
    sky[:sky_rows] = 1
    return Sample(
        "f", np.full((height, width), level, np.float32), mask=np.zeros((height, width), bool), sky=sky
    )


@pytest.mark.parametrize("seed", range(20))
def test_every_pasted_target_is_one_component_in_the_sky_with_its_box_and_point(seed):
    base = frame(sky_rows=30)
    made = add_clusters(base, FLAT, DenseOptions(), np.random.default_rng(seed))
    sample = made.sample
    labels, count = ndimage.label(sample.mask, np.ones((3, 3)))
    assert count == made.pasted == len(sample.boxes) == len(sample.points) > 0
    assert not sample.mask[30:].any()
    for number, (y, x), box in zip(range(1, count + 1), sample.points, sample.boxes, strict=True):
        rows, columns = np.nonzero(labels == number)
        assert (rows.mean(), columns.mean()) == pytest.approx((y, x))
        assert box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert np.ptp(rows) < 5
        assert np.ptp(columns) < 5


def test_an_area_holds_only_as_many_targets_as_fit_with_their_gaps():
    options = DenseOptions(areas=(1, 1), targets=(12, 12))
    counts = {add_clusters(frame(), FLAT, options, np.random.default_rng(seed)).pasted for seed in range(40)}
    assert max(counts) <= 9  # 3 x 3 patches of 5 with gaps of 1 take 17 of 20 pixels
    assert min(counts) >= 4


def test_areas_lie_in_the_sky_and_their_number_is_within_its_range():
    options = DenseOptions(areas=(2, 3))
    seen = set()
    for seed in range(30):
        made = add_clusters(frame(sky_rows=25), FLAT, options, np.random.default_rng(seed))
        seen.add(len(made.areas))
        assert all(y + 20 <= 25 and x + 20 <= 80 for x, y in made.areas)
    assert seen == {2, 3}


def test_brightness_is_added_within_the_patch_only_and_never_taken():
    base = frame()
    made = add_clusters(base, FLAT, DenseOptions(), np.random.default_rng(1)).sample
    added = made.image - base.image
    assert added.min() == 0
    assert not added[~ndimage.binary_dilation(made.mask, np.ones((3, 3)), iterations=4)].any()
    # Eq. 1 at the brightest pixel: weight 1 times lambda in [0.5, 1] times the patch's 0.5.
    peaks = ndimage.maximum(added, *ndimage.label(made.mask, np.ones((3, 3)))[:1], index=[1, 2, 3])
    assert all(0.25 - 1e-6 <= peak <= 0.5 + 1e-6 for peak in peaks)


def test_a_frame_without_room_in_its_sky_stays_as_it_is():
    for base in (frame(sky_rows=0), frame(sky_rows=19), frame(height=10, width=10, sky_rows=10)):
        made = add_clusters(base, FLAT, DenseOptions(), np.random.default_rng(0))
        assert (made.areas, made.pasted) == ((), 0)
        np.testing.assert_array_equal(made.sample.image, base.image)
        assert len(made.sample.boxes) == 0


def test_targets_that_would_not_be_seen_are_not_pasted():
    white = frame(level=1.0)
    assert add_clusters(white, FLAT, DenseOptions(), np.random.default_rng(0)).pasted == 0
    assert add_clusters(frame(), FLAT * 0, DenseOptions(), np.random.default_rng(0)).pasted == 0


def test_targets_that_were_there_stay_and_keep_their_distance():
    base = frame(height=22, width=22, sky_rows=22)
    base.mask[10:12, 10:12] = True
    made = add_clusters(base, FLAT, DenseOptions(), np.random.default_rng(3)).sample
    around = np.zeros_like(base.mask)
    around[9:13, 9:13] = True
    np.testing.assert_array_equal(made.mask & around, base.mask)


def test_weights_are_a_turned_gaussian_between_0_and_1():
    rng = np.random.default_rng(0)
    for _ in range(100):
        weights = gaussian_weights((5, 5), rng)
        assert (weights.min(), weights.max()) == (0, 1)
        # Centres lie between the middle and a tenth of the patch towards the upper left corner.
        y, x = np.unravel_index(weights.argmax(), weights.shape)
        assert {y, x} <= {1, 2}


def test_weights_without_offset_and_spread_are_those_of_the_equation():
    corner, edge = np.exp(-(1 + 1) / 0.5), np.exp(-1 / 0.5)
    expected = np.array([[0, (edge - corner) / (1 - corner), 0]])
    weights = gaussian_weights((3, 3), np.random.default_rng(0), offset=0.0, spread=(0.5, 0.5))
    np.testing.assert_allclose(weights[:1], expected, atol=1e-12)


def test_patches_of_targets_are_their_boxes_resized():
    sample = frame()
    sample.image[4:6, 8:12] = [[0.1, 0.2, 0.3, 0.4]] * 2
    sample.mask[4:6, 8:12] = True
    (patch,) = cut_patches(sample, "targets", 5, np.random.default_rng(0))
    # Five samples of four pixels: centres at 0.8 k - 0.1, and the first is clamped.
    np.testing.assert_allclose(patch, [[0.1, 0.17, 0.25, 0.33, 0.4]] * 5, atol=1e-6)


def test_patches_of_background_show_no_target():
    sample = frame()
    sample.image[20:30, 20:30] = 1.0
    sample.mask[20:30, 20:30] = True
    patches = np.concatenate(
        [cut_patches(sample, "background", 5, np.random.default_rng(k)) for k in range(20)]
    )
    np.testing.assert_allclose(patches, 0.3, atol=1e-6)


def test_a_library_without_targets_is_a_sentence():
    with pytest.raises(DataError, match="library of targets is empty"):
        build_library([frame()], "targets", 5, np.random.default_rng(0))


@pytest.mark.parametrize(
    "wrong",
    [
        {"side": 21},
        {"side": 2},
        {"areas": (0, 3)},
        {"areas": (3, 1)},
        {"targets": (0, 1)},
        {"gap": 0},
        {"area": 4},
    ],
)
def test_impossible_clusters_are_refused(wrong):
    with pytest.raises(UsageError):
        DenseOptions(**wrong)
