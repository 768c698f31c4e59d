"""Laws that every reader obeys, over a three-image fake of each layout with the oddities of the real set."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from infraspot.core.errors import InfraspotError
from infraspot.core.sample import Sample
from infraspot.data import LAYOUTS, Reader, open_dataset

TARGET = (slice(3, 6), slice(8, 10))  # rows 3-5, columns 8-9 of every fake that has a target
BOX = (8.0, 3.0, 10.0, 6.0)
SHAPES = ((12, 16), (14, 20), (16, 18))


def _picture(index: int) -> np.ndarray:
    image = np.random.default_rng(index).integers(20, 90, SHAPES[index]).astype(np.uint8)
    image[TARGET] = 240
    return image


def _mask(index: int, *, empty: bool = False) -> np.ndarray:
    mask = np.zeros(SHAPES[index], np.uint8)
    if not empty:
        mask[TARGET] = 255
    return mask


def _save(path: Path, array: np.ndarray, mode: str | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(path)


def _text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _voc(shift: int = 1) -> str:
    x0, y0, x1, y1 = (int(side) for side in BOX)
    corners = f"<xmin>{x0 + shift}</xmin><ymin>{y0 + shift}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax>"
    return f"<annotation><object><name>Target</name><bndbox>{corners}</bndbox></object></annotation>"


def _images_and_masks(root: Path, names: list[str], mask_ending: str = "") -> None:
    for index, (name, mode) in enumerate(zip(names, ("L", "RGB", "RGBA"), strict=True)):
        _save(root / "images" / f"{name}.png", _picture(index), mode)
        _save(root / "masks" / f"{name}{mask_ending}.png", _mask(index))


def _nuaa(root: Path) -> None:
    _images_and_masks(root, ["Misc_2", "Misc_10", "Misc_1"], "_pixels0")
    _text(root / "idx_427" / "train.txt", "Misc_2\nMisc_10")  # no newline at the end
    _text(root / "idx_427" / "val.txt", "Misc_1\n")


def _irstd(root: Path) -> None:
    _images_and_masks(root, ["XDU0", "XDU1", "XDU2"])
    _text(root / "img_idx" / "train_IRSTD-1K.txt", "XDU0\nXDU2\n")
    _text(root / "img_idx" / "test_IRSTD-1K.txt", "XDU1\n")


def _irstd_release(root: Path) -> None:
    for index in range(3):
        _save(root / "IRSTD1k_Img" / f"XDU{index}.png", _picture(index))
        _save(root / "IRSTD1k_Label" / f"XDU{index}.png", _mask(index))
    _text(root / "trainval.txt", "XDU0.png\r\nXDU1.png\r\n")


def _nudt(root: Path) -> None:
    _images_and_masks(root, ["000001", "000002", "000003"])
    _text(root / "50_50" / "train.txt", "000001\n000002\n")
    _text(root / "50_50" / "test.txt", "000003\n")


def _sirst3(root: Path) -> None:
    _images_and_masks(root, ["Misc_1", "XDU1", "000001"])
    _text(root / "img_idx" / "train_SIRST3.txt", "Misc_1\n000001\n")


def _sea(root: Path) -> None:
    _images_and_masks(root, ["scene_a", "scene_b", "scene_c"])


def _plain(root: Path) -> None:
    _images_and_masks(root, ["a", "b", "c"], ".mask")
    _text(root / "points.json", json.dumps({"a": [[8, 4]], "b": []}))
    _text(root / "bboxes" / "a.xml", _voc())


def _sirst_v2(root: Path) -> None:
    for index, name in enumerate(("Misc_1", "211_HD_126", "iraytek-48")):
        _save(root / "mixed" / f"{name}.png", _picture(index))
        _save(root / "annotations/masks" / f"{name}_pixels0.png", _mask(index, empty=index == 1))
        _text(root / "annotations/bboxes" / f"{name}.xml", "<annotation/>" if index == 1 else _voc())
    for family in ("full", "v1fullv2target"):
        _text(root / "splits" / f"val_{family}.txt", "Misc_1\n")


def _devkit(root: Path) -> None:
    for index, name in enumerate(("Misc_1", "Misc_2", "S1_24")):
        _save(root / "PNGImages" / f"{name}.png", _picture(index))
        _save(root / "SIRST/BinaryMask" / f"{name}_pixels0.png", _mask(index))
        _text(root / "SIRST/BBox" / f"{name}.xml", _voc())


def _densesirst(root: Path) -> None:
    inner = root / "SIRSTdevkit"  # archives hold one folder
    _devkit(inner)
    for index, name in enumerate(("Misc_1", "Misc_2", "S1_24")):
        sky = np.zeros(SHAPES[index], np.uint8)
        sky[:7] = 255
        _save(inner / "SkySeg/BinaryMask" / f"{name}_pixels0.png", sky)
        _save(inner / "SIRST/PaletteMask" / f"{name}.png", _mask(index) // 255)
        _text(inner / "SIRST/Point_label" / f"{name}_pixels0.txt", "8 4\n")
        _text(inner / "SIRST/BBox" / f"{name}.xml", _voc(shift=0))  # zero-based here
    _text(inner / "SIRST/BinaryMask/Misc_1.xml", "<unrelated/>")
    _text(inner / "Splits" / "train_v2.txt", "Misc_1\nMisc_2")


def _mdvsfa(root: Path) -> None:
    for index in range(2):
        _save(root / "training" / f"{index:06}_1.png", _picture(index))
        _save(root / "training" / f"{index:06}_2.png", _mask(index))
    _save(root / "test_org" / "00000.png", _picture(2))
    _save(root / "test_gt" / "00000.png", _mask(2))
    _text(root / "10000_100" / "train.txt", "000000_1\n")


def _irdst(root: Path) -> None:
    for index, name in enumerate(("train/1(1)", "train/1(2)", "test/1(1)")):  # names repeat between folders
        _save(root / "images" / f"{name}.png", _picture(index))
        _save(root / "masks" / f"{name}.png", _mask(index))
        _text(root / "boxes" / f"{name}.txt", "[8, 3, 2, 3]\n")


def _ist_a(root: Path) -> None:
    for index, name in enumerate(("train/000001", "train/000002", "test/000003")):
        height, width = SHAPES[index]
        _save(root / f"{name}.png", _picture(index))
        # centre 8.5, 4 counted on pixel middles, size 2 x 3
        _text(root / f"{name}.txt", f"1\t{8.5 / width}\t{4 / height}\t{2 / width}\t{3 / height}\n")


def _anti_uav(root: Path) -> None:
    for frame in range(3):
        _save(root / "val" / "seq_1" / f"{frame + 1:06}.jpg", _picture(0))
    label = {"exist": [1, 0, 1], "gt_rect": [[8, 3, 2, 3], [], [8, 3, 2, 3]]}
    _text(root / "val" / "seq_1" / "IR_label.json", json.dumps(label))


def _nudt_mirsdt(root: Path) -> None:
    for sequence, frames in (("Sequence1", 2), ("Sequence47", 1)):
        for frame in range(frames):
            path = root / sequence / "Mix" / f"{frame + 1:05}.mat"
            path.parent.mkdir(parents=True, exist_ok=True)
            savemat(path, {"Mix": np.stack([_picture(0) // 2] * 4 + [_picture(0)])})
            _save(root / sequence / "masks" / f"{frame + 1:05}.png", _mask(0))


def _mot(root: Path) -> None:
    x0, y0, x1, y1 = (int(side) for side in BOX)
    row = f"7,{x0 + 1},{y0 + 1},{x1 - x0},{y1 - y0},1,-1,-1,-1"
    for frame in range(3):
        _save(root / "train" / "night" / "img1" / f"{frame + 1:06}.jpg", _picture(0))
    _text(root / "train" / "night" / "gt" / "gt.txt", f"1,{row}\n3,{row}\n3,9,1,1,2,2,0\n")


def _rgbt_tiny(root: Path) -> None:
    for frame in range(3):
        for camera in ("00", "01"):
            _save(root / "DJI_1" / camera / f"{frame:05}.jpg", _picture(0))
            _text(
                root / "DJI_1" / camera / f"{frame:05}.xml", _voc().replace("<bndbox>", "<id>3</id><bndbox>")
            )


def _box_lists(root: Path) -> None:
    box = ",".join(str(int(side)) for side in BOX)
    for frame in range(3):
        _save(root / "images" / "7" / f"{frame}.bmp", _picture(0))
    lines = [f"/home/author/images/7/{frame}.bmp {box},0\n" for frame in range(3)]
    _text(root / "coco_train.txt", "".join(lines[:2]))
    _text(root / "coco_val.txt", lines[2])


def _split_folders(*roles: str) -> Callable[[Path], None]:
    def build(root: Path) -> None:
        for index, role in enumerate((roles[0], roles[0], roles[1])):
            _save(root / role / "images" / f"{index:06}.png", _picture(index))
            _save(root / role / "masks" / f"{index:06}.png", _mask(index))

    return build


def _coco(root: Path) -> None:
    images = [
        {"id": k, "file_name": f"{k}.png", "width": SHAPES[k][1], "height": SHAPES[k][0]} for k in range(3)
    ]
    for k in range(3):
        _save(root / "images" / f"{k}.png", _picture(k))
    outline = [[8, 3, 10, 3, 10, 6, 8, 6]]
    notes = [
        {"id": 1 + k, "image_id": k, "category_id": 3, "bbox": [8, 3, 2, 3], "segmentation": outline}
        for k in (0, 1)
    ]
    found = {"images": images, "annotations": notes, "categories": []}
    _text(root / "annotations" / "instances.json", json.dumps(found))
    _text(root / "unrelated.json", "[]")


def _voc_layout(images: str, boxes: str) -> Callable[[Path], None]:
    def build(root: Path) -> None:
        for index in range(3):
            _save(root / images / f"{index}.jpg", _picture(index))
            _text(root / boxes / f"{index}.xml", _voc())
        _text(root / "ImageSets" / "Main" / "train.txt", "0\n1\n")

    return build


def _yolo(root: Path) -> None:
    for index, name in enumerate(("train/a", "train/b", "val/c")):
        height, width = SHAPES[index]
        _save(root / "images" / f"{name}.png", _picture(index))
        _text(root / "labels" / f"{name}.txt", f"0 {9 / width} {4.5 / height} {2 / width} {3 / height}\n")


def _unannotated(folder: str) -> Callable[[Path], None]:
    def build(root: Path) -> None:
        for index in range(3):
            _save(root / folder / f"frame{index}.bmp", _picture(index))
        _text(root / folder / "._frame0.bmp", "left by macOS")

    return build


# layout: (what makes the fake, the split to ask for, how many images that split has)
FAKES: dict[str, tuple[Callable[[Path], None], str | None, int]] = {
    "densesirst": (_densesirst, "train", 2),
    "sirst-devkit": (_devkit, None, 3),
    "sirst-v2": (_sirst_v2, "val", 1),
    "irstd-1k-release": (_irstd_release, "trainval", 2),
    "mdvsfa": (_mdvsfa, "train", 2),
    "irdst": (_irdst, "test", 1),
    "ist-a": (_ist_a, "test", 1),
    "anti-uav": (_anti_uav, "val", 3),
    "nudt-mirsdt": (_nudt_mirsdt, "train", 2),
    "mot": (_mot, None, 3),
    "rgbt-tiny": (_rgbt_tiny, None, 3),
    "box-lists": (_box_lists, "train", 2),
    "sirst-aug": (_split_folders("trainval", "test"), "trainval", 2),
    "nuaa-sirst": (_nuaa, "trainval", 3),
    "irstd-1k": (_irstd, "train", 2),
    "nudt-sirst-sea": (_sea, None, 3),
    "nudt-sirst": (_nudt, "test", 1),
    "sirst3": (_sirst3, "train", 2),
    "images-masks": (_plain, None, 3),
    "split-folders": (_split_folders("train", "val"), "val", 1),
    "coco": (_coco, None, 3),
    "nchu-sirst": (_voc_layout("JPEGImages", "Annotations"), "train", 2),
    "voc": (_voc_layout("JPEGImages", "Annotations"), "train", 2),
    "images-voc": (_voc_layout("images", "bboxes"), "train", 2),
    "yolo": (_yolo, "train", 2),
    "images": (_unannotated("images"), None, 3),
    "folder": (_unannotated("."), None, 3),
}
FOLDER_NAMES = {"nudt-sirst-sea": "NUDT-SIRST-Sea", "nchu-sirst": "NCHU-SIRST"}


@pytest.fixture(params=FAKES)
def fake(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    layout = request.param
    root = tmp_path / FOLDER_NAMES.get(layout, "set")
    root.mkdir()
    FAKES[layout][0](root)
    return layout, root


def _same(one: Sample, other: Sample) -> bool:
    pairs = [
        (getattr(one, name), getattr(other, name))
        for name in ("image", "mask", "points", "boxes", "sky", "tracks", "classes")
    ]
    return one.id == other.id and all((a is None and b is None) or np.array_equal(a, b) for a, b in pairs)


def test_every_layout_of_the_table_has_a_fake() -> None:
    assert set(FAKES) == set(LAYOUTS)


def test_a_layout_is_recognised(fake: tuple[str, Path]) -> None:
    layout, root = fake
    assert open_dataset(root).layout == layout


def test_a_layout_that_is_named_reads_like_one_that_is_recognised(fake: tuple[str, Path]) -> None:
    layout, root = fake
    found, named = open_dataset(root), open_dataset(root, layout=layout)
    assert found.ids == named.ids
    assert all(map(_same, found, named))


def test_every_image_is_found_once(fake: tuple[str, Path]) -> None:
    _, root = fake
    reader = open_dataset(root)
    assert len(reader) == len(set(reader.ids)) == 3
    assert [sample.id for sample in reader] == reader.ids


def test_samples_are_whole(fake: tuple[str, Path]) -> None:
    _, root = fake
    reader = open_dataset(root)
    for index, sample in enumerate(reader):
        assert sample.image.dtype == np.float32
        assert sample.image.min() >= 0
        assert sample.image.max() <= 1
        assert reader.image_path(index).is_file()
        assert reader.has_mask(index) == (sample.mask is not None)
        if sample.mask is not None:
            assert sample.mask.dtype == bool


def test_what_is_annotated_is_where_the_target_is(fake: tuple[str, Path]) -> None:
    _, root = fake
    for sample in open_dataset(root):
        if sample.mask is not None and sample.mask.any():
            expected = np.zeros(sample.shape, bool)
            expected[TARGET] = True
            np.testing.assert_array_equal(sample.mask, expected)
        if sample.boxes is not None and len(sample.boxes):
            np.testing.assert_allclose(sample.boxes, [BOX], atol=1e-9)
        if sample.points is not None and len(sample.points):
            np.testing.assert_array_equal(sample.points, [(4, 8)])
        if sample.sky is not None:
            assert sample.sky.sum() == 7 * sample.shape[1]


NUMBERED = {
    "coco": {"classes": {3}},
    "yolo": {"classes": {0}},
    "ist-a": {"classes": {1}},
    "anti-uav": {"tracks": {0}},
    "mot": {"tracks": {7}},
    "rgbt-tiny": {"tracks": {1}},
    "box-lists": {"classes": {0}},
}


def test_boxes_have_the_classes_and_tracks_that_the_layout_gives(fake: tuple[str, Path]) -> None:
    layout, root = fake
    found: dict[str, set[int]] = {}
    for sample in open_dataset(root):
        for name in ("tracks", "classes"):
            if (numbers := getattr(sample, name)) is not None:
                found.setdefault(name, set()).update(numbers.tolist())
    assert found == NUMBERED.get(layout, {})


def test_reading_twice_gives_the_same_samples(fake: tuple[str, Path]) -> None:
    _, root = fake
    assert all(map(_same, open_dataset(root), open_dataset(root)))


def test_a_split_is_a_part_of_the_whole(fake: tuple[str, Path]) -> None:
    layout, root = fake
    _, split, count = FAKES[layout]
    if split is None:
        pytest.skip("the set has no splits")
    part, whole = open_dataset(root, split=split), open_dataset(root)
    assert len(part) == count
    assert part.split == split
    by_id = dict(zip(whole.ids, whole, strict=True))
    assert all(_same(sample, by_id[sample.id]) for sample in part)


def test_an_unknown_split_is_refused_in_a_sentence(fake: tuple[str, Path]) -> None:
    _, root = fake
    with pytest.raises(InfraspotError, match="holdout"):
        open_dataset(root, split="holdout")


def test_a_slice_is_a_reader(fake: tuple[str, Path]) -> None:
    _, root = fake
    reader = open_dataset(root)
    assert isinstance(reader[1:], Reader)
    assert reader[1:].ids == reader.ids[1:]
    assert _same(reader[-1], reader[2])


def test_a_reader_travels_to_another_process(fake: tuple[str, Path]) -> None:
    _, root = fake
    reader = open_dataset(root)
    assert all(map(_same, pickle.loads(pickle.dumps(reader)), reader))


def test_reading_writes_nothing(fake: tuple[str, Path]) -> None:
    _, root = fake
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    list(open_dataset(root))
    assert before == {path: path.stat().st_mtime_ns for path in root.rglob("*")}
