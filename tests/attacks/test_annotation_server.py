"""The annotation server as a process: what it answers with, and what a kill leaves behind."""

import hashlib
import http.cookiejar
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from infraspot.core.errors import InfraspotError
from infraspot.data import write_grey, write_mask
from infraspot.serving.listening import listen
from infraspot.web.actions import SetStatus
from infraspot.web.export_folder import MANIFEST
from infraspot.web.marks import MARKS
from infraspot.web.session import Session
from infraspot.web.taking_in import take_in
from infraspot.web.transfer import EXPORTS

pytestmark = pytest.mark.slow

KILLS = 20
TIMEOUT = 60


class Server:
    """``infraspot annotate`` in a process of its own, and a browser's cookies."""

    def __init__(self, folder: Path, out: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        command = [sys.executable, "-m", "infraspot", "annotate", str(folder), "--out", str(out)]
        self.process = subprocess.Popen(
            [*command, "--port", str(self.port), "--no-open"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        self.origin = f"http://127.0.0.1:{self.port}"
        self.jar = http.cookiejar.CookieJar()
        self.browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.jar))
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if found := re.search(r"http://\S+", line):
                self.answer = self.browser.open(found[0], timeout=TIMEOUT)
                return
        raise AssertionError(self.process.stderr.read())

    def post(self, path: str, body: dict) -> dict:
        request = urllib.request.Request(
            self.origin + path, json.dumps(body).encode(), {"Origin": self.origin}, method="POST"
        )
        with self.browser.open(request, timeout=TIMEOUT) as answer:
            return json.load(answer)

    def stop(self, number: int = signal.SIGKILL) -> tuple[int, str]:
        self.process.send_signal(number)
        _, said = self.process.communicate(timeout=TIMEOUT)
        return self.process.returncode, said


@pytest.fixture
def folder(tmp_path, rng):
    images = tmp_path / "frames"
    for number in range(6):
        write_grey(images / f"{number}.png", rng.random((48, 64)).astype(np.float32))
    return images


def settle(server: Server, folder: Path) -> None:
    for path in folder.iterdir():
        server.post(f"/api/images/{path.stem}/open", {"window": "w"})
        action = {"kind": "status", "status": "empty"}
        server.post(f"/api/images/{path.stem}/act", {"window": "w", "version": 0, "action": action})


def teach(server: Server, image: str) -> None:
    """One target that was corrected, so that there is a level to export."""
    lesson = {"contrast": 0.3, "noise": 0.01, "area": 20, "auto": 0.2}
    patch = {"box": [3, 4, 5, 5], "runs": [0, 2]}
    target = {"id": 1, "x": 3, "y": 4, "method": "profile", "level": 0.3, "patch": patch, "lesson": lesson}
    server.post(f"/api/images/{image}/open", {"window": "w"})
    for version, action in (
        (1, {"kind": "put", "target": target}),
        (2, {"kind": "status", "status": "done"}),
    ):
        server.post(f"/api/images/{image}/act", {"window": "w", "version": version, "action": action})


def files_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_answer_says_that_types_are_not_guessed_and_pages_not_framed(folder, tmp_path):
    server = Server(folder, tmp_path / "out")
    try:
        answers = [server.answer]
        for path in ("/static/page.js", "/nothing", "/api/images", "/api/images/absent/pixels"):
            try:
                answers.append(server.browser.open(server.origin + path, timeout=TIMEOUT))
            except urllib.error.HTTPError as refused:
                answers.append(refused)
        with pytest.raises(urllib.error.HTTPError, match="403") as without_token:
            urllib.request.urlopen(server.origin + "/api/images", timeout=TIMEOUT)
        answers.append(without_token.value)
        assert len(answers) == 6
        for answer in answers:
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    finally:
        server.stop()


def test_two_servers_in_one_browser_do_not_log_each_other_out(folder, tmp_path):
    one, two = Server(folder, tmp_path / "one"), Server(folder, tmp_path / "two")
    try:
        two.browser.add_handler(urllib.request.HTTPCookieProcessor(one.jar))
        shared = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(one.jar))
        for cookie in two.jar:
            one.jar.set_cookie(cookie)
        for server in (one, two):
            assert shared.open(server.origin + "/api/images", timeout=TIMEOUT).status == 200
    finally:
        one.stop()
        two.stop()


def test_small_answers_are_sent_at_once():
    """asyncio switches TCP_NODELAY on where the accepted socket carries the protocol of the listening one."""
    with listen(0) as listener:
        assert listener.proto == socket.IPPROTO_TCP


@pytest.mark.parametrize("delay", [0.0, 0.3, 1.0])
def test_ctrl_c_during_scoring_ends_without_an_abort(tmp_path, rng, delay):
    images = tmp_path / "many"
    for number in range(40):
        write_grey(images / f"{number}.png", rng.random((256, 256)).astype(np.float32))
    server = Server(images, tmp_path / "out")
    time.sleep(delay)
    status, said = server.stop(signal.SIGINT)
    assert status in (0, 130), said
    assert "Traceback" not in said
    assert "Abort" not in said


