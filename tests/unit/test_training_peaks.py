"""The stage that fits the scores of parted targets: from a run to a file that detects clusters by itself."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from infraspot import evaluate
from infraspot.cli.main import main
from infraspot.core.errors import UsageError
from infraspot.core.sample import Sample
from infraspot.inference.engines import open_engine
from infraspot.inference.frames import score_frame
from infraspot.inference.peaks import part
from infraspot.training.peaks import fit_scores
from infraspot.weights.files import read_card

LIMITS = {"level": 0.02, "share": 0.5, "saddle": 0.85}


def clustered(seed: int, side: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """A noisy dark frame with a cluster of 3x3 targets a pixel apart, and its mask."""
    rng = np.random.default_rng(seed)
    image, mask = rng.integers(30, 60, (side, side)), np.zeros((side, side), np.uint8)
    y0, x0 = rng.integers(4, side - 20, 2)
    for k in range(6):
        y, x = y0 + 4 * (k // 3), x0 + 4 * (k % 3)
        mask[y : y + 3, x : x + 3] = 255
        image[y : y + 3, x : x + 3] += rng.integers(60, 150)
    return image.astype(np.uint8), mask


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clusters")
    for name in ("images", "masks", "splits"):
        (folder / name).mkdir()
    for k in range(8):
        image, mask = clustered(k)
        Image.fromarray(image).save(folder / "images" / f"f{k}.png")
        Image.fromarray(mask).save(folder / "masks" / f"f{k}.png")
    (folder / "splits" / "train.txt").write_text("".join(f"f{k}\n" for k in range(4)))
    (folder / "splits" / "val.txt").write_text("".join(f"f{k}\n" for k in range(4, 8)))
    return folder


def found_of(scores: np.ndarray, mask: np.ndarray) -> tuple[Sample, object]:
    return Sample("a", np.zeros(mask.shape, np.float32), mask=mask > 0), part(scores, **LIMITS)


def test_surer_targets_get_higher_scores_and_the_threshold_parts_right_from_wrong() -> None:
    rng, found = np.random.default_rng(0), []
    for _ in range(10):
        scores, mask = np.zeros((40, 40), np.float32), np.zeros((40, 40), bool)
        for k in range(4):
            mask[2:5, 4 + 8 * k : 7 + 8 * k] = True
            scores[2:5, 4 + 8 * k : 7 + 8 * k] = rng.uniform(0.7, 0.99)
            scores[20:23, 4 + 8 * k : 7 + 8 * k] = rng.uniform(0.05, 0.6)
        found.append(found_of(scores, mask))
    weights, described = fit_scores(found)
    assert weights["peak"] > 0
    assert (described["ap"], described["centre_ap"], described["recall"]) == (1, 1, 1)
    assert described["targets"] == 40
    assert 0.1 < described["threshold"] < 0.9


def test_frames_where_nothing_is_wrong_cannot_fit_scores() -> None:
    mask = np.zeros((20, 20), bool)
    mask[4:7, 4:7] = True
    with pytest.raises(UsageError, match="1 of 1 are right"):
        fit_scores([found_of(mask.astype(np.float32) * 0.9, mask)])


def test_a_start_with_a_second_look_becomes_a_file_that_parts_and_runs_in_every_engine(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    start = ["--start", "compact-sirst1", "--epochs", "0"]
    made = main(["train", "clusters", "--data", str(data), *start, "--out", str(run)])
    assert made == 0
    assert "peaks  AP 0." in capsys.readouterr().out
    card = read_card(run / "last.safetensors")
    assert set(card["peaks"]) == {"level", "share", "saddle", "peak", "size", "crowd", "offset"}
    assert "second_look" not in card
    assert card["parted"]["targets"] == 24
    assert main(["export", str(run), "--out", str(tmp_path / "c.onnx")]) == 0
    image = clustered(5)[0].astype(np.float32) / 255
    maps = [
        score_frame(engine, image)
        for engine in (open_engine(str(tmp_path / "c.onnx")), open_engine(str(run)))
    ]
    assert np.abs(maps[0] - maps[1]).max() < 1e-3
    assert maps[0].max() > 0
    frames = ["detect", str(data / "images"), "--out", str(tmp_path / "out"), "--format", "coco,json"]
    assert main([*frames, "--model", str(tmp_path / "c.onnx")]) == 0
    listed = json.loads((tmp_path / "out" / "coco.json").read_text())
    assert {one["file_name"] for one in listed["images"]} == {f"f{k}.png" for k in range(8)}
    scored = evaluate(tmp_path / "out" / "coco.json", data, split="val", bootstrap=0).result
    direct = evaluate(str(tmp_path / "c.onnx"), data=data, split="val", bootstrap=0).result
    assert scored["box_ap"]["ap07_legacy"] == pytest.approx(direct["box_ap"]["ap07_legacy"], abs=0.02)
