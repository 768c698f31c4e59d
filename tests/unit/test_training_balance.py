"""Rare targets and small sets come as often as common ones, and sets are scored apart."""

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.random import default_rng
from training_fakes import Stopper, assert_same, make_recipe, make_samples, write_data

from infraspot.augment.transforms import Compose, Crop
from infraspot.core.errors import UsageError
from infraspot.core.sample import Sample
from infraspot.data import write_dataset
from infraspot.schemes import LabelStore
from infraspot.training import train
from infraspot.training.balance import BySets, ByTargets, draw, even_counts
from infraspot.training.batching import Loader
from infraspot.training.checkpoint import read_state


def test_groups_come_equally_often_where_each_frame_holds_one_target() -> None:
    held = np.zeros((12, 3))
    held[:8, 0] = held[8:11, 1] = held[11, 2] = 1
    counts = even_counts(held)
    np.testing.assert_allclose(counts @ held, [4, 4, 4])
    np.testing.assert_allclose(counts[:8], 0.5)


def test_groups_come_equally_often_where_frames_hold_several_targets() -> None:
    # x frames of the first kind hold one of each, y of the second kind two of the first: x = x + 2y has
    # no answer but y = 0, so that the bound of one eighth is met; the third kind lets it be even.
    held = np.array([[1, 1], [2, 0], [0, 1], [1, 0]], float)
    counts = even_counts(held)
    first, second = counts @ held
    assert first == pytest.approx(second, rel=0.02)
    assert counts.sum() == pytest.approx(4)


def test_frames_without_a_target_come_as_often_as_without_balance() -> None:
    held = np.array([[0, 0], [1, 0], [1, 0], [0, 1], [0, 0]], float)
    np.testing.assert_allclose(even_counts(held), [1, 0.75, 0.75, 1.5, 1])


def test_no_frame_comes_without_bound() -> None:
    held = np.zeros((400, 2))
    held[:399, 0] = held[399, 1] = 1
    assert 7 < even_counts(held).max() < 9


def test_a_frame_comes_as_often_as_its_count_rounded_up_or_down() -> None:
    places, counts = np.array([3, 5, 6, 9]), np.array([0.5, 2.25, 0.25, 1.0])
    came = Counter()
    for seed in range(400):
        drawn = draw(places, counts, default_rng(seed)).tolist()
        assert len(drawn) == 4
        once = Counter(drawn)
        assert once[5] in (2, 3)
        assert once[9] == 1
        came += once
    np.testing.assert_allclose([came[place] / 400 for place in places], counts, atol=0.08)


def test_sets_come_equally_often() -> None:
    balance = BySets(lambda id: id[0])
    ids = [*(f"a{k}" for k in range(9)), "b0", "b1", "b2"]
    np.testing.assert_allclose(balance(ids, []), [2 / 3] * 9 + [2] * 3)


def spots(sides: list[int], contrasts: list[float]) -> tuple[list[Sample], LabelStore]:
    samples, labels = [], LabelStore()
    for k, (side, contrast) in enumerate(zip(sides, contrasts, strict=True)):
        image, mask = np.tile(np.linspace(0.3, 0.32, 40), (40, 1)), np.zeros((40, 40), bool)
        mask[15 : 15 + side, 15 : 15 + side] = True
        image[mask] += contrast
        samples.append(Sample(f"frame{k}", image.astype(np.float32), mask))
        labels[f"frame{k}"] = mask
    labels.active = labels
    return samples, labels


def by_targets(samples: list[Sample], labels: LabelStore) -> Loader:
    return Loader(samples, labels, Compose([Crop(size=16)]), 4, seed=1, balance=ByTargets(labels))


def test_large_targets_come_as_often_as_small_ones() -> None:
    samples, labels = spots([1] * 9 + [7] * 3, [0.2] * 12)
    loader, came = by_targets(samples, labels), Counter()
    for epoch in range(30):
        came += Counter(id for batch in loader.epoch(epoch) for id in batch.ids)
    assert sum(came.values()) == 30 * 12
    assert all(came[f"frame{k}"] > 0 for k in range(12))
    assert sum(came[f"frame{k}"] for k in range(9)) == 30 * 6
    assert sum(came[f"frame{k}"] for k in range(9, 12)) == 30 * 6


def test_bright_targets_come_as_often_as_dim_ones() -> None:
    samples, labels = spots([3] * 8, [0.02] * 6 + [0.5] * 2)
    counts = ByTargets(labels)([], [frame.replace(label=frame.mask) for frame in samples])
    np.testing.assert_allclose(counts, [4 / 6] * 6 + [2] * 2)


