"""Parting score maps: touching targets come apart, one target stays one, scores are those of the card."""

import json

import numpy as np
import pytest

from infraspot.core.errors import InputError
from infraspot.core.geometry import find_components
from infraspot.core.prediction import Prediction
from infraspot.core.sample import Sample
from infraspot.data import Frame
from infraspot.inference.frames import score_frame
from infraspot.inference.peaks import Peaks, part
from infraspot.inference.predictor import predict
from infraspot.metrics import Evaluation
from infraspot.web.proposals import detector_rings
from infraspot.weights.card import parse_card

LIMITS = {"level": 0.02, "share": 0.5, "saddle": 0.85}
PLAIN = {**LIMITS, "peak": 1.0, "size": 0.0, "crowd": 0.0, "offset": 0.0}


def two_targets(between: float) -> np.ndarray:
    """Two 3x3 targets with tops of 0.9 and 0.95, a pixel apart; ``between`` is the score of the gap."""
    scores = np.zeros((16, 20), np.float32)
    scores[5:8, 5:8], scores[5:8, 8], scores[5:8, 9:12] = 0.8, between, 0.8
    scores[6, 6], scores[6, 10] = 0.9, 0.95
    return scores


def test_two_targets_whose_gap_dips_come_apart_with_their_own_boxes():
    assert part(two_targets(0.7), **LIMITS).boxes.tolist() == [[5, 5, 8, 8], [9, 5, 12, 8]]


def test_peaks_without_a_dip_between_them_are_one_target():
    assert part(two_targets(0.79), **LIMITS).boxes.tolist() == [[5, 5, 12, 8]]


def test_a_plateau_is_one_target():
    scores = np.zeros((9, 9), np.float32)
    scores[2:5, 3:7] = 0.6
    assert part(scores, **LIMITS).boxes.tolist() == [[3, 2, 7, 5]]


