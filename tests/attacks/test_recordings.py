"""Hostile stacks, arrays, archives and animations: read, or refused in one sentence, in bounded memory."""

import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hostile import answer, mutated
from PIL import Image

from infraspot.core.errors import InputError
from infraspot.data import Reading, find_frames, frame_keys, open_frames, parse_raw

pytestmark = pytest.mark.slow

FILM = np.arange(3 * 9 * 11, dtype=np.uint16).reshape(3, 9, 11) * 200
RAW = Reading(raw=parse_raw("11x9:uint16"))
MUTANTS = 300


def _bytes(save: Callable[..., object], *values: object, **options: object) -> bytes:
    buffer = io.BytesIO()
    save(buffer, *values, **options)
    return buffer.getvalue()


def _animation(kind: str) -> bytes:
    first, *others = (Image.fromarray((page >> 8).astype(np.uint8)) for page in FILM)
    return _bytes(first.save, kind, save_all=True, append_images=others)


SEEDS = {
    "film.npy": _bytes(np.save, FILM),
    "film.npz": _bytes(np.savez, FILM),
    "packed.npz": _bytes(np.savez_compressed, FILM),
    "film.gif": _animation("GIF"),
    "film.png": _animation("PNG"),
    "film.tif": _bytes(tifffile.imwrite, FILM, photometric="minisblack"),
    "film.raw": FILM.tobytes(),
}


def _read(path: Path) -> None:
    """Everything that can be asked of a file; errors come as items, and only as sentences."""
    answer(lambda _: frame_keys(path, RAW), path)
    for number, (key, frame) in enumerate(open_frames(path, RAW), 1):
        assert key.page in (None, number)
        if isinstance(frame, InputError):
            assert "\n" not in str(frame)
            assert path.name in str(frame)
        else:
            assert np.isfinite(frame.image).all()


@pytest.mark.parametrize("name", SEEDS)
def test_a_mutated_stack_is_read_or_refused_in_sentences(name: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    for _ in range(MUTANTS):
        (tmp_path / name).write_bytes(mutated(SEEDS[name], rng))
        assert answer(_read, tmp_path / name) is None


@pytest.mark.parametrize("name", ["film.npy", "film.npz", "film.gif", "film.png", "film.tif", "film.raw"])
def test_a_cut_at_any_place_gives_whole_pages_and_then_a_sentence(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(SEEDS[name])
    whole = [frame.image for _, frame in open_frames(path, RAW)]
    for end in range(1, len(SEEDS[name]) - 1, max(1, len(SEEDS[name]) // 60)):
        path.write_bytes(SEEDS[name][:end])
        found = [frame for _, frame in open_frames(path, RAW)]
        images = [frame.image for frame in found if not isinstance(frame, InputError)]
        at_border = name == "film.raw" and end % FILM[0].nbytes == 0
        complete = len(images) == len(whole)
        assert complete or at_border or any(isinstance(frame, InputError) for frame in found), end
        for image, expected in zip(images, whole, strict=False):
            np.testing.assert_array_equal(image, expected)


def _npy(shape: str, dtype: str = "<u2") -> bytes:
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header


@pytest.mark.parametrize(
    "data",
    [
        _npy("(9999, 9999)"),
        _npy("(99999999999, 99999999999)"),
        _npy("(99999999999, 9, 9)"),
        _npy("(-3, 9, 9)"),
        _npy("(" * 3000 + ")" * 3000),
        _npy("(3, 9, 9)", "|O"),
        _npy("(True, 9)"),
        _npy("(9.5, 9)"),
        b"\x93NUMPY\x02\x00\xff\xff\xff\xff{",
        b"\x93NUMPY\x09\x00",
        b"\x93NUMPY",
    ],
    ids=range(11),
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_header_that_promises_too_much_takes_no_memory(data: bytes, packed: bool, tmp_path: Path) -> None:
    path = tmp_path / ("odd.npz" if packed else "odd.npy")
    if packed:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.npy", data)
    else:
        path.write_bytes(data)
    ((_, said),) = open_frames(path)
    assert isinstance(said, InputError)
    assert answer(lambda _: frame_keys(path), path)


def test_an_archive_that_unpacks_to_far_more_than_the_limit_is_refused_by_its_header(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", _npy("(400, 100, 100)", "|u1") + bytes(400 * 100 * 100))
    assert (tmp_path / "bomb.npz").stat().st_size < 20_000
    ((_, said),) = open_frames(tmp_path / "bomb.npz", Reading(max_pixels=10_000))
    assert "the limit is 100 times" in str(said)


def test_a_file_of_damaged_pages_only_is_given_up_after_twenty(tmp_path: Path) -> None:
    np.save(tmp_path / "film.npy", np.full((500, 4, 4, 1), np.nan, np.float32))
    found = [frame for _, frame in open_frames(tmp_path / "film.npy")]
    assert len(found) == 21
    assert "20 damaged pages in a row" in str(found[-1])


def test_a_tree_with_circles_odd_names_and_closed_folders_is_read_once(tmp_path: Path) -> None:
    deep = tmp_path / "a/b/c"
    deep.mkdir(parents=True)
    Image.new("L", (4, 4)).save(deep / "1.png")
    (deep / "up").symlink_to(tmp_path)
    (tmp_path / "b-again").symlink_to(tmp_path / "a/b")
    (tmp_path / "round").symlink_to("round")
    (tmp_path / "gone").symlink_to("nowhere")
    os.mkfifo(tmp_path / "a/pipe.png")
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/b\xffd\n.png"))
    Image.new("L", (4, 4)).save(odd)
    found = find_frames(tmp_path, recursive=True)
    assert {file.path for file in found.files} == {deep / "1.png", tmp_path / "a/pipe.png", odd}
    assert sum("read already" in remark for remark in found.remarks) == 2
    ((_, said),) = open_frames(tmp_path / "a/pipe.png")
    assert "named pipe" in str(said)
