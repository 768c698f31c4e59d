"""Stacks, arrays, animations and raw files: every frame with its page, as the arrays that were written."""

import numpy as np
import pytest
import tifffile
from PIL import Image

from infraspot.core.errors import InputError, UsageError
from infraspot.data import FrameKey, Reading, frame_keys, open_frames, parse_raw, read_image
from infraspot.data.raster import MAX_PIXELS

COUNT, HEIGHT, WIDTH = 4, 12, 10
STACK = np.arange(COUNT * HEIGHT * WIDTH).reshape(COUNT, HEIGHT, WIDTH)
BYTES, DEEP = (STACK % 251).astype(np.uint8), (STACK * 100).astype(np.uint16)


def _animation(path):
    first, *others = map(Image.fromarray, BYTES)
    first.save(path, save_all=True, append_images=others, duration=40)


WRITERS = {
    "film.tif": lambda path: tifffile.imwrite(path, DEEP, photometric="minisblack"),
    "film.npy": lambda path: np.save(path, DEEP),
    "swapped.npy": lambda path: np.save(path, DEEP.astype(">u2")),
    "network.npy": lambda path: np.save(path, DEEP[:, None]),
    "grey.npy": lambda path: np.save(path, DEEP[..., None]),
    "film.npz": lambda path: np.savez(path, frames=DEEP),
    "packed.npz": lambda path: np.savez_compressed(path, frames=DEEP),
    "film.gif": _animation,
    "film.png": _animation,
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_page_of_a_stack_is_read_as_it_was_written(name, tmp_path):
    path = tmp_path / name
    WRITERS[name](path)
    expected = BYTES / 255 if name in ("film.gif", "film.png") else DEEP / 65535
    found = list(open_frames(path))
    assert [key for key, _ in found] == [FrameKey(path, page) for page in (1, 2, 3, 4)]
    for (key, frame), image in zip(found, expected, strict=True):
        np.testing.assert_allclose(frame.image, image, atol=1e-6)
        np.testing.assert_array_equal(key.read().image, frame.image)
    assert frame_keys(path) == [key for key, _ in found]
    with pytest.raises(InputError, match="no page 5"):
        read_image(path, 5)
    with pytest.raises(InputError, match="no page 0"):
        read_image(path, 0)


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (DEEP[0], DEEP[0] / 65535),
        (DEEP[:1], DEEP[0] / 65535),
        (np.asfortranarray(DEEP[0]), DEEP[0] / 65535),
        (np.repeat(BYTES[0][..., None], 3, 2), BYTES[0] / 255),
        (STACK[0] > 5, STACK[0] > 5),
        (STACK[0] / 1000, STACK[0] / 1000),
        (STACK[0] - 50.0, STACK[0] / STACK[0].max()),
        (STACK[0].astype(np.int64), STACK[0] / 65535),
    ],
)
def test_an_array_of_one_frame_is_a_frame_without_a_page(array, expected, tmp_path):
    np.save(tmp_path / "one.npy", array)
    ((key, frame),) = open_frames(tmp_path / "one.npy")
    assert key == FrameKey(tmp_path / "one.npy", None)
    assert frame_keys(key.path) == [key]
    np.testing.assert_allclose(frame.image, expected, atol=1e-6)


def test_the_identity_of_a_page_is_its_file_and_its_number(tmp_path):
    assert str(FrameKey(tmp_path / "film.tif", 3)) == f"{tmp_path}/film.tif#3"
    assert str(FrameKey(tmp_path / "one.tif")) == f"{tmp_path}/one.tif"
    assert [FrameKey(tmp_path / "film.tif", page).stem for page in (None, 3, 12345)] == [
        "film",
        "film-0003",
        "film-12345",
    ]


@pytest.mark.parametrize(
    ("form", "stored", "expected"),
    [
        ("10x12:uint16", DEEP.astype("<u2"), DEEP / 65535),
        ("10x12:uint16:big", DEEP.astype(">u2"), DEEP / 65535),
        ("10x12:uint14", (STACK * 30).astype("<u2"), STACK * 30 / 16383),
        ("10x12:uint8", BYTES, BYTES / 255),
        ("10x12:float32:big", (STACK / 1000).astype(">f4"), STACK / 1000),
    ],
)
@pytest.mark.parametrize("header", [0, 7])
def test_a_raw_file_is_read_by_the_form_that_is_given(form, stored, expected, header, tmp_path):
    path = tmp_path / "film.raw"
    path.write_bytes(b"\xff" * header + stored.tobytes())
    reading = Reading(
        raw=parse_raw(form if not header else f"{form}{':little' * (form.count(':') < 2)}:{header}")
    )
    found = list(open_frames(path, reading))
    assert [key.page for key, _ in found] == [1, 2, 3, 4]
    np.testing.assert_allclose([frame.image for _, frame in found], expected, atol=1e-6)
    assert read_image(path, 3, reading=reading).bit_depth == reading.raw.bits


