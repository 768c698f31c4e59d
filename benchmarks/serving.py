"""Figures of docs/deployment.md: what a frame costs over HTTP, beside the call from Python.

    python benchmarks/serving.py

CPU time of the server and its client together against that of the call, one thread each, in pairs of blocks
of requests that follow each other (set OMP_NUM_THREADS=1).
"""

import argparse
import http.client
import io
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

import infraspot

SIZES = ((256, 256), (512, 640))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--pairs", type=int, default=7)
    options.add_argument("--block", type=int, default=20, help="requests in a block")
    given = options.parse_args()
    command = [sys.executable, "-m", "infraspot", "serve", "--port", "0", "--threads", "1"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:
        try:
            compare(server, given.pairs, given.block)
        finally:
            server.kill()


def compare(server: "subprocess.Popen[str]", pairs: int, block: int) -> None:
    """The cost of a frame both ways, for each size."""
    assert server.stdout is not None
    said = ""
    for line in server.stdout:
        said += line
        if "/detect" in line:
            break
    token, port = re.findall(r"token (\S+)", said)[0], int(re.findall(r":(\d+)/detect", said)[0])
    connection = http.client.HTTPConnection("127.0.0.1", port)
    detector = infraspot.load(threads=1)
    for shape in SIZES:
        with tempfile.NamedTemporaryFile(suffix=".png") as file:
            body = frame(shape)
            Path(file.name).write_bytes(body)

            def ask(body: bytes = body) -> None:
                connection.request("POST", "/detect", body, {"Authorization": f"Bearer {token}"})
                answer = connection.getresponse()
                assert answer.status == 200, answer.read()
                answer.read()

            def call(name: str = file.name) -> None:
                detector(name)

            pairs_of_costs = [(cost(ask, block, server.pid), cost(call, block)) for _ in range(pairs + 1)]
        costs = np.array(pairs_of_costs[1:])
        over = costs[:, 0] - costs[:, 1]
        print(f"{shape[1]}x{shape[0]}: over HTTP {spread(costs[:, 0])}, call {spread(costs[:, 1])},", end=" ")
        print(f"difference {spread(over)} ms")


def frame(shape: tuple[int, int]) -> bytes:
    """A cloudy frame with one target, as PNG."""
    rng = np.random.default_rng(0)
    image = ndimage.gaussian_filter(60 + 20 * rng.standard_normal(shape), 2)
    y, x = shape[0] // 2, shape[1] // 2
    image[y - 1 : y + 2, x - 1 : x + 2] = 200
    file = io.BytesIO()
    Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def cost(work: Callable[[], None], times: int, process: int | None = None) -> float:
    """CPU milliseconds of one call, with those of another process."""
    began = time.process_time() + (0 if process is None else seconds_of(process))
    for _ in range(times):
        work()
    ended = time.process_time() + (0 if process is None else seconds_of(process))
    return 1000 * (ended - began) / times


def seconds_of(process: int) -> float:
    """CPU time that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def spread(values: np.ndarray) -> str:
    return f"{np.median(values):.1f} ({values.min():.1f} to {values.max():.1f})"


if __name__ == "__main__":
    main()
