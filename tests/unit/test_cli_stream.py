"""``infraspot detect --stream``: pipes, drops, damage, ends in the middle, and Ctrl-C."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from itertools import pairwise

import numpy as np
import pytest

from infraspot.cli.main import main
from infraspot.core.errors import InputError, UsageError
from infraspot.data import Frame
from infraspot.data import live as live_module
from infraspot.data.live import LiveFrame, live_frames
from infraspot.jobs import live as jobs_live
from infraspot.jobs.live import detect_live

COMMAND = ["detect", "--method", "tophat", "--sigmas", "6", "--stream"]
SIDE = 48


def frames(count, side=SIDE):
    """(N, H, W) uint16: a slope with noise, and a bright 3x3 target that moves to the right."""
    rng = np.random.default_rng(1)
    film = rng.integers(1000, 1200, (count, side, side), dtype=np.uint16)
    film += (np.arange(side, dtype=np.uint16) * 400)[:, None]
    for k in range(count):
        film[k, 20:23, 5 + k : 8 + k] = 40000
    return film


def pipe(*arguments, content):
    """Run the command with bytes on its standard input: status, JSON lines, and standard error."""
    run = subprocess.run(
        [sys.executable, "-m", "infraspot", *COMMAND, "-", *arguments],
        input=content, capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    return run.returncode, [json.loads(line) for line in run.stdout.splitlines()], run.stderr.decode()


def from_file(tmp_path, content, *arguments):
    """The same from a file, within this process."""
    path = tmp_path / "stream.bin"
    path.write_bytes(content)
    return main([*COMMAND, str(path), *arguments])


def lines(capsys):
    found = capsys.readouterr()
    return [json.loads(line) for line in found.out.splitlines()], found.err


def test_raw_frames_of_a_pipe_become_one_line_each():
    status, found, said = pipe("--raw", f"{SIDE}x{SIDE}:uint16", content=frames(5).tobytes())
    assert status == 0
    assert [one["frame"] for one in found] == [1, 2, 3, 4, 5]
    assert [[round(target["x"]) for target in one["targets"]] for one in found] == [[6], [7], [8], [9], [10]]
    assert {(one["width"], one["height"], one["bit_depth"], one["dropped"]) for one in found} == {
        (48, 48, 16, 0)
    }
    assert all(one["time"] >= 0 and one["ms"] >= 0 for one in found)
    assert "5 frames detected, 0 dropped, 0 could not be read" in said


def test_a_stream_that_ends_in_the_middle_of_a_frame_says_so(tmp_path, capsys):
    content = b"head" + frames(3).tobytes()[:-100]
    assert from_file(tmp_path, content, "--raw", f"{SIDE}x{SIDE}:uint16:little:4") == 1
    found, said = lines(capsys)
    assert [one["frame"] for one in found] == [1, 2]
    assert "ends in the middle of frame 3, after 4508 of 4608 bytes" in said


@pytest.mark.parametrize(
    ("content", "arguments", "words"),
    [
        (b"", ["--raw", "8x8:uint8"], ""),
        (b"ab", ["--raw", "8x8:uint8:little:10"], "ends in its header, after 2 of 10 bytes"),
        (b"", [], "holds no byte"),
        (b"#EXTM3U\nfile:///etc/passwd\n" * 50, [], "of no coding that is read from a pipe"),
        (b"\x1aE\xdf\xa3" + bytes(3000), [], "stream"),
        (b"\xff\xd8\xff" + bytes(3000), [], "1 could not be read"),
        (b"\x47" + bytes(187) + b"\x47" + bytes(4000), [], "stream"),
    ],
)  # fmt: skip
def test_a_stream_of_nothing_is_a_sentence(content, arguments, words, tmp_path, capsys):
    status = from_file(tmp_path, content, *arguments)
    found, said = lines(capsys)
    assert not any("targets" in one for one in found)
    assert status == (1 if words else 0)
    assert words in said
    assert "Traceback" not in said


def test_frames_that_cannot_be_read_are_lines_with_an_error(tmp_path, capsys):
    film = frames(3) >> 4
    film[1, 0, 0] = 60000
    assert from_file(tmp_path, film.tobytes(), "--raw", f"{SIDE}x{SIDE}:uint12") == 1
    found, said = lines(capsys)
    assert [one["frame"] for one in found] == [1, 2, 3]
    assert "more than 12 bits" in found[1]["error"]
    assert "targets" not in found[1]
    assert "2 frames detected, 0 dropped, 1 could not be read" in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-", "-"], "2 sources"),
        (["-", "--out", "x"], "--out"),
        (["-", "--format", "csv"], "--format"),
        (["-", "--recursive"], "--recursive"),
        (["ftp://host/a"], "ftp://"),
        (["file:///etc/passwd"], "cannot take a stream from file://"),
        (["concat:a|b://"], "concat"),
        (["rtsp://host/a", "--raw", "8x8:uint8"], "leave --raw out"),
    ],
)  # fmt: skip
def test_wrong_usage_ends_with_two_and_reads_nothing(arguments, words, capsys):
    assert main([*COMMAND, *arguments]) == 2
    assert words in capsys.readouterr().err


def test_drop_belongs_to_a_stream(capsys):
    assert main(["detect", "somewhere", "--drop"]) == 2
    assert "for --stream" in capsys.readouterr().err


def test_a_source_that_is_not_there_is_a_sentence_without_the_password(capsys):
    pytest.importorskip("av")
    assert main([*COMMAND, "/nowhere/pipe"]) == 1
    assert main([*COMMAND, "tcp://user:secret@127.0.0.1:9/a"]) == 1
    said = capsys.readouterr().err
    assert "cannot open the stream /nowhere/pipe" in said
    assert "tcp://127.0.0.1:9/a" in said
    assert "secret" not in said


def encoded(count, container="matroska", codec="ffv1", form="gray16le"):
    av = pytest.importorskip("av")
    file = io.BytesIO()
    with av.open(file, "w", format=container) as out:
        stream = out.add_stream(codec, rate=10)
        stream.width = stream.height = SIDE
        stream.pix_fmt = form
        for page in frames(count):
            grey = page if form == "gray16le" else (page >> 8).astype(np.uint8)
            picture = av.VideoFrame.from_ndarray(grey, format="gray16le" if form == "gray16le" else "gray")
            out.mux(stream.encode(picture.reformat(format=form)))
        out.mux(stream.encode())
    return file.getvalue()


@pytest.mark.parametrize(
    ("container", "codec", "form"),
    [
        ("matroska", "ffv1", "gray16le"),
        ("mjpeg", "mjpeg", "yuvj420p"),
        ("mpegts", "mpeg2video", "yuv420p"),
        ("yuv4mpegpipe", "rawvideo", "gray"),
    ],
)
def test_encoded_frames_of_a_pipe_are_decoded(container, codec, form):
    status, found, said = pipe(content=encoded(6, container, codec, form))
    assert status == 0, said
    assert [one["frame"] for one in found] == [1, 2, 3, 4, 5, 6]
    assert [round(one["targets"][0]["x"]) for one in found] == [6, 7, 8, 9, 10, 11]
    if container != "mjpeg":
        assert np.diff([one["time"] for one in found]) == pytest.approx([0.1] * 5, abs=1e-3)


def test_an_encoded_stream_that_is_cut_off_gives_what_came_before(tmp_path, capsys):
    content = encoded(12)
    status = from_file(tmp_path, content[: len(content) // 2])
    found, _ = lines(capsys)
    assert 1 <= len(found) < 12
    assert status in (0, 1)  # FFmpeg does not tell every cut from an end


def test_mutated_streams_never_show_a_traceback(tmp_path, capsys):
    whole, rng = np.frombuffer(encoded(6), np.uint8), np.random.default_rng(3)
    for _ in range(25):
        damaged = whole.copy()
        damaged[rng.integers(4, len(whole), 6)] = rng.integers(0, 256, 6)
        assert from_file(tmp_path, damaged[: rng.integers(40, len(whole))].tobytes()) in (0, 1)
    assert "Traceback" not in capsys.readouterr().err


class Slow:
    """An engine that takes its time."""

    name, card = "slow", {}

    def score(self, image):
        time.sleep(0.02)
        return np.zeros(image.shape, np.float32)


def endless(count, gap=0.0):
    for number in range(1, count + 1):
        time.sleep(gap)
        yield LiveFrame(number, number / 100, Frame(np.zeros((16, 16), np.float32), 8))


@pytest.mark.parametrize("drop", [True, False])
def test_frames_that_come_too_fast_are_dropped_and_counted_or_wait(drop, monkeypatch):
    held = []

    def watched(*_):
        for frame in endless(200):
            held.append(frame.number)
            yield frame

    monkeypatch.setattr(jobs_live, "live_frames", watched)
    found = []
    run = detect_live(Slow(), 0.5, "-", found.append, ahead=3, drop=drop)
    assert run.came == 200
    assert run.detected + run.dropped == 200
    assert sum(one["dropped"] for one in found) == run.dropped
    assert [one["frame"] for one in found] == sorted(one["frame"] for one in found)
    assert (run.dropped > 0) == drop
    # A record follows the one before it by as many frames as were dropped, and one.
    numbers = [0, *(one["frame"] for one in found)]
    assert [b - a - 1 for a, b in pairwise(numbers)] == [one["dropped"] for one in found]


def test_a_source_that_waits_is_never_more_than_a_few_frames_ahead(monkeypatch):
    made = []

    def watched(*_):
        for frame in endless(60):
            made.append(frame.number)
            yield frame

    monkeypatch.setattr(jobs_live, "live_frames", watched)
    ahead = []
    detect_live(Slow(), 0.5, "-", lambda one: ahead.append(len(made) - one["frame"]), ahead=3, drop=False)
    assert max(ahead) <= 3 + 2


def test_a_stream_that_breaks_off_is_told_and_one_without_a_frame_raised(monkeypatch):
    def broken(count):
        yield from endless(count)
        raise OSError("unplugged")

    monkeypatch.setattr(jobs_live, "live_frames", lambda *_: broken(2))
    said = []
    run = detect_live(Slow(), 0.5, "-", lambda _: None, tell=said.append)
    assert (run.detected, run.whole) == (2, False)
    assert "unplugged" in str(said[0])
    monkeypatch.setattr(jobs_live, "live_frames", lambda *_: broken(0))
    with pytest.raises(InputError, match="unplugged"):
        detect_live(Slow(), 0.5, "-", lambda _: None)


def test_an_address_is_opened_with_protocols_that_open_no_file(monkeypatch):
    av = pytest.importorskip("av")
    asked = {}

    def opened(name, **options):
        asked.update(options, name=name)
        raise ValueError("not here")

    monkeypatch.setattr(av, "open", opened)
    with pytest.raises(InputError, match="not here"):
        next(live_frames("https://host/live.m3u8"))
    assert "file" not in asked["options"]["protocol_whitelist"].split(",")
    with pytest.raises(InputError):
        next(live_frames("/dev/video7"))
    assert asked["format"] == "v4l2"
    with pytest.raises(UsageError):
        next(live_frames("file:///etc/passwd"))
    assert not any("file" in protocols.split(",") for protocols in live_module._SCHEMES.values())


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_ctrl_c_ends_a_stream_with_whole_lines_and_a_sum():
    process = subprocess.Popen(
        [sys.executable, "-m", "infraspot", *COMMAND, "-", "--raw", f"{SIDE}x{SIDE}:uint16"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        # A background job ignores SIGINT, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdin.write(frames(2).tobytes()[:-1])
    process.stdin.flush()
    first = json.loads(process.stdout.readline())
    assert first["frame"] == 1
    process.send_signal(signal.SIGINT)
    killer = threading.Timer(30, process.kill)
    killer.start()
    rest, said = process.stdout.read(), process.stderr.read().decode()
    assert process.wait() == 0
    killer.cancel()
    process.stdin.close()
    assert rest == b""
    assert "stopped: 1 frame detected" in said
    assert "Traceback" not in said
