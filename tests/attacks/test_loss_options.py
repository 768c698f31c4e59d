"""Recipes whose [loss] or [prune] cannot be trained are refused in a sentence, and leave no weights."""

from pathlib import Path

import pytest

from infraspot.cli.main import main

pytestmark = pytest.mark.slow

ODD = [
    'loss.terms={bce = 1}\nloss.options={bce = {target_weight = "much"}}',
    "loss.terms={bce = 1}\nloss.options={bce = {target_weight = -1}}",
    "loss.terms={bce = 1}\nloss.options={bce = {target_weight = [1, 2]}}",
    "loss.terms={soft_iou = 1}\nloss.options={soft_iou = {pooled = 3}}",
    "loss.terms={hard_clutter = 1}\nloss.options={hard_clutter = {pixels = 0}}",
    "loss.terms={hard_clutter = 1}\nloss.options={hard_clutter = {pixels = 2.5}}",
    "loss.terms={hard_edge_bce = 1}\nloss.options={hard_edge_bce = {share = 0}}",
    "loss.terms={hard_edge_bce = 1}\nloss.options={hard_edge_bce = {share = 1.5}}",
    "loss.terms={bce = 1, contrast = 1}\nloss.options={contrast = {temperature = 0}}",
    "loss.terms={sls = 1}\nloss.options={sls = {warm_up = true}}",
    "loss.terms={sls = 1}\nloss.options={sls = {epoch = 4}}",
    "loss.terms={bce = 1, fidelity = 1}",
    "loss.terms={bce = 1, contrast = 1}",
    "loss.terms={fidelity = 1}",
    "loss.terms={}",
    "loss.edge={bce = 1}",
    "loss.edge={nothing = 1}",
    'loss.edge_truth="sobel"',
    "loss.aux_weights=[0, 0]\nloss.aux_mean=true",
    "loss.aux_weights=[1, 1, 1]",
    "loss.warm_up=-1",
    "prune={keep = 0}",
    "prune={keep = 2}",
    "prune={kep = 0.5}",
]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sets") / "made-up"
    assert main(["generate", "--scenes", "6", "--size", "64x64", "--out", str(folder)]) == 0
    return folder


@pytest.mark.parametrize("changes", ODD)
def test_a_loss_that_cannot_be_is_a_sentence(
    changes: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [word for change in changes.split("\n") for word in ("--set", change)]
    assert main(["train", "smoke", "--data", str(data), "--out", str(tmp_path / "run"), *options]) == 2
    said = capsys.readouterr().err
    assert said.strip()
    assert "Traceback" not in said
    assert not list(tmp_path.glob("run/*.safetensors"))
