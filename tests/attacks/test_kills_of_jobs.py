"""Jobs that are killed at any moment: the next run gives what an undisturbed one gives, and leaves no stray.

Each job runs in forks of one process that has imported everything, so that a moment costs milliseconds.
"""

import json
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

MOMENTS = 20
PATIENCE = 60  # seconds, for machines that do other work

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork"),
]


@pytest.mark.parametrize("job", ["detect", "generate", "dense", "sky", "pseudo", "pseudo in two processes"])
def test_twenty_kills_at_random_moments_change_nothing(job, tmp_path):
    done = subprocess.run(
        [sys.executable, __file__, job, str(tmp_path)], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    outcomes = json.loads(done.stdout)
    assert len(outcomes) == MOMENTS
    assert [outcome["differs"] for outcome in outcomes] == [[]] * MOMENTS
    assert [outcome["alive"] for outcome in outcomes] == [False] * MOMENTS
    assert sum(outcome["killed"] for outcome in outcomes) > MOMENTS // 2


def make_frames(folder: Path, count: int) -> Path:
    from infraspot.data import write_grey, write_mask

    ys, xs = np.mgrid[:40, :48]
    for number in range(count):
        distance = np.hypot(ys - 12 - number, xs - 20)
        noise = 0.01 * np.random.default_rng(number).standard_normal(distance.shape)
        write_grey(
            folder / "images" / f"f{number}.png", (0.3 + 0.5 * np.exp(-(distance**2) / 6) + noise).clip(0, 1)
        )
        write_mask(folder / "masks" / f"f{number}.png", distance < 3)
    return folder


def prepare(job: str, place: Path) -> Callable[[Path], object]:
    """The job as a function of its output folder, with everything imported and compiled."""
    data = make_frames(place / "data", 10)
    if job == "detect":
        from infraspot.jobs.detect import detect_files

        formats = ("json", "mask", "overlay", "prob", "csv", "coco")
        return lambda out: detect_files(data, out, formats=formats, threads=1)
    if job == "generate":
        from infraspot.jobs.generate import write_scenes
        from infraspot.synth import SceneRanges

        ranges = SceneRanges(size=(40, 32))
        return lambda out: write_scenes(out, 8, 3, ranges)
    if job == "dense":
        from infraspot.jobs.dense import write_dense
        from infraspot.synth.dense import DenseOptions

        return lambda out: write_dense(data, out, 8, 3, DenseOptions(area=9), layout="densesirst")
    if job == "sky":
        from infraspot.jobs.sky import write_skies

        return lambda out: write_skies(data, out)
    from infraspot.annotators import annotate
    from infraspot.jobs.pseudo import label_dataset

    annotate(np.eye(8, dtype=np.float32), [(4, 4)])
    workers = 2 if "two" in job else 1
    return lambda out: label_dataset(data, out, methods=["profile", "otsu"], workers=workers)


def contents(folder: Path) -> dict[str, object]:
    """Every file below a folder; journals without their times, and in any order."""
    found: dict[str, object] = {}
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.suffix == ".jsonl":
            head, *lines = map(json.loads, path.read_text().splitlines())
            for line in lines:
                for method in line["methods"].values():
                    del method["ms"]
            found[name] = [head, *sorted(lines, key=lambda line: line["image"])]
        else:
            found[name] = path.read_bytes() if path.is_file() else None
    return found


def start(work: Callable[[Path], object], out: Path) -> tuple[int, int]:
    """Do the work in a fork; gives its id, and a pipe that closes when it and its own children have ended."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            work(out)
        except BaseException as error:
            sys.stderr.write(f"{error!r}\n")
            os._exit(1)
        os._exit(0)
    os.close(writer)
    return child, reader


def has_ended(reader: int) -> bool:
    ended = bool(select.select([reader], [], [], PATIENCE)[0])
    os.close(reader)
    return ended


def disturb(work: Callable[[Path], object], out: Path, entries: int, delay: float) -> tuple[bool, bool]:
    """Kill the work once ``out`` holds so many entries; was it killed, and does a part live on?"""
    child, reader = start(work, out)
    while len(list(out.rglob("*"))) < entries and not select.select([reader], [], [], 0)[0]:
        time.sleep(0.0002)
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status), not has_ended(reader)


def finish(work: Callable[[Path], object], out: Path) -> None:
    child, reader = start(work, out)
    _, status = os.waitpid(child, 0)
    if status or not has_ended(reader):
        raise RuntimeError("a run that nobody disturbed failed, or left a process")


def main(job: str, place: Path) -> None:
    work, rng = prepare(job, place), random.Random(8)
    finish(work, place / "whole")
    whole = contents(place / "whole")
    outcomes = []
    for moment in range(MOMENTS):
        out = place / "out"
        killed, alive = disturb(work, out, rng.randrange(len(whole)), rng.uniform(0, 0.003))
        finish(work, out)
        found = contents(out)
        differs = sorted(name for name in whole.keys() | found.keys() if whole.get(name) != found.get(name))
        outcomes.append({"moment": moment, "killed": killed, "alive": alive, "differs": differs})
        shutil.rmtree(out)
    sys.stdout.write(json.dumps(outcomes))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
