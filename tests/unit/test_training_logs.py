"""Curves for TensorBoard are always written, without it; MLflow is asked only when a recipe says so."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from training_fakes import make_recipe, write_data

from infraspot.core.errors import UsageError
from infraspot.training import build_run, fit, train
from infraspot.training.mlflow_log import MlflowLog


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("sets") / "made-up")


def test_tensorboard_reads_the_curves_also_of_a_run_that_went_on(data: Path, tmp_path: Path) -> None:
    loader = pytest.importorskip("tensorboard.backend.event_processing.event_file_loader")

    class Enough:
        """Stops after the first epoch."""

        def step(self, run: Any, loss: float) -> None: ...
        def epoch(self, run: Any, row: Any) -> None:
            run.stopping = True

    recipe = make_recipe(data)
    train(recipe, tmp_path, Enough())
    run = train(recipe, tmp_path)
    events = list(loader.LegacyEventFileLoader(str(tmp_path / "events.tfevents")).Load())
    assert events[0].file_version == "brain.Event:2"
    read = {
        (value.tag, event.step): value.simple_value for event in events[1:] for value in event.summary.value
    }
    written = {
        (name, int(row["epoch"])): value
        for row in run.at.rows
        for name, value in row.items()
        if name != "epoch"
    }
    assert read == pytest.approx(written, rel=1e-6, nan_ok=True)


def test_curves_can_be_left_out(data: Path, tmp_path: Path) -> None:
    fit(build_run(make_recipe(data, train={"epochs": 1, "tensorboard": False}), tmp_path))
    assert not (tmp_path / "events.tfevents").exists()


class FakeClient:
    """Remembers what it is told."""

    told: list[tuple[Any, ...]]

    def __init__(self) -> None:
        FakeClient.told = []

    def get_experiment_by_name(self, name: str) -> None:
        return None

    def create_experiment(self, name: str) -> str:
        self.told.append(("experiment", name))
        return "7"

    def create_run(self, experiment: str, run_name: str) -> SimpleNamespace:
        self.told.append(("run", experiment, run_name))
        return SimpleNamespace(info=SimpleNamespace(run_id="abc"))

    def log_param(self, run: str, name: str, value: str) -> None:
        self.told.append((name, value))

    def log_metric(self, run: str, name: str, value: float, step: int) -> None:
        self.told.append((run, name, value, step))

    def set_terminated(self, run: str) -> None:
        self.told.append(("ended", run))


def test_mlflow_gets_the_recipe_and_every_number_and_goes_on_in_the_same_run(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infraspot.training.mlflow_log.require", lambda *_: None)
    monkeypatch.setitem(sys.modules, "mlflow", SimpleNamespace(MlflowClient=FakeClient))
    run = build_run(make_recipe(data, train={"mlflow": "tests"}), tmp_path / "mine")
    assert fit(run, MlflowLog(run))
    told = FakeClient.told
    assert told[:2] == [("experiment", "tests"), ("run", "7", "mine")]
    assert ("train.epochs", "3") in told
    for row in run.at.rows:
        assert ("abc", "loss", row["loss"], int(row["epoch"])) in told
    assert told[-1] == ("ended", "abc")
    MlflowLog(run)
    assert FakeClient.told == []


def test_mlflow_that_is_missing_is_a_sentence_with_the_line_that_installs_it(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infraspot.core.extras.find_spec", lambda name: None)
    run = build_run(make_recipe(data, train={"mlflow": "tests"}), tmp_path)
    with pytest.raises(UsageError, match=r"pip install 'infraspot\[mlflow\]'"):
        MlflowLog(run)


def test_training_imports_neither() -> None:
    code = "import sys, infraspot.training; print(sorted({'mlflow', 'tensorboard'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