@pytest.mark.parametrize(
    "form", ["", "640x512", "640x512:u16", "0x5:uint8", "4x4:uint16:middle", "-4x4:uint8", "4x4:uint8:big:x"]
)
def test_a_raw_form_that_cannot_be_understood_is_refused_with_an_example(form):
    with pytest.raises(UsageError, match="640x512:uint16"):
        parse_raw(form)


def test_a_raw_file_without_a_form_too_short_or_of_too_many_bits_is_refused(tmp_path):
    path = tmp_path / "film.raw"
    path.write_bytes(DEEP.astype("<u2").tobytes())
    with pytest.raises(InputError, match="--raw 640x512:uint16"):
        read_image(path)
    with pytest.raises(InputError, match=r"960 bytes, and one frame of 64x48:uint16 .* needs 6144"):
        read_image(path, reading=Reading(raw=parse_raw("64x48:uint16")))
    with pytest.raises(InputError, match="page 4 holds the value 47900, more than 14 bits"):
        read_image(path, 4, reading=Reading(raw=parse_raw("10x12:uint14")))


def test_the_rest_of_a_raw_file_that_is_no_whole_frame_is_named_after_the_frames(tmp_path):
    path = tmp_path / "film.raw"
    path.write_bytes(BYTES.tobytes()[:-1])
    *frames, (key, last) = open_frames(path, Reading(raw=parse_raw("10x12:uint8")))
    assert [key.page for key, _ in frames] == [1, 2, 3]
    assert key.page == 4
    assert "ends with 119 bytes" in str(last)


def test_the_array_of_an_archive_is_the_only_one_or_the_one_that_is_named(tmp_path):
    np.savez(tmp_path / "two.npz", near=DEEP, far=BYTES)
    with pytest.raises(InputError, match=r"2 arrays \(near, far\).*--array"):
        read_image(tmp_path / "two.npz")
    with pytest.raises(InputError, match="no array 'x', but near, far"):
        read_image(tmp_path / "two.npz", reading=Reading(array="x"))
    frame = read_image(tmp_path / "two.npz", 2, reading=Reading(array="far"))
    np.testing.assert_allclose(frame.image, BYTES[1] / 255, atol=1e-6)


def test_a_damaged_page_gives_its_error_and_the_pages_after_it_are_read(tmp_path):
    values = np.stack([STACK[0] / 1000, np.full((HEIGHT, WIDTH), np.nan), STACK[1] / 1000])
    np.save(tmp_path / "film.npy", values)
    tifffile.imwrite(tmp_path / "film.tif", values.astype(np.float32), photometric="minisblack")
    for path in (tmp_path / "film.npy", tmp_path / "film.tif"):
        (_, first), (_, second), (third_key, third) = open_frames(path)
        np.testing.assert_allclose(first.image, values[0], atol=1e-6)
        assert "page 2 holds 120 pixels that are NaN" in str(second)
        assert third_key.page == 3
        np.testing.assert_allclose(third.image, values[2], atol=1e-6)


def test_pages_may_differ_in_size_and_in_depth(tmp_path):
    with tifffile.TiffWriter(tmp_path / "film.tif") as writer:
        writer.write(BYTES[0], photometric="minisblack")
        writer.write(DEEP[0, :5], photometric="minisblack")
    (_, first), (_, second) = open_frames(tmp_path / "film.tif")
    assert (first.image.shape, first.bit_depth) == ((HEIGHT, WIDTH), 8)
    assert (second.image.shape, second.bit_depth) == ((5, WIDTH), 16)


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (np.array([{"a": 1}], object), "cannot be decoded|holds object"),
        (np.zeros((2, 3, 4, 5)), "shape"),
        (np.zeros(7), "shape"),
        (np.zeros(()), "shape"),
        (np.zeros((0, 5, 6)), "holds no frame"),
        (np.zeros((4, 0)), "no pixels"),
        (np.zeros((5, 6), complex), "complex"),
        (np.zeros((5, 6), [("a", "u1")]), "expected whole numbers or floats"),
        (np.array([["a", "b"]]), "expected whole numbers or floats"),
        (np.asfortranarray(np.zeros((3, 6, 7))), "Fortran"),
    ],
)
def test_an_array_that_is_no_frame_is_refused_in_a_sentence(array, said, tmp_path):
    np.save(tmp_path / "odd.npy", array, allow_pickle=True)
    with pytest.raises(InputError, match=said):
        read_image(tmp_path / "odd.npy")
    with pytest.raises(InputError, match=said):
        frame_keys(tmp_path / "odd.npy")


def test_limits_hold_before_anything_is_decoded(tmp_path):
    np.save(tmp_path / "film.npy", BYTES)
    with pytest.raises(InputError, match="more than 3 pages"):
        frame_keys(tmp_path / "film.npy", Reading(max_pages=3))
    with pytest.raises(InputError, match="million pixels, and the limit"):
        read_image(tmp_path / "film.npy", max_pixels=119)
    ((_, said),) = open_frames(tmp_path / "film.npy", Reading(MAX_PIXELS, max_pages=2))
    assert "more than 2 pages" in str(said)
