"""Archives in an S3 bucket that moto serves on this machine, and a bucket that goes away."""

import re
import subprocess
import sys
import time

import numpy as np
import pytest

pytest.importorskip("pyarrow", reason="the extra archive is not installed")
pytest.importorskip("moto.server", reason="moto is not installed")

from pyarrow import fs

from infraspot.core.errors import DataError
from infraspot.data import Reading, write_grey
from infraspot.data.storage import open_storage
from infraspot.inference.engines import ClassicalEngine
from infraspot.jobs.archive import PART, _read_done
from infraspot.jobs.archive_worker import Plan, Worker
from infraspot.jobs.rows import settings_of
from infraspot.report.parquet import read_parquet

pytestmark = pytest.mark.slow
PORT = 5873
FRAMES = 4
PATIENCE = 300


class Bucket:
    """A server of buckets whose content ends with it."""

    def __init__(self) -> None:
        line = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(PORT)]
        self.process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.files = fs.S3FileSystem(
            access_key="x",
            secret_key="y",
            region="us-east-1",
            endpoint_override=f"127.0.0.1:{PORT}",
            scheme="http",
            allow_bucket_creation=True,
        )
        deadline = time.monotonic() + 60
        while True:
            try:
                return self.files.create_dir("night")
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.2)

    def take(self, folder) -> None:
        """Put the files of a folder into ``night/frames``."""
        for path in folder.iterdir():
            with self.files.open_output_stream(f"night/frames/{path.name}") as stream:
                stream.write(path.read_bytes())

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def bucket(monkeypatch):
    for name, value in {"ACCESS_KEY_ID": "x", "SECRET_ACCESS_KEY": "y", "REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{PORT}")
    running = Bucket()
    yield running
    running.stop()


@pytest.fixture
def folder(tmp_path, rng):
    for number in range(FRAMES):
        image = 0.2 + 0.01 * rng.standard_normal((40, 48))
        image[9:11, 9:11] += 0.5
        write_grey(tmp_path / "night" / f"{number}.png", image.clip(0, 1))
    (tmp_path / "night/damaged.png").write_bytes((tmp_path / "night/0.png").read_bytes()[:60])
    return tmp_path / "night"


def worker_of(source: object, out: object) -> Worker:
    settings = settings_of(ClassicalEngine("tophat", sigmas=6), 0.5, None, Reading())
    return Worker(
        Plan(str(source), str(out), {"method": "tophat", "sigmas": 6.0}, 0.5, Reading(), settings), None
    )


def rows_in(out: str) -> list[dict[str, object]]:
    storage = open_storage(out)
    rows = [row for name in storage.names(PART) for row in read_parquet(name, storage.read(name))[1]]
    return sorted(rows, key=lambda row: str(row["path"]))


def test_the_rows_of_a_bucket_are_those_of_a_folder_and_none_is_asked_twice(bucket, folder, tmp_path):
    bucket.take(folder)
    worker = worker_of("s3://night/frames", "s3://night/found")
    assert worker.out.names(PART) == []
    files = worker.source.frames()
    assert worker.work(files).errors == 1
    plain = worker_of(folder, tmp_path / "found")
    plain.work(plain.source.frames())
    assert rows_in("s3://night/found") == rows_in(str(tmp_path / "found"))
    assert len(rows_in("s3://night/found")) == FRAMES + 1
    done = _read_done(worker.out, worker.plan.settings, resume=True)
    assert done.files == set(files)


def test_a_run_of_ray_over_a_bucket_that_is_killed_resumes_to_the_counts_of_a_folder(
    bucket, folder, tmp_path, rng
):
    pytest.importorskip("ray", reason="the extra ray is not installed")
    for number in range(FRAMES, 160):
        image = 0.2 + 0.01 * rng.standard_normal((120, 160))
        image[20 + number % 60, 30:32] += 0.5
        write_grey(folder / f"{number}.png", image.clip(0, 1))
    np.save(folder / "film.npy", rng.integers(0, 255, (5, 24, 32)).astype(np.uint8))
    bucket.take(folder)
    line = [sys.executable, "-m", "infraspot", "detect", "--method", "tophat"]
    by_ray = [*line, "s3://night/frames", "--out", "s3://night/found", "--ray", "auto", "--actors", "1"]

    process = subprocess.Popen(by_ray, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline, found = time.monotonic() + PATIENCE, open_storage("s3://night/found")
    while len(found.names(PART)) < 2:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.wait()

    def run(arguments):
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=PATIENCE, check=False)
        assert done.returncode == 1, done.stderr  # one frame is damaged
        return re.match(r"(\d+) frames, (\d+) targets, 1 errors; (\d+) frames were done before", done.stdout)

    resumed = run([*by_ray, "--resume"])
    plain = run([*line, str(folder), "--out", str(tmp_path / "plain"), "--shard", "1/1"])
    assert resumed.group(1, 2) == plain.group(1, 2)
    assert 0 < int(resumed[3]) < 160
    rows = rows_in("s3://night/found")
    assert len({(row["path"], row["page"]) for row in rows}) == len(rows) == 160 + 1 + 5
    assert [row["path"] for row in rows if row["error"]] == ["damaged.png"]


def test_a_bucket_that_goes_away_is_a_sentence_and_never_an_empty_one(bucket, folder):
    bucket.take(folder)
    worker = worker_of("s3://night/frames", "s3://night/found")
    worker.work(["0.png"])
    bucket.stop()
    with pytest.raises(DataError, match="s3://night/frames cannot be reached any more"):
        worker.work(["1.png"])
    with pytest.raises(DataError, match="cannot list s3://night/found"):
        worker.out.names(PART)
    with pytest.raises(DataError, match="cannot list s3://night/frames"):
        worker.source.frames()
    with pytest.raises(DataError, match=r"cannot write s3://night/found/a\.parquet"):
        worker.out.write("a.parquet", b"rows")


def test_a_bucket_that_is_not_there_is_a_sentence(bucket):
    with pytest.raises(DataError, match="cannot list s3://nobody/frames"):
        open_storage("s3://nobody/frames").names(PART)


def test_a_secret_in_a_url_is_not_shown(bucket):
    storage = open_storage("s3://key:secret@night/frames")
    assert storage.name == "s3://night/frames"
    with pytest.raises(DataError) as caught:
        storage.frames()
    assert "secret" not in str(caught.value)