def test_a_frame_that_comes_again_is_augmented_otherwise() -> None:
    samples, labels = spots([1] * 15 + [6], [0.1] * 15 + [0.5])
    loader = by_targets(samples, labels)
    shown = [
        batch.images[k] for batch in loader.epoch(0) for k, id in enumerate(batch.ids) if id == "frame15"
    ]
    assert len(shown) > 1
    assert not torch.equal(shown[0], shown[1])


def test_a_balanced_batch_does_not_depend_on_those_before_it() -> None:
    samples, labels = spots([1, 2, 3, 4, 5, 6, 7, 8], [0.1] * 8)
    whole = list(by_targets(samples, labels).epoch(2))
    rest = list(by_targets(samples, labels).epoch(2, start=1))
    for one, other in zip(whole[1:], rest, strict=True):
        assert one.ids == other.ids
        assert torch.equal(one.images, other.images)


def test_labels_that_evolve_are_measured_again() -> None:
    samples, labels = spots([2, 2, 2, 7], [0.2] * 4)
    balance = ByTargets(labels)
    ids = list(labels.active)

    def counts() -> np.ndarray:
        return balance(ids, [sample.replace(label=labels[sample.id]) for sample in samples])

    np.testing.assert_allclose(counts(), [2 / 3, 2 / 3, 2 / 3, 2])
    labels["frame0"] = np.zeros((40, 40), bool)
    np.testing.assert_allclose(counts(), [1, 0.75, 0.75, 1.5])


def test_process_ranks_share_a_balanced_epoch() -> None:
    samples, labels = spots([1, 2, 3, 4, 5, 6, 7, 8], [0.1] * 8)
    whole = [id for batch in by_targets(samples, labels).epoch(0) for id in batch.ids]
    halves = []
    for rank in (0, 1):
        loader = by_targets(samples, labels)
        loader.rank, loader.world = rank, 2
        halves.append([id for batch in loader.epoch(0) for id in batch.ids])
    assert sorted(halves[0] + halves[1]) == sorted(whole)


def merged(folder: Path) -> dict[str, list[str]]:
    """Two sets as one: seven frames and three, and two frames."""
    write_data(folder / "large")
    few = make_samples(4, seed=5)
    splits = {"train": ["frame0", "frame1"], "val": ["frame2", "frame3"], "test": ["frame3"]}
    write_dataset(folder / "few", few, splits=splits)
    return {"merge": [str(folder / "large"), str(folder / "few")]}


def test_the_log_has_the_scores_of_each_set_beside_the_whole(tmp_path: Path) -> None:
    data = merged(tmp_path) | {"path": None}
    recipe = make_recipe(tmp_path, data=data, train={"epochs": 1})
    run = train(recipe, tmp_path / "run")
    row = run.at.rows[-1]
    for number in ("iou", "niou", "pd", "fa_area"):
        assert {f"{number}/large", f"{number}/few"} < row.keys()
    # Every frame holds one target: Pd of the whole is the mean over five frames.
    assert row["pd"] == pytest.approx((3 * row["pd/large"] + 2 * row["pd/few"]) / 5)
    with (tmp_path / "run" / "log.csv").open() as file:
        assert "iou/few" in next(csv.reader(file))
    assert b"iou/large" in (tmp_path / "run" / "events.tfevents").read_bytes()


def test_the_log_of_one_set_has_its_numbers_once(tmp_path: Path) -> None:
    run = train(make_recipe(write_data(tmp_path / "one"), train={"epochs": 1}), tmp_path / "run")
    assert not [name for name in run.at.rows[-1] if "/" in name]


@pytest.mark.parametrize("balance", ["targets", "sets"])
def test_a_balanced_run_stopped_within_an_epoch_goes_on_bit_by_bit(tmp_path: Path, balance: str) -> None:
    data = merged(tmp_path) | {"path": None, "balance": balance}
    recipe = make_recipe(tmp_path, data=data, train={"epochs": 2})
    train(recipe, tmp_path / "whole")
    train(recipe, tmp_path / "parts", Stopper(3))
    train(recipe, tmp_path / "parts")
    assert_same(read_state(tmp_path / "whole"), read_state(tmp_path / "parts"))


def test_balancing_one_set_is_a_sentence(tmp_path: Path) -> None:
    recipe = make_recipe(write_data(tmp_path / "one"), data={"balance": "sets"})
    with pytest.raises(UsageError, match=r"all frames to train on are from one; name several"):
        train(recipe, tmp_path / "run")
    assert not (tmp_path / "run" / "state.pt").exists()
