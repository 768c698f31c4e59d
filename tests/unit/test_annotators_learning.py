"""A convention that a person teaches by the levels of a few targets."""

import json
from pathlib import Path

import numpy as np
import pytest

from infraspot.annotators import annotate
from infraspot.annotators.profile.learning import Convention, measures
from infraspot.annotators.profile.level_file import read_level, save_level
from infraspot.annotators.surroundings import LEVELS, Surroundings, look_around
from infraspot.core.errors import InputError, UsageError

USUAL = (80 / 255, 3 / 255, float(np.exp(3)))
"""Contrast, noise and area at which the law is the offset alone."""


def frame(seed: int, peak: float = 0.4) -> np.ndarray:
    ys, xs = np.mgrid[:61, :61]
    spread = 1.5 + 0.1 * (seed % 10)
    blob = peak * np.exp(-((ys - 30) ** 2 + (xs - 30) ** 2) / (2 * spread**2))
    noise = np.random.default_rng(seed).normal(0, 0.01, blob.shape)
    return np.clip(0.2 + blob + noise, 0, 1).astype(np.float32)


def target(seed: int) -> Surroundings:
    return look_around(frame(seed), 30, 30)


def test_offset_moves_from_the_usual_to_the_mean_of_what_was_chosen() -> None:
    assert Convention().offset == pytest.approx(np.log(0.18))
    one = Convention.of([(*USUAL, 0.36)])
    assert one.offset == pytest.approx(np.log(0.18) + np.log(2) / 1.56)
    many = Convention.of([(*USUAL, 0.3), (*USUAL, 0.1)] * 500)
    assert many.offset == pytest.approx(np.log(0.03) / 2, abs=1e-3)


def test_pull_is_a_parabola_around_the_law_that_tightens_with_targets() -> None:
    assert (Convention().pull(*USUAL) == 0).all()
    convention = Convention.of([(*USUAL, 0.18)])
    away = np.log(LEVELS.astype(float)) - np.log(0.18)
    assert np.allclose(convention.pull(*USUAL), away**2 / (2 * 0.2**2) / 1.5)
    more = Convention.of([(*USUAL, 0.18)] * 3)
    assert np.allclose(more.pull(*USUAL), convention.pull(*USUAL) * (3 / 3.5) * 1.5)


def test_without_a_target_a_convention_is_auto() -> None:
    for seed in range(5):
        plain, learned = (
            annotate(frame(seed), [(30, 30)], level=level).mask for level in ("auto", Convention())
        )
        assert (plain == learned).all()


@pytest.mark.parametrize("level", [0.12, 0.5])
def test_five_corrected_targets_move_the_next_ones_towards_the_persons_level(level: float) -> None:
    convention = Convention()
    for seed in range(5):
        convention = convention.observe(target(seed), level)

    def away(rule: str | Convention) -> float:
        chosen = [annotate(frame(seed), [(30, 30)], level=rule).clicks[0].level for seed in range(20, 30)]
        return float(np.mean(np.abs(np.log(np.array(chosen, float) / level))))

    assert away(convention) < 0.75 * away("auto")


def test_observing_leaves_the_convention_before_it_as_it_was() -> None:
    before = Convention()
    after = before.observe(target(0), 0.3)
    assert (len(before.observed), len(after.observed)) == (0, 1)
    assert after.records == [[*measures(target(0)), 0.3]]


def test_a_click_on_a_frame_teaches_what_its_surroundings_teach() -> None:
    grey = np.round(frame(2) * 255).astype(np.uint8)
    by_click = Convention().observe_click(grey, (30, 30), 0.3)
    by_window = Convention().observe(look_around((grey / np.float32(255)).astype(np.float32), 30, 30), 0.3)
    assert by_click.offset == pytest.approx(by_window.offset)
    with pytest.raises(InputError):
        Convention().observe_click(grey, (99, 30), 0.3)


def test_a_convention_is_rebuilt_from_its_records_and_from_its_file(tmp_path: Path) -> None:
    convention = Convention.of([(*USUAL, 0.3), (0.1, 0.0, 5, 0.2)], name="mine")
    assert Convention.of(convention.records) == convention
    save_level(convention, tmp_path / "mine.json")
    again = read_level(tmp_path / "mine.json")
    assert isinstance(again, Convention)
    assert again.about == {"name": "mine"}
    assert again.offset == pytest.approx(convention.offset, abs=1e-4)
    rules = (str(tmp_path / "mine.json"), convention)
    by_file, by_object = (annotate(frame(3), [(30, 30)], level=rule).mask for rule in rules)
    assert (by_file == by_object).all()


def test_what_a_mask_was_made_with_can_be_written_as_json() -> None:
    found = annotate(frame(1), [(30, 30)], level=Convention.of([(*USUAL, 0.3)]))
    assert json.loads(json.dumps(found.provenance))["options"]["level"]["targets"][0][3] == 0.3


@pytest.mark.parametrize("level", [0, 1, -0.1, float("nan"), float("inf")])
def test_a_level_out_of_range_teaches_nothing(level: float) -> None:
    with pytest.raises(UsageError):
        Convention().observe(target(0), level)


@pytest.mark.parametrize(
    "record", [(), (0.1, 0.01, 20), (0, 0.01, 20, 0.3), (0.1, 0.01, 20, True), ("a",) * 4]
)
def test_records_that_are_no_targets_are_refused(record: tuple) -> None:
    with pytest.raises(UsageError):
        Convention.of([record])


def test_a_file_without_targets_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "none.json").write_text(json.dumps(Convention().plain()))
    with pytest.raises(InputError, match=r"none\.json"):
        read_level(tmp_path / "none.json")


def test_a_level_file_that_was_written_anew_is_read_anew(tmp_path: Path) -> None:
    path, areas = tmp_path / "mine.json", []
    for level in (0.6, 0.1):
        save_level(Convention.of([(*USUAL, level)] * 20), path)
        areas.append(np.count_nonzero(annotate(frame(5), [(30, 30)], level=str(path)).mask))
    assert areas[0] < areas[1]


def test_joined_conventions_count_a_target_of_both_once_with_its_newer_level() -> None:
    contrast, noise, area = USUAL
    older = Convention.of([(contrast, noise, area, 0.3), (contrast, noise, 40.0, 0.2)])
    newer = Convention.of([(contrast + 1e-9, noise, area, 0.5)])
    assert older.joined(newer).records == [[contrast, noise, 40.0, 0.2], *newer.records]
    assert Convention().joined(newer) == newer
    twins = Convention.of([(*USUAL, 0.3)] * 2)
    assert len(older.joined(twins).observed) == 3
