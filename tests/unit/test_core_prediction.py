"""A prediction is a score map or a list of scored targets; everything above asks both alike."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from infraspot import detect
from infraspot.core.contrast import box_contrasts, signal_to_clutter
from infraspot.core.errors import InputError
from infraspot.core.geometry import find_components
from infraspot.core.prediction import Prediction, Target
from infraspot.data import Frame
from infraspot.inference import predict

SHAPE = (40, 50)


def boxes(*places, scores):
    return Prediction.from_boxes("frame", places, scores, SHAPE)


def test_targets_of_boxes_are_those_above_the_threshold_with_the_highest_score_first():
    prediction = boxes((0, 0, 3, 3), (10, 20, 14, 22), (30, 30, 32, 32), scores=[0.6, 0.9, 0.5])
    first, second = prediction.find_targets(0.5)
    assert (first.x, first.y, first.area, first.score) == (11.5, 20.5, 8, 0.9)
    assert (second.x, second.y, second.area, second.box) == (1, 1, 9, (0, 0, 3, 3))


def test_a_box_and_a_component_of_the_same_pixels_give_the_same_target():
    scores = np.zeros(SHAPE, np.float32)
    scores[5:8, 11:13] = 0.75
    (of_map,) = Prediction("frame", scores).find_targets(0.5)
    (of_box,) = boxes((11, 5, 13, 8), scores=[0.75]).find_targets(0.5)
    assert of_map == of_box


def test_the_contrast_of_a_box_equals_that_of_a_component_of_the_same_pixels(rng):
    image = rng.random(SHAPE)
    mask = np.zeros(SHAPE, bool)
    mask[5:8, 11:13] = mask[8:10, 20:22] = mask[0:2, 0:2] = True
    parts = find_components(mask)
    np.testing.assert_allclose(box_contrasts(image, parts.boxes), signal_to_clutter(image, parts))


def test_boxes_that_overlap_or_leave_the_frame_still_have_a_contrast(rng):
    image = rng.random(SHAPE)
    ratios = box_contrasts(
        image, np.array([[3, 3, 7, 7], [4, 4, 8, 8], [-3, -3, 2, 2], [90, 90, 95, 95]], float)
    )
    assert np.isfinite(ratios[:3]).all()
    assert np.isnan(ratios[3])


def test_a_list_of_targets_has_no_mask_and_says_so():
    with pytest.raises(InputError, match="frame: a mask needs a score for every pixel"):
        boxes(scores=[]).mask()


def test_both_kinds_know_the_shape_of_the_frame():
    assert boxes(scores=[]).shape == Prediction("frame", np.zeros(SHAPE, np.float32)).shape == SHAPE


@pytest.mark.parametrize(
    ("box", "score"),
    [((3, 0, 3, 3), 0.5), ((0, 0, np.nan, 3), 0.5), ((0, 0, 3, 3), 1.5), ((0, 0, 3, 3), np.nan)],
)
def test_boxes_without_extent_and_scores_that_are_none_are_refused(box, score):
    with pytest.raises(InputError, match="box 2 is"):
        boxes((0, 0, 1, 1), box, scores=[0.1, score])


def test_one_score_a_box_is_expected():
    with pytest.raises(InputError, match="1 came for 2"):
        boxes((0, 0, 1, 1), (2, 2, 3, 3), scores=[0.1])


def test_a_prediction_is_one_of_the_two():
    with pytest.raises(ValueError, match="and not both"):
        Prediction("frame")
    with pytest.raises(ValueError, match="frame_shape"):
        Prediction("frame", candidates=())


@dataclass(frozen=True, eq=False)
class Tracked(Prediction):
    """A guest's prediction, with a field that the core does not know."""

    track: int = 0


@dataclass(frozen=True)
class TrackedTarget(Target):
    track: int = 0


def test_fields_of_a_subclass_survive_a_change():
    assert replace(Tracked("a", np.zeros(SHAPE, np.float32), track=7), id="b").track == 7
    target = TrackedTarget(1, 1, 9, 0.9, (0, 0, 3, 3), track=7)
    (found,) = Prediction("a", candidates=(target,), frame_shape=SHAPE).find_targets(0.5, np.eye(40, 50))
    assert isinstance(found, TrackedTarget)
    assert (found.track, found.scr is not None) == (7, True)


class Boxes:
    """A detector of boxes: it has no score map."""

    name, card = "boxes", {"threshold": 0.4}

    def predict(self, frame, id):
        return Prediction.from_boxes(id, [(1, 1, 4, 4)], [0.45], frame.image.shape)


class Map:
    """A detector that scores pixels."""

    name, card = "map", {}

    def score(self, image):
        return image


def test_engines_of_both_kinds_are_asked_by_one_function():
    frame = Frame(np.eye(8, dtype=np.float32), 8)
    assert predict(Map(), frame, "a").score_map.sum() == 8
    assert predict(Boxes(), frame, "a").find_targets(0.4)[0].box == (1, 1, 4, 4)


def test_detect_takes_an_engine_that_has_no_score_map():
    (target,) = detect(np.eye(8, dtype=np.float32), model=Boxes())
    assert (target.score, target.scr is not None) == (0.45, True)
