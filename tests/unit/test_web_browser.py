"""The annotation page in a real browser, against a real server that is killed in the middle."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from infraspot.data import write_grey

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright's core package is not installed")
expect = playwright.expect

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]


class Server:
    """``infraspot annotate`` in a process of its own."""

    def __init__(self, folder: Path, out: Path, port: int) -> None:
        command = [sys.executable, "-m", "infraspot", "annotate", str(folder), "--out", str(out)]
        self.process = subprocess.Popen(
            [*command, "--port", str(port), "--no-open"],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if found := re.search(r"http://\S+", line):
                self.address = found[0]
                return
        raise AssertionError("the server ended before it gave its address")

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture
def port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture
def folder(tmp_path, rng):
    ys, xs = np.mgrid[:96, :128]
    image = 0.2 + 0.01 * rng.standard_normal((96, 128))
    for y, x in ((30, 40), (60, 90)):
        image += 0.5 * np.exp(-((ys - y) ** 2 + (xs - x) ** 2) / 4)
    images = tmp_path / "frames"
    write_grey(images / "a.png", image)
    write_grey(images / "b.png", image[::-1])
    return images


@pytest.fixture
def page():
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="Playwright's core package is not installed"
    )
    with playwright.sync_playwright() as runner:
        browser = runner.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
        browser.close()


def click_at(page, x, y):
    """Click on a pixel of the frame, which the page shows at its fitted scale."""
    box = page.locator("#view").bounding_box()
    scale = 0.96 * min(box["width"] / 128, box["height"] / 96)
    left, top = (box["width"] - 128 * scale) / 2, (box["height"] - 96 * scale) / 2
    page.mouse.click(box["x"] + left + (x + 0.5) * scale, box["y"] + top + (y + 0.5) * scale)


def areas(page):
    return [int(text.split()[0]) for text in page.locator("#targets td:nth-child(3)").all_inner_texts()]


def test_click_grow_undo_save_and_a_killed_server_lose_nothing(folder, tmp_path, port, page):
    server, rows = Server(folder, tmp_path / "out", port), page.locator("#targets tr")
    try:
        page.goto(server.address)
        expect(page.locator("#title")).to_have_text("a")
        click_at(page, 40, 30)
        expect(rows).to_have_count(1)
        areas_shown = page.locator("#targets td:nth-child(3)")
        before = areas(page)
        page.keyboard.press("]")
        expect(areas_shown).not_to_have_text(f"{before[0]} px")
        assert areas(page)[0] > before[0]
        page.keyboard.press("z")
        expect(areas_shown).to_have_text(f"{before[0]} px")
        click_at(page, 90, 60)
        expect(rows).to_have_count(2)
        server.kill()
        server = Server(folder, tmp_path / "out", port)
        page.goto(server.address)
        expect(rows).to_have_count(2)
        assert areas(page)[0] == before[0]
        page.keyboard.press("Enter")
        expect(page.locator("#title")).to_have_text("b")
        expect(page.locator("#tally")).to_have_text("1 of 2")
    finally:
        server.kill()


def test_a_second_window_on_the_same_image_is_refused_in_words(folder, tmp_path, port, page):
    server = Server(folder, tmp_path / "out", port)
    try:
        page.goto(server.address)
        expect(page.locator("#title")).to_have_text("a")
        other = page.context.new_page()
        other.goto(server.address)
        other.wait_for_selector("#message:not([hidden])")
        assert "open in another window" in other.locator("#message").inner_text()
    finally:
        server.kill()
