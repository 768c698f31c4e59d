"""Frames that come one after the other from a pipe, a camera or an address."""

import io
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from infraspot.core.errors import InputError, UsageError
from infraspot.core.extras import require
from infraspot.data.arrays import Layout
from infraspot.data.images import Frame, attempted_frame
from infraspot.data.raster import attempted, check_size, explained
from infraspot.data.reading import DEFAULT, Reading
from infraspot.data.video import container_of, missing_seconds, packet_end, raster_of

STDIN = "-"

# From the scheme of an address to the protocols that FFmpeg may use for it: none of them opens a file, so
# that a play list cannot lead to one.
_SCHEMES = {
    **dict.fromkeys(("rtsp", "rtsps"), "rtsp,rtsps,rtp,srtp,tcp,udp,tls,crypto"),
    **dict.fromkeys(("http", "https"), "http,https,tcp,tls,httpproxy"),
    **dict.fromkeys(("rtmp", "rtmps"), "rtmp,rtmps,tcp,tls"),
    "rtp": "rtp,udp",
    "udp": "udp",
    "tcp": "tcp",
    "srt": "srt,udp",
}

# Codings of a pipe beside the containers of files: their marks, and the readers of FFmpeg.
_MARKS = (
    (b"\xff\xd8\xff", "mjpeg"),
    (b"DKIF", "ivf"),
    (b"\0\0\0\x01\x40", "hevc"),
    (b"\0\0\0\x01\x67", "h264"),
    (b"\0\0\0\x01\x27", "h264"),
)
_TS_PACKET, _TS_MARK = 188, 0x47
_PROBED = 4 * _TS_PACKET
_PIECE = 1 << 16
_PATIENCE = 20.0  # seconds without a frame after which an address or a camera counts as gone


@dataclass(frozen=True, eq=False)
class LiveFrame:
    """One frame of a stream, or why it cannot be read: its number from 1 on, and its time in seconds.

    The time is the stream's own where it has one, and otherwise that of arrival since the first frame.
    """

    number: int
    time: float
    item: Frame | InputError


def is_live(source: str) -> bool:
    """Whether frames of this source come whether or not anybody takes them: a camera or an address."""
    return _is_device(source) or "://" in source


def live_frames(source: str, reading: Reading = DEFAULT) -> Iterator[LiveFrame]:
    """The frames of a stream as they come; one is held at a time.

    Parameters
    ----------
    source
        ``-`` (standard input), a named pipe or file, a camera such as ``/dev/video0``, or an address
        (rtsp, rtmp, http, udp, tcp, rtp, srt).
    reading
        With ``raw``, the bytes are frames of that form, after its header once. Otherwise the stream is
        encoded, and PyAV decodes it.

    Raises
    ------
    UsageError
        If the source is none of these, or PyAV is missing.
    InputError
        If the stream cannot be opened, is of no known coding, or ends in the middle of a frame or before the
        end that its header gives. What came before was yielded.
    """
    if is_live(source):
        if reading.raw is not None:
            raise UsageError(f"{source} is no stream of plain bytes; leave --raw out")
        return _encoded_frames(source, None, reading)
    return _piped(source, reading)


def _is_device(source: str) -> bool:
    return source.startswith("/dev/video")


def _piped(source: str, reading: Reading) -> Iterator[LiveFrame]:
    """The frames of standard input, a named pipe or a file."""
    name = "standard input" if source == STDIN else source
    try:
        # Without a buffer of Python's, whose lock a thread that waits for bytes would hold to the end.
        stream = io.FileIO(0 if source == STDIN else source, closefd=source != STDIN)
    except OSError as error:
        raise InputError(f"cannot open the stream {source}: {error.strerror}") from error
    with stream:
        if reading.raw is not None:
            yield from _raw_frames(name, stream, reading)
        else:
            yield from _encoded_frames(name, _Bytes(stream), reading)


def _raw_frames(name: str, stream: io.FileIO, reading: Reading) -> Iterator[LiveFrame]:
    form = reading.raw
    assert form is not None
    check_size(name, (form.width, form.height), reading.max_pixels)
    layout = Layout(1, (form.height, form.width), form.dtype, 0, form.bits, form.full_scale)
    head = _read(name, stream, form.header)
    if len(head) < form.header:
        raise InputError(f"{name} ends in its header, after {len(head)} of {form.header} bytes")
    number, started = 0, 0.0
    while data := _read(name, stream, layout.page_bytes):
        if len(data) < layout.page_bytes:
            raise InputError(
                f"{name} ends in the middle of frame {number + 1}, after {len(data)} of {layout.page_bytes}"
                " bytes: it was cut off, or --raw does not fit it"
            )
        number, now = number + 1, time.monotonic()
        started = started or now
        where = f"{name} frame {number}"
        raster = attempted(where, partial(layout.raster, data, where))
        yield LiveFrame(number, now - started, attempted_frame(raster, where))


