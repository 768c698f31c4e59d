"""Export in 8-bit integers: kept where it finds the same, refused with the numbers where it does not."""

import numpy as np
import pytest

pytest.importorskip("onnx", reason="the extra export is not installed")

from infraspot.cli.main import main
from infraspot.core.errors import InfraspotError
from infraspot.core.sample import Sample
from infraspot.inference import int8
from infraspot.inference.engines import locate
from infraspot.inference.frames import segment_frame
from infraspot.inference.onnx_engines import OnnxEngine
from infraspot.inference.onnx_file import read_onnx


@pytest.fixture
def samples(rng):
    ys, xs = np.mgrid[:64, :80]
    made = []
    for number in range(6):
        y, x = rng.integers(10, 50, 2)
        image = 0.3 + 0.02 * rng.random((64, 80)) + 0.5 * np.exp(-((ys - y) ** 2 + (xs - x) ** 2) / 3)
        mask = (ys - y) ** 2 + (xs - x) ** 2 <= 5
        made.append(Sample(str(number), image.astype(np.float32), mask=mask))
    return made


def test_scores_stay_near_those_in_float_and_the_card_says_what_was_measured(samples, tmp_path):
    source, path = locate("compact-sirst1"), tmp_path / "i8.onnx"
    told = int8.export_int8(source, path, samples, "made up")
    exact, coarse = OnnxEngine(source, threads=1), OnnxEngine(path, threads=1)
    gaps = [np.abs(segment_frame(exact, one.image) - segment_frame(coarse, one.image)) for one in samples]
    assert 1e-6 < np.mean(gaps) < 0.02
    assert path.stat().st_size < source.stat().st_size
    assert coarse.card["int8"] == told.card()
    assert (told.frames, coarse.card["false_alarms"]["data"]) == (6, "made up")
    assert "operating_points" not in coarse.card
    assert read_onnx(path).second_look == read_onnx(source).second_look


def test_a_file_that_finds_less_is_not_written(samples, tmp_path, monkeypatch):
    monkeypatch.setattr(int8, "MOST_IOU_LOST", -2.0)
    with pytest.raises(InfraspotError, match=r"the IoU on made up goes from .* use the file in float"):
        int8.export_int8(locate("compact-sirst1"), tmp_path / "i8.onnx", samples, "made up")
    assert list(tmp_path.iterdir()) == []


def test_integers_without_data_to_compare_on_are_refused(tmp_path, capsys):
    assert main(["export", "compact-sirst1", "--int8", "--out", str(tmp_path / "a.onnx")]) == 2
    assert "--int8 needs --data" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
