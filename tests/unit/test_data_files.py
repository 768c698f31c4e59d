"""Lists of images, points, boxes, split lists and segmentations: text, errors and round trips."""

import json
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from infraspot.core.errors import DataError, InfraspotError, InputError, UsageError
from infraspot.data import list_images, read_points, write_points
from infraspot.data.boxes import VOC, YOLO, read_boxes, voc_text, yolo_text
from infraspot.data.segments import Segments, run_lengths
from infraspot.data.splits import find_split_lists, names_of_split, pick_split_list, read_split_list

NAMES = st.text("abcÄ 0123456789_-().,'\"", min_size=1, max_size=12).map(str.strip).filter(lambda text: text)
COORDINATES = st.floats(-1e6, 1e6, allow_nan=False)
POINT_LISTS = st.dictionaries(NAMES, st.lists(st.tuples(COORDINATES, COORDINATES), max_size=4), max_size=5)


def _touch(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()


def test_images_come_in_natural_order(tmp_path: Path) -> None:
    _touch(tmp_path, "a10.png", "a2.PNG", "a1.tif", "notes.txt", "._a1.png")
    assert [path.name for path in list_images(tmp_path)] == ["a1.tif", "a2.PNG", "a10.png"]


def test_files_folders_and_patterns_keep_their_turn_and_none_comes_twice(tmp_path: Path) -> None:
    _touch(tmp_path / "one", "b.png", "a.png")
    _touch(tmp_path / "two" / "deep", "c.png")
    found = list_images(tmp_path / "one" / "b.png", tmp_path / "one", tmp_path / "**" / "*.png")
    assert [path.name for path in found] == ["b.png", "a.png", "c.png"]


def test_an_absent_image_is_kept_so_that_reading_it_says_why(tmp_path: Path) -> None:
    assert list_images(tmp_path / "gone.png") == [tmp_path / "gone.png"]


@pytest.mark.parametrize(
    ("place", "reason"), [("empty", "holds no image"), ("gone", "no such"), ("*.png", "pattern")]
)
def test_a_place_without_images_is_refused(tmp_path: Path, place: str, reason: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=reason):
        list_images(tmp_path / place)


@settings(deadline=None, max_examples=60)
@given(points=POINT_LISTS, suffix=st.sampled_from([".json", ".csv"]))
def test_points_come_back(
    tmp_path_factory: pytest.TempPathFactory, points: dict[str, list[tuple[float, float]]], suffix: str
) -> None:
    path = tmp_path_factory.mktemp("points") / f"p{suffix}"
    arrays = {name: np.array(values, np.float64).reshape(-1, 2) for name, values in points.items()}
    write_points(path, arrays)
    found = read_points(path)
    assert found.keys() == arrays.keys()
    for name, values in arrays.items():
        np.testing.assert_array_equal(found[name], values)


def test_points_are_x_y_on_disk_and_y_x_in_memory(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text('{"a.png": [[3, 4]], "b": []}')
    (tmp_path / "p.csv").write_text("image,x,y\na.png,3,4\nb,,\n")
    for name in ("p.json", "p.csv"):
        found = read_points(tmp_path / name)
        np.testing.assert_array_equal(found["a"], [(4, 3)])
        assert found["b"].shape == (0, 2)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        "[" * 100_000,
        "{" + '"a":{' * 50_000,
        '{"a": 3}',
        '{"a": [[1]]}',
        '{"a": [[1, 2, 3]]}',
        '{"a": [["x", 2]]}',
        '{"a": [[NaN, 2]]}',
        '{"a": [[1e400, 2]]}',
        "image,x,y\na,1\n",
        "image,x,y\na,1,inf\n",
        "name;x;y\n",
        "\udcff",
    ],
)
def test_a_bad_points_file_is_refused_in_a_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "p.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match=r"p\.json"):
        read_points(path)


