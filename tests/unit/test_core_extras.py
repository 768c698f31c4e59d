"""A part of infraspot that is not installed is named with the line that installs it, before any work."""

import subprocess
import sys

import pytest

from infraspot.cli.main import main
from infraspot.core.errors import UsageError
from infraspot.core.extras import EXTRAS, extra_of, require

SLIM = """
import sys
from importlib.abc import MetaPathFinder

class Absent(MetaPathFinder):
    names = set("torch lightning_fabric onnx onnxscript starlette uvicorn matplotlib jinja2".split())

    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
from infraspot.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("extra", EXTRAS)
def test_a_missing_package_is_named_with_the_line_that_installs_it(monkeypatch, extra):
    monkeypatch.setitem(sys.modules, EXTRAS[extra][-1], None)
    with pytest.raises(UsageError, match=EXTRAS[extra][-1]) as refusal:
        require(extra, "this")
    assert f"pip install 'infraspot[{extra}]'" in str(refusal.value)


@pytest.mark.parametrize(
    ("module", "extra"), [("torch", "train"), ("onnx", "export"), ("uvicorn", "annotate"), ("sys", None)]
)
def test_the_smallest_extra_that_brings_a_module_is_found(module, extra):
    assert extra_of(module) == extra


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [
        (["train", "smoke", "--data", "d", "--out", "o"], "train"),
        (["export", "m", "--out", "m.onnx"], "export"),
        (["prune", "m", "--keep", "0.5", "--out", "m.safetensors"], "train"),
        (["convert-weights", "m", "--network", "acm", "--out", "m.safetensors"], "train"),
        (["annotate", "d"], "annotate"),
        (["models", "--measure"], "train"),
        (["evaluate", "p", "t", "--plots", "o"], "report"),
        (["data", "stats", "d", "--plot", "p.png"], "report"),
    ],
)
def test_a_command_without_its_extra_says_how_to_install_it_and_does_nothing(
    monkeypatch, tmp_path, capsys, arguments, extra
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, EXTRAS[extra][-1], None)
    assert main(arguments) == 2
    assert f"infraspot[{extra}]" in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


@pytest.mark.slow
def test_detecting_scoring_labelling_and_generating_work_without_any_extra(tmp_path):
    for arguments in (
        ["generate", "--scenes", "3", "--size", "64x48", "--out", "scenes"],
        ["detect", "scenes/images", "--format", "json,mask,overlay,csv,coco,prob", "--out", "found"],
        ["pseudo", "scenes", "--out", "grown", "--workers", "1"],
        ["evaluate", "grown", "scenes", "--json", "scores.json", "--csv", "scores.csv", "--bootstrap", "5"],
        ["evaluate", "compact-sirst1", "--data", "scenes", "--no-curves", "--bootstrap", "0"],
        ["data", "check", "scenes"],
        ["models", "--json"],
    ):
        done = subprocess.run(
            [sys.executable, "-c", SLIM, *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
