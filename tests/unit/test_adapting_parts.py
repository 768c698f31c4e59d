"""The parts of adapting, against small cases by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from adapt_fakes import frames

from infraspot.core.sample import Sample
from infraspot.metrics.sweep import DEFAULT_THRESHOLDS, SweepCounts
from infraspot.training.adapting.judging import Seen, difference, expected_false, row_of
from infraspot.training.adapting.points import LOWEST, choose_thresholds, wanted_rates
from infraspot.training.adapting.shots import groups_of, mean_of
from infraspot.training.adapting.tuning import Known, repeated, sources_of


def _seen(*scores: float, megapixels: float = 1.0, places: tuple[int, ...] = ()) -> Seen:
    values = np.array(scores, np.float32)
    return Seen("a", values, megapixels, np.array(places or range(len(scores)), np.intp), values)


def test_expected_false_alarms_are_what_scores_leave_to_chance() -> None:
    expected = expected_false([_seen(0.9, 0.6), _seen(0.2)], empty=False)
    assert expected[row_of(0.5)] == pytest.approx(0.1 + 0.4)
    assert expected[row_of(0.02)] == pytest.approx(0.1 + 0.4 + 0.8)
    assert expected[row_of(0.95)] == 0
    assert expected_false([_seen(0.9, 0.6)], empty=True)[row_of(0.5)] == 2
    assert expected_false([], empty=True).tolist() == [0.0] * len(DEFAULT_THRESHOLDS)


def test_thresholds_keep_to_the_rate_and_leave_something() -> None:
    frames = [_seen(0.905, 0.6, 0.3, megapixels=2.0)]
    chosen = choose_thresholds({"one": 0.5, "none": 1e-6}, [], frames, [])
    assert 0.6 < chosen["one"] <= 0.9  # one false alarm in 2 Mpx
    assert chosen["none"] == pytest.approx(0.9)  # the highest that leaves anything
    assert choose_thresholds({"a": 1.0}, [], [], [_seen()]) == {"a": 0.5}


def test_unknown_frames_do_not_count_where_labelled_ones_do() -> None:
    counts = SweepCounts.empty(DEFAULT_THRESHOLDS)
    labelled = [replace(counts, frames=1, pixels=1_000_000, targets=1, true_pixels=9)]
    labelled[0].column("hits")[: row_of(0.6)] = 1
    unknown = [_seen(0.5, 0.5, 0.5, 0.5)]
    assert choose_thresholds({"a": 0.9}, labelled, [], unknown)["a"] == pytest.approx(LOWEST)
    assert choose_thresholds({"a": 0.9}, [], [], unknown)["a"] == pytest.approx(0.5)


def test_a_false_alarm_that_is_sure_drives_no_threshold_of_held_out_shots_to_the_end() -> None:
    counts = SweepCounts.empty(DEFAULT_THRESHOLDS)
    labelled = [replace(counts, frames=1, pixels=1_000_000, targets=9, true_pixels=81)]
    for name, value in (("hits", 9), ("false", 1), ("common", 81), ("predicted", 90)):
        labelled[0].column(name)[: row_of(0.9999) + 1] = value
    labelled[0].column("hits")[row_of(0.99999)] = 9
    assert choose_thresholds({"a": 0.9}, labelled, [], [])["a"] == pytest.approx(0.95)
    assert choose_thresholds({"a": 0.9}, [], [_seen(0.9999, 0.99999)], [])["a"] > 0.999


def test_the_wanted_rate_is_that_of_the_middle_point() -> None:
    card = {"operating_points": {"quiet": {"fa_per_mpx": 0.2}, "odd": {"threshold": 0.5}}}
    assert wanted_rates(card, None) == {"quiet": 0.2}
    assert wanted_rates(card, 3.0) == {"quiet": 0.2, "balanced": 3.0}
    assert wanted_rates({}, None) == {"quiet": 0.1, "balanced": 0.4, "keen": 1.0}


def test_frames_that_both_models_see_alike_and_surely_teach_nothing() -> None:
    sure, unsure = _seen(1.0, places=(5,)), _seen(0.5, places=(5,))
    assert difference(sure, sure) == 0
    assert difference(unsure, unsure) == pytest.approx(0.25)
    assert difference(sure, _seen(1.0, places=(7,))) == pytest.approx(2 / 9)


def test_frames_of_one_sequence_are_held_out_together() -> None:
    def named(*names: str) -> list[Sample]:
        return [frames(1)[0].replace(id=name) for name in names]

    groups = groups_of(named("a_1", "a_2", "b_1", "a_3", "c_9"), 3)
    assert [[shot.id for shot in group] for group in groups] == [["a_1", "a_2", "a_3"], ["b_1"], ["c_9"]]
    alone = groups_of(named("a_1", "a_2", "a_3"), 3)
    assert sorted(len(group) for group in alone) == [1, 1, 1]
    assert groups_of(named("a_1"), 0) == []


def test_a_mean_of_weights_is_that_of_each_number_and_counts_are_the_first_ones() -> None:
    found = mean_of(
        [
            {"w": torch.tensor([1.0, 4.0]), "n": torch.tensor(3)},
            {"w": torch.tensor([3.0, 0.0]), "n": torch.tensor(9)},
        ]
    )
    assert found["w"].tolist() == [2.0, 2.0]
    assert found["n"].item() == 3


def test_a_few_shots_fill_an_epoch_and_lose_nothing() -> None:
    shots = frames(5)
    epoch = repeated(shots, 32)
    assert len(epoch) == 35
    assert len({shot.id for shot in epoch}) == 35
    known = Known(shots=shots, empties=frames(2, targets=False), old=frames(3, seed=4))
    sources = sources_of(known.without(shots[:2]))
    assert {shot.id.split("#")[0] for shot in sources.training} == {"s0f2", "s0f3", "s0f4"}
    assert all(sample.label is not None and not sample.label.any() for sample in sources.negatives)
    assert all(sample.mask is None and sample.label is None for sample in sources.unlabelled)
