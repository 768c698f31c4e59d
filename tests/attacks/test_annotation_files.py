"""Annotation files that somebody has tampered with: COCO, VOC, YOLO, points, lists and sequences."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hostile import answer, mutated
from PIL import Image

from infraspot.cli.main import main
from infraspot.core.errors import InfraspotError
from infraspot.data import open_dataset, read_points
from infraspot.data.boxes import VOC, YOLO, BoxFormat, read_boxes, read_point_lines, voc_text, yolo_text
from infraspot.data.conversion import FORMS
from infraspot.data.segments import Segments
from infraspot.data.splits import read_split_list

pytestmark = pytest.mark.slow

MUTANTS = 1200
SEED = 11
TEXT, EVERY_BYTE = b' \n\t0123456789.,-+eE"[]{}<>/:&;', bytes(range(256))
SHAPE = (9, 9)
BOXES = [(1.0, 2.0, 4.0, 6.0), (0.0, 0.0, 3.0, 3.0)]


def _save(path: Path, value: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (SHAPE[1], SHAPE[0]), value).save(path)


def _coco(**changes: Any) -> dict[str, Any]:
    note = {"image_id": 1, "bbox": [1, 2, 3, 4], "segmentation": {"size": [9, 9], "counts": [10, 4, 67]}}
    found = {"images": [{"id": 1, "file_name": "a.png"}], "annotations": [note]}
    return found | changes


def _note(**changes: Any) -> list[dict[str, Any]]:
    return [_coco()["annotations"][0] | changes]


def _read_set(path: Path) -> None:
    _save(path.parent / "a.png")
    list(open_dataset(path))


def _voc(path: Path) -> None:
    read_boxes(path, VOC, SHAPE)


def _yolo(path: Path) -> None:
    read_boxes(path, YOLO, SHAPE)


def _sequence(path: Path) -> None:
    for index in range(3):
        _save(path.parent / f"{index}.png")
    list(open_dataset(path.parent))


READERS: dict[str, tuple[bytes, Callable[[Path], object]]] = {
    "points.json": (b'{"a": [[1, 2], [3.5, 4]], "b": []}', read_points),
    "points.csv": (b"image,x,y\na,1,2\nb,,\n", read_points),
    "boxes.xml": (voc_text("a.png", SHAPE, BOXES).encode(), _voc),
    "boxes.txt": (yolo_text(SHAPE, BOXES).encode(), _yolo),
    "corners.txt": (b"[8, 3, 2, 3]\n1,2,3,4\n", lambda path: read_boxes(path, BoxFormat("xywh"), SHAPE)),
    "points.txt": (b"1 2\n3 4\n", read_point_lines),
    "train.txt": (b"a\nb.png\nimages/c.png\n", read_split_list),
    "instances.json": (json.dumps(_coco()).encode(), _read_set),
    "IR_label.json": (
        json.dumps({"exist": [1, 0, 1], "gt_rect": [[1, 2, 3, 4], [], [0, 0, 2, 2]]}).encode(),
        _sequence,
    ),
}


def test_a_mutated_annotation_is_read_or_refused_in_a_sentence(tmp_path: Path) -> None:
    rng = np.random.default_rng(SEED)
    refused = 0
    names = list(READERS)
    for count in range(MUTANTS):
        name = names[count % len(names)]
        data, read = READERS[name]
        (tmp_path / name).mkdir(exist_ok=True)
        path = tmp_path / name / name
        alphabet = TEXT if count % 2 else EVERY_BYTE
        path.write_bytes(mutated(data, rng, alphabet))
        refused += answer(read, path) is not None
    assert MUTANTS / 10 < refused < MUTANTS * 9 / 10


NUMBERS = [
    "1e999",
    "-1e999",
    "NaN",
    "Infinity",
    "1e300",
    "1" + "0" * 400,
    "9" * 5000,
    "[]",
    "{}",
    "null",
    '"x"',
]


@pytest.mark.parametrize("number", NUMBERS)
def test_a_number_that_lies_in_no_image_is_refused(tmp_path: Path, number: str) -> None:
    plain = number.strip('"')
    texts = {
        "points.json": f'{{"a": [[{number}, 2]]}}',
        "points.csv": f'image,x,y\na,"{plain}",2\n',
        "boxes.xml": voc_text("a.png", SHAPE, BOXES).replace("<xmin>2<", f"<xmin>{plain}<"),
        "boxes.txt": f"0 0.5 {plain} 0.1 0.1\n",
        "corners.txt": f"1 2 {plain} 4\n",
        "points.txt": f"{plain} 4\n",
        "instances.json": json.dumps(_coco()).replace("[1, 2, 3, 4]", f"[1, 2, {number}, 4]"),
        "IR_label.json": f'{{"exist": [1, 1, 1], "gt_rect": [[1, 2, {number}, 4], [1, 2, 3, 4], []]}}',
    }
    for name, text in texts.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_text(text)
        sentence = answer(READERS[name][1], tmp_path / name / name)
        assert sentence is not None, name
        assert len(sentence) < 1000


NESTED = "[" * 100_000 + "]" * 100_000


@pytest.mark.parametrize("name", ["points.json", "instances.json", "IR_label.json"])
def test_json_that_is_deeply_nested_is_refused(tmp_path: Path, name: str) -> None:
    for text in (
        NESTED,
        f'{{"images": {NESTED}, "annotations": []}}',
        f'{{"a": {NESTED}}}',
        '{"a":' * 90_000,
    ):
        (tmp_path / name).write_text(text)
        assert answer(READERS[name][1], tmp_path / name) is not None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;&b;">]><annotation>&c;</annotation>', "entities"),
        ('<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><annotation>&b;</annotation>', "entities"),
        ('<!DOCTYPE a [<!ENTITY % b SYSTEM "http://127.0.0.1/x">%b;]><annotation/>', "entities"),
        ("<annotation>" * 200_000, "not valid XML"),
        ("<a b='" + "x" * 1_000_000, "not valid XML"),
    ],
)
def test_xml_that_expands_reaches_out_or_never_closes_is_refused(
    tmp_path: Path, text: str, reason: str
) -> None:
    (tmp_path / "a.xml").write_text(text)
    sentence = answer(_voc, tmp_path / "a.xml")
    assert sentence is not None
    assert reason in sentence


def test_xml_that_is_deeply_nested_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text("<a>" * 100_000 + "</a>" * 100_000)
    assert answer(_voc, tmp_path / "a.xml") is None


@pytest.mark.parametrize(
    "counts",
    [
        [2**62] * 4 + [81],
        [2**64, 81],
        [2**63 - 1, 2**63 - 1, 83],
        [-1, 82],
        [81.5, -0.5],
        [[81]],
        ["81"],
        None,
        {},
        [],
        [0] * 1000,
        "",
        "0" * 1_000_000,
        "o" * 1_000_000,
        "P" * 30,
        "\x00",
        "é",
        "R",
        "0O",
    ],
    ids=lambda counts: f"{counts!r:.20}",
)
def test_run_lengths_that_do_not_fill_the_image_are_refused(counts: object) -> None:
    segments = Segments("a.json", ({"size": [9, 9], "counts": counts},))
    sentence = answer(lambda _: segments.draw(SHAPE), Path("a.json"))
    assert sentence is not None
    assert "a.json" in sentence


@pytest.mark.parametrize(
    "item",
    [
        [[float("nan")] * 6],
        [[float("inf"), 0, 1, 1, 2, 0]],
        [[1e300, 0, 1, 1, 2, 0]],
        [[10**400, 0, 1, 1, 2, 0]],
        [[1, 2, 3]],
        [["x", "y"] * 3],
        [[[1, 2], [3, 4], [5, 6], [[7]]]],
        [{}],
        {"size": 9, "counts": [81]},
        {"size": [9, 9, 9], "counts": [81]},
        {"size": [1e999, 9], "counts": [81]},
        "polygon",
        7,
    ],
    ids=lambda item: f"{item!r:.30}",
)
def test_a_segmentation_of_another_kind_is_refused(item: object) -> None:
    sentence = answer(lambda _: Segments("a.json", (item,)).draw(SHAPE), Path("a.json"))
    assert sentence is not None
    assert "cannot be drawn" in sentence


def test_segmentations_of_many_and_of_large_parts_are_drawn_in_time() -> None:
    rng = np.random.default_rng(0)
    whole = {"size": [2000, 2000], "counts": [0, 4_000_000]}
    squares: list[object] = [[[0, 0, 2000, 0, 2000, 2000, 0, 2000]]] * 2000
    drawn: list[np.ndarray] = []
    segments = Segments("a.json", (*[whole] * 5000, *squares))
    assert answer(lambda _: drawn.append(segments.draw((2000, 2000))), Path("a.json")) is None
    assert drawn[0].all()
    tangle = Segments("a.json", ([rng.uniform(0, 2000, 200_000).tolist()],))
    assert "corners" in str(answer(lambda _: tangle.draw((2000, 2000)), Path("a.json")))


@pytest.mark.parametrize(
    "name",
    ["../secret.png", "images/../../secret.png", "..\\secret.png", "C:\\secret.png", "\\\\host\\secret.png"],
)
@pytest.mark.parametrize("inside", [True, False], ids=["folder", "annotations"])
def test_a_coco_name_never_leads_out_of_the_set(tmp_path: Path, name: str, inside: bool) -> None:
    _save(tmp_path / "secret.png", 255)
    root = tmp_path / "set"
    _save(root / "images" / "a.png")
    path = root / ("a.json" if inside else "annotations/a.json")
    path.parent.mkdir(exist_ok=True)
    for shown in (name, str((tmp_path / "secret.png").resolve()), "../set/images/a.png"):
        path.write_text(json.dumps(_coco(images=[{"id": 1, "file_name": shown}])))
        for place in (root, path):
            sentence = answer(lambda place: list(open_dataset(place, layout="coco")), place)
            assert sentence is not None
            assert "leads out of the data set" in sentence


@pytest.mark.parametrize("name", ["", ".", "a\0.png", "a" * 5000 + ".png", 7, None, ["a.png"], {"a": 1}])
def test_a_coco_name_that_is_no_file_is_refused(tmp_path: Path, name: object) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(_coco(images=[{"id": 1, "file_name": name}])))
    assert answer(_read_set, path) is not None


@pytest.mark.parametrize(
    "changes",
    [
        {"images": [{"id": 1, "file_name": "a.png"}, {"id": 1, "file_name": "b.png"}]},
        {"images": [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "a.png"}]},
        {"images": [{"id": [], "file_name": "a.png"}]},
        {"images": [{"file_name": "a.png"}]},
        {"images": [7]},
        {"annotations": _note(image_id="1")},
        {"annotations": _note(image_id=[1])},
        {"annotations": _note(bbox=[[1, 2, 3, 4]] * 2)},
        {"annotations": _note(bbox=[1, 2, 0, 4])},
        {"annotations": 7},
        {"annotations": [7]},
    ],
    ids=lambda changes: f"{changes!r:.50}",
)
def test_a_coco_file_that_contradicts_itself_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    _save(tmp_path / "b.png", 1)
    path = tmp_path / "a.json"
    path.write_text(json.dumps(_coco(**changes)))
    assert answer(_read_set, path) is not None


def test_coco_images_of_one_name_in_two_folders_are_two_images(tmp_path: Path) -> None:
    for index, folder in enumerate(("day", "night")):
        _save(tmp_path / "images" / folder / "a.png", index)
    images = [{"id": 1, "file_name": "day/a.png"}, {"id": 2, "file_name": "night/a.png"}]
    (tmp_path / "a.json").write_text(json.dumps(_coco(images=images)))
    found = open_dataset(tmp_path / "a.json")
    assert found.ids == ["day_a", "night_a"]
    assert [len(sample.boxes) for sample in found if sample.boxes is not None] == [1, 0]


@pytest.mark.parametrize(
    "label",
    [
        {"exist": [1, 1], "gt_rect": [[1, 2, 3, 4]] * 3},
        {"exist": 1, "gt_rect": [[1, 2, 3, 4]] * 3},
        {"gt_rect": [[1, 2, 3, 4]] * 2},
        {"gt_rect": [["x", 2, 3, 4]] * 3},
        {"gt_rect": [7, 8, 9]},
        {"gt_rect": {}},
        [],
        7,
    ],
    ids=lambda label: f"{label!r:.40}",
)
def test_a_sequence_whose_label_does_not_fit_its_frames_is_refused(tmp_path: Path, label: object) -> None:
    path = tmp_path / "IR_label.json"
    path.write_text(json.dumps(label))
    assert answer(_sequence, path) is not None


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("boxes.txt", "0 0.5\n", "expected 5 numbers"),
        ("boxes.txt", "0 .1 .1 .2 .1 .2 .2\n", "as an outline has"),
        ("corners.txt", "5\n", "expected 4 numbers"),
        ("points.txt", "5\n", "expected 2 numbers"),
        ("points.json", '{"a": [[1, 2]], "a": []}', "a name comes twice"),
        ("points.json", '{"day/a.png": [[1, 2]], "night/a.png": []}', "both mean the image a"),
        ("points.csv", "image,x,y\nday/a.png,1,2\nnight/a.png,3,4\n", "both mean the image a"),
    ],
)
def test_lines_that_could_be_taken_for_something_else_are_refused(
    tmp_path: Path, name: str, text: str, reason: str
) -> None:
    (tmp_path / name).write_text(text)
    sentence = answer(READERS[name][1], tmp_path / name)
    assert sentence is not None
    assert reason in sentence


def test_a_split_list_names_images_of_the_set_and_nothing_else(tmp_path: Path) -> None:
    _save(tmp_path / "secret.png")
    for name in ("a", "b"):
        _save(tmp_path / "set" / "images" / f"{name}.png")
    for line in ("../secret.png", "../../secret", str(tmp_path / "secret.png"), "a\0b", "images/../a.png/.."):
        (tmp_path / "set" / "train.txt").write_text(f"{line}\n")
        assert answer(lambda path: open_dataset(path, split="train"), tmp_path / "set") is not None
    (tmp_path / "set" / "train.txt").write_text("../../a.png\n")  # the name counts, and no path is followed
    assert (
        open_dataset(tmp_path / "set", split="train").image_path(0) == tmp_path / "set" / "images" / "a.png"
    )


def test_a_name_may_hold_separators_that_are_no_line_end(tmp_path: Path) -> None:
    names = ["a\x85b", "a\u2028b", "a\x0bb", "a b"]
    for name in names:
        _save(tmp_path / "images" / f"{name}.png")
    (tmp_path / "train.txt").write_text("".join(f"{name}\n" for name in names))
    assert open_dataset(tmp_path, split="train").ids == names


@pytest.mark.skipif(os.name != "posix", reason="the system has no such names")
@pytest.mark.parametrize("odd", [b"\xff\xfe", b"a\nb", b"c\x1b[31m"], ids=["bytes", "line end", "escape"])
def test_an_odd_file_name_costs_no_other_image_and_never_commands_the_terminal(
    tmp_path: Path, odd: bytes, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    for name in (odd, b"sound"):
        for folder in ("images", "masks"):
            path = tmp_path / "set" / folder / os.fsdecode(name + b".png")
            _save(path)
    source = str(tmp_path / "set")
    assert main(["data", "check", source]) in (0, 1)
    assert main(["data", "split", source, "--out", str(tmp_path / "lists")]) == 1
    assert not (tmp_path / "lists").exists()
    for form in FORMS:
        assert main(["data", "convert", source, "--to", form, "--out", str(tmp_path / form)]) == 1
        written = [path.stem for path in (tmp_path / form).rglob("*.*")]
        assert any("sound" in stem or stem in ("points", "boxes", "instances_all") for stem in written)
    shown = b"".join(capfdbinary.readouterr()).decode()
    assert "\x1b" not in shown
    assert "cannot be the name of a file" in shown


def test_equal_ids_are_refused_wherever_they_come_from(tmp_path: Path) -> None:
    for suffix in ("png", "bmp"):
        _save(tmp_path / "twice" / "images" / f"a.{suffix}")
    for folder in ("a_b/c", "a/b_c"):
        _save(tmp_path / "films" / folder / "0.png")
        (tmp_path / "films" / folder / "IR_label.json").write_text('{"gt_rect": [[1, 1, 2, 2]]}')
    for name in ("twice", "films"):
        with pytest.raises(InfraspotError, match=re.escape("ids more than once")):
            open_dataset(tmp_path / name)


def test_train_and_val_that_overlap_are_one_trainval_in_which_each_image_comes_once(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        _save(tmp_path / "images" / f"{name}.png")
    (tmp_path / "train.txt").write_text("a\nb\n")
    (tmp_path / "val.txt").write_text("b\nc\n")
    assert open_dataset(tmp_path, split="trainval").ids == ["a", "b", "c"]


def test_merging_never_makes_two_ids_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder, names in {"one": ["a", "b"], "two": ["b", "one_b"]}.items():
        for index, name in enumerate(names):
            _save(tmp_path / folder / "images" / f"{name}.png", index)
    out = tmp_path / "all"
    assert main(["data", "merge", str(tmp_path / "one"), str(tmp_path / "two"), "--out", str(out)]) == 1
    assert "one_b" in capsys.readouterr().err
    assert not out.exists()
