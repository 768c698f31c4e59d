"""Each published protocol against numbers worked out by hand (the golden cases of the field)."""

import math
from dataclasses import replace

import numpy as np
import pytest

from infraspot.metrics import PROTOCOLS, Evaluation, score_frame

SIDE = 256


def blank(side: int = SIDE) -> np.ndarray:
    return np.zeros((side, side), bool)


def square(y: int, x: int, size: int = 3, side: int = SIDE) -> np.ndarray:
    mask = blank(side)
    mask[y : y + size, x : x + size] = True
    return mask


def evaluate(protocol, *pairs):
    evaluation = Evaluation(protocol, thresholds=None)
    for number, (prediction, truth) in enumerate(pairs):
        evaluation.update(prediction, truth, id=str(number))
    return evaluation.compute()


EXACT_HIT_AND_TWO_TWINS = (square(10, 10) | square(100, 100) | square(200, 50), square(10, 10))


@pytest.mark.parametrize("name", ["dnanet", "mshnet", "sctransnet"])
def test_area_by_value_forgives_false_blobs_as_large_as_the_target(name):
    result = evaluate(name, EXACT_HIT_AND_TWO_TWINS)
    assert result["pd"] == 1
    assert result["fa_area"] == 0


@pytest.mark.parametrize("name", ["infraspot", "basicirstd", "lesps", "pal", "d2d", "uiunet", "pim"])
def test_correct_bookkeeping_counts_every_unmatched_component(name):
    result = evaluate(name, EXACT_HIT_AND_TWO_TWINS)
    assert result["pd"] == 1
    assert result["fa_area"] == pytest.approx(18 / SIDE**2)
    assert result["fa_area"] * 1e6 == pytest.approx(274.7, abs=0.05)


@pytest.mark.parametrize(
    ("name", "expected", "counted"), [("infraspot", 1.0, 1), ("basicirstd", 0.5, 2), ("pim", 0.5, 2)]
)
def test_a_clean_empty_image_counts_zero_in_the_papers_and_not_at_all_by_default(name, expected, counted):
    result = evaluate(name, (square(9, 9), square(9, 9)), (blank(), blank()))
    assert result["niou"] == expected
    assert result["n_images_niou"] == counted


def test_a_clean_empty_image_counts_one_when_asked_to():
    protocol = replace(PROTOCOLS["infraspot"], empty="one")
    assert evaluate(protocol, (square(9, 9), square(9, 9)), (blank(), blank()))["niou"] == 1


@pytest.mark.parametrize("name", sorted(PROTOCOLS))
def test_the_definition_names_the_threshold_that_is_scored_at(name):
    moved = PROTOCOLS[name].at(0.125)
    assert "p > 0.125" in moved.definition
    assert f"p > {PROTOCOLS[name].threshold:g}" not in moved.definition
    assert "logit" not in moved.definition


@pytest.mark.parametrize("name", PROTOCOLS)
def test_without_targets_pd_is_nan_with_a_reason(name):
    result = evaluate(name, (square(20, 20), blank()))
    assert math.isnan(result["pd"])
    assert result["reasons"]["pd"] == "no targets in the set"
    assert result["fa_pixel"] == pytest.approx(9 / SIDE**2)


@pytest.mark.parametrize(("name", "expected"), [("basicirstd", 0.5), ("infraspot", 1.0)])
def test_best_matching_finds_both_targets_where_greedy_gives_the_shared_detection_away(name, expected):
    truth, prediction = blank(), blank()
    truth[20, 20] = truth[20, 24] = True
    # The first detection in raster order is near both targets; the second one is near the left target only.
    prediction[19, 22] = prediction[21, 18] = True
    assert evaluate(name, (prediction, truth))["pd"] == expected


def test_a_long_target_shifted_along_itself_is_found_by_overlap_and_not_by_distance():
    truth, prediction = blank(), blank()
    truth[20:23, 20:35] = True
    prediction[20:23, 25:37] = True  # IoU 10 / 17, centroids 3.5 px apart
    assert evaluate("infraspot", (prediction, truth))["pd"] == 0
    assert evaluate(replace(PROTOCOLS["infraspot"], rule="overlap"), (prediction, truth))["pd"] == 1


def test_a_huge_blob_on_a_pixel_target_is_a_hit_and_only_fa_pixel_shows_it():
    truth = blank()
    truth[128, 128] = True
    result = evaluate("infraspot", (square(79, 79, 99), truth))
    assert (result["pd"], result["fa_area"]) == (1, 0)
    assert result["fa_pixel"] * 1e6 == pytest.approx(149_536, abs=1)
    assert result["errors"]["too_large"] == 1


def test_a_distance_of_exactly_three_pixels_is_no_hit_unless_the_gate_is_closed():
    pair = (square(10, 13), square(10, 10))
    assert evaluate("infraspot", pair)["pd"] == 0
    assert evaluate(replace(PROTOCOLS["infraspot"], closed=True), pair)["pd"] == 1


def test_a_corner_contact_joins_with_eight_neighbours_only():
    prediction = square(10, 10) | square(13, 13)
    eight = score_frame(prediction, prediction, PROTOCOLS["infraspot"])
    four = score_frame(prediction, prediction, replace(PROTOCOLS["infraspot"], connectivity=4))
    assert (len(eight.targets), len(four.targets)) == (1, 2)


