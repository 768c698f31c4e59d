"""A new network is one file and one line in :data:`infraspot.networks.NETWORKS`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from training_fakes import make_recipe, write_data

from infraspot.cli.main import main
from infraspot.core.files import write_text
from infraspot.networks import NETWORKS
from infraspot.training.recipe import to_toml

ROOT = Path(__file__).parents[2]

FILE = '''
"""Toy: a network that somebody adds."""

import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.blocks.conv import ConvNormAct
from infraspot.networks.base import SegmentationNetwork, SegOutput
from infraspot.networks.sheet import OWN, Sheet


class Toy(SegmentationNetwork):
    """A 3x3 at full and at half size, added."""

    sheet = Sheet(family="own", source="somebody", licence=OWN)
    stride = 2

    def __init__(self, width: int = 8):
        super().__init__()
        self.fine, self.coarse = ConvNormAct(1, width), ConvNormAct(1, width)
        self.head = nn.Conv2d(width, 1, 1)

    def segment(self, image: Tensor) -> SegOutput:
        coarse = self.coarse(F.max_pool2d(image, 2))
        return SegOutput(self.head(self.fine(image) + F.interpolate(coarse, scale_factor=2.0)))
'''
LINE = 'NETWORKS["toy"] = Toy\n'


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A folder with the one file, and a plugin of pytest that adds the one line."""
    write_text(tmp_path / "toy_network.py", FILE)
    imports = "from toy_network import Toy\n\nfrom infraspot.networks import NETWORKS\n\n"
    write_text(tmp_path / "add_toy.py", imports + LINE)
    return tmp_path


def test_the_laws_hold_for_a_newcomer_and_no_test_needs_to_know_it(package: Path) -> None:
    path = os.pathsep.join([str(package), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "add_toy", "-k", "toy", "tests/laws/test_networks.py"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert ran.returncode == 0, ran.stdout
    assert "passed" in ran.stdout
    assert "skipped" not in ran.stdout


def test_a_newcomer_is_listed_trained_and_exported(
    package: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxscript")
    monkeypatch.syspath_prepend(package)
    from toy_network import Toy

    monkeypatch.setitem(NETWORKS, "toy", Toy)
    assert main(["models", "toy"]) == 0
    assert "somebody" in capsys.readouterr().out
    parts = {"network": {"name": "toy"}, "loss": {"aux_weights": 1.0}, "train": {"epochs": 1}}
    write_text(package / "toy.toml", to_toml(make_recipe(write_data(package / "data"), **parts)))
    assert main(["train", str(package / "toy.toml"), "--out", str(package / "run")]) == 0
    assert main(["export", str(package / "run"), "--out", str(package / "toy.onnx")]) == 0
    assert (package / "toy.onnx").stat().st_size > 0
