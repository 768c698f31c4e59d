"""A run's folder under attack: two programs at once, kills, refused runs, full disks, damaged files."""

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

TESTS = Path(__file__).parent.parent / "unit"
sys.path.insert(0, str(TESTS))

from training_fakes import REMEMBERING, TINY, make_recipe, write_data  # noqa: E402

from infraspot.cli.main import main  # noqa: E402
from infraspot.core.errors import DataError, UsageError  # noqa: E402
from infraspot.core.files import write_text  # noqa: E402
from infraspot.training import build_run, fit, locked, read_state  # noqa: E402
from infraspot.training.recipe import to_toml  # noqa: E402

pytestmark = pytest.mark.slow

FULL = {"name": "full"}
TRUSTED = ["--trust", TINY, "--trust", REMEMBERING]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recipe")
    data = write_data(folder / "data")
    write_text(folder / "long.toml", to_toml(make_recipe(data, train={"epochs": 100_000}, scheme=FULL)))
    write_text(folder / "short.toml", to_toml(make_recipe(data, train={"epochs": 1})))
    return folder


def start(*arguments: object, **options: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "infraspot", "train", *map(str, arguments)]
    return subprocess.Popen(
        command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    while not (path.is_file() and path.stat().st_size):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def owner(out: Path) -> int:
    return int(json.loads((out / "run.lock").read_text())["pid"])


def test_a_second_program_is_refused_and_a_killed_owner_is_replaced(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    first = start(recipe / "long.toml", "--out", out, "--set", "train.save_seconds=0")
    try:
        wait_for(out / "run.lock", first)
        wait_for(out / "state.pt", first)
        assert owner(out) == first.pid
        for arguments in ([recipe / "short.toml"], ["--resume", *TRUSTED]):
            assert main(["train", *map(str, arguments), "--out", str(out)]) == 2
            assert f"in use by process {first.pid} on" in capsys.readouterr().err
    finally:
        first.send_signal(signal.SIGKILL)
        first.communicate()
    assert owner(out) == first.pid
    with locked(out):
        assert owner(out) == os.getpid()
    assert "run.lock" not in contents(out)


def test_of_two_that_begin_together_one_trains(recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    both = [start(recipe / "short.toml", "--out", out) for _ in range(2)]
    errors = [process.communicate(timeout=120)[1] for process in both]
    assert sorted(process.returncode for process in both) == [0, 2], errors
    assert not any("Traceback" in error for error in errors)
    assert set(contents(out)) == {
        "best.safetensors",
        "events.tfevents",
        "last.safetensors",
        "log.csv",
        "recipe.toml",
        "state.pt",
    }


def test_a_lock_is_released_also_by_errors(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"

    def fail() -> None:
        with locked(folder):
            assert (folder / "run.lock").is_file()
            with locked(folder):
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not (tmp_path / "a").exists()


@pytest.fixture(scope="module")
def finished(recipe: Path) -> Path:
    assert main(["train", str(recipe / "short.toml"), "--out", str(recipe / "finished")]) == 0
    return recipe / "finished"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["short.toml"], "holds a run already"),
        (["short.toml", "--resume", "--set", "optimiser.lr=0.5"], "optimiser.lr was 0.01 and is 0.5"),
        (["--resume", "--set", "network.width=8"], "network.width was None and is 8"),
        (["--resume", "--set", "data.val_split=train"], "data.val_split was 'val' and is 'train'"),
        (["--resume", "--set", "data.path=nowhere"], "nowhere"),
        (["--resume", "--set", "train.epoch=5"], "did you mean 'epochs'"),
    ],
)
def test_a_refused_run_changes_no_file(
    arguments: list[str], sentence: str, recipe: Path, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(finished)
    words = [str(recipe / word) if word.endswith(".toml") else word for word in arguments]
    assert main(["train", *words, "--out", str(finished), *TRUSTED]) != 0
    assert sentence in capsys.readouterr().err
    assert contents(finished) == before


def test_a_run_that_cannot_begin_leaves_no_folder(recipe: Path, tmp_path: Path) -> None:
    words = [str(recipe / "short.toml"), "--set", "data.path=nowhere"]
    assert main(["train", *words, "--out", str(tmp_path / "a" / "b")]) == 1
    assert not (tmp_path / "a").exists()


def test_another_run_is_not_overwritten_from_python_either(recipe: Path, finished: Path) -> None:
    before = contents(finished)
    with pytest.raises(UsageError, match="holds a run already"):
        fit(build_run(make_recipe(recipe / "data", train={"epochs": 1}), finished))
    assert contents(finished) == before


def test_files_that_may_not_grow_are_a_sentence(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Beyond 4 kB the system refuses to write: the recipe fits, and the state does not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        assert main(["train", str(recipe / "short.toml"), "--out", str(tmp_path)]) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    errors = capsys.readouterr().err
    assert f"cannot write {tmp_path / 'state.pt'}" in errors
    assert "free the place" in errors
    assert set(contents(tmp_path)) <= {
        "recipe.toml",
        "log.csv",
        "best.safetensors",
        "last.safetensors",
        "events.tfevents",
    }


@pytest.mark.parametrize("name", ["state.pt", "last.safetensors", "best.safetensors", "log.csv"])
def test_a_full_disk_at_any_file_keeps_the_last_state(
    name: str, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Fill:
        """Fills the disk after the first epoch."""

        def step(self, run: object, loss: float) -> None: ...
        def epoch(self, run: object, row: object) -> None:
            before.update(contents(tmp_path))
            monkeypatch.setattr(Path, "replace", refuse)

    def refuse(temporary: Path, path: Path, replace: Callable[[Path, Path], Path] = Path.replace) -> Path:
        if path.name == name:
            raise OSError(errno.ENOSPC, "No space left on device")
        return replace(temporary, path)

    before: dict[str, bytes] = {}
    made = make_recipe(recipe / "data", train={"epochs": 2, "save_seconds": 0, "evaluate_every": 1})
    # Every epoch is the best so far, so that its weights are written.
    monkeypatch.setattr(sys.modules["infraspot.training.fit"], "selection", lambda _, row: row["epoch"])
    with pytest.raises(DataError, match=rf"cannot write .*{name}: No space left on device"):
        fit(build_run(made, tmp_path), Fill())
    assert contents(tmp_path)[name] == before[name]
    assert read_state(tmp_path)["position"]["epoch"] >= 0
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("state", [{}, [], 3, {"recipe": "{}", "position": {}}])
def test_a_state_of_another_shape_is_a_sentence(state: object, tmp_path: Path) -> None:
    torch.save(state, tmp_path / "state.pt")
    with pytest.raises(DataError, match="expected the state of a run, and it"):
        read_state(tmp_path)
