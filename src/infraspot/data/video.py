"""Videos by PyAV, one frame at a time."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from infraspot.core.errors import InputError
from infraspot.core.extras import require
from infraspot.data.raster import Raster, check_pages, check_size, explained, page_name
from infraspot.data.reading import Reading

# Where a container's mark stands, the mark, and the one reader of containers that may have the file. Without
# that choice FFmpeg would also take play lists, which open other files and addresses.
_CONTAINERS = (
    (4, b"ftyp", "mp4"),
    (4, b"moov", "mp4"),
    (4, b"mdat", "mp4"),
    (4, b"wide", "mp4"),
    (4, b"free", "mp4"),
    (0, b"\x1aE\xdf\xa3", "matroska"),
    (8, b"AVI ", "avi"),
    (0, b"FLV\x01", "flv"),
    (0, b"0&\xb2u", "asf"),
    (0, b"\0\0\x01\xba", "mpeg"),
    (0, b"YUV4MPEG2", "yuv4mpegpipe"),
)
MAGIC_BYTES = 16


def container_of(magic: bytes) -> str | None:
    """FFmpeg's name of the container that a file's first bytes show, or None."""
    return next((name for at, mark, name in _CONTAINERS if magic[at : at + len(mark)] == mark), None)


def video_pages(
    path: Path, file: BinaryIO, reading: Reading, first: int = 1
) -> Iterator[Raster | InputError]:
    """Every frame of the first video stream, from number ``first`` on (those before it are decoded too).

    Raises
    ------
    InputError
        If PyAV is absent, the file cannot be opened, has too many frames, or ends too early.
    """
    number, end, fresh = 0, 0.0, 0
    with _opened(path, file, reading) as (container, stream):
        from av.error import FFmpegError  # not before it is known that PyAV is there

        rate = float(stream.average_rate or 25)
        for packet in _packets(path, container, stream):
            end = max(end, packet_end(packet, stream, rate))
            try:
                frames = packet.decode()
            except FFmpegError as error:
                number += 1
                if number >= first:
                    yield _damaged(page_name(path, number), error.strerror or "no reason given")
                continue
            for frame in frames:
                number += 1
                fresh += frame.width * frame.height
                check_pages(str(path), number, reading.max_pages, fresh, reading.max_pixels)
                if number >= first:
                    yield raster_of(frame, page_name(path, number), reading)
        missing = missing_seconds(container, stream, end, rate)
    if not number:
        raise InputError(f"{path} holds no frame; restore it from its source or leave it out")
    if missing:
        raise InputError(
            f"{path} ends after frame {number}, {missing:.2g} s before the end that its header gives; it was "
            "cut off: the frames before were read"
        )


def count_video(path: Path, file: BinaryIO, reading: Reading) -> int:
    """How many frames a video has: by its header, or else by its packets, which are not decoded."""
    with _opened(path, file, reading) as (container, stream):
        if stream.frames:
            return int(stream.frames)
        return sum(bool(packet.size) for packet in _packets(path, container, stream))


@contextmanager
def _opened(path: Path, file: BinaryIO, reading: Reading) -> Iterator[tuple[Any, Any]]:
    """The container and its first video stream, both checked against the limits."""
    require("video", f"the video {path}", InputError)
    import av

    file.seek(0)
    container_format = container_of(file.read(MAGIC_BYTES))
    if container_format is None:
        raise InputError(
            f"{path} is no video that can be read (mp4, mov, avi, mkv, webm, wmv, flv, mpg, y4m), whatever "
            "its name; convert it or leave it out"
        )
    file.seek(0)
    with explained(str(path)):
        container = av.open(file, format=container_format, metadata_errors="replace")
    with container:
        if not container.streams.video:
            raise InputError(f"{path} holds no pictures that can be decoded; convert it or leave it out")
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1  # memory stays small, and frames come one by one
        size = stream.codec_context.width, stream.codec_context.height
        check_size(str(path), size, reading.max_pixels)
        stream.codec_context.options = {"max_pixels": str(reading.max_pixels)}
        expected = stream.frames or math.floor(_length(container, stream) * float(stream.average_rate or 0))
        pixels = expected * math.prod(size)
        check_pages(str(path), expected, reading.max_pages, pixels, reading.max_pixels)
        yield container, stream


def packet_end(packet: Any, stream: Any, rate: float) -> float:
    """When the last frame of a packet ends, in seconds; 0 where it has no time."""
    time = packet.dts if packet.pts is None else packet.pts
    if time is None:
        return 0.0
    lasts = float(packet.duration * stream.time_base) if packet.duration else 1 / rate
    return float(time * stream.time_base) + lasts


def _packets(path: Path, container: Any, stream: Any) -> Iterator[Any]:
    """The packets of the stream; whatever is wrong with the container is said in a sentence."""
    packets = container.demux(stream)
    while True:
        with explained(str(path)):
            packet = next(packets, None)
        if packet is None:
            return
        yield packet


def raster_of(frame: Any, where: str, reading: Reading) -> Raster | InputError:
    """The brightness of a frame of PyAV, or why there is none; FFmpeg makes it a grey of the full range."""
    try:
        check_size(where, (frame.width, frame.height), reading.max_pixels)
        if frame.is_corrupt:
            return _damaged(where, "its data are damaged")
        bits = max(component.bits for component in frame.format.components)
        with explained(where):
            if bits > 8:
                return Raster(frame.to_ndarray(format="gray16le"), bits, 65535)
            return Raster(frame.to_ndarray(format="gray"), 8, 255)
    except InputError as error:
        return error


def _damaged(where: str, why: str) -> InputError:
    return InputError(f"{where} cannot be decoded ({why}); it is damaged: the other frames are read")


def _length(container: Any, stream: Any) -> float:
    """Seconds that the header gives to the stream, 0 where it does not say."""
    if stream.frames and container.format.name == "avi":  # its duration is guessed from the bytes there are
        return float(stream.frames / (stream.average_rate or 25))
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    if container.duration and len(container.streams) == 1:
        return float(container.duration) / 1e6
    return 0.0


def missing_seconds(container: Any, stream: Any, end: float, rate: float) -> float:
    """Seconds between the last frame and the end that the header gives; less than a frame counts as none."""
    start = float((stream.start_time or 0) * stream.time_base)
    missing = _length(container, stream) - (end - start)
    return missing if missing * rate > 0.75 else 0.0