def test_a_small_grid_loses_targets_that_native_scoring_keeps():
    truth, prediction = np.zeros((512, 512), bool), np.zeros((512, 512), bool)
    truth[101, 101] = prediction[101, 101] = True
    truth[200, 200] = prediction[200, 200] = True
    native, small = evaluate("basicirstd", (prediction, truth)), evaluate("d2d", (prediction, truth))
    assert (native["n_targets"], native["pd"]) == (2, 1)
    # A pixel averaged with its neighbours falls under the threshold; nearest may keep the truth.
    assert small["pd"] != 1


def test_a_prediction_on_the_protocols_grid_is_taken_as_it_is():
    truth = np.zeros((512, 512), bool)
    truth[100:108, 100:108] = True
    result = evaluate("dnanet", (square(50, 50, 4), truth))
    assert (result["iou"], result["pd"]) == (1, 1)


def test_uiunet_stretches_each_map_before_its_threshold():
    scores = np.full((SIDE, SIDE), 0.1, np.float32)
    scores[10:13, 10:13] = 0.2
    scores[40, 40] = 0.12  # 0.2 of the range, under 0.22
    result = evaluate("uiunet", (scores, square(10, 10)))
    assert (result["iou"], result["pd"], result["fa_area"]) == (1, 1, 0)


def test_shooting_hits_within_one_pixel_and_counts_false_pixels_beyond_four():
    truth = square(20, 20)
    prediction = blank()
    prediction[23, 23] = True  # touches the grown target at its corner: a hit
    prediction[27, 20:23] = True  # five rows below: beyond
    prediction[26, 30] = True  # eight columns to the right: beyond
    prediction[26, 24] = True  # four rows below: forgiven
    result = evaluate("pim-shoot", (prediction, truth))
    assert result["pd"] == 1
    assert result["fa_area"] == pytest.approx(4 / SIDE**2)
    assert result["n_false_detections"] == 2


@pytest.mark.parametrize(
    ("place", "near", "far"),
    [
        ((0, 0), (3, 3), (3, 4)),  # slices of the released program start at -1 here and are empty
        ((0, 20), (3, 23), (4, 20)),
        ((20, 0), (23, 3), (20, 4)),
        ((SIDE - 3, SIDE - 3), (SIDE - 4, SIDE - 4), (SIDE - 5, SIDE - 4)),
    ],
)
def test_shooting_hits_targets_at_every_border(place, near, far):
    truth = square(*place)
    for pixel, pd in ((near, 1), (far, 0)):
        prediction = blank()
        prediction[pixel] = True
        result = evaluate("pim-shoot", (prediction, truth))
        assert (result["pd"], result["fa_area"]) == (pd, 0)


def test_shots_into_the_far_corner_are_false_for_a_target_in_the_first():
    prediction = blank()
    prediction[-1, -1] = prediction[0, 7] = prediction[0, 6] = True  # 4 columns from the target: forgiven
    result = evaluate("pim-shoot", (prediction, square(0, 0)))
    assert result["pd"] == 0
    assert result["fa_area"] == pytest.approx(2 / SIDE**2)


def test_pim_adds_a_phantom_target_for_every_empty_image():
    pairs = [(square(9, 9), square(9, 9)), (blank(), blank())]
    assert evaluate("pim", *pairs)["loc_iou"] == pytest.approx(1 / 3)
    assert evaluate("infraspot", *pairs)["loc_iou"] == 1


def test_gating_after_the_assignment_loses_a_pair():
    truth, prediction = blank(64), blank(64)
    truth[10, 10] = truth[10, 16] = True
    prediction[10, 14] = True  # 2 px from the second target
    prediction[10, 60] = True
    compat = replace(PROTOCOLS["infraspot"], hierarchy="compat")
    # Over all distances, 10-14 with 16-60 (48 px) is cheaper than 16-14 with 10-60 (52 px).
    assert evaluate(compat, (prediction, truth))["loc_iou"] == 0
    assert evaluate("infraspot", (prediction, truth))["loc_iou"] == pytest.approx(1 / 3)


SHIFTED = (square(40, 40) | square(11, 11), square(40, 40) | square(10, 10))


@pytest.mark.parametrize(("name", "expected"), [("voc07", 6 / 11), ("voc12", 0.5), ("coco", 51 / 101)])
def test_average_precision_of_one_exact_and_one_shifted_box(name, expected):
    # The shifted 3x3 box has IoU 4 / 14 and is false at every overlap; the exact one ranks beside it.
    scores = np.where(square(40, 40), 0.9, np.where(square(11, 11), 0.8, 0)).astype(np.float32)
    assert evaluate(name, (scores, SHIFTED[1]))["ap"] == pytest.approx(expected)


def test_legacy_coordinates_call_small_shifts_a_hit():
    truth, prediction = square(10, 10, 4), square(11, 10, 4)
    result = evaluate("voc12", (prediction, truth))
    assert result["box_ap"]["ap12"] == 1  # 12 / 20 = 0.6
    truth, prediction = square(10, 10), square(10, 11) & square(10, 10, 4)
    result = evaluate("voc12", (prediction, truth))
    assert result["box_ap"]["ap12"] == 1  # 6 / 12 = 0.5
    truth, prediction = square(10, 10, 2), square(10, 11, 2)
    result = evaluate("voc12", (prediction, truth))
    assert (result["box_ap"]["ap12"], result["box_ap"]["ap12_legacy"]) == (0, 1)  # 2 / 6 and 6 / 12


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_result_carries_its_definition(name):
    result = evaluate(name, (square(9, 9), square(9, 9)))
    assert result["protocol"] == name
    assert result["definition"] == PROTOCOLS[name].definition.strip()
    assert len(result["definition"]) > 40
