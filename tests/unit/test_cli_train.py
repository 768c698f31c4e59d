"""The train command."""

from pathlib import Path

import pytest
import torch
from training_fakes import REMEMBERING, TINY, make_recipe, write_data

from infraspot.cli.main import main
from infraspot.core.files import write_text
from infraspot.losses import Batch
from infraspot.schemes import Full, Scheme, Trainee
from infraspot.training.recipe import to_toml
from infraspot.weights.files import load_network, read_card

SMALL = ("network.name=compact", "network.widths=[4, 4, 8, 8]", "network.depths=[1, 1, 1, 1]")
# Too slow to change a weight that anyone could see.
STILL = ("loss.aux_weights=1.0", "optimiser.lr=1e-12", "optimiser.weight_decay=0.0")


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    data = write_data(tmp_path / "data")
    write_text(tmp_path / "tiny.toml", to_toml(make_recipe(data, train={"epochs": 1})))
    return tmp_path / "tiny.toml"


def test_a_run_leaves_weights_and_a_log(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = recipe.parent / "run"
    assert main(["train", str(recipe), "--out", str(out), "--set", "train.epochs=2"]) == 0
    assert {path.name for path in out.iterdir()} == {
        "best.safetensors",
        "events.tfevents",
        "last.safetensors",
        "log.csv",
        "recipe.toml",
        "state.pt",
    }
    assert "best  IoU" in capsys.readouterr().out
    assert len((out / "log.csv").read_text().splitlines()) == 3


def test_a_run_starts_from_weights_also_pruned_ones(recipe: Path) -> None:
    folder = recipe.parent
    small, still = ([word for change in changes for word in ("--set", change)] for changes in (SMALL, STILL))
    assert main(["train", str(recipe), *small, *still, "--out", str(folder / "first")]) == 0
    pruned = folder / "pruned.safetensors"
    assert main(["prune", str(folder / "first"), "--keep", "0.5", "--out", str(pruned)]) == 0
    for start in (folder / "first/best.safetensors", pruned):
        out = folder / f"from-{start.stem}"
        assert main(["train", str(recipe), "--start", str(start), *still, "--out", str(out)]) == 0
        assert main(["train", "--resume", "--out", str(out), "--trust", REMEMBERING]) == 0
        begun, network = load_network(start)[0], load_network(out / "last.safetensors")[0]
        for name, parameter in network.named_parameters():
            torch.testing.assert_close(parameter, begun.get_parameter(name))
        assert read_card(out / "last.safetensors")["started_from"] == f"{start.parent.name}/{start.name}"


def test_weights_of_another_network_are_a_sentence(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changed = ["--set", "network.start=compact-sirst1"]
    assert main(["train", str(recipe), *changed, "--out", str(recipe.parent / "run")]) == 2
    assert "holds weights of {'name': 'compact'" in capsys.readouterr().err
    changed = ["--set", "network.name=unet", "--start", "compact-sirst1"]
    assert main(["train", str(recipe), *changed, "--out", str(recipe.parent / "run")]) == 2
    assert "brings its network, compact, and --set network.name asks for unet" in capsys.readouterr().err
    assert main(["train", str(recipe), "--start", "no-such", "--out", str(recipe.parent / "run")]) == 2
    assert "no model 'no-such'" in capsys.readouterr().err


def test_an_existing_run_is_not_overwritten(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["train", str(recipe), "--out", str(recipe.parent / "run")]
    assert main(arguments) == 0
    assert main(arguments) == 2
    assert "add --resume" in capsys.readouterr().err
    assert main([*arguments, "--resume"]) == 0
    resumed = ["train", "--resume", "--out", str(recipe.parent / "run")]
    assert main(resumed) == 1
    assert f"allow it with --trust {TINY}" in capsys.readouterr().err
    assert main([*resumed, "--trust", TINY, "--trust", REMEMBERING]) == 0


def test_choosing_on_test_is_stamped(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = recipe.parent / "run"
    assert main(["train", str(recipe), "--out", str(out), "--set", "train.select_on=test"]) == 0
    assert "chosen on the test split" in capsys.readouterr().err
    assert read_card(out / "best.safetensors", trust=TINY)["selected_on"] == "test"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "give a recipe"),
        (["no-such"], "unknown recipe 'no-such'"),
        (["--resume", "--out", "nowhere"], "holds no run to resume"),
        (["smoke", "--set", "train.epoch=1"], "did you mean 'epochs'"),
        (["smoke"], "INFRASPOT_DATA"),
        (["smoke", "--data", "no/such/folder"], "no/such/folder"),
    ],
)
def test_wrong_usage_is_a_sentence(
    arguments: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("INFRASPOT_DATA", raising=False)
    assert main(["train", *arguments]) != 0
    error = capsys.readouterr().err
    assert sentence in error
    assert "Traceback" not in error


def test_a_mask_that_is_missing_is_a_sentence(recipe: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (recipe.parent / "data" / "masks" / "frame2_pixels0.png").unlink()
    assert main(["train", str(recipe), "--out", str(recipe.parent / "run")]) != 0
    assert "frame2" in capsys.readouterr().err


def test_a_set_without_val_is_a_sentence_and_leaves_no_folder(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed, out = recipe.parent / "data" / "splits" / "val.txt", recipe.parent / "run"
    for spoil in (lambda: listed.write_text(""), listed.unlink):
        spoil()
        assert main(["train", str(recipe), "--out", str(out)]) != 0
        error = capsys.readouterr().err
        assert "'val'" in error
        assert "`infraspot data split` divides a set" in error
        assert not out.exists()


def test_a_state_of_another_network_is_a_sentence_and_stays_as_it_was(
    recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, wide = recipe.parent / "run", recipe.parent / "wide"
    assert main(["train", str(recipe), "--out", str(out)]) == 0
    assert main(["train", str(recipe), "--out", str(wide), "--set", "network.width=8"]) == 0
    states = [torch.load(folder / "state.pt", weights_only=True) for folder in (out, wide)]
    torch.save(states[0] | {"network": states[1]["network"]}, out / "state.pt")
    before = (out / "state.pt").read_bytes()
    assert main(["train", str(recipe), "--out", str(out), "--resume"]) == 1
    assert "the state does not fit the run" in capsys.readouterr().err
    assert (out / "state.pt").read_bytes() == before


def test_a_loss_that_is_not_finite_stops_with_its_place_and_keeps_the_last_good_state(
    recipe: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, calls = recipe.parent / "run", []

    def loss(self: Full, run: Trainee, batch: Batch) -> torch.Tensor:
        calls.append(batch.ids)
        return Scheme.loss(self, run, batch) * (torch.nan if len(calls) == 3 else 1)

    monkeypatch.setattr(Full, "loss", loss)
    words = ["--set", "scheme.name=full", "--set", "train.save_seconds=0", "--out", str(out)]
    assert main(["train", str(recipe), *words]) == 1
    error = capsys.readouterr().err
    assert "the loss became nan in epoch 1, step 3" in error
    assert calls[2][0] in error
    state = torch.load(out / "state.pt", weights_only=True)
    assert state["position"]["batch"] == 2
    assert all(value.isfinite().all() for value in state["network"].values())


def test_a_packaged_recipe_runs_on_data_of_anybody(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("INFRASPOT_DATA", raising=False)
    data, out = write_data(tmp_path / "data"), tmp_path / "run"
    quick = ("train.epochs=1", "train.batch=4", "augment.0.size=32", *SMALL)
    options = [word for change in quick for word in ("--set", change)]
    assert main(["train", "compact_sirst1", "--data", str(data), "--out", str(out), *options]) == 0
    assert "no negatives: the recipe can take frames without targets too" in capsys.readouterr().out
