"""How long ``infraspot detect`` takes: cold start, a folder run on one thread, a large frame.

    python benchmarks/detect.py [--images FOLDER]

Without a folder, frames of 320x240 are generated. Every figure is of whole processes, as a user sees them:
the median of several runs, wall seconds, and the peak memory. A machine that does other work at the same
time gives longer times. The last lines are ``name=value``.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from infraspot.data import list_images, write_grey
from infraspot.synth import SceneRanges, generate

RUNS = 5


def detect(*arguments: str | Path) -> float:
    """Wall seconds of one ``infraspot detect``."""
    command = [sys.executable, "-m", "infraspot", "detect", *map(str, arguments)]
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def make_frames(folder: Path, count: int, width: int, height: int) -> Path:
    ranges = SceneRanges(size=(width, height))
    for scene in generate(count, 0, ranges):
        write_grey(folder / f"{scene.frames[0].id}.png", scene.frames[0].image)
    return folder


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--images", type=Path, help="a folder of real frames for the folder run")
    images: Path | None = options.parse_args().images
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        small = make_frames(place / "small", 60, 320, 240)
        large = make_frames(place / "large", 4, 1280, 1024)
        one, folder = list_images(small)[0], images or small
        count = len(list_images(folder))
        out = ("--out", place / "out")
        cold = statistics.median(detect(one, *out) for _ in range(RUNS))
        lone = statistics.median(detect(one, *out, "--threads", "1") for _ in range(RUNS))
        whole = statistics.median(detect(folder, *out, "--threads", "1") for _ in range(RUNS))
        big = statistics.median(detect(large, *out) for _ in range(RUNS))
        first = statistics.median(detect(list_images(large)[0], *out) for _ in range(RUNS))
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"cold_start_320x240_s={cold:.2f}")
    print(f"folder_one_thread_ms_a_frame={(whole - lone) / (count - 1) * 1000:.1f}")
    print(f"frame_1280x1024_ms={(big - first) / 3 * 1000:.0f}")
    print(f"peak_memory_mb={memory:.0f}")


if __name__ == "__main__":
    main()
