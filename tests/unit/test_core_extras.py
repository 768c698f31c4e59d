"""A part of infraspot that is not installed is named with the line that installs it, before any work."""

import subprocess
import sys

import numpy as np
import pytest

import infraspot
from infraspot.cli.main import main
from infraspot.core.errors import InputError, UsageError
from infraspot.core.extras import EXTRAS, extra_of, require
from infraspot.data import write_grey

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
    ("name", "head", "modules", "extra"),
    [
        ("film.mkv", b"\x1aE\xdf\xa3", ["av", "av.error"], "video"),
        ("array.h5", b"\x89HDF\r\n\x1a\n", ["h5py"], "hdf5"),
    ],
)
def test_a_file_that_needs_an_extra_does_not_keep_the_others_from_being_read(
    monkeypatch, tmp_path, capsys, name, head, modules, extra
):
    for module in modules:
        monkeypatch.setitem(sys.modules, module, None)
    frames = tmp_path / "frames"
    for still in ("a.png", "z.png"):
        write_grey(frames / still, np.tile(np.linspace(0.2, 0.6, 40), (30, 1)), bits=8)
    (frames / name).write_bytes(head + bytes(100))
    command = [
        "detect",
        str(frames),
        "--method",
        "tophat",
        "--format",
        "json",
        "--out",
        str(tmp_path / "out"),
    ]
    assert main(command) == 1
    said = capsys.readouterr()
    assert said.err.count(f"pip install 'infraspot[{extra}]'") == 1
    assert "2 frames" in said.out
    with pytest.raises(InputError, match=f"needs {modules[0]}, which"):
        infraspot.read_image(frames / name)


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
