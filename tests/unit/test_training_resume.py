"""A run that stops and goes on is the run that never stopped, bit by bit."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from training_fakes import REMEMBERING, TINY, Stopper, assert_same, make_recipe, write_data

from infraspot.core.errors import DataError, UsageError
from infraspot.core.files import write_text
from infraspot.training import build_run, fit, read_state, recipe_of, restore_run
from infraspot.training.recipe import to_toml
from infraspot.training.settings import Recipe
from infraspot.weights.files import load_network, read_card

# Seven frames by two and three; the scheme takes one of them out of the pool in the second epoch.
STEPS = 3 + 3 + 3


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("sets") / "made-up")


@pytest.fixture(scope="module")
def uninterrupted(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    assert fit(build_run(make_recipe(data), folder))
    return folder


def _go_on(recipe: Recipe, folder: Path, stop_after: int) -> bool:
    run = build_run(recipe, folder)
    if (folder / "state.pt").exists():
        restore_run(run, read_state(folder))
    return fit(run, Stopper(stop_after))


@pytest.mark.parametrize("stop_after", range(1, STEPS + 1))
def test_stopping_after_any_step_changes_nothing(
    stop_after: int, data: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    recipe = make_recipe(data)
    assert not _go_on(recipe, tmp_path, stop_after)
    torch.rand(7)  # whatever else draws in between
    assert _go_on(recipe, tmp_path, -1)
    assert_same(read_state(tmp_path), read_state(uninterrupted))
    for name in ("log.csv", "recipe.toml"):
        assert (tmp_path / name).read_text() == (uninterrupted / name).read_text()
    for name in ("best", "last"):
        ours, theirs = (
            load_network(folder / f"{name}.safetensors", trust=TINY)[0]
            for folder in (tmp_path, uninterrupted)
        )
        for key, value in ours.state_dict().items():
            assert torch.equal(value, theirs.state_dict()[key])


def test_stopping_after_every_step_changes_nothing(data: Path, uninterrupted: Path, tmp_path: Path) -> None:
    recipe = make_recipe(data)
    sittings = 0
    while not _go_on(recipe, tmp_path, 1):
        sittings += 1
    assert sittings == STEPS
    assert_same(read_state(tmp_path), read_state(uninterrupted))


@pytest.mark.parametrize("name", ["adam", "sgd", "adagrad", "prodigy"])
def test_every_optimiser_goes_on_bit_by_bit(name: str, data: Path, tmp_path: Path) -> None:
    momentum = {"momentum": 0.9} if name == "sgd" else {}
    recipe = make_recipe(data, optimiser={"name": name, **momentum})
    assert _go_on(recipe, tmp_path / "whole", -1)
    assert not _go_on(recipe, tmp_path / "halves", 6)
    assert _go_on(recipe, tmp_path / "halves", -1)
    assert_same(read_state(tmp_path / "halves"), read_state(tmp_path / "whole"))


@pytest.mark.slow
def test_kills_at_any_moment_lose_nothing(data: Path, tmp_path: Path) -> None:
    """The process dies at times after its first save, in steps and in saves alike; the next one goes on."""
    # Sums of several threads round otherwise than those of one, and other tests change the number.
    train = {"save_seconds": 0, "epochs": 30, "evaluate_every": 15, "threads": 2}
    recipe = make_recipe(data, train=train)
    assert fit(build_run(recipe, tmp_path / "whole"))
    write_text(tmp_path / "recipe.toml", to_toml(recipe))
    killed = tmp_path / "killed"
    command = [sys.executable, "-m", "infraspot", "train", str(tmp_path / "recipe.toml"), "--resume"]
    paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    for wait in (0.0, 0.05):
        before = _saved_at(killed)
        process = subprocess.Popen(
            [*command, "--out", str(killed)], env=environment, stdout=subprocess.DEVNULL
        )
        while _saved_at(killed) == before and process.poll() is None:
            time.sleep(0.002)
        time.sleep(wait)
        process.kill()
        assert process.wait() == -signal.SIGKILL
        position = read_state(killed)["position"]
        assert 4 * position["epoch"] + position["batch"] > 0
    assert _go_on(recipe, killed, -1)
    assert_same(read_state(killed), read_state(tmp_path / "whole"))
    assert {path.name for path in killed.iterdir()} == {path.name for path in (tmp_path / "whole").iterdir()}


def _saved_at(folder: Path) -> int:
    state = folder / "state.pt"
    return state.stat().st_mtime_ns if state.exists() else 0


def test_a_checkpoint_needs_nothing_else(uninterrupted: Path, data: Path) -> None:
    state = read_state(uninterrupted)
    assert recipe_of(state, trust=[TINY, REMEMBERING]) == build_run(make_recipe(data), ".").recipe
    assert set(state["versions"]) == {"infraspot", "torch", "numpy", "python"}
    card = read_card(uninterrupted / "best.safetensors", trust=TINY)
    assert card["trained_on"]["frames"] == 7
    assert card["trained_on"]["fingerprint"] == state["data"]
    assert card["trained_on"]["set"] == "made-up"
    assert card["selected_on"] == "val"
    assert str(data) not in str(card)
    assert set(card["validation"]) >= {"epoch", "iou", "niou", "pd", "fa_area"}


def test_another_recipe_is_refused(uninterrupted: Path, data: Path) -> None:
    run = build_run(make_recipe(data, optimiser={"lr": 0.02}), uninterrupted)
    with pytest.raises(UsageError, match=r"optimiser\.lr was 0\.01 and is 0\.02"):
        restore_run(run, read_state(uninterrupted))


def test_other_frames_are_refused(uninterrupted: Path, data: Path) -> None:
    run = build_run(make_recipe(data), uninterrupted)
    run.val_frames.fingerprint = "something else"
    with pytest.raises(DataError, match="other frames"):
        restore_run(run, read_state(uninterrupted))


def test_where_the_data_lie_may_change(uninterrupted: Path, data: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    moved.symlink_to(data)
    run = build_run(make_recipe(moved), tmp_path / "run")
    restore_run(run, read_state(uninterrupted))
    assert run.epoch == 3


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 half a file"])
def test_a_damaged_checkpoint_is_a_sentence(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "state.pt").write_bytes(content)
    with pytest.raises(DataError, match="cannot be read"):
        read_state(tmp_path)