def _read(name: str, stream: io.FileIO, count: int) -> bytes:
    """That many bytes, or those before the end."""
    pieces, left = [], count
    with explained(name):
        while left and (piece := stream.read(min(left, _PIECE))):
            pieces.append(piece)
            left -= len(piece)
    return b"".join(pieces)


class _Bytes:
    """A pipe as PyAV reads it: it cannot be wound back, but its first bytes can be looked at."""

    def __init__(self, stream: io.FileIO) -> None:
        self._stream, self._ahead = stream, b""

    def look(self, count: int) -> bytes:
        while len(self._ahead) < count and (piece := self._stream.read(count - len(self._ahead))):
            self._ahead += piece
        return self._ahead

    def read(self, count: int) -> bytes:
        if self._ahead:
            piece, self._ahead = self._ahead[:count], self._ahead[count:]
            return piece
        return self._stream.read(count) or b""


def _encoded_frames(name: str, stream: _Bytes | None, reading: Reading) -> Iterator[LiveFrame]:
    """The frames that PyAV decodes from bytes, or from the camera or address ``name``."""
    require("video", f"the stream {_without_password(name)}")
    from av.error import FFmpegError

    number, started, end = 0, 0.0, 0.0
    container, name = _opened(name, stream, reading), _without_password(name) if stream is None else name
    with container:
        if not container.streams.video:
            raise InputError(f"{name} holds no pictures that can be decoded")
        video = container.streams.video[0]
        video.codec_context.thread_count = 1
        video.codec_context.options = {"max_pixels": str(reading.max_pixels)}
        rate = float(video.average_rate or 25)
        packets = container.demux(video)
        while (packet := _next_packet(name, number, packets)) is not None:
            end = max(end, packet_end(packet, video, rate))
            try:
                frames: list[Any] = packet.decode()
            except FFmpegError as error:
                frames = [
                    InputError(
                        f"{name} frame {number + 1} is damaged ({error.strerror or 'no reason given'})"
                    )
                ]
            for frame in frames:
                number, now = number + 1, time.monotonic()
                started = started or now
                where = f"{name} frame {number}"
                if isinstance(frame, InputError):
                    yield LiveFrame(number, now - started, frame)
                    continue
                stamp = now - started if frame.time is None else float(frame.time)
                raster = raster_of(frame, where, reading)
                yield LiveFrame(number, stamp, attempted_frame(raster, where))
        if stream is None:
            raise InputError(f"{name} gave no more after frame {number}: the camera or its sender has ended")
        if not number:
            raise InputError(f"{name} holds no frame")
        if missing := missing_seconds(container, video, end, rate):
            raise InputError(
                f"{name} ends after frame {number}, {missing:.2g} s before the end that its header gives: it"
                " was cut off"
            )


def _opened(name: str, stream: _Bytes | None, reading: Reading) -> Any:
    import av
    from av.error import FFmpegError

    if stream is not None:
        coding = _coding(name, stream.look(_PROBED))
        with explained(name):
            return av.open(stream, format=coding, metadata_errors="replace")
    options = {"max_pixels": str(reading.max_pixels)}
    if _is_device(name):
        form, shown = "v4l2", name
    else:
        scheme = urlsplit(name).scheme.lower()
        if scheme not in _SCHEMES:
            raise UsageError(f"cannot take a stream from {scheme}://; expected {', '.join(_SCHEMES)}")
        form, shown = None, _without_password(name)
        options["protocol_whitelist"] = _SCHEMES[scheme]
    try:
        return av.open(name, format=form, options=options, timeout=_PATIENCE, metadata_errors="replace")
    except (FFmpegError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"cannot open the stream {shown}: {reason}") from error


def _coding(name: str, first: bytes) -> str:
    """FFmpeg's reader for a pipe, by its first bytes; none that opens other files."""
    if not first:
        raise InputError(f"{name} holds no byte; the program before it wrote nothing")
    if len(first) > _TS_PACKET and first[0] == first[_TS_PACKET] == _TS_MARK:
        return "mpegts"
    marked = (coding for mark, coding in _MARKS if first.startswith(mark))
    coding = next(marked, None) or container_of(first)
    if coding is None:
        raise InputError(
            f"{name} is of no coding that is read from a pipe (Matroska, MPEG-TS, MJPEG, H.264, H.265, IVF,"
            " y4m, AVI, FLV, MP4 in pieces); plain frames need --raw, such as --raw 640x512:uint16"
        )
    return coding


def _next_packet(name: str, number: int, packets: Iterator[Any]) -> Any:
    from av.error import FFmpegError

    try:
        return next(packets, None)
    except FFmpegError as error:
        raise InputError(
            f"{name} broke off after frame {number} ({error.strerror or 'no reason given'})"
        ) from error


def _without_password(address: str) -> str:
    parts = urlsplit(address)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl() if "@" in parts.netloc else address
