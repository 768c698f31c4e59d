"""A browser and a server of its own for the tests of the annotation page."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
BROWSER_MARKS = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]
# A cold machine compiles the first method while the test clicks already.
PATIENCE_MS = 60_000


class Server:
    """``infraspot annotate`` in a process of its own."""

    def __init__(self, folder: Path, out: Path, port: int, *options: str) -> None:
        command = [sys.executable, "-m", "infraspot", "annotate", str(folder), "--out", str(out)]
        self.process = subprocess.Popen(
            [*command, "--port", str(port), "--no-open", *options],
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


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextmanager
def browser_page(width: int = 1280, height: int = 800) -> Iterator:
    """A page in a chromium of its own; an error in its scripts fails the test."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="Playwright's core package is not installed"
    )
    playwright.expect.set_options(timeout=PATIENCE_MS)
    with playwright.sync_playwright() as runner:
        browser = runner.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_context(viewport={"width": width, "height": height}).new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        yield page
        browser.close()
        assert not errors


def spots(rng: np.random.Generator, places: list[tuple[int, int]], shape: tuple[int, int] = (96, 128)):
    """A (H, W) frame with a bright spot at each (y, x)."""
    ys, xs = np.mgrid[: shape[0], : shape[1]]
    image = 0.2 + 0.01 * rng.standard_normal(shape)
    for y, x in places:
        image += 0.5 * np.exp(-((ys - y) ** 2 + (xs - x) ** 2) / 4)
    return image


def on_screen(page, x, y, width=128, height=96):
    """Where the page shows the centre of a pixel of the frame, at its fitted scale."""
    box = page.locator("#view").bounding_box()
    scale = 0.96 * min(box["width"] / width, box["height"] / height)
    left, top = (box["width"] - width * scale) / 2, (box["height"] - height * scale) / 2
    return box["x"] + left + (x + 0.5) * scale, box["y"] + top + (y + 0.5) * scale


def click_at(page, x, y):
    page.mouse.click(*on_screen(page, x, y))


def drag(page, *places, step=1):
    """Press at the first place, pass the others in steps of some pixels, and let go."""
    page.mouse.move(*on_screen(page, *places[0]))
    page.mouse.down()
    for (x0, y0), (x1, y1) in pairwise(places):
        steps = max(abs(x1 - x0), abs(y1 - y0)) // step
        for k in range(1, steps + 1):
            page.mouse.move(*on_screen(page, x0 + (x1 - x0) * k / steps, y0 + (y1 - y0) * k / steps))
    page.mouse.up()


def areas(page):
    return [int(text.split()[0]) for text in page.locator("#targets td:nth-child(3)").all_inner_texts()]
