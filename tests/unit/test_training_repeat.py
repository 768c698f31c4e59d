"""Several seeds in one command, options of the command line, early stop, and runs driven from Python."""

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
from training_fakes import assert_same, make_recipe, write_data

from infraspot.cli.main import main
from infraspot.core.errors import UsageError
from infraspot.core.files import write_text
from infraspot.training import Row, Run, build_run, fit, read_state, spread_of, train
from infraspot.training.recipe import to_toml

FIT = sys.modules["infraspot.training.fit"]  # the function hides the module


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("sets") / "made-up")


@pytest.fixture
def recipe(data: Path, tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    write_text(path, to_toml(make_recipe(data, train={"epochs": 2, "seed": 5})))
    return path


def lines(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def test_repeats_are_the_runs_of_their_seeds_with_mean_and_deviation(
    recipe: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert main(["train", str(recipe), "--repeat", "2", "--out", str(out)]) == 0
    alone = tmp_path / "alone"
    assert fit(build_run(make_recipe(data, train={"epochs": 2, "seed": 6}), alone))
    assert_same(read_state(out / "seed-6"), read_state(alone))
    rows = lines(out / "repeats.csv")
    assert [(row["weights"], row["seed"]) for row in rows] == [
        (kind, seed) for kind in ("best", "last") for seed in ("5", "6", "mean", "deviation")
    ]
    values = [float(row["iou"]) for row in rows[4:]]
    assert values[2] == pytest.approx(np.mean(values[:2]), abs=1e-7)
    assert values[3] == pytest.approx(np.std(values[:2], ddof=1), abs=1e-7)
    assert f"IoU {values[2]:.4f} ± {values[3]:.4f}" in capsys.readouterr().out


def test_repeats_go_on_where_they_were_left(recipe: Path, tmp_path: Path) -> None:
    words = ["train", str(recipe), "--repeat", "2"]
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    assert main([*words, "--out", str(whole)]) == 0
    assert main(["train", str(recipe), "--seed", "5", "--out", str(halves / "seed-5")]) == 0
    assert main([*words, "--out", str(halves)]) == 2
    assert main([*words, "--out", str(halves), "--resume"]) == 0
    assert (halves / "repeats.csv").read_text() == (whole / "repeats.csv").read_text()


def test_repeats_need_the_recipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--resume", "--repeat", "2", "--out", str(tmp_path)]) == 2
    assert "--repeat needs the recipe" in capsys.readouterr().err


def test_short_options_are_those_of_the_recipe(recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    words = ["--epochs", "1", "--batch", "3", "--seed", "9", "--device", "cpu", "--set", "train.epochs=7"]
    assert main(["train", str(recipe), "--out", str(out), *words]) == 0
    text = (out / "recipe.toml").read_text()
    for line in ("epochs = 1", "batch = 3", "seed = 9", 'device = "cpu"'):
        assert f"\n{line}\n" in text


def test_the_deviation_is_that_of_a_sample() -> None:
    rows = [{"iou": 0.5, "niou": 0.1, "pd": 1.0}, {"iou": 0.7, "niou": 0.1, "pd": 1.0, "fa_area": 0.0}]
    found = spread_of(rows)
    assert found["iou"] == pytest.approx((0.6, 0.02**0.5))
    assert found["niou"] == pytest.approx((0.1, 0.0))
    assert np.isnan(found["fa_area"]).all()
    assert np.isnan(spread_of(rows[:1])["iou"][1])


def test_a_run_ends_when_no_better_epoch_comes(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = dict(enumerate([0.1, 0.3, 0.2, 0.3, 0.25, 0.9], start=1))
    monkeypatch.setattr(
        sys.modules["infraspot.training.fit"], "selection", lambda _, row: values[row["epoch"]]
    )
    recipe = make_recipe(data, train={"epochs": 6, "evaluate_every": 1, "patience": 3})
    run = build_run(recipe, tmp_path)
    assert fit(run)
    assert run.complete
    assert [row["epoch"] for row in run.at.rows] == [1, 2, 3, 4, 5]
    assert run.at.best is not None
    assert run.at.best["epoch"] == 2


def test_the_last_epoch_of_an_early_end_is_validated(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FIT, "selection", lambda _, row: -row["epoch"])
    recipe = make_recipe(data, train={"epochs": 9, "evaluate_every": 2, "patience": 3})
    run = train(recipe, tmp_path)
    assert [row["epoch"] for row in run.at.rows if "iou" in row] == [2, 4, 5]


def test_a_watcher_may_stop_a_run_that_goes_on_later(data: Path, tmp_path: Path) -> None:
    class Enough:
        """Stops after the first epoch."""

        def step(self, run: Run, loss: float) -> None: ...
        def epoch(self, run: Run, row: Row) -> None:
            run.stopping = True

    recipe = make_recipe(data)
    run = train(recipe, tmp_path / "halves", Enough())
    assert not run.complete
    assert run.epoch == 1
    assert train(recipe, tmp_path / "halves").complete
    train(recipe, tmp_path / "whole")
    assert_same(read_state(tmp_path / "halves"), read_state(tmp_path / "whole"))


def test_training_on_with_another_recipe_is_refused(data: Path, tmp_path: Path) -> None:
    train(make_recipe(data, train={"epochs": 1}), tmp_path)
    with pytest.raises(UsageError, match=r"train\.epochs was 1 and is 2"):
        train(make_recipe(data, train={"epochs": 2}), tmp_path)
