"""Videos: each frame in turn, grey and at its depth; a cut is said after the frames that are there."""

import io
from fractions import Fraction

import numpy as np
import pytest

from infraspot.core.errors import InputError
from infraspot.data import Reading, frame_keys, open_frames, read_image

av = pytest.importorskip("av")

COUNT, HEIGHT, WIDTH = 6, 32, 48
LEVELS = [20 + 35 * number for number in range(COUNT)]


def video(kind, codec="ffv1", pixels="gray", count=COUNT):
    """The bytes of a video whose frames have one brightness each, and a brighter square."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=kind) as container:
        stream = container.add_stream(codec, rate=Fraction(25))
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pixels
        for level in LEVELS[:count]:
            image = np.full((HEIGHT, WIDTH), level, np.uint8)
            image[8:16, 8:16] = 250
            for packet in stream.encode(av.VideoFrame.from_ndarray(image, format="gray")):
                container.mux(packet)
        container.mux(stream.encode())
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "codec", "pixels", "off"),
    [
        ("matroska", "ffv1", "gray", 0),
        ("matroska", "ffv1", "gray16le", 0),
        ("avi", "ffv1", "gray", 0),
        ("avi", "rawvideo", "bgr24", 0),
        ("mp4", "mpeg4", "yuv420p", 4),
        ("avi", "mjpeg", "yuvj420p", 4),
    ],
)
def test_frames_have_the_brightness_that_they_were_made_with(name, codec, pixels, off, tmp_path):
    path = tmp_path / "film.bin"
    path.write_bytes(video(name, codec, pixels))
    found = list(open_frames(path))
    assert [key.page for key, _ in found] == [1, 2, 3, 4, 5, 6]
    for (_, frame), level in zip(found, LEVELS, strict=True):
        assert frame.bit_depth == (16 if "16" in pixels else 8)
        assert abs(np.median(frame.image) * 255 - level) <= off + 1e-3
        assert abs(frame.image[12, 12] * 255 - 250) <= off + 1e-3
    assert [str(key) for key in frame_keys(path)] == [f"{path}#{page}" for page in range(1, 7)]
    assert abs(np.median(read_image(path, 4).image) * 255 - LEVELS[3]) <= off + 1e-3


def test_a_video_of_one_frame_has_no_page(tmp_path):
    (tmp_path / "one.mkv").write_bytes(video("matroska", count=1))
    ((key, _),) = open_frames(tmp_path / "one.mkv")
    assert key.page is None
    assert frame_keys(tmp_path / "one.mkv") == [key]


@pytest.mark.parametrize(
    ("kind", "codec", "pixels"), [("matroska", "ffv1", "gray"), ("avi", "mjpeg", "yuvj420p")]
)
def test_a_video_that_is_cut_off_gives_its_frames_and_then_says_so(kind, codec, pixels, tmp_path):
    data = video(kind, codec, pixels)
    whole = [frame.image for _, frame in open_frames(_write(tmp_path, data))]
    seen = set()
    for share in (0.3, 0.6, 0.75, 0.85, 0.92):
        *frames, (_, last) = open_frames(_write(tmp_path, data[: int(share * len(data))]))
        images = [frame.image for _, frame in frames if not isinstance(frame, InputError)]
        assert isinstance(last, InputError)
        assert len(images) < COUNT
        for image, expected in zip(images, whole, strict=False):
            np.testing.assert_array_equal(image, expected)
        seen.add(len(images))
    assert max(seen) >= 3


def _write(folder, data):
    (folder / "film.avi").write_bytes(data)
    return folder / "film.avi"


@pytest.mark.parametrize(
    "data",
    [
        b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
        b"\x1aE\xdf\xa3" + bytes(200),
        b"RIFF\x10\0\0\0AVI LIST" + bytes(40),
        bytes(4) + b"ftypisom" + bytes(300),
    ],
)
def test_a_file_that_is_no_video_is_refused_and_lists_of_other_files_are_not_followed(data, tmp_path):
    with pytest.raises(InputError, match=r"no video|cannot be decoded|no pictures|no frame"):
        read_image(_write(tmp_path, data))


def test_limits_hold_before_a_frame_is_decoded(tmp_path):
    path = _write(tmp_path, video("avi"))
    with pytest.raises(InputError, match="million pixels, and the limit"):
        read_image(path, max_pixels=WIDTH * HEIGHT - 1)
    ((_, said),) = open_frames(path, Reading(max_pages=COUNT - 1))
    assert "more than 5 pages" in str(said)


def test_without_pyav_the_sentence_has_the_line_that_installs_it(tmp_path, monkeypatch):
    path = _write(tmp_path, video("avi"))
    monkeypatch.setattr("infraspot.core.extras.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'infraspot\[video\]'"):
        read_image(path)
