"""How long ``infraspot detect`` takes: cold start, folders, deep and large frames, the network alone.

    python benchmarks/detect.py [--images FOLDER] [--repeats 7]

Without a folder, frames of 320x240 are generated. Every figure but the network's is of whole processes, as a
user sees them, with the default formats: wall seconds, and CPU seconds of all threads, which depend less on
what else the machine does. A frame's time in a folder run is the run less a run of its last frame, divided by
the other frames; the two are taken in turn. Printed are the median and the range over the repeats. The batch
is 1 everywhere.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from infraspot.data import list_images, read_image, write_grey
from infraspot.inference import open_engine, score_frame
from infraspot.synth import SceneRanges, generate

Seconds = tuple[float, float]  # wall, CPU


def detect(*arguments: str | Path) -> Seconds:
    """Wall and CPU seconds of one ``infraspot detect``."""
    command = [sys.executable, "-m", "infraspot", "detect", *map(str, arguments)]
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def a_frame(folder: Path, out: Path, threads: int) -> Seconds:
    """Wall and CPU seconds of each frame of a folder but one, whose run is taken off.

    It is the last, in which something is found: loops that are loaded then are no cost of a frame.
    """
    files, options = list_images(folder), ("--out", out, "--threads", str(threads))
    one, whole = detect(files[-1], *options), detect(folder, *options)
    return tuple((b - a) / (len(files) - 1) for a, b in zip(one, whole, strict=True))  # type: ignore[return-value]


def network_alone(folder: Path) -> Seconds:
    """Wall and CPU seconds a frame of the packaged model on one thread, frames in memory."""
    engine, frames = open_engine(threads=1), [read_image(file) for file in list_images(folder)]
    score_frame(engine, frames[0].image)
    wall, cpu = time.perf_counter(), time.process_time()
    for frame in frames:
        score_frame(engine, frame.image, frame.bit_depth)
    return (time.perf_counter() - wall) / len(frames), (time.process_time() - cpu) / len(frames)


def make_frames(folder: Path, count: int, width: int, height: int, bits: int = 8) -> Path:
    ranges = SceneRanges(size=(width, height))
    for number, scene in enumerate(generate(count, 0, ranges)):
        write_grey(folder / f"{number}.png", scene.frames[0].image, bits)
    return folder


def show(what: str, threads: int, measure: Callable[[], Seconds], repeats: int, unit: str) -> None:
    scale = {"s": 1, "ms": 1000}[unit]
    runs = [tuple(scale * value for value in measure()) for _ in range(repeats)]
    texts = []
    for name, values in zip(("wall", "CPU"), zip(*runs, strict=True), strict=True):
        texts.append(f"{name} {statistics.median(values):.3g} [{min(values):.3g}, {max(values):.3g}] {unit}")
    print(f"{what:38} threads {threads or 'all'}   {'   '.join(texts)}", flush=True)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--images", type=Path, help="a folder of real frames for the folder run")
    options.add_argument("--repeats", type=int, default=7)
    given = options.parse_args()
    repeats: int = given.repeats
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as name:
        place, out = Path(name), Path(name) / "out"
        small = make_frames(place / "small", 60, 320, 240)
        deep = make_frames(place / "deep", 60, 320, 240, bits=16)
        large = make_frames(place / "large", 4, 1280, 1024)
        folder, one = given.images or small, list_images(small)[0]
        detect(one, "--out", out)  # compiles Python, fills the system's cache
        lone = ("--out", out, "--threads", "1")
        show("one 320x240 frame, cold", 1, lambda: detect(one, *lone), repeats, "s")
        show("one 320x240 frame, cold", 0, lambda: detect(one, "--out", out), repeats, "s")
        count = len(list_images(folder))
        show(f"folder of {count}, a frame", 1, lambda: a_frame(folder, out, 1), repeats, "ms")
        show(f"network alone, {count} frames, a frame", 1, lambda: network_alone(folder), repeats, "ms")
        show("folder of 60 at 16 bits, a frame", 1, lambda: a_frame(deep, out, 1), repeats, "ms")
        show("1280x1024 frames, a frame", 1, lambda: a_frame(large, out, 1), repeats, "ms")
        show("1280x1024 frames, a frame", 0, lambda: a_frame(large, out, 0), repeats, "ms")
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"peak memory {memory:.0f} MB")


if __name__ == "__main__":
    main()
