"""Detectors of targets are evaluated without a score map; numbers of pixels say why they are missing."""

import math

import numpy as np
import pytest

from infraspot.core.errors import InputError
from infraspot.core.prediction import Prediction
from infraspot.core.sample import Sample
from infraspot.inference.false_alarms import measure_false_alarms
from infraspot.metrics import PROTOCOLS, BoxPrecision, Evaluation, jsonable

SHAPE = (64, 80)
PLACES = [(5, 5), (30, 30), (50, 20)]


def truth():
    mask = np.zeros(SHAPE, bool)
    for y, x in PLACES:
        mask[y : y + 3, x : x + 3] = True
    return mask


def listed(*scored):
    boxes, scores = zip(*scored, strict=True) if scored else ((), ())
    return Prediction.from_boxes("frame", boxes, scores, SHAPE)


def square(y, x, size=3):
    return (x, y, x + size, y + size)


def evaluate(protocol, *predictions, **options):
    evaluation = Evaluation(protocol, **options)
    for number, prediction in enumerate(predictions):
        evaluation.update(prediction, truth(), id=str(number))
    return evaluation


FOUND = listed((square(5, 5), 0.9), (square(30, 31), 0.8), (square(10, 60, 4), 0.7), (square(50, 20), 0.3))


def test_targets_false_alarms_and_their_area_are_counted_by_hand():
    result = evaluate("infraspot", FOUND).compute(bootstrap=20)
    pixels = SHAPE[0] * SHAPE[1]
    assert (result["n_targets"], result["n_detections"], result["n_false_detections"]) == (3, 3, 1)
    assert result["pd"] == pytest.approx(2 / 3)
    assert result["fa_area"] == pytest.approx(16 / pixels)
    assert result["false_alarms_per_image"] == 1
    assert result["target_precision"] == pytest.approx(2 / 3)
    assert result["errors"]["clutter"] == 1
    assert result["errors"]["good"] == 2
    assert not math.isnan(result["intervals"]["pd"][0])


def test_average_precision_ranks_every_target_and_not_only_those_above_the_threshold():
    result = evaluate("voc12", FOUND).compute()
    boxes = BoxPrecision()
    corners = [square(y, x) for y, x in PLACES]
    boxes.update(
        [target.box for target in FOUND.candidates], [one.score for one in FOUND.candidates], corners
    )
    assert result["box_ap"] == boxes.compute()
    # By centre all three are found, with one false alarm ranked third.
    assert result["target_ap"]["centre_3"] == pytest.approx(2 / 3 + 3 / 4 / 3)
    assert result["ap"] == result["box_ap"]["ap12"]


def test_numbers_of_pixels_do_not_exist_and_say_why():
    result = evaluate("infraspot", FOUND, pixel_ranking=True).compute(bootstrap=10)
    for name in ("iou", "niou", "precision", "recall", "f1", "fa_pixel", "hiou", "pixel_auc", "pixel_ap"):
        assert math.isnan(result[name]), name
        assert "without a score for every pixel" in result["reasons"][name]
    assert math.isnan(result["target_ap"]["overlap"])
    assert "pd" not in result["reasons"]
    assert jsonable(result["curve"])["iou"][0] is None


def test_the_curve_over_thresholds_equals_one_evaluation_at_each():
    levels = [0.2, 0.5, 0.75, 0.85]
    curve = evaluate("basicirstd", FOUND, thresholds=levels).compute()["curve"]
    for place, level in enumerate(levels):
        single = evaluate("basicirstd", FOUND, threshold=level, thresholds=None).compute()
        for name in ("pd", "fa_area", "false_alarms_per_image", "target_f1"):
            assert curve[name][place] == single[name]


def test_boxes_of_a_map_s_components_give_the_numbers_of_that_map(rng):
    """Square blobs: a score map and the list of its boxes must agree on everything that counts targets."""
    scores, boxes = np.zeros(SHAPE, np.float32), []
    for y, x in [*PLACES[:2], (20, 60), (40, 70)]:
        dy, dx = rng.integers(-1, 2, 2)
        scores[y + dy : y + dy + 3, x + dx : x + dx + 3] = level = np.float32(rng.uniform(0.55, 0.95))
        boxes.append((square(y + dy, x + dx), float(level)))
    of_map = evaluate("infraspot", Prediction("frame", scores)).compute()
    of_list = evaluate("infraspot", listed(*boxes)).compute()
    for name in ("pd", "fa_area", "target_f1", "ap", "false_alarms_per_megapixel"):
        assert of_list[name] == pytest.approx(of_map[name]), name
    assert of_list["box_ap"] == pytest.approx(of_map["box_ap"])
    assert of_list["errors"] == of_map["errors"]


def test_an_empty_list_and_boxes_beyond_the_frame_are_counted():
    result = evaluate("infraspot", listed(), listed((square(-9, -9), 0.9))).compute()
    assert (result["pd"], result["n_false_detections"]) == (0, 1)


def test_rows_strata_and_merging_work_without_a_map():
    image = np.zeros(SHAPE, np.float32)
    image[truth()] = 0.5
    evaluation = Evaluation()
    evaluation.update(FOUND, Sample("a", image, truth()))
    evaluation.merge(evaluate("infraspot", FOUND))
    result = evaluation.compute()
    assert [row["hits"] for row in result["strata"]["area"]] == [0, 4, 0, 0, 0]
    assert math.isnan(result["strata"]["area"][1]["target_iou"])
    assert result["strata"]["scr"] is not None
    assert all(math.isnan(row["iou"]) and row["hits"] == 2 for row in evaluation.per_image())


@pytest.mark.parametrize("name", [name for name, one in PROTOCOLS.items() if one.grid or one.normalise])
def test_protocols_that_change_the_map_refuse_a_list(name):
    with pytest.raises(InputError, match="needs a score for every pixel"):
        evaluate(name, FOUND)


def test_protocols_that_compare_pixels_and_frames_of_another_size_are_refused():
    with pytest.raises(InputError, match="pim-shoot needs a score for every pixel"):
        evaluate("pim-shoot", FOUND)
    with pytest.raises(InputError, match="the prediction is 5x4 and the truth 80x64"):
        evaluate("infraspot", Prediction.from_boxes("a", [], [], (4, 5)))
    with pytest.raises(InputError, match="score maps only"):
        Evaluation().update(FOUND, truth(), ignore=truth())


class Boxes:
    """A detector of boxes."""

    name, card = "boxes", {}

    def predict(self, frame, id):
        return FOUND


def test_false_alarms_of_a_detector_of_boxes_are_calibrated_without_a_map():
    sample = Sample("a", np.zeros(SHAPE, np.float32), truth())
    measured = measure_false_alarms(Boxes(), [sample], "made up")
    rates = {threshold: (rate, pd) for threshold, rate, pd in measured["curve"]}
    assert rates[0.5] == (round(1e6 / (SHAPE[0] * SHAPE[1]), 4), round(2 / 3, 4))
    assert rates[0.85] == (0, round(1 / 3, 4))