def test_a_target_is_the_pixels_above_a_share_of_its_own_peak():
    scores = np.zeros((9, 9), np.float32)
    scores[2:7, 2:7], scores[3:6, 3:6], scores[4, 4] = 0.04, 0.06, 0.1
    found = part(scores, **LIMITS)
    assert found.boxes.tolist() == [[3, 3, 6, 6]]
    assert found.evidence == pytest.approx(np.array([[np.log(0.1 / 0.9), np.log(9), 0.0]]), abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_parted_targets_never_touch_and_each_holds_its_highest_pixel(seed: int):
    scores = np.random.default_rng(seed).random((60, 70)).astype(np.float32) ** 4
    found = part(scores, **LIMITS)
    labels = found.painted(np.arange(1, len(found.boxes) + 1, dtype=np.float32))
    pieces = find_components(labels > 0)
    assert len(pieces) == labels.max() == len(found.boxes) == len(found.evidence)
    assert np.array_equal(pieces.boxes, found.boxes)
    for number in range(1, len(pieces) + 1):
        assert len(np.unique(pieces.labels[labels == number])) == 1


@pytest.mark.parametrize("side", [1, 2, 7])
def test_empty_full_and_tiny_maps_are_parted(side: int):
    assert part(np.zeros((side, side), np.float32), **LIMITS).boxes.shape == (0, 4)
    assert part(np.ones((side, side), np.float32), **LIMITS).boxes.tolist() == [[0, 0, side, side]]


def test_a_threshold_chooses_targets_and_never_changes_their_shapes():
    scores = two_targets(0.7)
    rescored = Peaks(PLAIN).rescore(scores)
    assert np.unique(rescored).tolist() == pytest.approx([0, 0.9, 0.95])
    low, high = (Prediction("a", rescored, parted=True).find_targets(level) for level in (0.01, 0.92))
    assert [target.box for target in low] == [(9, 5, 12, 8), (5, 5, 8, 8)]
    assert [target.box for target in high] == [(9, 5, 12, 8)]


def test_a_crowd_counts_up_to_32_targets():
    scores = np.zeros((80, 80), np.float32)
    scores[::8, ::8] = 0.9
    assert part(scores, **LIMITS).evidence[:, 2] == pytest.approx(np.full(100, np.log(32)))
    assert part(scores[:16, :16], **LIMITS).evidence[:, 2] == pytest.approx(np.full(4, np.log(4)))


def test_weights_of_the_card_make_the_score():
    card = {**PLAIN, "peak": 0.5, "size": -0.3, "crowd": -0.25, "offset": 1.0}
    logits = 0.5 * np.log([0.9 / 0.1, 0.95 / 0.05]) - 0.3 * np.log(9) - 0.25 * np.log(2) + 1.0
    wanted = 1 / (1 + np.exp(-logits))
    rescored = Peaks(card).rescore(two_targets(0.7))
    assert [rescored[6, 6], rescored[6, 10]] == pytest.approx(wanted.tolist(), abs=1e-6)


class Engine:
    """Answers every frame with two targets; its card parts them."""

    name = "two"

    def __init__(self, peaks: dict[str, float] | None) -> None:
        self.card = {"threshold": 0.92, "peaks": peaks}

    def score(self, image: np.ndarray) -> np.ndarray:
        scores = np.zeros(image.shape, np.float32)
        scores[:16, :20] = two_targets(0.7)
        return scores


def test_engines_with_peaks_part_frames_and_propose_targets_below_the_threshold():
    sample = Sample("a", np.zeros((20, 24), np.float32))
    prediction = predict(Engine(PLAIN), sample)
    assert [round(target.score, 4) for target in prediction.proposed()] == [0.95, 0.9]
    assert len(prediction.find_targets(0.92)) == 1
    assert predict(Engine(None), sample).proposed() is None
    assert len(find_components(score_frame(Engine(None), sample.image) > 0)) == 1


def test_average_precision_ranks_the_parted_targets_below_the_threshold():
    truth = np.zeros((16, 20), bool)
    truth[5:8, 5:8] = truth[5:8, 9:12] = True
    parted = Prediction("a", Peaks(PLAIN).rescore(two_targets(0.7)), parted=True)
    evaluation = Evaluation(threshold=0.92)
    evaluation.update(parted, truth)
    result = evaluation.compute()
    assert (result["pd"], result["n_detections"]) == (0.5, 1)
    assert result["box_ap"]["ap12"] == result["target_ap"]["overlap"] == 1.0


def card_with(**peaks: object) -> str:
    return json.dumps({"network": {"name": "compact"}, "peaks": {**PLAIN, **peaks}})


@pytest.mark.parametrize(
    "wrong",
    [{"level": 0}, {"share": 1.0}, {"saddle": 1}, {"peak": "1"}, {"offset": 1e9}, {"size": None}],
)
def test_a_card_with_wrong_peaks_is_refused(wrong: dict[str, object]):
    with pytest.raises(InputError, match=f"peaks.{next(iter(wrong))}"):
        parse_card(card_with(**wrong), "file")


def test_a_card_with_peaks_and_a_second_look_is_refused():
    card = json.loads(card_with())
    look = {"widths": [1, 1, 1], "level": 0.1, "outline": 0.5, "look": 1, "peak": 1, "crowd": 0, "offset": 0}
    assert parse_card(json.dumps(card), "file")["peaks"] == PLAIN
    with pytest.raises(InputError, match="has both"):
        parse_card(json.dumps({**card, "second_look": look}), "file")


def test_rings_of_a_cluster_leave_each_others_targets_free():
    card = {**PLAIN, "offset": 5.0}
    rings = detector_rings(Engine(card), 0.5, Frame(np.zeros((20, 24), np.float32), 8))
    assert [(ring["x"], ring["y"], ring["radius"]) for ring in rings] == [(10, 6, 2.0), (6, 6, 2.0)]
