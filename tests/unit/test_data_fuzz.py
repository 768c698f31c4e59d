"""Two thousand mutated files: each is read, or refused in a sentence; nothing else happens."""

import io
import json
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from infraspot.core.errors import InfraspotError
from infraspot.data import open_dataset, read_frames, read_image, read_mask, read_points
from infraspot.data.boxes import VOC, YOLO, read_boxes, read_point_lines, voc_text, yolo_text
from infraspot.data.splits import read_split_list

MUTANTS = 2000
SEED = 7


def _image(kind: str, mode: str) -> bytes:
    grey = np.random.default_rng(1).integers(0, 256, (24, 20)).astype(np.uint8)
    buffer = io.BytesIO()
    picture = (
        Image.fromarray(grey.astype(np.uint16) * 256)
        if mode == "I;16"
        else Image.fromarray(grey).convert(mode)
    )
    picture.save(buffer, kind)
    return buffer.getvalue()


def _stack(**options: object) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.random.default_rng(2).random((3, 12, 10)).astype(np.float32), **options)
    return buffer.getvalue()


def _coco() -> bytes:
    notes = [{"image_id": 1, "bbox": [1, 2, 3, 4], "segmentation": {"size": [8, 8], "counts": [10, 4, 50]}}]
    images = [{"id": 1, "file_name": "a.png", "width": 8, "height": 8}]
    return json.dumps({"images": images, "annotations": notes}).encode()


def _frames(path: Path) -> None:
    for _ in read_frames(path):
        pass


def _data_set(path: Path) -> None:
    Image.new("L", (8, 8)).save(path.parent / "a.png")
    list(open_dataset(path))


BOXES = [(1.0, 2.0, 4.0, 6.0), (0.0, 0.0, 3.0, 3.0)]
SEEDS: list[tuple[str, bytes, Callable[[Path], object]]] = [
    *((f"{mode}.png", _image("PNG", mode), read_image) for mode in ("L", "RGB", "RGBA", "P", "1", "I;16")),
    *((f"{mode}.bmp", _image("BMP", mode), read_image) for mode in ("L", "RGB", "1")),
    *((f"{mode}.jpg", _image("JPEG", mode), read_image) for mode in ("L", "RGB")),
    *((f"{mode}.tif", _image("TIFF", mode), read_mask) for mode in ("L", "RGB", "P", "1", "I;16")),
    ("stack.tif", _stack(photometric="minisblack"), _frames),
    ("zlib.tif", _stack(photometric="minisblack", compression="zlib"), _frames),
    ("points.json", b'{"a": [[1, 2], [3.5, 4]], "b": []}', read_points),
    ("points.csv", b"image,x,y\na,1,2\nb,,\n", read_points),
    ("boxes.xml", voc_text("a.png", (9, 9), BOXES).encode(), lambda path: read_boxes(path, VOC, (9, 9))),
    ("boxes.txt", yolo_text((9, 9), BOXES).encode(), lambda path: read_boxes(path, YOLO, (9, 9))),
    ("points.txt", b"1 2\n3 4\n", read_point_lines),
    ("train.txt", b"a\nb.png\nimages/c.png\n", read_split_list),
    ("instances.json", _coco(), _data_set),
]


def _mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """Flip, cut, repeat, swap or fill some of the bytes; half of the changes hit the header."""
    values = bytearray(data)
    for _ in range(int(rng.integers(1, 6))):
        if not values:
            break
        reach = min(len(values), 64) if rng.random() < 0.5 else len(values)
        at, length = int(rng.integers(reach)), int(rng.integers(1, 16))
        kind = rng.integers(6)
        if kind == 0:
            values[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            values[at : at + length] = rng.bytes(length)
        elif kind == 2:
            del values[at : None if rng.random() < 0.3 else at + length]
        elif kind == 3:
            values[at:at] = values[at : at + length]
        elif kind == 4:
            values[at : at + 4] = b"\xff\xff\xff\x7f"
        else:
            values[at : at + length] = bytes(len(values[at : at + length]))
    return bytes(values)


@pytest.mark.slow
def test_a_mutated_file_is_read_or_refused_in_a_sentence(tmp_path: Path) -> None:
    rng = np.random.default_rng(SEED)
    outcomes = {True: 0, False: 0}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for count in range(MUTANTS):
            name, data, read = SEEDS[count % len(SEEDS)]
            path = tmp_path / name
            path.write_bytes(_mutated(data, rng))
            try:
                read(path)
            except InfraspotError as error:
                sentence = str(error)
                assert name in sentence or "a.png" in sentence, sentence
                assert "\n" not in sentence
                outcomes[False] += 1
            else:
                outcomes[True] += 1
    assert min(outcomes.values()) > MUTANTS / 10  # the mutations are neither harmless nor all deadly
