"""LESPS and PAL: the step of the labels by hand, and who enters when."""

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from infraspot.core.errors import UsageError
from infraspot.core.prediction import Prediction
from infraspot.core.sample import Sample
from infraspot.schemes import LabelStore, Lesps, Pal
from infraspot.schemes.evolution import evolve
from infraspot.schemes.pal import outline_clicks
from infraspot.schemes.timing import is_due

SIDE = 40


def _point(y: int = 20, x: int = 20) -> np.ndarray[Any, Any]:
    label = np.zeros((SIDE, SIDE), np.float32)
    label[y, x] = 1
    return label


def _blob(value: float, side: int, y: int = 20, x: int = 20) -> np.ndarray[Any, Any]:
    scores = np.zeros((SIDE, SIDE), np.float32)
    scores[y - side // 2 : y + side // 2 + 1, x - side // 2 : x + side // 2 + 1] = value
    return scores


def test_a_click_takes_half_of_what_is_predicted_around_it() -> None:
    label, updated = evolve(_point(), _blob(0.8, 3))
    # T = 0.8 (0.5 + 0.25 * 1 / 2.4): 1 pixel of a largest 0.0015 * 40 * 40 = 2.4.
    assert np.array_equal(updated, _blob(1, 3) > 0)
    assert label[20, 20] == 1
    assert label[19, 19] == pytest.approx(0.4)
    assert label.sum() == pytest.approx(1 + 8 * 0.4)


def test_the_threshold_rises_with_the_area_until_nothing_passes() -> None:
    """Predictions 0.8 in the middle and 0.6 around: the level is 0.483 for 1 pixel and 0.9 for 6."""
    scores = np.maximum(_blob(0.6, 5), _blob(0.8, 1))
    assert np.count_nonzero(evolve(_point(), scores)[1]) == 25
    grown = _point()
    grown[19:21, 20:23] = 0.9
    label, updated = evolve(grown, scores)
    assert not updated.any()
    assert np.array_equal(label, grown)


def test_what_is_predicted_elsewhere_is_left_alone() -> None:
    label, _ = evolve(_point(), np.maximum(_blob(0.5, 3), _blob(0.5, 3, 30, 30)))
    assert label[30, 30] == 0
    assert label[21, 21] == 0.25


def test_a_bright_neighbour_in_the_window_hides_a_faint_target() -> None:
    """T = 0.9 (0.5 + 0.104) = 0.54, above the prediction at the click."""
    label, updated = evolve(_point(), np.maximum(_blob(0.5, 3), _blob(0.9, 3, 30, 30)))
    assert not updated.any()
    assert np.array_equal(label, _point())


class _Run(SimpleNamespace):
    def predict(self, frames: Sequence[Sample]) -> Iterator[Prediction]:
        return (Prediction(sample.id, self.scores[sample.id]) for sample in frames)


def _run(samples: list[Sample], scores: dict[str, Any], **others: Any) -> Any:
    return _Run(samples=samples, scores=scores, labels=LabelStore(), epochs=20, epoch=0, **others)


def _sample(id: str, image: np.ndarray[Any, Any]) -> Sample:
    return Sample(id, image.astype(np.float32), points=np.array([[20.0, 20.0]]))


def test_lesps_begins_with_points_and_rests_until_the_loss_is_low() -> None:
    run = _run([_sample("a", _blob(0.8, 3))], {"a": _blob(0.8, 3)})
    scheme = Lesps()
    scheme.begin(run)
    assert np.array_equal(run.labels["a"], _point() > 0)
    assert scheme.begin_epoch(run) is None
    scheme.end_epoch(run, 10.0)
    assert scheme.begin_epoch(run) is None
    scheme.end_epoch(run, 9.9)
    assert scheme.begin_epoch(run) == {"evolved": 1}
    assert run.labels["a"].sum() == pytest.approx(1 + 8 * 0.4)
    scheme.end_epoch(run, 50.0)  # once begun, it goes on
    assert scheme.begin_epoch(run) == {"evolved": 1}


def test_pal_outlines_what_stands_out_under_a_click() -> None:
    clear, flat = _sample("clear", 0.1 + _blob(0.7, 5)), _sample("flat", np.full((SIDE, SIDE), 0.3))
    mask, share = outline_clicks(clear)
    assert share == 1
    assert 25 <= mask.sum() <= 49
    assert (mask >= (_blob(1, 5) > 0)).all()
    mask, share = outline_clicks(flat)
    assert share == 0
    assert np.array_equal(mask, _point() > 0)


def test_pal_begins_with_easy_frames_and_lets_hard_ones_in_when_the_network_sees_them() -> None:
    clear, flat = _sample("clear", 0.1 + _blob(0.7, 5)), _sample("flat", np.full((SIDE, SIDE), 0.3))
    run = _run([clear, flat], {"clear": _blob(0.8, 5), "flat": _blob(0.0, 3)})
    scheme = Pal()
    scheme.begin(run)
    assert run.labels.active == ("clear",)
    assert scheme.begin_epoch(run) == {"pool": 1}  # too early
    run.epoch = 4
    assert scheme.begin_epoch(run) == {"pool": 1}  # its only click is missed, and 0.2 is allowed
    run.scores["flat"] = _blob(0.7, 3)
    assert scheme.begin_epoch(run) == {"pool": 2}
    label = run.labels["flat"]
    assert label[20, 20] == 1
    assert label[19, 19] == pytest.approx(0.7)


def test_pal_lets_everything_in_at_the_end_of_the_second_phase_and_nothing_after() -> None:
    clear, flat = _sample("clear", 0.1 + _blob(0.7, 5)), _sample("flat", np.full((SIDE, SIDE), 0.3))
    for epoch, pool in ((14, 1), (15, 2), (16, 1)):
        run = _run([clear, flat], {"clear": _blob(0.8, 5), "flat": _blob(0.0, 3)})
        scheme = Pal()
        scheme.begin(run)
        run.epoch = epoch
        assert scheme.begin_epoch(run) == {"pool": pool}


def test_pal_labels_fade_where_nothing_is_updated_and_never_at_a_click() -> None:
    clear = _sample("clear", 0.1 + _blob(0.7, 5))
    run = _run([clear], {"clear": _blob(0.0, 3)})
    scheme = Pal()
    scheme.begin(run)
    run.epoch = 4
    scheme.begin_epoch(run)
    assert run.labels["clear"][20, 20] == 1
    assert run.labels["clear"][19, 19] == pytest.approx(0.97)


def test_a_frame_full_of_other_things_does_not_enter() -> None:
    flat, clear = _sample("flat", np.full((SIDE, SIDE), 0.3)), _sample("clear", 0.1 + _blob(0.7, 5))
    scores = _blob(0.7, 3)
    for k in range(6):
        scores[2, 4 + 5 * k] = 0.9
    run = _run([clear, flat], {"clear": _blob(0.8, 5), "flat": scores})
    scheme = Pal()
    scheme.begin(run)
    run.epoch = 4
    assert scheme.begin_epoch(run) == {"pool": 1}


def test_shares_of_400_epochs_fall_on_the_papers_epochs_and_shrink_with_the_run() -> None:
    def due(epochs: int, every: float, start: float = 0.0) -> list[int]:
        return [e for e in range(epochs) if is_due(SimpleNamespace(epochs=epochs, epoch=e), every, start)]  # type: ignore[arg-type]

    assert due(400, 20 / 400, 80 / 400) == list(range(80, 400, 20))
    assert due(20, 20 / 400, 80 / 400) == list(range(4, 20))
    assert due(40, 20 / 400, 80 / 400) == list(range(8, 40, 2))
    assert due(20, 5 / 400) == list(range(20))


def test_shares_outside_the_unit_interval_are_refused() -> None:
    with pytest.raises(UsageError, match="enhance is 80"):
        Pal(enhance=80)
