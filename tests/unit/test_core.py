import numpy as np
import pytest

from infraspot.core.catalog import find
from infraspot.core.contrast import signal_to_clutter
from infraspot.core.errors import DataError, UsageError, named
from infraspot.core.files import replacing, write_json
from infraspot.core.geometry import find_components
from infraspot.core.prediction import Prediction
from infraspot.core.sample import Sample


def test_components_come_in_raster_order_with_areas_centroids_and_half_open_boxes():
    mask = np.zeros((6, 8), bool)
    mask[0:2, 5:8] = True
    mask[3, 0] = True
    parts = find_components(mask)
    assert parts.areas.tolist() == [6, 1]
    assert parts.centroids.tolist() == [[0.5, 6.0], [3.0, 0.0]]
    assert parts.boxes.tolist() == [[5, 0, 8, 2], [0, 3, 1, 4]]
    assert parts.mask(0).shape == (2, 3)


def test_pixels_that_touch_at_a_corner_are_one_target_unless_told_otherwise():
    mask = np.eye(3, dtype=bool)
    assert len(find_components(mask)) == 1
    assert len(find_components(mask, connectivity=4)) == 3


def test_an_empty_mask_has_no_components():
    parts = find_components(np.zeros((4, 5), bool))
    assert len(parts) == 0
    assert parts.boxes.shape == (0, 4)
    assert parts.centroids.shape == (0, 2)


def test_the_signal_to_clutter_ratio_is_the_contrast_in_deviations_of_the_ring():
    image = np.zeros((31, 31))
    image[::2] = 1.0  # rows of 0 and 1: mean and deviation near one half
    mask = np.zeros((31, 31), bool)
    mask[15, 15] = True
    image[15, 15] = 5.5
    ratio = signal_to_clutter(image, find_components(mask), gap=1, ring=8)
    ring = np.ones((19, 19), bool)
    ring[8:11, 8:11] = False
    values = image[6:25, 6:25][ring]
    assert ratio[0] == pytest.approx((5.5 - values.mean()) / values.std())


def test_a_target_that_fills_the_frame_has_no_ratio():
    mask = np.ones((3, 3), bool)
    assert np.isnan(signal_to_clutter(np.ones((3, 3)), find_components(mask))[0])


def test_a_target_on_a_constant_background_has_a_finite_ratio():
    image = np.zeros((20, 20))
    image[10, 10] = 1.0
    assert np.isfinite(signal_to_clutter(image, find_components(image))).all()


def test_targets_come_with_the_highest_score_first():
    scores = np.zeros((9, 9), np.float32)
    scores[1, 1] = 0.6
    scores[5:7, 5:7] = 0.9
    first, second = Prediction("a", scores).find_targets(0.5)
    assert (first.x, first.y, first.area, first.box) == (5.5, 5.5, 4, (5, 5, 7, 7))
    assert second.score == pytest.approx(0.6)
    assert first.scr is None


def test_a_score_at_the_threshold_is_background():
    assert not Prediction("a", np.full((2, 2), 0.5, np.float32)).find_targets(0.5)


def test_a_sample_refuses_a_mask_of_another_size():
    with pytest.raises(ValueError, match=r"frame-7: the mask has shape \(3, 4\)"):
        Sample("frame-7", np.zeros((4, 4), np.float32), mask=np.zeros((3, 4), bool))


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "scores.json"
    write_json(path, {"iou": 1})

    def interrupted() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == '{\n  "iou": 1\n}\n'
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write"):
        write_json(tmp_path / "file" / "scores.json", {})


def test_of_many_names_a_message_holds_the_first_and_counts_the_others():
    assert named(["a"]) == "a"
    assert named(list("abcde")) == "a, b, c, d, e"
    assert named(list("abcdefg")) == "a, b, c, d, e and 2 more"
    assert named(["x" * 5000, "y"], 1) == "x" * 100 + " and 1 more"


def test_an_unknown_name_comes_with_the_nearest_one():
    with pytest.raises(UsageError, match="did you mean 'dnanet'"):
        find("network", "dnant", {"dnanet": 1, "acm": 2})


def test_a_name_with_a_colon_is_imported():
    assert find("function", "math:sqrt", {})(9) == 3
    with pytest.raises(UsageError, match="cannot import the function 'math:squirt'"):
        find("function", "math:squirt", {})
