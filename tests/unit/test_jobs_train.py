"""Training from Python does what the command does."""

import sys
from pathlib import Path

import pytest
from training_fakes import make_recipe, write_data

import infraspot
from infraspot.core.errors import UsageError
from infraspot.core.files import write_text
from infraspot.training.recipe import to_toml


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    data = write_data(tmp_path / "data")
    write_text(tmp_path / "tiny.toml", to_toml(make_recipe(data, train={"epochs": 1})))
    return tmp_path / "tiny.toml"


def test_a_recipe_and_its_changes_give_weights_that_load(recipe: Path) -> None:
    out = recipe.parent / "run"
    data = recipe.parent / "data"
    small = {"name": "compact", "widths": [4, 4, 8, 8], "depths": [1, 1, 1, 1]}
    run = infraspot.train(
        recipe, data=data, out=out, train={"epochs": 2}, network=small, loss={"aux_weights": 1.0}
    )
    assert (run.complete, len(run.rows), run.folder) == (True, 2, out)
    assert repr(run).startswith(f"<TrainingRun {out}: 2 epochs, complete, best IoU 0.")
    assert run.weights == out / "best.safetensors"
    assert infraspot.load(run.weights).card["network"]["options"]["widths"] == [4, 4, 8, 8]
    with pytest.raises(UsageError, match="pass resume=True"):
        infraspot.train(recipe, out=out)
    with pytest.raises(UsageError, match="recipe"):
        infraspot.train(recipe, out=out, resume=True, train={"epochs": 5}, optimiser={"lr": 0.5})


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"epochs": 5}, r"such as train=\{'epochs': 5\}, and epochs=5 came"),
        ({"train": {"epoch": 5}}, "epochs"),
        ({"trian": {"epochs": 5}}, "train"),
        ({"train": {"epochs": "many"}}, "epochs"),
    ],
    ids=range(4),
)
def test_a_wrong_setting_is_named_and_nothing_is_written(recipe: Path, settings, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        infraspot.train(recipe, out=recipe.parent / "run", **settings)
    assert not (recipe.parent / "run/recipe.toml").exists()


def test_a_missing_extra_is_named(recipe: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightning_fabric", None)
    with pytest.raises(UsageError, match=r"infraspot\[train\]"):
        infraspot.train(recipe)
