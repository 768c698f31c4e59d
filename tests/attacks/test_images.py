"""Image files that somebody has tampered with: each is read whole, or refused in a sentence."""

import io
import os
import socket
import struct
import warnings
import zlib
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hostile import answer, mutated
from PIL import Image

from infraspot.cli.main import main
from infraspot.core.errors import InputError
from infraspot.data import list_images, open_dataset, read_frames, read_image, read_mask

pytestmark = pytest.mark.slow

MUTANTS = 2000
SEED = 7
GREY = np.random.default_rng(1).integers(1, 256, (24, 20)).astype(np.uint8)
DEEP = GREY.astype(np.uint16) * 256
STACK = np.random.default_rng(2).integers(1, 65536, (3, 12, 10)).astype(np.uint16)


def _pillow(kind: str, mode: str = "L", **options: object) -> bytes:
    buffer = io.BytesIO()
    picture = Image.fromarray(DEEP) if mode == "I;16" else Image.fromarray(GREY).convert(mode)
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def _tiff(values: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, photometric="minisblack", **options)
    return buffer.getvalue()


def _frames(path: Path) -> None:
    for frame in read_frames(path):
        assert np.isfinite(frame.image).all()


def _listed(path: Path) -> None:
    for image in list_images(path.parent):
        read_mask(image)


SEEDS: list[tuple[str, bytes, Callable[[Path], object]]] = [
    *((f"{mode}.png", _pillow("PNG", mode), _frames) for mode in ("L", "RGB", "RGBA", "P", "1", "I;16")),
    *((f"{mode}.bmp", _pillow("BMP", mode), _frames) for mode in ("L", "RGB", "1")),
    *((f"{mode}.jpg", _pillow("JPEG", mode), _frames) for mode in ("L", "RGB")),
    *((f"{mode}.tif", _pillow("TIFF", mode), read_mask) for mode in ("L", "RGB", "P", "1", "I;16")),
    *((f"{how}.tif", _pillow("TIFF", compression=how), _frames) for how in ("tiff_lzw", "jpeg", "packbits")),
    ("stack.tif", _tiff(STACK), _frames),
    ("zlib.tif", _tiff(STACK, compression="zlib", rowsperstrip=5), _frames),
    ("tiles.tif", _tiff(DEEP, tile=(16, 16)), _frames),
    ("float.tif", _tiff(STACK.astype(np.float32)), _frames),
    ("big.tif", _tiff(STACK, bigtiff=True), _frames),
    ("listed.png", _pillow("PNG"), _listed),
]


def test_a_mutated_image_is_read_or_refused_in_a_sentence(tmp_path: Path) -> None:
    rng = np.random.default_rng(SEED)
    refused = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for count in range(MUTANTS):
            name, data, read = SEEDS[count % len(SEEDS)]
            path = tmp_path / str(count) / name
            path.parent.mkdir()
            path.write_bytes(mutated(data, rng))
            sentence = answer(read, path)
            if sentence is not None:
                assert name in sentence
                refused += 1
            path.unlink()
    assert MUTANTS / 10 < refused < MUTANTS * 9 / 10  # the mutations are neither harmless nor all deadly


