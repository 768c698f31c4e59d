"""Pre-training on frames that are damaged, odd or absent, with options that make no sense."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

TESTS = Path(__file__).parent.parent / "unit"
sys.path.insert(0, str(TESTS))

from training_fakes import TINY  # noqa: E402

from infraspot.cli.main import main  # noqa: E402

pytestmark = pytest.mark.slow

SMALL = ["--network", TINY, "--epochs", "1", "--batch", "2", "--set", "augment.0.size=32"]
SMALL += ["--set", "train.tensorboard=false", "--set", "loss.aux_weights=[1.0, 0.5]"]


def _pretrain(frames: Path, out: Path, *more: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    status = main(["pretrain", str(frames), "--out", str(out), *SMALL, *more])
    shown = capsys.readouterr()
    assert "Traceback" not in shown.err
    return status, shown.out + shown.err


def _folder(path: Path, frames: dict[str, np.ndarray]) -> Path:
    path.mkdir()
    for name, frame in frames.items():
        Image.fromarray(frame).save(path / f"{name}.png")
    return path


@pytest.mark.parametrize("kind", ["empty", "absent", "text", "damaged", "pipe"])
def test_what_holds_no_frame_is_a_sentence_and_writes_no_weights(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = tmp_path / "frames"
    if kind != "absent":
        frames.mkdir()
    if kind == "text":
        (frames / "notes.txt").write_text("nothing to see")
    if kind == "damaged":
        (frames / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    if kind == "pipe":
        os.mkfifo(frames / "a.png")
    status, said = _pretrain(frames, tmp_path / "out", capsys=capsys)
    assert status in (1, 2)
    assert said.startswith("error: ")
    assert not list((tmp_path / "out").glob("*.safetensors"))


@pytest.mark.parametrize("method", ["paste", "displace", "inpaint"])
def test_frames_that_are_flat_tiny_black_white_or_deep_end_in_finite_weights(
    method: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = _folder(
        tmp_path / "frames",
        {
            "black": np.zeros((40, 40), np.uint8),
            "white": np.full((40, 40), 255, np.uint8),
            "pixel": np.full((1, 1), 9, np.uint8),
            "line": np.arange(50, dtype=np.uint8)[None],
            "deep": np.random.default_rng(0).integers(7000, 7100, (40, 40)).astype(np.uint16),
        },
    )
    status, said = _pretrain(frames, tmp_path / "out", "--method", method, capsys=capsys)
    assert status == 0, said
    assert (tmp_path / "out" / "last.safetensors").is_file()


@pytest.mark.parametrize(
    "change",
    [
        "scheme.scr=[20, 2]",
        "scheme.targets=0",
        "scheme.empty=2",
        "scheme.blur=[0, 0]",
        "scheme.diameter=[1e9, 1e9]",
        "scheme.surprise=1",
        "train.select_on=sometimes",
        "data.split=nowhere",
        "network.start=nowhere.safetensors",
    ],
)
def test_options_that_make_no_sense_are_refused_before_any_work(
    change: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = _folder(tmp_path / "frames", {"a": np.zeros((40, 40), np.uint8)})
    status, said = _pretrain(frames, tmp_path / "out", "--set", change, capsys=capsys)
    assert status == 2, said
    assert "error: " in said
    assert not list((tmp_path / "out").glob("*.safetensors"))


def test_a_run_of_another_method_is_not_gone_on_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = _folder(
        tmp_path / "frames", {"a": np.zeros((40, 40), np.uint8), "b": np.ones((40, 40), np.uint8)}
    )
    assert _pretrain(frames, tmp_path / "out", capsys=capsys)[0] == 0
    before = (tmp_path / "out" / "last.safetensors").read_bytes()
    status, said = _pretrain(frames, tmp_path / "out", "--method", "inpaint", "--resume", capsys=capsys)
    assert status == 2
    assert "begun with another recipe" in said
    assert (tmp_path / "out" / "last.safetensors").read_bytes() == before
