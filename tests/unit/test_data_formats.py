"""FITS, ENVI, CPTV, radiometric JPEG and HDF5: files written here, whole and damaged."""

import gzip
import io
import struct

import numpy as np
import pytest
from PIL import Image

from infraspot.core.errors import InputError
from infraspot.data import Reading, frame_keys, open_frames, read_image
from infraspot.data.images import read_pages

RAMP = np.arange(15, dtype=np.uint16).reshape(3, 5) * 4000


def card(name, value):
    return f"{name:8}= {value:>20}".ljust(80)


def fits(cards, data, extra=()):
    """A FITS file of one header and its data, in blocks."""
    header = "".join([card("SIMPLE", "T"), *(card(*one) for one in cards), *extra, "END".ljust(80)])
    blocks = header.ljust(-(-len(header) // 2880) * 2880).encode()
    return blocks + data + bytes(-len(data) % 2880)


def unsigned(frames):
    """16-bit counts as FITS keeps them."""
    stored = (frames.astype(np.int32) - 32768).astype(">i2").tobytes()
    axes = [("NAXIS", frames.ndim), *((f"NAXIS{k + 1}", side) for k, side in enumerate(frames.shape[::-1]))]
    return fits([("BITPIX", 16), *axes, ("BZERO", 32768), ("BSCALE", "1.0")], stored)


def envi(folder, frames, order="bsq", name="scene", **changes):
    """An ENVI header and its data; frames are (bands, H, W)."""
    axes = {"bsq": (0, 1, 2), "bil": (1, 0, 2), "bip": (1, 2, 0)}[order]
    kinds = {"u1": 1, "i2": 2, "f4": 4, "u2": 12}
    fields = {
        "samples": frames.shape[2], "lines": frames.shape[1], "bands": frames.shape[0], "header offset": 0,
        "data type": kinds[frames.dtype.str[1:]], "interleave": order,
        "byte order": int(frames.dtype.str[0] == ">"),
        "wavelength": "{\n 1,\n samples = 9}", **changes,
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    text = "ENVI\n" + "".join(f"{key} = {value}\n" for key, value in fields.items() if value is not None)
    (folder / f"{name}.hdr").write_text(text)
    (folder / f"{name}.img").write_bytes(np.ascontiguousarray(frames.transpose(axes)).tobytes())
    return folder / f"{name}.hdr"


def field(name, data):
    return bytes([len(data)]) + name + data


def cptv(frames, bits=None, header=None, zipped=True):
    """A CPTV file, packed bit by bit."""
    height, width = frames[0].shape
    content = b"CPTV\x02H" + (
        header
        if header is not None
        else b"\x04"
        + field(b"C", b"\x01")
        + field(b"X", struct.pack("<I", width))
        + field(b"Y", struct.pack("<I", height))
        + field(b"D", b"night")
    )
    before = np.zeros(width * height, np.int64)
    for frame in frames:
        snake = frame.astype(np.int64).copy()
        snake[1::2] = snake[1::2, ::-1]
        deltas = np.diff(snake.ravel() - before, prepend=0).tolist()
        before = snake.ravel()
        wide = bits or max(max((value if value >= 0 else ~value).bit_length() + 1 for value in deltas[1:]), 1)
        text = "".join(format(value & ((1 << wide) - 1), f"0{wide}b") for value in deltas[1:])
        packed = int(text.ljust(-(-len(text) // 8) * 8, "0"), 2).to_bytes(-(-len(text) // 8), "big")
        data = struct.pack("<i", deltas[0]) + packed
        content += (
            b"F\x03"
            + field(b"t", bytes(4))
            + field(b"w", bytes([wide]))
            + field(b"f", struct.pack("<I", len(data)))
            + data
        )
    return gzip.compress(content) if zipped else content


def picture(kind, values):
    file = io.BytesIO()
    Image.fromarray(values).save(file, kind)
    return file.getvalue()


def flir(counts, inner="png", pieces=2, order=">", **changes):
    """A JPEG with the counts in segments of FLIR."""
    height, width = counts.shape
    data = {
        "png": lambda: picture("PNG", counts.byteswap()),
        "tiff": lambda: picture("TIFF", counts),
        "raw": lambda: counts.astype("<u2").tobytes(),
    }[inner]()  # fmt: skip
    record = (
        struct.pack("<HHH", 2, changes.get("width", width), changes.get("height", height)).ljust(32, b"\0")
        + data
    )
    directory = struct.pack(f"{order}HHIIII", 1, 0, 100, 1, 64 + 32, len(record)).ljust(32, b"\0")
    whole = (b"FFF\0" + bytes(20) + struct.pack(f"{order}II", 64, 1)).ljust(64, b"\0") + directory + record
    jpeg, size = picture("JPEG", np.full((height * 4, width * 4), 90, np.uint8)), -(-len(whole) // pieces)
    segments = b""
    for k in range(pieces):
        if k == changes.get("without"):
            continue
        body = b"FLIR\0\x01" + bytes([k, pieces - 1]) + whole[k * size : (k + 1) * size]
        segments += b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body
    return jpeg[:2] + segments + jpeg[2:]


def saved(path, content):
    path.write_bytes(content)
    return path


def counts_of(frame):
    return np.rint(frame.image * 65535).astype(int)


def test_unsigned_counts_of_fits_are_read_with_their_depth(tmp_path):
    path = saved(tmp_path / "a.fits", unsigned(RAMP))
    frame = read_image(path)
    assert frame.bit_depth == 16
    np.testing.assert_array_equal(counts_of(frame), RAMP)


def test_planes_of_fits_are_pages_and_extensions_are_searched(tmp_path):
    cube = np.stack([RAMP, RAMP[::-1]])
    found = [frame for _, frame in open_frames(saved(tmp_path / "cube.fits", unsigned(cube)))]
    np.testing.assert_array_equal([counts_of(one) for one in found], cube)
    empty = fits([("BITPIX", 8), ("NAXIS", 0), ("EXTEND", "T")], b"")
    image = unsigned(RAMP).replace(card("SIMPLE", "T").encode(), card("XTENSION", "'IMAGE   '").encode())
    np.testing.assert_array_equal(counts_of(read_image(saved(tmp_path / "e.fits", empty + image))), RAMP)


def test_scaled_values_of_fits_are_stretched(tmp_path):
    data = np.array([[-1.5, 0.0], [1.0, 2.5]], ">f4").tobytes()
    axes = [("BITPIX", -32), ("NAXIS", 2), ("NAXIS1", 2), ("NAXIS2", 2)]
    path = saved(tmp_path / "a.fit", fits([*axes, ("BZERO", "10.0"), ("BSCALE", "2.D0")], data))
    np.testing.assert_allclose(read_image(path).image, [[0, 0.375], [0.625, 1]])


@pytest.mark.parametrize("order", ["bsq", "bil", "bip"])
@pytest.mark.parametrize("dtype", ["<u2", ">u2"])
def test_bands_of_envi_are_pages_in_every_interleave(tmp_path, order, dtype):
    cube = np.stack([RAMP, RAMP[::-1], RAMP // 2]).astype(dtype)
    path = envi(tmp_path, cube, order)
    assert len(frame_keys(path)) == 3
    np.testing.assert_array_equal([counts_of(one) for one in read_pages(path)], cube)
    np.testing.assert_array_equal(counts_of(read_image(path, 2)), cube[1])


@pytest.mark.parametrize("bits", [None, 8, 12, 17, 24])
def test_frames_of_cptv_are_unpacked(tmp_path, bits):
    rng = np.random.default_rng(2)
    frames = rng.integers(3000, 3000 + (30 if bits == 8 else 1500), (3, 6, 5)).astype(np.uint16)
    path = saved(tmp_path / "a.cptv", cptv(frames, bits))
    assert len(frame_keys(path)) == 3
    np.testing.assert_array_equal([counts_of(one) for one in read_pages(path)], frames)


@pytest.mark.parametrize("inner", ["png", "tiff", "raw"])
@pytest.mark.parametrize("order", [">", "<"])
def test_a_radiometric_jpeg_gives_its_counts_and_not_its_picture(tmp_path, inner, order):
    frame = read_image(saved(tmp_path / "a.jpg", flir(RAMP, inner, order=order)))
    assert frame.bit_depth == 16
    np.testing.assert_array_equal(counts_of(frame), RAMP)


def test_a_plain_jpeg_stays_a_picture(tmp_path):
    plain = picture("JPEG", np.full((8, 9), 90, np.uint8))
    exif = plain[:2] + b"\xff\xe1\x00\x0aExif\0\0ab" + plain[2:]
    for content in (plain, exif, plain[:2] + b"\xff\xff\xff\xe0\x00\x02" + plain[2:]):
        assert read_image(saved(tmp_path / "a.jpg", content)).image.shape == (8, 9)


PLANE = [("BITPIX", 8), ("NAXIS", 2), ("NAXIS1", 2), ("NAXIS2", 2)]
SIZE = field(b"X", b"\xff" * 4) + field(b"Y", b"\xff" * 4)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (unsigned(RAMP)[:1000], "ends in its header"),
        (unsigned(RAMP)[:2890], "10 bytes of pixels"),
        (fits([("BITPIX", 17), ("NAXIS", 0)], b""), "BITPIX 17"),
        (fits([("BITPIX", 8), ("NAXIS", "many")], b""), "whole number for NAXIS"),
        (fits([("BITPIX", 8), ("NAXIS", 2), ("NAXIS1", 10**9), ("NAXIS2", 10**9)], b""), "million pixels"),
        (fits([*PLANE[:1], ("NAXIS", 3), *PLANE[2:], ("NAXIS3", 10**9)], bytes(4)), "pages"),
        (fits([*PLANE, ("BZERO", "nan")], bytes(4)), "BZERO"),
        (fits([("BITPIX", 8), ("NAXIS", 0)], b""), "no image of two axes"),
        (fits([("BITPIX", 8), ("NAXIS", 2), ("NAXIS1", -2), ("NAXIS2", 2)], b""), "NAXIS1"),
        (b"SIMPLE  =" + b" " * 2880 * 3, "header"),
    ],
)  # fmt: skip
def test_damaged_fits_is_a_sentence(tmp_path, content, words):
    errors = [one for one in read_pages(saved(tmp_path / "a.fits", content)) if isinstance(one, InputError)]
    assert words in str(errors[0])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"samples": None}, "samples"),
        ({"samples": -4}, "samples"),
        ({"lines": 10**9}, "million pixels"),
        ({"bands": 10**6}, "pages"),
        ({"data type": 6}, "data type '6'"),
        ({"interleave": "tiles"}, "'tiles'"),
        ({"header offset": 10**11}, "cut off"),
        ({"lines": 300}, "cut off"),
    ],
)
def test_damaged_envi_is_a_sentence(tmp_path, changes, words):
    errors = [one for one in read_pages(envi(tmp_path, RAMP[None], **changes)) if isinstance(one, InputError)]
    assert words in str(errors[0])


def test_a_header_of_envi_opens_nothing_but_its_neighbour(tmp_path):
    path = envi(tmp_path, RAMP[None])
    content = path.read_bytes()
    (path.with_suffix(".img")).unlink()
    with pytest.raises(InputError, match="not beside it"):
        read_image(path)
    (found,) = read_pages(path, content=content)
    assert "did not come with it" in str(found)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (gzip.compress(b"hello"), "no CPTV"),
        (cptv([RAMP])[:-20], "cannot be decoded|ends too early"),
        (gzip.compress(cptv([RAMP], zipped=False)[:-3]), "ends too early"),
        (gzip.compress(b"CPTV\x02H\x00"), "compression"),
        (gzip.compress(b"CPTV\x02F\x00"), "no CPTV header"),
        (cptv([RAMP], header=b"\x03" + field(b"C", b"\x01") + SIZE), "million pixels"),
        (gzip.compress(cptv([RAMP], zipped=False) + b"Q\x00"), "section"),
    ],
)  # fmt: skip
def test_damaged_cptv_is_a_sentence(tmp_path, content, words):
    path = saved(tmp_path / "a.cptv", content)
    errors = [str(one) for one in read_pages(path) if isinstance(one, InputError)]
    assert len(errors) == 1
    assert any(part in errors[0] for part in words.split("|"))


def test_a_bomb_of_cptv_is_refused_by_its_frames(tmp_path):
    one = cptv([np.zeros((3, 4), np.uint16)], zipped=False)
    frame = one[one.index(b"F\x03") :]
    path = saved(tmp_path / "a.cptv", gzip.compress(one + frame * 5000))
    found = list(read_pages(path, Reading(max_pages=100)))
    assert "more than 100 pages" in str(found[-1])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"without": 0}, "lacks segment 0"),
        ({"without": 1}, "cannot be decoded|records that makes sense|holds no counts|lacks"),
        ({"width": 60000, "height": 60000}, "million pixels"),
        ({"width": 6}, "6x3"),
    ],
)
def test_damaged_radiometric_jpeg_is_a_sentence(tmp_path, changes, words):
    with pytest.raises(InputError) as caught:
        read_image(saved(tmp_path / "a.jpg", flir(RAMP, **changes)))
    assert any(part in str(caught.value) for part in words.split("|"))


