"""Several processes, or several small batches, make the steps that one large batch makes."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from training_fakes import Remembering, Stopper, assert_same, make_recipe, write_data

from infraspot.core.errors import DataError, UsageError
from infraspot.core.files import write_text
from infraspot.networks import SegmentationNetwork, SegOutput
from infraspot.training import build_run, fit, read_state, restore_run
from infraspot.training.recipe import to_toml
from infraspot.training.settings import Recipe, TrainPart


class PlainNet(SegmentationNetwork):
    """No norms and no dropout, so that a step depends on the frames of its batch alone."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 3, padding=1))

    def segment(self, image: Tensor) -> SegOutput:
        return SegOutput(self.layers(image))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("sets") / "made-up")


def plain(data: Path, **train: object) -> Recipe:
    return make_recipe(
        data,
        network={"name": "test_training_devices:PlainNet"},
        loss={"terms": {"bce": 5, "soft_iou": 1}, "aux_weights": None},
        optimiser={"name": "sgd", "lr": 0.1},
        scheme={"name": "full"},
        train={"drop_last": True, "evaluate_every": 3, **train},
    )


def last_weights(folder: Path) -> dict[str, Tensor]:
    return read_state(folder)["network"]


def train_in_processes(recipe: Recipe, folder: Path) -> None:
    """Train by the command line, which begins the further processes itself."""
    write_text(folder.with_suffix(".toml"), to_toml(recipe))
    paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    command = [sys.executable, "-m", "infraspot", "train", str(folder.with_suffix(".toml"))]
    done = subprocess.run(
        [*command, "--out", str(folder)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("frames to train on") == 1


def test_batches_that_gather_make_the_step_of_one_large_batch(data: Path, tmp_path: Path) -> None:
    assert fit(build_run(plain(data, batch=6), tmp_path / "large"))
    assert fit(build_run(plain(data, batch=2, accumulate=3), tmp_path / "small"))
    large, small = last_weights(tmp_path / "large"), last_weights(tmp_path / "small")
    for name, value in large.items():
        torch.testing.assert_close(small[name], value, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("stop_after", [1, 2, 4])
def test_a_run_goes_on_bit_by_bit_also_between_batches_that_gather(
    stop_after: int, data: Path, tmp_path: Path
) -> None:
    recipe = make_recipe(data, train={"accumulate": 2})
    assert fit(build_run(recipe, tmp_path / "whole"))
    assert not fit(build_run(recipe, tmp_path / "halves"), Stopper(stop_after))
    run = build_run(recipe, tmp_path / "halves")
    restore_run(run, read_state(tmp_path / "halves"))
    assert fit(run)
    assert_same(read_state(tmp_path / "halves"), read_state(tmp_path / "whole"))


@pytest.mark.slow
def test_two_processes_make_the_steps_of_one(data: Path, tmp_path: Path) -> None:
    one, two = plain(data, batch=6, epochs=4), plain(data, batch=6, epochs=4, devices=2)
    assert fit(build_run(one, tmp_path / "one"))
    train_in_processes(two, tmp_path / "two")
    first, second = read_state(tmp_path / "one"), read_state(tmp_path / "two")
    losses = [[row["loss"] for row in state["position"]["rows"]] for state in (first, second)]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)
    for name, value in first["network"].items():
        torch.testing.assert_close(second["network"][name], value, rtol=1e-4, atol=1e-6)
    assert {path.name for path in (tmp_path / "two").iterdir()} == {
        path.name for path in (tmp_path / "one").iterdir()
    }


@pytest.mark.slow
def test_two_processes_of_d2d_share_what_they_know_of_the_frames(data: Path, tmp_path: Path) -> None:
    recipe = make_recipe(
        data,
        network={"name": "test_training_devices:PlainNet"},
        loss={"terms": {"soft_iou": 1}, "aux_weights": None},
        scheme={"name": "d2d", "outer": 0.0, "outer_steps": 1},
        train={"drop_last": True, "batch": 6, "epochs": 1, "devices": 2},
    )
    train_in_processes(recipe, tmp_path / "two")
    _, *rows = (tmp_path / "two" / "frames.csv").read_text().splitlines()
    assert len(rows) == 6  # three frames in each process, and one was left out


class Meddling(Remembering):
    """Changes a label where it may not."""

    def after_step(self, run, batch):
        run.labels[batch.ids[0]] = np.zeros((1, 1), bool)


class Curious(Remembering):
    """Declares that it needs no truth, and looks for some."""

    needs_truth = False

    def begin(self, run):
        assert all(frame.mask is None and frame.boxes is None for frame in [*run.samples, *run.val])
        for frame in run.samples:
            run.labels[frame.id] = frame.image > 0.4
        run.labels.active = run.labels

    def begin_epoch(self, run):
        maps = [prediction.require_map("a test") for prediction in run.predict(run.val)]
        assert run.network.training or run.epoch == 0
        return {"mean_score": float(np.mean([scores.mean() for scores in maps]))}


class Idle(Remembering):
    """Leaves no frame in the pool."""

    def begin_epoch(self, run):
        run.labels.active = ()


class Clashing(Remembering):
    """Logs under a name that the log has."""

    def end_epoch(self, run, mean_loss):
        return {"iou": 1.0}


@pytest.mark.parametrize(
    ("scheme", "error", "sentence"),
    [
        ("Meddling", UsageError, "cannot change within an epoch"),
        ("Idle", DataError, "left 0 frames to train on in epoch 1"),
        ("Clashing", UsageError, "logs a number as 'iou'"),
    ],
)
def test_a_scheme_that_breaks_a_rule_is_a_sentence(
    scheme: str, error: type[Exception], sentence: str, data: Path, tmp_path: Path
) -> None:
    run = build_run(make_recipe(data, scheme={"name": f"test_training_devices:{scheme}"}), tmp_path)
    with pytest.raises(error, match=sentence):
        fit(run)


def test_a_scheme_without_truth_trains_and_logs_its_numbers(data: Path, tmp_path: Path) -> None:
    run = build_run(make_recipe(data, scheme={"name": "test_training_devices:Curious"}), tmp_path)
    assert fit(run)
    header, first, *_ = (tmp_path / "log.csv").read_text().splitlines()
    row = dict(zip(header.split(","), map(float, filter(None, first.split(","))), strict=False))
    assert 0 < row["mean_score"] < 1
    assert row["weight"] > 1
    assert read_state(tmp_path)["labels"]["active"] == [frame.id for frame in run.samples]


def test_precision_auto_is_decided_once_and_written_down(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = tmp_path / "cpuinfo"
    monkeypatch.setattr("infraspot.training.devices.CPU_FLAGS", flags)
    for text, expected in (("flags: avx512_bf16 sse", "bf16-mixed"), ("flags: avx2", "32-true")):
        flags.write_text(text)
        run = build_run(make_recipe(data, train={"precision": "auto"}), tmp_path / "run")
        assert run.recipe.train.precision == expected
    assert TrainPart().precision == "32-true"
