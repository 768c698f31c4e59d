"""Recipes: read, changed, checked, written."""

from pathlib import Path

import pytest
from training_fakes import make_recipe, table

from infraspot.core.errors import UsageError
from infraspot.training.recipe import (
    PACKAGED,
    find_recipe,
    load_recipe,
    packaged_recipes,
    parse_recipe,
    to_toml,
)


@pytest.mark.parametrize("name", packaged_recipes())
def test_packaged_recipes_are_sound(name: str) -> None:
    load_recipe(name)


@pytest.mark.parametrize("name", ["compact_sirst1", "compact_sirst1.toml", "recipes/compact_sirst1.toml"])
def test_packaged_recipes_are_found_by_name(name: str) -> None:
    assert find_recipe(name) == PACKAGED / "compact_sirst1.toml"


@pytest.mark.parametrize("name", ["survey/fcnet", "survey/fcnet.toml", "recipes/survey/fcnet.toml"])
def test_recipes_in_a_folder_are_found_by_folder_and_name(name: str) -> None:
    assert find_recipe(name) == PACKAGED / "survey" / "fcnet.toml"


@pytest.mark.parametrize("name", ["fcnet", "../recipes/smoke", "elsewhere/smoke.toml", "/smoke"])
def test_a_recipe_in_another_folder_is_not_a_packaged_one(name: str) -> None:
    with pytest.raises(UsageError, match="unknown recipe"):
        find_recipe(name)


def test_an_unknown_recipe_brings_the_nearest_name() -> None:
    with pytest.raises(UsageError, match="did you mean 'compact_sirst1'"):
        find_recipe("compact_sirst")


def test_a_recipe_survives_being_written(tmp_path: Path) -> None:
    recipe = make_recipe(tmp_path, loss={"options": {"bce": {"target_weight": 2.0}}})
    (tmp_path / "again.toml").write_text(to_toml(recipe))
    assert load_recipe(tmp_path / "again.toml") == recipe


def test_the_packaged_recipe_survives_being_written(tmp_path: Path) -> None:
    recipe = load_recipe("compact_sirst1")
    (tmp_path / "again.toml").write_text(to_toml(recipe))
    assert load_recipe(tmp_path / "again.toml") == recipe


def test_options_can_be_changed() -> None:
    changes = ["train.epochs=5", "schedule.name=poly", "augment.0.size=96", "data.path='x'"]
    recipe = load_recipe("compact_sirst1", changes)
    assert recipe.train.epochs == 5
    assert recipe.schedule.name == "poly"
    assert recipe.augment[0].options["size"] == 96
    assert recipe.data.path == "x"


@pytest.mark.parametrize("change", ["epochs=5", "train.epochs", "augment.99.size=3", "network.name.x=1"])
def test_changes_without_a_place_are_refused(change: str) -> None:
    with pytest.raises(UsageError, match="--set"):
        load_recipe("compact_sirst1", [change])


def test_all_mistakes_of_the_tables_are_named_at_once(tmp_path: Path) -> None:
    wrong = table(tmp_path, train={"epoch": 3, "batch": 0}, data={"splt": "train"})
    with pytest.raises(UsageError) as error:
        parse_recipe(wrong, "r.toml")
    message = str(error.value)
    assert "train.epoch is unknown, did you mean 'epochs'?" in message
    assert "data.splt is unknown, did you mean 'split'?" in message
    assert "train.batch is 0" in message


def test_all_mistakes_of_the_named_parts_are_named_at_once(tmp_path: Path) -> None:
    wrong = table(
        tmp_path,
        network={"name": "compct"},
        loss={"terms": {"bce": 1, "soft_io": 1}, "options": {"bce": {"target_wieght": 2}}},
        optimiser={"momentun": 0.9, "name": "sgd"},
        train={"select": "fa"},
    )
    wrong["augment"][0] = {"name": "crop", "sizes": 3}
    with pytest.raises(UsageError) as error:
        parse_recipe(wrong, "r.toml")
    for clause in (
        "did you mean 'compact'",
        "did you mean 'soft_iou'",
        "loss.options.bce.target_wieght is unknown, did you mean 'target_weight'?",
        "optimiser.momentun is unknown, did you mean 'momentum'?",
        "augment.0.sizes is unknown, did you mean 'size'?",
        "train.select.fa is unknown",
    ):
        assert clause in str(error.value)


def test_mistakes_of_tables_and_of_named_parts_are_named_together(tmp_path: Path) -> None:
    wrong = table(
        tmp_path,
        network={"name": "compct"},
        scheme={"name": "d2dd"},
        train={"batch": 0},
        optimiser={"lr": -1.0},
    )
    wrong["augment"] = [{"name": "flop"}, {"name": 3}]
    with pytest.raises(UsageError) as error:
        parse_recipe(wrong, "r.toml")
    for clause in ("train.batch is 0", "optimiser.lr is -1.0", "augment.1.name is 3"):
        assert clause in str(error.value)
    del wrong["augment"][1]
    with pytest.raises(UsageError) as error:
        parse_recipe(wrong, "r.toml")
    for clause in ("train.batch is 0", "optimiser.lr is -1.0", "'compct'", "'d2dd'", "'flop'"):
        assert clause in str(error.value)


def test_a_file_that_is_no_toml_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("[network\nname = ")
    with pytest.raises(UsageError, match="expected a recipe in TOML"):
        load_recipe(tmp_path / "bad.toml")
