"""The examples do without infraspot what it does itself."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from infraspot.data import read_image, write_grey
from infraspot.inference import open_engine
from infraspot.inference.engines import locate
from infraspot.inference.frames import segment_frame

EXAMPLE = Path(__file__).parents[2] / "examples" / "detect_onnx.py"


@pytest.mark.parametrize("shape", [(64, 64), (61, 90)])
def test_the_python_example_finds_the_candidates_of_the_engine(tmp_path, rng, shape):
    ys, xs = np.mgrid[: shape[0], : shape[1]]
    target = 0.5 * np.exp(-((ys - 20) ** 2 + (xs - 31) ** 2) / 3)
    write_grey(tmp_path / "a.png", 0.3 + 0.02 * rng.random(shape) + target)
    engine = open_engine(threads=1)
    scores = segment_frame(engine, read_image(tmp_path / "a.png").image)
    wanted = [f"{x} {y} {scores[y, x]:.4f}" for y, x in np.argwhere(scores > engine.card["threshold"])]
    command = [sys.executable, str(EXAMPLE), str(locate(engine.name)), str(tmp_path / "a.png")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert wanted
    assert done.stdout.splitlines() == wanted
    lines = EXAMPLE.read_text().splitlines()
    assert not [line for line in lines if line.split()[:1] in (["import"], ["from"]) and "infraspot" in line]
