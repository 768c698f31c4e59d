"""adapt leaves nothing half-written, whatever it is given and whenever it is stopped."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from adapt_fakes import frames, write_camera

from infraspot.cli.main import main
from infraspot.data import write_dataset
from infraspot.training.adapting import shots as adapting_shots
from infraspot.training.adapting.clock import Plan

pytestmark = pytest.mark.slow


@pytest.fixture
def camera(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    monkeypatch.setattr(adapting_shots, "plan", lambda *_: Plan(0, 0))
    return write_camera(tmp_path)


def _adapt(camera: dict[str, Path], out: Path, *more: str) -> int:
    fixed = ["--to", str(camera["frames"]), "--start", str(camera["model"]), "--out", str(out)]
    return main(["adapt", *fixed, *more])


def test_damaged_frames_are_told_and_the_others_serve(
    camera: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (camera["frames"] / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert _adapt(camera, tmp_path / "m.safetensors", "--assume-empty") == 0
    assert "broken.png" in capsys.readouterr().err


def test_a_folder_of_damaged_frames_is_refused(camera: dict[str, Path], tmp_path: Path) -> None:
    for path in camera["frames"].iterdir():
        path.write_bytes(b"nothing")
    assert _adapt(camera, tmp_path / "m.safetensors") == 1
    assert not (tmp_path / "m.safetensors").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_place_that_takes_no_file_is_refused_before_the_work(
    camera: dict[str, Path], tmp_path: Path
) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    assert _adapt(camera, tmp_path / "closed" / "m.safetensors") == 1


def test_ctrl_c_keeps_the_file_that_was_there(
    camera: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "m.safetensors"
    out.write_bytes(b"before")

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("infraspot.training.adapting.judging.look_at", stopped)
    assert _adapt(camera, out, "--shots", str(camera["shots"])) == 130
    assert out.read_bytes() == b"before"
    assert [path.name for path in tmp_path.iterdir() if "infraspot~" in path.name] == []


def test_a_hostile_start_is_refused(camera: dict[str, Path], tmp_path: Path) -> None:
    camera["model"].write_bytes(b"\xff" * 64)
    assert _adapt(camera, tmp_path / "m.safetensors") == 1


def test_frames_of_one_grey_value_and_of_16_bits_are_taken(camera: dict[str, Path], tmp_path: Path) -> None:
    flat = [one.replace(image=np.full(one.shape, 0.5, np.float32), bit_depth=16) for one in frames(3)]
    write_dataset(tmp_path / "flat", [one.replace(mask=None) for one in flat])
    camera["frames"] = tmp_path / "flat" / "images"
    found = tmp_path / "f.json"
    assert _adapt(camera, tmp_path / "m.safetensors", "--assume-empty", "--json", str(found)) == 0
    assert json.loads(found.read_text())["new_frames"]["after"]["targets_per_mpx"] >= 0


def test_a_single_tiny_frame_is_taken(camera: dict[str, Path], tmp_path: Path) -> None:
    write_dataset(tmp_path / "tiny", [frames(1, size=(22, 22))[0].replace(mask=None)])
    camera["frames"] = tmp_path / "tiny" / "images"
    assert _adapt(camera, tmp_path / "m.safetensors") == 0
