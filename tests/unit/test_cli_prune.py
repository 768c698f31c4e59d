"""The command that prunes a network, and whether what it writes works like any other weight file."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from infraspot.cli.main import main
from infraspot.core.errors import InputError
from infraspot.data import write_grey, write_mask
from infraspot.networks import NETWORKS
from infraspot.weights.files import build_network, load_network, read_card, save_weights


@pytest.fixture
def weights(tmp_path):
    """A small network of many prunable channels, as a run would leave it."""
    torch.manual_seed(0)
    options = {"widths": [8, 8, 8, 8]}
    card = {
        "network": {"name": "compact", "options": options},
        "threshold": 0.4,
        "false_alarms": {"data": "val", "megapixels": 1.0, "targets": 3, "curve": [[0.5, 2.0, 1.0]]},
        "validation": {"iou": 0.7},
    }
    path = tmp_path / "best.safetensors"
    save_weights(path, NETWORKS["compact"](**options).state_dict(), card)
    return path


@pytest.fixture
def dataset(tmp_path, rng):
    for name in ("a", "b"):
        image, mask = 0.2 + 0.01 * rng.standard_normal((48, 64)), np.zeros((48, 64), bool)
        mask[20:23, 30:33] = True
        image[mask] += 0.5
        write_grey(tmp_path / "set" / "images" / f"{name}.png", image)
        write_mask(tmp_path / "set" / "masks" / f"{name}.png", mask)
    return tmp_path / "set"


def prune(source, out, *options):
    return main(["prune", str(source), "--out", str(out), *options])


def test_a_pruned_network_is_smaller_and_its_file_rebuilds_it(weights, tmp_path, capsys):
    out = tmp_path / "pruned.safetensors"
    assert prune(weights, out, "--keep", "0.6") == 0
    shown = capsys.readouterr().out
    assert all(row in shown for row in ("parameters", "FLOPs", "ms at 256x256"))
    small, card = load_network(out)
    state = load_file(out)
    assert {name: value.shape for name, value in small.state_dict().items()} == {
        name: value.shape for name, value in state.items()
    }
    assert count(small) < 0.85 * count(load_network(weights)[0])
    assert small(torch.rand(1, 1, 40, 33)).logits.shape == (1, 1, 40, 33)
    kept, whole = card["pruned"]["channels"]
    assert kept == pytest.approx(0.6 * whole, abs=0.1 * whole)
    assert card["threshold"] == 0.4
    assert not {"false_alarms", "validation"} & card.keys()


def test_keeping_all_channels_changes_no_answer(weights, tmp_path):
    assert prune(weights, tmp_path / "same.safetensors", "--keep", "1") == 0
    frame = torch.rand(1, 1, 48, 48)
    with torch.no_grad():
        same, whole = (load_network(path)[0](frame) for path in (tmp_path / "same.safetensors", weights))
    assert torch.equal(same.logits, whole.logits)


def test_a_pruned_network_can_be_pruned_again(weights, tmp_path):
    once, twice = tmp_path / "once.safetensors", tmp_path / "twice.safetensors"
    assert prune(weights, once, "--keep", "0.8") == 0
    assert prune(once, twice, "--keep", "0.7") == 0
    assert count(load_network(twice)[0]) < count(load_network(once)[0])


def test_a_pruned_network_is_built_for_training_from_its_card_alone(weights, tmp_path):
    assert prune(weights, tmp_path / "pruned.safetensors", "--keep", "0.5") == 0
    fresh = build_network(read_card(tmp_path / "pruned.safetensors")["network"])
    fresh.load_state_dict(load_file(tmp_path / "pruned.safetensors"))
    fresh.train()(torch.rand(2, 1, 32, 32)).logits.mean().backward()
    assert fresh.encoder[0][0].body[0][0].weight.grad is not None


def test_pruned_weights_are_scored_detected_with_and_exported(weights, dataset, tmp_path, capsys):
    out, onnx = tmp_path / "pruned.safetensors", tmp_path / "pruned.onnx"
    assert prune(weights, out, "--keep", "0.6", "--data", str(dataset)) == 0
    shown = capsys.readouterr().out
    assert "IoU" in shown
    assert "Pd" in shown
    assert main(["export", str(out), "--out", str(onnx)]) == 0
    for model in (out, onnx):
        found = tmp_path / model.suffix[1:]
        images = str(dataset / "images")
        assert main(["detect", images, "--model", str(model), "--out", str(found), "--format", "json"]) == 0
        assert any(found.rglob("*.json"))


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        (["--keep", "0"], 2, "range"),
        (["--keep", "0.5", "--out", "x.pth"], 2, "ends in .safetensors"),
        (["--keep", "0.5", "--out", "best.safetensors"], 2, "would replace the weights"),
        (["--keep", "0.5", "--data", "nowhere"], 1, "nowhere"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_written(
    weights, tmp_path, capsys, monkeypatch, options, status, words
):
    monkeypatch.chdir(tmp_path)
    before = weights.read_bytes()
    assert main(["prune", "best.safetensors", "--out", "x.safetensors", *options]) == status
    assert words in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.safetensors"]
    assert weights.read_bytes() == before


def test_an_onnx_file_is_refused_with_a_sentence(tmp_path, capsys):
    (tmp_path / "model.onnx").touch()
    assert prune(tmp_path / "model.onnx", tmp_path / "x.safetensors", "--keep", "0.5") == 2
    assert "an ONNX file cannot be pruned" in capsys.readouterr().err


def test_a_network_whose_channels_all_meet_others_is_refused(tmp_path, capsys):
    card = {"network": {"name": "mtunet", "options": {}}}
    save_weights(tmp_path / "w.safetensors", NETWORKS["mtunet"]().state_dict(), card)
    assert prune(tmp_path / "w.safetensors", tmp_path / "x.safetensors", "--keep", "0.5") == 2
    assert "no channels of this network can be pruned" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("widths", "words"),
    [
        ({"absent": [1, 1]}, "no convolution or batch norm 'absent'"),
        ({"encoder.0.0.body.0.0": [8, 9]}, "has 8 channels, and 9"),
        ({"encoder.0.0.body.0.0": [8]}, "its card is wrong"),
        ({"encoder.0.0.body.0.0": [8, 5]}, "do not fit"),
    ],
)
def test_a_card_whose_widths_do_not_fit_is_refused_with_a_sentence(weights, tmp_path, widths, words):
    card = read_card(weights)
    network, _ = load_network(weights)
    card["network"]["widths"] = widths
    save_weights(tmp_path / "wrong.safetensors", network.state_dict(), json.loads(json.dumps(card)))
    with pytest.raises(InputError, match=r"wrong\.safetensors") as caught:
        load_network(tmp_path / "wrong.safetensors")
    assert words in str(caught.value)


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())
