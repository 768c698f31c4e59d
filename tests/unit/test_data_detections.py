"""COCO files of scored boxes: what `detect` writes is scored; files from elsewhere are checked."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from infraspot import evaluate
from infraspot.cli.main import main
from infraspot.core.errors import InfraspotError, InputError
from infraspot.data.detections import read_coco_boxes


def coco(path: Path, boxes: list[Any], **image: Any) -> Path:
    images = [{"id": 7, "file_name": "a.png", "width": 20, "height": 16, **image}]
    notes = [{"image_id": 7, "category_id": 1, **box} for box in boxes]
    path.write_text(json.dumps({"images": images, "annotations": notes, "categories": []}))
    return path


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    """One frame of 20x16 with targets of 3x3 at (2, 2) and (6, 2): a pixel apart."""
    mask = np.zeros((16, 20), np.uint8)
    mask[2:5, 2:5] = mask[2:5, 6:9] = 255
    (tmp_path / "truth").mkdir()
    Image.fromarray(mask).save(tmp_path / "truth" / "a.png")
    return tmp_path / "truth"


def test_boxes_are_scored_as_the_definitions_say(tmp_path: Path, truth: Path, capsys: Any) -> None:
    found = [
        {"bbox": [2, 2, 3, 3], "score": 0.9},
        {"bbox": [12, 9, 3, 3], "score": 0.8},
        {"bbox": [6, 2, 4, 3], "score": 0.3},
    ]
    path = coco(tmp_path / "c.json", found)
    result = evaluate(path, truth, bootstrap=0).result
    # Precision 1 up to recall 1/2, then 2/3: six of eleven points at 1, five at 2/3.
    assert result["box_ap"]["ap07"] == pytest.approx((6 + 5 * 2 / 3) / 11)
    assert result["box_ap"]["ap12_legacy"] == pytest.approx(0.5 + 0.5 * 2 / 3)
    assert result["box_recall"]["ap12"] == 1.0
    assert result["box_ap"]["ap75"] == pytest.approx(0.5 + 0.5 * 2 / 3)  # 9 of 12 pixels are exactly .75
    assert result["box_recall"]["centre_1.5"] == 1.0
    assert main(["evaluate", str(path), str(truth), "--bootstrap", "20"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split()[:3] == ["centres", "within", "3"] and "1.000" in line for line in lines)


def test_one_box_over_two_targets_is_a_merged_cluster(tmp_path: Path, truth: Path) -> None:
    path = coco(tmp_path / "c.json", [{"bbox": [2, 2, 7, 3], "score": 0.9}])
    assert evaluate(path, truth, bootstrap=0).result["errors"]["merged_cluster"] == 2


def test_an_image_without_boxes_is_a_prediction_of_nothing(tmp_path: Path, truth: Path) -> None:
    result = evaluate(coco(tmp_path / "c.json", []), truth, bootstrap=0).result
    assert (result["pd"], result["box_recall"]["ap12"], result["errors"]["miss"]) == (0, 0, 2)


def test_a_flag_shows_the_boxes_of_masks(tmp_path: Path, truth: Path, capsys: Any) -> None:
    for flag, shown in (([], False), (["--boxes"], True)):
        assert main(["evaluate", str(truth), str(truth), "--bootstrap", "0", *flag]) == 0
        assert ("IoU .5, 11-point, sides + 1" in capsys.readouterr().out) == shown


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ({"bbox": [2, 2, 0, 3], "score": 0.9}, "has no area"),
        ({"bbox": [2, 2, -1, 3], "score": 0.9}, "has no area"),
        ({"bbox": [30, 2, 3, 3], "score": 0.9}, "outside the frame of 20x16"),
        ({"bbox": [2, 2, 3], "score": 0.9}, r"bbox \[x, y, width, height\]"),
        ({"bbox": [2, 2, 3, 3]}, "at fault: 'score'"),
        ({"bbox": [2, 2, 3, 3], "score": 1.5}, r"scores in \[0, 1\]"),
        ({"bbox": [2, 2, 3, "x"], "score": 0.5}, "one lacks it"),
        ({"bbox": [2, 2, 3, 1e400], "score": 0.5}, "c.json, image a"),
        ({"bbox": [2, 2, 3, 3], "score": float("nan")}, "a score is nan"),
    ],
)
def test_wrong_boxes_are_told_with_their_file_and_image(
    tmp_path: Path, truth: Path, box: dict[str, Any], words: str
) -> None:
    stored = read_coco_boxes(coco(tmp_path / "c.json", [box]))["a"]
    with pytest.raises(InputError, match=words):
        stored.read((16, 20))
    with pytest.raises(InfraspotError):
        evaluate(tmp_path / "c.json", truth)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "a bare list"),
        ("{}", "not a COCO file"),
        ('{"images": 3, "annotations": []}', "not a COCO file"),
        ('{"images": [], "annotations": [{"image_id": 1}]}', "belong to no image"),
        ('{"images": [{"id": [1], "file_name": "a"}], "annotations": [{"image_id": 1}]}', "not a COCO file"),
        ("{", "not a COCO file"),
        ("[" * 100_000, "not a COCO file"),
    ],
)
def test_files_that_are_no_detections_are_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(InputError, match=words):
        read_coco_boxes(tmp_path / "c.json")