def test_mutated_files_are_frames_or_sentences(tmp_path):
    rng = np.random.default_rng(7)
    header = envi(tmp_path / "envi", RAMP[None]).read_bytes()
    wholes = {
        "a.fits": unsigned(np.stack([RAMP, RAMP])), "a.cptv": cptv([RAMP, RAMP]), "a.jpg": flir(RAMP),
        "envi/scene.hdr": header,
    }  # fmt: skip
    for name, whole in wholes.items():
        first = min(len(whole), 3000)
        for _ in range(120):
            damaged = np.frombuffer(whole, np.uint8).copy()
            damaged[rng.integers(9, first, 4)] = rng.integers(0, 256, 4)
            path = saved(tmp_path / name, damaged[: rng.integers(20, len(whole) + 1)].tobytes())
            for frame in read_pages(path, Reading(max_pixels=10_000, max_pages=50)):
                assert isinstance(frame, InputError) or np.isfinite(frame.image).all()


h5py = pytest.importorskip("h5py", reason="h5py is not installed")


def test_frames_of_hdf5_are_pages_of_the_array_that_is_named(tmp_path):
    cube = np.stack([RAMP, RAMP[::-1]])
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["camera/frames"] = cube
        file["times"] = [0.0, 0.1]
    found = list(read_pages(tmp_path / "a.h5"))
    np.testing.assert_array_equal([counts_of(one) for one in found], cube)
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file["dark"] = RAMP
    (error,) = read_pages(tmp_path / "a.h5")
    assert "holds 2 arrays (camera/frames, dark)" in str(error)
    (frame,) = read_pages(tmp_path / "a.h5", Reading(array="dark"))
    np.testing.assert_array_equal(counts_of(frame), RAMP)


