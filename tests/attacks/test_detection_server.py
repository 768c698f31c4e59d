"""``infraspot serve`` as a process: odd requests, bombs, slow senders, and how it ends."""

import http.client
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import zlib

import numpy as np
import pytest
from hostile import mutated
from PIL import Image

pytestmark = pytest.mark.slow

ODD_REQUESTS = 2000
TIMEOUT = 60


class Server:
    """``infraspot serve`` in a process of its own."""

    def __init__(self, *options: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "infraspot", "serve", "--port", "0", "--threads", "1", *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        assert self.process.stdout is not None
        self.token = ""
        for line in self.process.stdout:
            if found := re.match(r"token (\S+)", line):
                self.token = found[1]
            if found := re.search(r"http://127\.0\.0\.1:(\d+)/detect", line):
                self.port = int(found[1])
                return
        raise AssertionError(self.process.stderr.read())

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
        """The status and the body of the answer; status 0 where the connection ends without one."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
        headers = {"Authorization": f"Bearer {self.token}", **headers}
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (ConnectionError, http.client.BadStatusLine):
            return 0, b""
        finally:
            connection.close()

    def head(self, length: int) -> bytes:
        """The first lines of a request with a body of this length."""
        lines = [
            "POST /detect HTTP/1.1",
            f"Host: 127.0.0.1:{self.port}",
            f"Authorization: Bearer {self.token}",
        ]
        return "\r\n".join([*lines, f"Content-Length: {length}", "", ""]).encode()

    def send(self, data: bytes) -> bytes:
        """What comes back for these very bytes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT) as connection:
            try:
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
                return connection.recv(65536)
            except ConnectionError:
                return b""

    def resident(self) -> int:
        """Bytes of the process in memory."""
        with open(f"/proc/{self.process.pid}/statm") as file:  # noqa: PTH123
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def stop(self, number: int = signal.SIGINT) -> tuple[int, str]:
        self.process.send_signal(number)
        _, said = self.process.communicate(timeout=TIMEOUT)
        return self.process.returncode, said


@pytest.fixture
def server():
    running = Server("--method", "tophat")
    yield running
    running.process.kill()
    running.process.communicate()