@pytest.mark.parametrize(("name", "data", "read"), SEEDS, ids=[name for name, _, _ in SEEDS])
def test_an_image_cut_short_anywhere_is_refused_or_whole(
    tmp_path: Path, name: str, data: bytes, read: Callable[[Path], object]
) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    whole = [frame.image for frame in read_frames(path)]
    for length in range(0, len(data), max(1, len(data) // 100)):
        path.write_bytes(data[:length])
        found: list[np.ndarray] = []
        answered = answer(lambda cut, found=found: found.extend(f.image for f in read_frames(cut)), path)  # type: ignore[misc]
        assert answered is not None or len(found) == len(whole)
        assert all(map(np.array_equal, found, whole))  # what was given out before the damage is sound


def _chunk(name: bytes, data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")


def _png(rows: int, bits: int, colour: int, value: int, *, width: int = 13, height: int = 20) -> bytes:
    """A PNG whose data end after some of its rows, all bytes of a constant value."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    row = b"\0" + bytes([value]) * (-(-width * bits * channels // 8))
    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([bits, colour, 0, 0, 0])
    palette = _chunk(b"PLTE", bytes(3 * 2**bits)) if colour == 3 else b""
    body = _chunk(b"IHDR", head) + palette + _chunk(b"IDAT", zlib.compress(row * rows)) + _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize(
    ("bits", "colour"),
    [(bits, 0) for bits in (1, 2, 4, 8, 16)]
    + [(bits, 3) for bits in (1, 2, 4, 8)]
    + [(bits, colour) for bits in (8, 16) for colour in (2, 4, 6)],
)
def test_a_png_that_lacks_rows_is_refused(tmp_path: Path, bits: int, colour: int) -> None:
    path = tmp_path / "a.png"
    for value in (0, 0xA5, 255):
        for rows in (1, 2, 10, 19):
            path.write_bytes(_png(rows, bits, colour, value))
            with pytest.raises(InputError, match=f"only {rows / 20:.0%} of its rows"):
                read_image(path)
        path.write_bytes(_png(20, bits, colour, value))
        assert read_image(path).image.shape == (20, 13)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("layout", [{"rowsperstrip": 8}, {"tile": (16, 16)}], ids=["strips", "tiles"])
@pytest.mark.parametrize("harm", ["absent", "fewer", "halved", "elsewhere"])
def test_a_tiff_that_lacks_strips_or_tiles_is_refused(
    tmp_path: Path, compression: str | None, layout: dict[str, object], harm: str
) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(_tiff(DEEP.repeat(2, 0), compression=compression, **layout))
    with tifffile.TiffFile(path, mode="r+") as file:
        kind = "Tile" if "tile" in layout else "Strip"
        tags = file.pages[0].tags
        sizes, places = tags[f"{kind}ByteCounts"], tags[f"{kind}Offsets"]
        if harm == "fewer":
            sizes.overwrite(sizes.value[:2])
            places.overwrite(places.value[:2])
        elif harm == "elsewhere":
            places.overwrite((*places.value[:2], 10**6, *places.value[3:]))
        else:
            size = 0 if harm == "absent" else sizes.value[2] // 2
            sizes.overwrite((*sizes.value[:2], size, *sizes.value[3:]))
    with pytest.raises(InputError, match=r"a\.tif"):
        read_image(path)


def test_a_strip_that_inflates_without_end_is_refused_before_it_does(tmp_path: Path) -> None:
    path = tmp_path / "bomb.tif"
    path.write_bytes(_tiff(GREY, compression="zlib", rowsperstrip=24))
    bomb = zlib.compress(bytes(200_000_000))
    with tifffile.TiffFile(path, mode="r+") as file:
        file.pages[0].tags["StripOffsets"].overwrite(path.stat().st_size)
        file.pages[0].tags["StripByteCounts"].overwrite(len(bomb))
    with path.open("ab") as file:
        file.write(bomb)
    with pytest.raises(InputError, match="inflates to 481 bytes, and 480 are due"):
        read_image(path)


def _directories(path: Path) -> list[int]:
    with tifffile.TiffFile(path) as file:
        return [page.offset for page in file.pages]


def _lead(path: Path, page: int, target: int) -> None:
    """Make the directory of one page lead to an offset."""
    data = bytearray(path.read_bytes())
    at = _directories(path)[page]
    (tags,) = struct.unpack_from("<H", data, at)
    struct.pack_into("<I", data, at + 2 + 12 * tags, target)
    path.write_bytes(data)


@pytest.mark.parametrize(("page", "back_to"), [(0, 0), (1, 0), (2, 1), (2, 2)])
def test_a_tiff_whose_pages_run_in_a_circle_ends(tmp_path: Path, page: int, back_to: int) -> None:
    path = tmp_path / "circle.tif"
    tifffile.imwrite(path, STACK, photometric="minisblack", metadata=None, contiguous=False)
    if len(_directories(path)) == 1:
        path.write_bytes(_tiff(STACK))
    _lead(path, page, _directories(path)[back_to])
    pages = read_frames(path)
    assert len(list(islice(pages, page + 1))) == page + 1
    with pytest.raises(InputError, match=rf"page {page + 2} .* is that of page {back_to + 1} again"):
        next(pages)
    assert read_image(path).image.shape == (12, 10)


def test_a_damaged_page_costs_no_page_before_it(tmp_path: Path) -> None:
    path = tmp_path / "stack.tif"
    path.write_bytes(_tiff(STACK, compression="zlib"))
    with tifffile.TiffFile(path, mode="r+") as file:
        file.pages[1].tags["ImageWidth"].overwrite(11)
    pages = read_frames(path)
    np.testing.assert_allclose(next(pages).image * 65535, STACK[0], atol=0.01)
    with pytest.raises(InputError, match=r"stack\.tif page 2 cannot be decoded"):
        next(pages)


def test_a_chain_of_pages_that_leads_nowhere_is_damage_and_not_an_end(tmp_path: Path) -> None:
    path = tmp_path / "stack.tif"
    path.write_bytes(_tiff(STACK))
    _lead(path, 0, 10**9)
    pages = read_frames(path)
    next(pages)
    with pytest.raises(InputError, match=r"page 2 .*the file ends before its directory"):
        next(pages)


def test_detect_ends_on_a_circle_of_pages_writes_the_good_ones_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "circle.tif", tmp_path / "out"
    path.write_bytes(_tiff(STACK))
    _lead(path, 2, _directories(path)[0])
    arguments = ["detect", str(path), "--method", "tophat", "--format", "json", "--out", str(out)]
    assert main(arguments) == 1
    assert sorted(found.name for found in out.iterdir()) == [f"circle-000{page}.json" for page in (1, 2, 3)]
    assert "page 4" in capsys.readouterr().err
    assert main([*arguments, "--max-pages", "2"]) == 1
    assert "more than 2 pages" in capsys.readouterr().err


def test_the_number_of_pages_is_bounded_before_any_is_decoded_and_the_bound_may_be_raised(
    tmp_path: Path,
) -> None:
    path = tmp_path / "stack.tif"
    path.write_bytes(_tiff(STACK))
    with pytest.raises(InputError, match=r"more than 2 pages.* raise the limit"):
        next(read_frames(path, max_pages=2))
    assert len(list(read_frames(path, max_pages=3))) == 3


def test_the_pixels_of_all_pages_are_bounded_and_the_bound_may_be_raised(tmp_path: Path) -> None:
    path = tmp_path / "stack.tif"
    path.write_bytes(_tiff(np.zeros((101, 12, 10), np.uint8)))
    pages = read_frames(path, max_pixels=120)
    assert len(list(islice(pages, 100))) == 100
    with pytest.raises(InputError, match=r"page 101: .* raise the limit"):
        next(pages)
    assert len(list(read_frames(path, max_pixels=122))) == 101


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
@pytest.mark.parametrize(
    ("kind", "reason"),
    [("pipe", "named pipe"), ("device", "device"), ("socket", "cannot open"), ("folder", "folder")],
)
@pytest.mark.parametrize("read", [read_image, read_mask, _frames])
def test_what_is_no_regular_file_is_refused_at_once(
    tmp_path: Path, kind: str, reason: str, read: Callable[[Path], object]
) -> None:
    path = tmp_path / "a.png"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    else:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(os.path.relpath(path))
    sentence = answer(read, path)
    assert sentence is not None
    assert reason in sentence


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
def test_a_pipe_among_the_images_and_lists_of_a_set_does_not_hang(tmp_path: Path) -> None:
    for name in ("a", "b"):
        Image.fromarray(GREY).save(tmp_path / f"{name}.png")
    (tmp_path / "b.png").unlink()
    for name in ("b.png", "train.txt", "instances.json"):
        os.mkfifo(tmp_path / name)
    assert answer(lambda path: list(open_dataset(path)), tmp_path) is not None
    assert answer(lambda path: open_dataset(path, split="train"), tmp_path) is not None
    os.mkfifo(tmp_path / "points.json")
    assert answer(open_dataset, tmp_path) is not None