def test_hdf5_opens_no_other_file(tmp_path):
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["frames"] = RAMP
    with h5py.File(tmp_path / "link.h5", "w") as file:
        file["frames"] = h5py.ExternalLink("secret.h5", "frames")
        file["soft"] = h5py.SoftLink("/frames")
        file["circle/again"] = h5py.SoftLink("/")
        file["loop"] = file["circle"]
    (error,) = read_pages(tmp_path / "link.h5")
    assert "holds 0 arrays" in str(error)
    RAMP.tofile(tmp_path / "secret.bin")
    with h5py.File(tmp_path / "external.h5", "w") as file:
        file.create_dataset("frames", RAMP.shape, RAMP.dtype, external=[("secret.bin", 0, RAMP.nbytes)])
    (error,) = read_pages(tmp_path / "external.h5")
    assert "other files" in str(error)
    layout = h5py.VirtualLayout(RAMP.shape, RAMP.dtype)
    layout[...] = h5py.VirtualSource("secret.h5", "frames", RAMP.shape)
    with h5py.File(tmp_path / "virtual.h5", "w") as file:
        file.create_virtual_dataset("frames", layout)
    (error,) = read_pages(tmp_path / "virtual.h5")
    assert "other files" in str(error)


def test_hdf5_of_other_things_is_a_sentence(tmp_path):
    for name, value in {"words": ["a", "b"], "huge": None, "complex": np.ones((2, 2), complex)}.items():
        with h5py.File(tmp_path / "a.h5", "w") as file:
            if value is None:
                file.create_dataset("huge", (10**6, 10**6), "u1", chunks=(100, 100))
            else:
                file[name] = value
        (error,) = read_pages(tmp_path / "a.h5")
        assert isinstance(error, InputError)
    (error,) = read_pages(tmp_path / "a.h5", content=(tmp_path / "a.h5").read_bytes())
    assert "read from a disk only" in str(error)
    saved(tmp_path / "b.h5", (tmp_path / "a.h5").read_bytes()[:700])
    (error,) = read_pages(tmp_path / "b.h5")
    assert isinstance(error, InputError)
