"""A Ray run that is killed in the middle goes on to the rows of a run that was not, each of them once."""

import os
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

pytest.importorskip("pyarrow", reason="the extra archive is not installed")
pytest.importorskip("ray", reason="the extra ray is not installed")

from infraspot.data import write_grey
from infraspot.report.parquet import read_parquet

pytestmark = pytest.mark.slow
PATIENCE = 300
FILES = 200


@pytest.fixture
def folder(tmp_path, rng):
    place = tmp_path / "night"
    for number in range(FILES):
        image = 0.2 + 0.01 * rng.standard_normal((120, 160))
        image[20 + number % 60, 30:32] += 0.5
        write_grey(place / f"{number}.png", image.clip(0, 1))
    (place / "damaged.png").write_bytes((place / "0.png").read_bytes()[:60])
    np.save(place / "film.npy", rng.integers(0, 255, (5, 24, 32)).astype(np.uint8))
    return place


def rows_of(out):
    rows = [row for path in out.glob("part-*.parquet") for row in read_parquet(path)[1]]
    assert len({(row["path"], row["page"]) for row in rows}) == len(rows)
    return sorted(rows, key=lambda row: (row["path"], row["page"] or 0))


def test_a_kill_in_the_middle_resumes_to_the_rows_of_a_whole_run(folder, tmp_path):
    line = [sys.executable, "-m", "infraspot", "detect", folder.as_uri(), "--method", "tophat"]
    line += ["--ray", "auto", "--actors", "2", "--resume", "--out"]
    out = tmp_path / "out"

    def run(place):
        return subprocess.run(
            [*line, place.as_uri()], capture_output=True, text=True, timeout=PATIENCE, check=False
        )

    process = subprocess.Popen([*line, out.as_uri()], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + PATIENCE
    while len(list(out.glob("part-*.parquet"))) < 3:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    done = run(out)
    assert done.returncode == 1, done.stderr  # one frame is damaged
    found = re.match(r"(\d+) frames, (\d+) targets, 1 errors; (\d+) frames were done before", done.stdout)
    assert found is not None, done.stdout
    assert int(found[1]) == FILES + 6
    assert 0 < int(found[3]) < FILES
    whole = run(tmp_path / "whole")
    assert whole.returncode == 1, whole.stderr
    assert rows_of(out) == rows_of(tmp_path / "whole")
