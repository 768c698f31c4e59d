"""Figures of docs/tracking.md: tracks of generated sequences, registration of real frames, cost, memory.

    python benchmarks/tracking.py --images sirst-v1/images

CPU seconds of this process on one thread (set OMP_NUM_THREADS=1), medians with their ranges.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy import ndimage

import infraspot
from infraspot.data import FrameFile, Reading
from infraspot.inference import open_engine
from infraspot.jobs.evaluate_tracks import evaluate_tracks
from infraspot.jobs.sequences import find_sequences, numbered_frames
from infraspot.jobs.track import track
from infraspot.jobs.track_sequence import Detector
from infraspot.report.track_scores import point_rows, track_rows
from infraspot.synth import SceneRanges
from infraspot.tracking import Registrar, Settings, Tracker

FRAMES = 16
CROP = 184
SHIFT = 5.0


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--images", type=Path, help="real frames for the registration")
    options.add_argument("--seed", type=int, default=11)
    options.add_argument("--scenes", type=int, default=24)
    options.add_argument("--hover", type=float, default=0.0, help="share of targets that hover")
    options.add_argument("--long", type=int, default=10_000, help="frames of the run whose memory is watched")
    options.add_argument(
        "--only", choices=("sequences", "registration", "cost", "memory"), help="one part alone"
    )
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as place:
        if given.only in (None, "sequences"):
            sequences(Path(place), given.seed, given.scenes, given.hover)
        if given.images:
            registration(given.images)
        if given.only in (None, "cost"):
            cost(Path(place))
        if given.only in (None, "memory"):
            memory(Path(place), given.long)


def sequences(place: Path, seed: int, scenes: int, hover: float) -> None:
    """Pd and false alarms of single frames and of tracks."""
    ranges = SceneRanges(size=(256, 256), scr=(2.0, 6.0), frames=FRAMES, hover=hover)
    infraspot.write_scenes(place / "set", scenes, seed, ranges)
    for output in ("retro", "causal"):
        track(place / "set/images", place / output, output=output, threads=1)
        scores = evaluate_tracks(place / output, place / "set")
        print(f"{output}: {scores['after']['true_points']} targets in {scores['sequences']} sequences")
        for row in (*point_rows(scores), *track_rows(scores)):
            print("  ", *row, sep="  ")


def registration(images: Path) -> None:
    """Errors over 30 real frames that are shifted by up to 5 px, with noise of 0.01."""
    rng = np.random.default_rng(0)
    errors, known, seconds = [], [], []
    for path in sorted(images.glob("*.png"))[::7]:
        image = infraspot.read_image(path).image
        if min(image.shape) < CROP + 16 or len(errors) == 30:
            continue
        way = rng.uniform(-SHIFT, SHIFT, 2)
        top, left = ((side - CROP) // 2 for side in image.shape)
        pair = [
            frame[top : top + CROP, left : left + CROP] + rng.normal(0, 0.01, (CROP, CROP))
            for frame in (image, ndimage.shift(image, way, order=3, mode="nearest"))
        ]
        registrar = Registrar()
        registrar.step(pair[0])
        began = time.process_time()
        motion = registrar.step(pair[1])
        seconds.append(time.process_time() - began)
        errors.append(float(np.hypot(motion.dy - way[0], motion.dx - way[1])))
        known.append(motion.known)
    found = np.array(errors)[known]
    print(
        f"registration: {len(errors)} frames, {len(errors) - sum(known)} reported as not known; of the others"
        f" median {np.median(found):.3f}, 90 % {np.quantile(found, 0.9):.3f}, worst {found.max():.3f} px;"
        f" {spread(seconds)} ms"
    )


def long_frames(count: int, shape: tuple[int, int] = (512, 640)) -> Iterator[np.ndarray]:
    """A drifting texture with ten targets that come and go."""
    rng = np.random.default_rng(0)
    wide = ndimage.gaussian_filter(rng.normal(size=(shape[0] * 2, shape[1] * 2)), 3) * 0.3 + 0.4
    places = rng.uniform((20, 20), np.array(shape) - 20, (10, 2))
    speeds = rng.normal(0, 1, (10, 2))
    spot = np.exp(-(np.subtract.outer(np.arange(7), [3.0]) ** 2 + (np.arange(7) - 3.0) ** 2) / 2)
    for _ in range(count):
        places = (places + speeds) % (np.array(shape) - 8)
        offset = rng.integers(0, 3, 2)
        frame = wide[offset[0] : offset[0] + shape[0], offset[1] : offset[1] + shape[1]].copy()
        for y, x in places.astype(int):
            frame[y : y + 7, x : x + 7] += 0.3 * spot
        yield np.clip(frame + rng.normal(0, 0.004, shape), 0, 1).astype(np.float32)


def cost(place: Path) -> None:
    """CPU time of detection, registration and tracking of a 640x512 frame."""
    np.save(place / "long.npy", np.stack([np.uint16(f * 65535) for f in long_frames(60)]))
    detector = Detector(open_engine(threads=1), None, None)
    registrar, tracker = Registrar(), Tracker(Settings(start=detector.start), (512, 640))
    spent: dict[str, list[float]] = {"register": [], "detect": [], "track": []}
    (sequence,) = find_sequences([FrameFile(place / "long.npy", place)])
    for numbered in numbered_frames(sequence, Reading()):
        times = [time.process_time()]
        motion = registrar.step(numbered.item.frame.image)
        times.append(time.process_time())
        found = detector.detect(numbered.item, motion)
        times.append(time.process_time())
        tracker.step(numbered.number, found.places, found.scores, motion, 1, found.chances, found.alone)
        times.append(time.process_time())
        for name, took in zip(spent, np.diff(times), strict=True):
            spent[name].append(float(took))
    for name, seconds in spent.items():
        print(f"{name}: {spread(seconds)} ms a frame of 640x512")


# ru_maxrss would count the program that started this one as well.
RUN = """
import re, sys
from infraspot.jobs.track import track
track(sys.argv[1], sys.argv[2], threads=1)
print(int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) // 1024)
"""


def memory(place: Path, count: int) -> None:
    """The largest memory of the whole command over a recording of 160x128 and over its first quarter."""
    film = np.lib.format.open_memmap(place / "film.npy", "w+", np.uint8, (count, 128, 160))
    for number, frame in enumerate(long_frames(count, (128, 160))):
        film[number] = frame * 255
    for part in (count // 4, count):
        np.save(place / f"film{part}.npy", film[:part])
        command = [sys.executable, "-c", RUN, place / f"film{part}.npy", place / f"long{part}"]
        peak = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
        print(f"the whole command over {part} frames: {peak} MB at most")


def spread(seconds: list[float]) -> str:
    low, middle, high = np.quantile(np.array(seconds) * 1000, (0.1, 0.5, 0.9))
    return f"{middle:.1f} ({low:.1f} to {high:.1f})"


if __name__ == "__main__":
    main()