def test_a_kill_in_mid_export_leaves_the_last_export_or_the_new_one_and_nothing_stray(folder, tmp_path):
    out, chance = tmp_path / "out", random.Random(3)
    server = Server(folder, out)
    settle(server, folder)
    teach(server, next(folder.iterdir()).stem)
    for form in EXPORTS:
        server.post("/api/export", {"window": "w", "format": form})
    server.stop()
    wanted = files_below(out / "export")
    server = Server(folder, out)
    for _ in range(KILLS):
        busy = threading.Thread(target=_export_until_it_dies, args=(server, chance.sample(list(EXPORTS), 3)))
        busy.start()
        time.sleep(chance.uniform(0.0, 0.08))
        server.stop()
        busy.join()
        server = Server(folder, out)
    try:
        for form in EXPORTS:
            server.post("/api/export", {"window": "w", "format": form})
    finally:
        status, _ = server.stop(signal.SIGINT)
    assert status in (0, 130)
    assert files_below(out / "export") == wanted
    assert sorted(path.name for path in out.iterdir()) == ["export", "journal.jsonl"]
    shutil.rmtree(out)


def _export_until_it_dies(server: Server, forms: list[str]) -> None:
    for form in forms:
        try:
            server.post("/api/export", {"window": "w", "format": form})
        except (OSError, http.client.HTTPException):
            return


@pytest.mark.parametrize(
    "action",
    [
        {"kind": "batch", "actions": []},
        {"kind": "batch", "actions": [{"kind": "undo"}]},
        {"kind": "batch", "actions": [{"kind": "drop", "id": 1}] * 10_001},
        {"kind": "batch", "actions": [{"kind": "batch", "actions": [{"kind": "drop", "id": 1}]}]},
        {"kind": "batch", "actions": [{"kind": "sky", "patch": {"box": [0, 0, 9, 9], "runs": [1]}}]},
    ],
)
def test_a_batch_that_makes_no_sense_is_refused_whole(folder, tmp_path, action):
    server = Server(folder, tmp_path / "out")
    try:
        server.post("/api/images/0/open", {"window": "w"})
        with pytest.raises(urllib.error.HTTPError, match="400"):
            server.post("/api/images/0/act", {"window": "w", "version": 0, "action": action})
        assert server.post("/api/images/0/open", {"window": "w"})["version"] == 0
    finally:
        server.stop()
    assert (tmp_path / "out" / "journal.jsonl").read_bytes() == b""


def test_a_kill_in_mid_import_leaves_whole_images_and_the_next_import_brings_the_others(tmp_path, rng):
    images, out, chance = tmp_path / "frames", tmp_path / "out", random.Random(5)
    for number in range(12):
        write_grey(images / f"{number}.png", rng.random((48, 64)).astype(np.float32))
        mask = np.zeros((48, 64), bool)
        mask[5, 5] = mask[20:22, 20] = mask[40, 60] = True
        write_mask(tmp_path / "masks" / f"{number}.png", mask)
    command = [sys.executable, "-m", "infraspot", "annotate", str(images), "--out", str(out), "--no-open"]
    command += ["--import", str(tmp_path / "masks")]
    for _ in range(4):
        started = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(chance.uniform(0.3, 0.8))
        started.kill()
        started.wait()
    assert subprocess.run(command, stdout=subprocess.DEVNULL, timeout=TIMEOUT, check=False).returncode == 0
    session = Session(images, out)
    for image in session.images:
        state, version = session.state(image)
        assert (state.status, len(state.targets), version) == ("done", 3, 1)
    session.journal.close()


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"version": 2, "images": {}}',
        b'{"images": {"0": {"status": "done", "targets": [{"id": 0}]}}}',
        b'{"images": {"0": {"status": "done", "targets": [], "sky": {"box": [0, 0, 20000, 20000],'
        b' "runs": [400000000]}}}}',
    ],
)
def test_marks_that_were_tampered_with_bring_nothing_in(folder, tmp_path, damage):
    """The list of files is tampered with as well, so that the marks look untouched."""
    session = Session(folder, tmp_path / "out")
    session.journal.add("0", "w", SetStatus(status="done"))
    export = tmp_path / "export"
    EXPORTS["points"](session, export)
    session.journal.close()
    (export / MARKS).write_bytes(damage)
    listed = json.loads((export / MANIFEST).read_text())
    listed[MARKS] = hashlib.sha256(damage).hexdigest()
    (export / MANIFEST).write_text(json.dumps(listed))
    fresh = Session(folder, tmp_path / "fresh")
    with pytest.raises(InfraspotError):
        take_in(fresh, export)
    assert fresh.journal.entries == []
    fresh.journal.close()