def test_points_are_written_by_suffix_only(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.json or \.csv"):
        write_points(tmp_path / "p.xml", {})


BOXES = hnp.arrays(np.int64, st.tuples(st.integers(0, 4), st.just(4)), elements=st.integers(1, 40)).map(
    lambda corners: np.concatenate([corners[:, :2], corners[:, :2] + corners[:, 2:]], axis=1).astype(float)
)


@settings(deadline=None, max_examples=40)
@given(boxes=BOXES)
def test_boxes_come_back(tmp_path_factory: pytest.TempPathFactory, boxes: np.ndarray) -> None:
    folder = tmp_path_factory.mktemp("boxes")
    shape = (90, 120)
    (folder / "a.xml").write_text(voc_text("a <&>.png", shape, boxes))
    (folder / "a.txt").write_text(yolo_text(shape, boxes))
    np.testing.assert_array_equal(read_boxes(folder / "a.xml", VOC, shape), boxes)
    np.testing.assert_allclose(read_boxes(folder / "a.txt", YOLO, shape), boxes, atol=1e-5)


def test_voc_counts_from_one_and_includes_the_last_pixel(tmp_path: Path) -> None:
    text = "<a><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>4</ymax></bndbox></a>"
    (tmp_path / "a.xml").write_text(text)
    np.testing.assert_array_equal(read_boxes(tmp_path / "a.xml", VOC, (9, 9)), [(0, 1, 3, 4)])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.xml", "<a>"),
        ("a.xml", "<a><bndbox><xmin>1</xmin></bndbox></a>"),
        ("a.xml", "<a><bndbox><xmin>5</xmin><ymin>5</ymin><xmax>1</xmax><ymax>1</ymax></bndbox></a>"),
        ("a.xml", '<!DOCTYPE a [<!ENTITY b "b">]><a/>'),
        ("a.txt", "0 0.5 0.5 0.1\n"),
        ("a.txt", "0 0.5 0.5 -0.1 0.1\n"),
        ("a.txt", "0 nan 0.5 0.1 0.1\n"),
        ("a.txt", "cat\n"),
    ],
)
def test_a_bad_box_file_is_refused_in_a_sentence(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=name):
        read_boxes(tmp_path / name, VOC if name == "a.xml" else YOLO, (10, 10))


@settings(deadline=None, max_examples=60)
@given(mask=hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9)))
def test_run_lengths_draw_the_mask_that_they_came_from(mask: np.ndarray) -> None:
    runs = run_lengths(mask)
    assert sum(runs["counts"]) == mask.size
    np.testing.assert_array_equal(Segments("a.json", (runs,)).draw(mask.shape), mask)


def test_compressed_run_lengths_are_unpacked() -> None:
    # By hand: counts 6, 2, 34; 34 is two digits (34 & 31 = 2, carried: 2 + 32 + 48 = 'R', then 1 + 48 = '1').
    drawn = Segments("a.json", ({"size": [6, 7], "counts": "62R1"},)).draw((6, 7))
    expected = np.zeros((6, 7), bool)
    expected[:2, 1] = True
    np.testing.assert_array_equal(drawn, expected)


@pytest.mark.parametrize(
    "item",
    [
        {"size": [3, 3], "counts": [4]},
        {"size": [2, 2], "counts": [4]},
        {"counts": [9]},
        [["x"]],
        [[1, 2, 3]],
        7,
    ],
)
def test_a_bad_segmentation_is_refused_in_a_sentence(item: object) -> None:
    with pytest.raises(InputError, match=r"a\.json"):
        Segments("a.json", (item,)).draw((3, 3))


def test_the_plainest_list_of_a_split_is_taken(tmp_path: Path) -> None:
    _touch(tmp_path / "splits", "train_v1.txt", "train_full.txt", "train_v1fullv2target.txt", "val_v2.txt")
    lists = find_split_lists(tmp_path)
    assert pick_split_list(lists, "train").name == "train_full.txt"
    assert pick_split_list(lists, "train_v1").name == "train_v1.txt"
    assert pick_split_list(lists, "val").name == "val_v2.txt"


def test_lists_of_two_families_are_told_apart_by_their_folder(tmp_path: Path) -> None:
    _touch(tmp_path / "50_50", "train.txt")
    _touch(tmp_path / "80_20", "train.txt")
    lists = find_split_lists(tmp_path)
    with pytest.raises(UsageError, match="50_50/train, 80_20/train"):
        pick_split_list(lists, "train")
    assert pick_split_list(lists, "80_20/train").parent.name == "80_20"


def test_trainval_without_a_list_is_train_and_val(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("a\nb.png\n")
    (tmp_path / "val.txt").write_text("images/c.png\n\n")
    (tmp_path / "readme.txt").write_text("not a list")
    assert names_of_split(find_split_lists(tmp_path), "trainval") == ["a", "b", "c"]


def test_a_list_that_names_an_image_twice_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("a\nb\na\n")
    with pytest.raises(InputError, match="names a twice"):
        read_split_list(tmp_path / "train.txt")


@settings(deadline=None, max_examples=40)
@given(
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
        max_leaves=8,
    )
)
def test_any_json_is_read_as_points_or_refused_in_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, value: object
) -> None:
    path = tmp_path_factory.mktemp("json") / "p.json"
    path.write_text(json.dumps(value))
    with suppress(InfraspotError):
        assert isinstance(read_points(path), dict)
