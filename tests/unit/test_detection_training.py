"""Detectors on the one loop: their scheme, their numbers, their weights, and what they are refused for."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from training_fakes import Stopper, assert_same, make_samples, table, write_data

from infraspot.cli.main import main
from infraspot.core.errors import InputError, UsageError
from infraspot.core.prediction import Prediction
from infraspot.core.sample import Sample
from infraspot.detection import BACKBONES, DETECTORS
from infraspot.inference import open_engine, predict
from infraspot.inference.engines import locate
from infraspot.inference.export_boxes import export_detector
from infraspot.training import fit, open_run
from infraspot.training.checkpoint import read_state
from infraspot.training.recipe import parse_recipe
from infraspot.training.sources import WithBoxes
from infraspot.training.validation import validate_boxes
from infraspot.weights.backbones import convert_backbone
from infraspot.weights.convert import IMAGENET
from infraspot.weights.files import load_detector, load_network, save_weights

FCOS: dict[str, Any] = {
    "name": "fcos",
    "backbone": "resnet10",
    "strides": [2, 4],
    "width": 8,
    "depth": 1,
    "nearest": True,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("set"))


def recipe_of(data: Path, **parts: dict[str, Any]) -> dict[str, Any]:
    """A run of two epochs of a small FCOS."""
    whole = table(data)
    for part in ("network", "scheme", "loss", "augment"):
        whole.pop(part)
    whole |= {"network": FCOS, "scheme": {"name": "boxes"}}
    whole["augment"] = [{"name": "crop", "size": 32}, {"name": "flip"}]
    whole["train"] |= {"select": "ap", "epochs": 2, "evaluate_every": 1}
    for name, options in parts.items():
        whole[name] = whole.get(name, {}) | options
    return whole


def test_a_detector_trains_and_its_weights_load_by_themselves(data: Path, tmp_path: Path) -> None:
    run = open_run(parse_recipe(recipe_of(data), "the test"), tmp_path / "run")
    assert fit(run)
    assert {"ap", "recall", "ap_centre", "threshold"} <= run.at.rows[-1].keys()
    detector, card = load_detector(tmp_path / "run" / "best.safetensors")
    assert card["kind"] == "detector"
    assert card["suppression"]["least"] == 0.01
    engine = open_engine(str(tmp_path / "run"))
    sample = make_samples(1)[0]
    wanted = {target.box for target in predict(engine, sample).candidates or ()}
    again = open_run(parse_recipe(recipe_of(data), "the test"), tmp_path / "other")
    again.module.load_state_dict(detector.state_dict())
    assert wanted == {target.box for target in predict(engine, sample).candidates or ()}


def test_a_stopped_detector_goes_on_bit_by_bit(data: Path, tmp_path: Path) -> None:
    recipe = parse_recipe(recipe_of(data), "the test")
    whole = open_run(recipe, tmp_path / "whole")
    fit(whole)
    first = open_run(recipe, tmp_path / "parts")
    assert not fit(first, Stopper(3))
    second = open_run(recipe, tmp_path / "parts")
    fit(second)
    assert_same(read_state(tmp_path / "whole"), read_state(tmp_path / "parts"))


def test_a_recipe_that_mixes_boxes_and_masks_is_refused(data: Path) -> None:
    with pytest.raises(UsageError, match=r"scheme: 'full' teaches segmentation networks"):
        parse_recipe(recipe_of(data, scheme={"name": "full"}), "the test")
    with pytest.raises(UsageError, match=r"'boxes' teaches detectors of boxes"):
        parse_recipe(table(data, scheme={"name": "boxes"}, network={"name": "compact"}), "the test")
    with pytest.raises(UsageError, match=r"train.select.iou is unknown"):
        parse_recipe(recipe_of(data, train={"select": "iou"}), "the test")
    with pytest.raises(UsageError, match=r"prune: this is for segmentation"):
        parse_recipe(recipe_of(data, prune={"keep": 0.5}), "the test")


def write_detector(folder: Path) -> Path:
    torch.manual_seed(0)
    options = {key: value for key, value in FCOS.items() if key != "name"}
    detector = DETECTORS["fcos"](**{**options, "strides": (2, 4)})
    card = {"kind": "detector", "network": {"name": "fcos", "options": options}, "threshold": 0.005}
    path = folder / "fcos.safetensors"
    save_weights(path, detector.state_dict(), card)
    return path


def test_weights_of_the_other_kind_are_refused_in_a_sentence(tmp_path: Path) -> None:
    path = write_detector(tmp_path)
    with pytest.raises(InputError, match=r"are a detector of boxes \(fcos\), and a segmentation network is"):
        load_network(path)
    with pytest.raises(
        InputError, match=r"are a segmentation network \(compact\), and a detector of boxes is"
    ):
        load_detector(locate("compact-sirst1", "torch"))


@pytest.mark.parametrize("command", [["prune", "{}", "--out", "{}.p"], ["calibrate", "{}", "--data", "no"]])
def test_commands_for_segmentation_name_the_detector(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(write_detector(tmp_path))
    assert main([part.format(path) for part in command]) != 0
    assert "Traceback" not in capsys.readouterr().err


def test_detect_lists_the_boxes_of_a_detector(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_detector(tmp_path)
    out = tmp_path / "out"
    status = main(["detect", str(data), "--model", str(path), "--out", str(out), "--format", "json,csv"])
    assert status == 0, capsys.readouterr().err
    assert len(list(out.rglob("*.json"))) == 10
    assert main(["detect", str(data), "--model", str(path), "--out", str(out), "--format", "prob"]) == 2
    assert "gives targets without score maps" in capsys.readouterr().err


@pytest.mark.parametrize("suppress", [False, True])
def test_an_exported_detector_finds_what_torch_finds(suppress: bool, tmp_path: Path) -> None:
    weights = write_detector(tmp_path)
    detector, card = load_detector(weights)
    torch.nn.init.normal_(detector.head.logits.weight, std=1.0)  # type: ignore[union-attr, arg-type]
    save_weights(weights, detector.state_dict(), card)
    detector, card = load_detector(weights)
    path = tmp_path / "fcos.onnx"
    assert export_detector(detector, card, path, suppress=suppress) < 1e-4
    sample = Sample("one", np.random.default_rng(3).random((50, 66), np.float32))
    found, wanted = (predict(open_engine(str(place)), sample).candidates for place in (path, weights))
    assert found
    assert wanted
    np.testing.assert_allclose(found[0].box, wanted[0].box, atol=1e-2)
    assert found[0].score == pytest.approx(wanted[0].score, abs=1e-4)


def test_boxes_are_those_of_the_mask() -> None:
    mask = np.zeros((10, 12), bool)
    mask[2:5, 3:7] = True
    mask[8, 1] = True
    sample = Sample("one", np.zeros((10, 12), np.float32), mask, boxes=np.array([[4.0, 3, 7, 5]]))
    frames = WithBoxes([sample, sample.replace(mask=None)])
    assert frames[0].boxes is not None
    assert frames[1].boxes is not None
    assert frames[0].boxes.tolist() == [[3, 2, 7, 5], [1, 8, 2, 9]]
    assert frames[1].boxes.tolist() == [[4, 3, 7, 5]]


def test_numbers_of_detections_are_counted_by_hand() -> None:
    mask = np.zeros((20, 20), bool)
    mask[2:6, 2:6] = mask[10:14, 10:14] = True
    boxes = [[2, 2, 6, 6], [10, 10, 14, 14], [15, 2, 19, 6]]
    prediction = Prediction.from_boxes("one", boxes, [0.9, 0.03, 0.5], (20, 20))
    numbers = validate_boxes([prediction], {"one": mask}, lambda id: "set")
    # Ranked: hit, miss, hit. Precision is 1 up to recall .5 and 2/3 after it: (6 + 5 * 2 / 3) / 11.
    assert numbers["ap"] == pytest.approx((6 + 5 * 2 / 3) / 11)
    assert numbers["recall"] == 0.5  # the second hit scores below .05
    assert numbers["ap_centre"] == pytest.approx(0.5 + 0.5 * 2 / 3)
    assert numbers["f1"] == pytest.approx(2 * 2 / (3 + 2))
    assert numbers["threshold"] == pytest.approx(0.015)


def test_a_published_backbone_reads_one_grey_channel_as_it_read_three() -> None:
    torch.manual_seed(0)
    ours = BACKBONES["resnet18"]()
    state = {key: value.clone() for key, value in ours.state_dict().items()}
    state["conv1.weight"] = torch.randn(64, 3, 7, 7)
    state["bn1.running_mean"] = torch.randn(64)
    state |= {"fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}
    ours.load_state_dict(convert_backbone(state, "resnet18", ours, IMAGENET))
    grey = torch.rand(1, 1, 40, 40)
    mean, std = (torch.tensor(values).reshape(1, 3, 1, 1) for values in (IMAGENET.mean, IMAGENET.std))
    first = torch.nn.functional.conv2d((grey - mean) / std, state["conv1.weight"], stride=2, padding=3)
    norm = (state[f"bn1.{name}"] for name in ("running_mean", "running_var", "weight", "bias"))
    wanted = torch.relu(torch.nn.functional.batch_norm(first, *norm))
    inside = slice(2, -2)  # zeros beside the frame stood for the mean grey, and here for black
    found = ours.eval()(grey)[0]
    torch.testing.assert_close(found[..., inside, inside], wanted[..., inside, inside], atol=1e-3, rtol=1e-3)


def test_convert_weights_writes_a_backbone_that_a_detector_begins_with(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = tmp_path / "resnet18.pth", tmp_path / "resnet18.safetensors"
    state = BACKBONES["resnet18"]().state_dict()
    torch.save(state | {"conv1.weight": torch.randn(64, 3, 7, 7)}, source)
    assert main(["convert-weights", str(source), "--network", "resnet18", "--out", str(out)]) == 0
    recipe = recipe_of(data, network={"backbone": "resnet18", "start": str(out)}, train={"epochs": 0})
    run = open_run(parse_recipe(recipe, "the test"), tmp_path / "run")
    fit(run)
    own = run.module.get_parameter("backbone.layer4.1.conv2.weight")
    assert torch.equal(own, state["layer4.1.conv2.weight"])
    torch.save({"conv1.weight": torch.zeros(3, 3)}, source)
    assert main(["convert-weights", str(source), "--network", "resnet18", "--out", str(out)]) != 0
    assert "these are not the weights of resnet18" in capsys.readouterr().err