def png(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(values).save(file, "PNG")
    return file.getvalue()


def bomb(side: int) -> bytes:
    """A PNG of a few kilobytes whose rows are all zero: ``side`` pixels high and wide."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    header = side.to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])
    rows = zlib.compressobj(9)
    data = b"".join(rows.compress(bytes(side + 1)) for _ in range(side)) + rows.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def odd_request(server: Server, rng: np.random.Generator, images: list[bytes]) -> int:
    """Send something that no good client sends, and return the status (0 where there is none)."""
    body = mutated(images[rng.integers(len(images))], rng)
    kind = rng.integers(6)
    if kind == 0:
        return server.ask("POST", "/detect", body)[0]
    if kind == 1:
        form = b'--x\r\nContent-Disposition: form-data; filename="a.tif"\r\n\r\n' + body + b"\r\n--x--\r\n"
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        return server.ask("POST", "/detect", mutated(form, rng), **headers)[0]
    if kind == 2:
        address = "/detect?" + "".join(chr(c) for c in rng.integers(33, 127, 20))
        return server.ask("POST", address, body)[0]
    if kind == 3:
        raw = ["1x1:uint8", "9" * 9 + "x1:uint16", "64x48:uint16:big:7", "0x0:uint8", "8x8:float64", "x"]
        return server.ask("POST", f"/detect?raw={raw[rng.integers(len(raw))]}&name=%00%0A..%2F", body)[0]
    if kind == 4:
        method = ["GET", "PUT", "DELETE", "HEAD", "OPTIONS", "TRACE", "BREW"][rng.integers(7)]
        return server.ask(method, ["/detect", "/metadata", "/", "/%ff", "/../x"][rng.integers(5)])[0]
    answer = server.send(mutated(server.head(len(body)) + body, rng))
    return int(answer.split()[1]) if answer.startswith(b"HTTP/1.1 ") else 0


def test_two_thousand_odd_requests_bring_no_fault_and_no_growth(server, rng):
    values = rng.integers(0, 255, (48, 64)).astype(np.uint8)
    images = [png(values), png(values.astype(np.uint16) * 200), png(np.dstack([values] * 3))]
    pages = [Image.fromarray(values + number) for number in range(3)]
    for form, several in (("TIFF", True), ("GIF", True), ("BMP", False), ("JPEG", False)):
        file = io.BytesIO()
        more = {"save_all": True, "append_images": pages} if several else {}
        Image.fromarray(values).save(file, form, **more)
        images.append(file.getvalue())
    for form in (np.save, np.savez_compressed):
        file = io.BytesIO()
        form(file, np.stack([values] * 3))
        images.append(file.getvalue())
    statuses: dict[int, int] = {}
    settled = 0
    for number in range(ODD_REQUESTS):
        status = odd_request(server, rng, images)
        statuses[status] = statuses.get(status, 0) + 1
        if number == ODD_REQUESTS // 4:
            settled = server.resident()
    grown = server.resident() - settled
    assert server.process.poll() is None
    assert not [status for status in statuses if status >= 500], statuses
    assert statuses[200] > 50, statuses
    assert statuses[422] > 50, statuses
    assert grown < 24 << 20, f"{grown >> 20} MiB"
    status, answer = server.ask("POST", "/detect", images[0])
    assert (status, json.loads(answer)["width"]) == (200, 64)


def test_bombs_are_refused_before_they_fill_the_memory(server):
    server.ask("POST", "/detect", png(np.zeros((48, 64), np.uint8)))
    before = server.resident()
    for image in (bomb(4001), bomb(20_000), bomb(10)[:16] + b"\x7f\xff\xff\xff" * 2):
        status, answer = server.ask("POST", "/detect", image)
        assert status == 422, answer
    status, _ = server.ask("POST", "/detect", b"", **{"Content-Length": str(1 << 40)})
    assert status == 413
    assert server.resident() - before < 64 << 20


def test_a_body_that_never_comes_is_given_up(rng):
    server = Server("--method", "tophat", "--seconds", "1", "--queue", "1")
    with socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT) as slow:
        slow.sendall(server.head(100) + b"few")
        answer = slow.recv(65536)
        assert answer.startswith(b"HTTP/1.1 408"), answer
    assert server.ask("POST", "/detect", png(np.zeros((48, 64), np.uint8)))[0] == 200
    assert server.stop() == (0, "")


def test_a_body_that_trickles_is_given_up_when_its_time_is_over():
    server = Server("--method", "tophat", "--seconds", "1")
    with socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT) as slow:
        slow.sendall(server.head(1 << 20))
        answer = trickled(slow, b"\0", until=b"did not arrive within 1 s")
    assert answer.startswith(b"HTTP/1.1 408"), answer
    assert b"did not arrive within 1 s" in answer
    assert server.stop() == (0, "")


def test_heads_that_trickle_are_closed_and_others_are_answered_meanwhile(server):
    places = [socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT) for _ in range(100)]
    for place in places:
        place.sendall(b"POST /detect HTTP/1.1\r\nHost: ")
    assert server.ask("GET", "/health")[0] == 200
    assert trickled(places[0], b"x") == b""
    deadline = time.monotonic() + TIMEOUT
    for place in places[1:]:
        place.settimeout(deadline - time.monotonic())
        assert place.recv(64) == b""
        place.close()
    assert server.ask("GET", "/health")[0] == 200


def trickled(connection: socket.socket, piece: bytes, until: bytes = b"\n") -> bytes:
    """The answer to pieces that follow one another, up to ``until``, or to where the connection is closed."""
    connection.settimeout(0.1)
    answer = b""
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        try:
            if not answer:
                connection.sendall(piece)
            more = connection.recv(65536)
        except TimeoutError:
            continue
        except ConnectionError:
            return answer
        answer += more
        if not more or until in answer:
            return answer
    raise AssertionError("the server waits for ever")


def test_a_client_that_goes_away_leaves_no_trace(server):
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT) as gone:
            gone.sendall(server.head(100) + b"few")
    deadline = time.monotonic() + TIMEOUT
    while json.loads(server.ask("GET", "/health")[1])["waiting"] and time.monotonic() < deadline:
        time.sleep(0.05)
    assert server.stop() == (0, "")


def test_ctrl_c_finishes_what_is_in_work(server):
    image = png(np.random.default_rng(0).integers(0, 255, (1500, 1500)).astype(np.uint8))
    answers: list[tuple[int, bytes]] = []
    asking = threading.Thread(target=lambda: answers.append(server.ask("POST", "/detect", image)))
    asking.start()
    while not json.loads(server.ask("GET", "/health")[1])["waiting"]:
        assert asking.is_alive() or answers
        if answers:
            break
    assert server.stop() == (0, "")
    asking.join()
    assert answers[0][0] == 200
