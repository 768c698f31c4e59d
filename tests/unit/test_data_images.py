"""Image files of every kind become the same numbers, and a bad one becomes a sentence."""

import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from infraspot.core.errors import DataError, InputError, UsageError
from infraspot.data import read_frames, read_image, read_mask, stray_mask_values, write_grey, write_mask

GREY8 = np.array([[0, 1, 128], [200, 254, 255]], np.uint8)
GREY16 = np.array([[0, 1, 4095], [16383, 40000, 65535]], np.uint16)
SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, max_side=9)


def png16(array: np.ndarray, colour_type: int) -> bytes:
    """A 16-bit PNG by hand; Pillow writes none with several channels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")

    height, width = array.shape[:2]
    head = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([16, colour_type, 0, 0, 0])
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_grey_in_any_container_keeps_its_values(tmp_path: Path, mode: str, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(GREY8).convert(mode).save(path)
    frame = read_image(path)
    assert frame.bit_depth == 8
    assert frame.image.dtype == np.float32
    np.testing.assert_array_equal(frame.image, GREY8.astype(np.float32) / np.float32(255))


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_16_bits_are_divided_by_65535(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(GREY16).save(path)
    frame = read_image(path)
    assert frame.bit_depth == 16
    np.testing.assert_array_equal(frame.image, GREY16.astype(np.float32) / np.float32(65535))


@pytest.mark.parametrize(("colour_type", "channels"), [(4, 2), (2, 3), (6, 4)])
def test_16_bit_colour_pngs_keep_their_low_bytes(tmp_path: Path, colour_type: int, channels: int) -> None:
    path = tmp_path / "a.png"
    grey = np.repeat(GREY16[..., None], channels, axis=2)
    if channels in (2, 4):
        grey[..., -1] = 777  # transparency
    path.write_bytes(png16(grey, colour_type))
    frame = read_image(path)
    assert frame.bit_depth == 16
    np.testing.assert_array_equal(frame.image, GREY16.astype(np.float32) / np.float32(65535))


def test_different_channels_become_their_luma(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)).save(path)
    np.testing.assert_allclose(read_image(path).image, [[0.299, 0.587, 0.114]], atol=1e-6)


def test_a_palette_is_looked_up(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    picture = Image.new("P", (3, 1))
    picture.putdata([0, 1, 2])
    picture.putpalette([10, 10, 10, 99, 99, 99, 255, 255, 255])
    picture.save(path, transparency=1)
    np.testing.assert_array_equal(read_image(path).image * 255, [[10, 99, 255]])


def test_one_bit_is_black_and_white(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(np.array([[True, False]])).save(path)
    frame = read_image(path)
    assert frame.bit_depth == 1
    np.testing.assert_array_equal(frame.image, [[1, 0]])


def test_a_jpeg_is_nearly_what_was_saved(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    grey = np.full((16, 16), 100, np.uint8)
    Image.fromarray(grey).convert("RGB").save(path, quality=95)
    np.testing.assert_allclose(read_image(path).image * 255, grey, atol=1)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0.0, 0.25], [0.5, 1.0]], np.float32), [[0, 0.25], [0.5, 1]]),  # in [0, 1]: kept
        (np.array([[-10.0, 0.0], [10.0, 30.0]], np.float64), [[0, 0.25], [0.5, 1]]),  # stretched
        (np.array([[0, 13107], [65535, 0]], np.int32), [[0, 0.2], [1, 0]]),  # 16-bit values in 32 bits
        (np.array([[-2, 0], [2, 6]], np.int16), [[0, 0.25], [0.5, 1]]),
        (np.full((2, 2), 300.0, np.float32), [[0, 0], [0, 0]]),
    ],
)
def test_floating_point_and_wide_integers(
    tmp_path: Path, values: np.ndarray, expected: list[list[float]]
) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, values)
    frame = read_image(path)
    assert frame.bit_depth == values.dtype.itemsize * 8
    np.testing.assert_allclose(frame.image, expected, atol=1e-6)


def test_white_is_zero_is_inverted(tmp_path: Path) -> None:
    for name, values in (("a8.tif", GREY8), ("a16.tif", GREY16)):
        tifffile.imwrite(tmp_path / name, values, photometric="miniswhite")
        full = np.iinfo(values.dtype).max
        expected = (full - values).astype(np.float32) / np.float32(full)
        np.testing.assert_array_equal(read_image(tmp_path / name).image, expected)


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_deflate", "packbits"])
def test_compressed_tiffs_are_read(tmp_path: Path, compression: str | None) -> None:
    path = tmp_path / "a.tif"
    Image.fromarray(GREY16).save(path, compression=compression)
    np.testing.assert_allclose(read_image(path).image * 65535, GREY16, atol=0.01)


def test_tiffs_of_printing_inks_are_read_as_the_light_that_they_leave(tmp_path: Path) -> None:
    """Their fourth channel is black ink and no transparency: grey is in it alone."""
    path = tmp_path / "inks.tif"
    grey = np.arange(0, 250, 10, dtype=np.uint8).reshape(5, 5)
    Image.fromarray(grey).convert("CMYK").save(path)
    np.testing.assert_allclose(read_image(path).image, grey / 255, atol=1e-6)


def test_planar_colour_tiffs_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.stack([GREY16] * 3), photometric="rgb", planarconfig="separate")
    np.testing.assert_allclose(read_image(path).image * 65535, GREY16, atol=0.01)


def test_each_page_of_a_tiff_is_a_frame(tmp_path: Path) -> None:
    path = tmp_path / "stack.tif"
    stack = np.arange(4 * 6 * 5, dtype=np.uint16).reshape(4, 6, 5) * 500
    tifffile.imwrite(path, stack, photometric="minisblack")
    frames = list(read_frames(path))
    assert len(frames) == 4
    for frame, expected in zip(frames, stack, strict=True):
        np.testing.assert_allclose(frame.image * 65535, expected, atol=0.01)
    np.testing.assert_array_equal(read_image(path).image, frames[0].image)


def test_a_file_that_is_no_stack_has_one_frame(tmp_path: Path) -> None:
    write_grey(tmp_path / "a.png", GREY8)
    assert len(list(read_frames(tmp_path / "a.png"))) == 1


def test_one_pixel_is_an_image(tmp_path: Path) -> None:
    write_grey(tmp_path / "a.png", np.array([[7]], np.uint8))
    assert read_image(tmp_path / "a.png").image.shape == (1, 1)


@settings(deadline=None, max_examples=40)
@given(
    values=st.one_of(hnp.arrays(np.uint8, SHAPES), hnp.arrays(np.uint16, SHAPES)),
    suffix=st.sampled_from(["png", "tif"]),
)
def test_what_is_written_comes_back(
    tmp_path_factory: pytest.TempPathFactory, values: np.ndarray, suffix: str
) -> None:
    path = tmp_path_factory.mktemp("round") / f"a.{suffix}"
    bits = values.dtype.itemsize * 8
    write_grey(path, values, bits)
    frame = read_image(path)
    assert frame.bit_depth == bits
    np.testing.assert_array_equal(np.rint(frame.image * (2.0**bits - 1)), values)
    write_grey(path, frame.image, bits)  # and as fractions
    np.testing.assert_array_equal(read_image(path).image, frame.image)


@settings(deadline=None, max_examples=25)
@given(mask=hnp.arrays(bool, SHAPES))
def test_a_mask_comes_back(tmp_path_factory: pytest.TempPathFactory, mask: np.ndarray) -> None:
    path = tmp_path_factory.mktemp("round") / "a.png"
    write_mask(path, mask)
    np.testing.assert_array_equal(read_mask(path), mask)
    assert stray_mask_values(path) == []


@pytest.mark.parametrize(
    ("values", "expected", "strays"),
    [
        (np.array([[0, 1]], np.uint8), [[False, True]], []),
        (np.array([[0, 127, 128, 255]], np.uint8), [[False, False, True, True]], [127, 128]),
        (np.array([[0, 32767, 32768, 65535]], np.uint16), [[False, False, True, True]], [32767, 32768]),
        (np.array([[0, 255]], np.uint16), [[False, True]], []),
        (np.array([[0, 0]], np.uint8), [[False, False]], []),
    ],
)
def test_a_mask_is_cut_at_half_of_its_range(
    tmp_path: Path, values: np.ndarray, expected: list[list[bool]], strays: list[float]
) -> None:
    Image.fromarray(values).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png"), expected)
    assert stray_mask_values(tmp_path / "a.png") == strays


def test_a_white_colour_mask_has_no_stray_values(tmp_path: Path) -> None:
    colours = np.array([[[255, 255, 255], [0, 0, 0], [255, 255, 254]]], np.uint8)
    Image.fromarray(colours).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png"), [[True, False, True]])
    assert stray_mask_values(tmp_path / "a.png") == []


def test_a_dark_palette_mask_is_read_by_index(tmp_path: Path) -> None:
    picture = Image.new("P", (2, 1))
    picture.putdata([0, 1])
    picture.putpalette([0, 0, 0, 128, 0, 0])  # VOC's dark red
    picture.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png"), [[False, True]])


def _broken(folder: Path, kind: str) -> Path:
    path = folder / f"{kind.replace(' ', '-')}.png"
    whole = folder / "whole.png"
    write_grey(whole, np.random.default_rng(0).random((64, 64)))
    if kind == "text":
        path.write_text("this is no image")
    elif kind == "empty":
        path.touch()
    elif kind == "truncated":
        path.write_bytes(whole.read_bytes()[:-2000])
    elif kind == "header only":
        path.write_bytes(whole.read_bytes()[:20])
    elif kind == "folder":
        path.mkdir()
    elif kind == "no pixels":
        path.write_bytes(png16(np.zeros((0, 3), np.uint16), 0))
    elif kind == "too large":
        Image.new("1", (20_000, 20_000)).save(path)
    elif kind in ("nan", "infinity"):
        tifffile.imwrite(path, np.array([[0.5, float(kind)]], np.float32))
    elif kind == "truncated tiff":
        tifffile.imwrite(path, np.zeros((64, 64), np.uint16))
        path.write_bytes(path.read_bytes()[:4000])
    return path


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("missing", "there is no file"),
        ("folder", "is a folder"),
        ("text", "is not a PNG, BMP, JPEG, GIF or TIFF"),
        ("empty", "0 bytes"),
        ("truncated", "damaged"),
        ("header only", "restore it|not a PNG"),
        ("no pixels", "no pixels"),
        ("too large", "20000x20000, 400 million pixels"),
        ("nan", "1 pixel that is NaN"),
        ("infinity", "1 pixel that is NaN or infinite"),
        ("truncated tiff", "damaged"),
    ],
)
def test_a_bad_file_is_refused_in_a_sentence_that_names_it(tmp_path: Path, kind: str, reason: str) -> None:
    path = _broken(tmp_path, kind)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InputError, match=reason) as caught:
            read_image(path)
    assert str(path) in str(caught.value)


def test_the_size_limit_may_be_raised(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    write_grey(path, np.zeros((30, 40)))
    with pytest.raises(InputError, match="40x30"):
        read_image(path, max_pixels=1199)
    assert read_image(path, max_pixels=1200).image.shape == (30, 40)


def test_a_tiff_that_claims_to_be_huge_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((4, 4), np.uint8), photometric="minisblack")
    with tifffile.TiffFile(path, mode="r+") as file:
        file.pages[0].tags["ImageWidth"].overwrite(60_000)
        file.pages[0].tags["ImageLength"].overwrite(60_000)
    with pytest.raises(InputError, match="60000x60000"):
        read_image(path)


def test_what_cannot_be_written_is_refused_and_nothing_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    write_grey(path, GREY8)
    before = path.read_bytes()
    for array, bits in ((np.array([[np.nan]]), 8), (GREY8, 12)):
        with pytest.raises(UsageError):
            write_grey(path, array, bits)
    with pytest.raises(UsageError, match=r"use \.png"):
        write_grey(tmp_path / "a.jpg", GREY8)
    with pytest.raises(DataError, match="cannot write"):
        write_mask(path / "inside.png", GREY8)
    assert path.read_bytes() == before
    assert [inner.name for inner in tmp_path.iterdir()] == ["a.png"]
