"""Shards of an archive: no frame twice, none left out, and what was killed goes on to the same rows."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

pytest.importorskip("pyarrow", reason="the extra archive is not installed")

from infraspot.cli.main import main
from infraspot.core.errors import InputError, UsageError
from infraspot.data import write_grey
from infraspot.inference.engines import ClassicalEngine
from infraspot.jobs.detect import run_engine
from infraspot.jobs.shards import Shard, detect_shard, parse_shard
from infraspot.report.parquet import read_parquet

PATIENCE = 60


@pytest.fixture
def archive(tmp_path, rng):
    """Six images, a stack of five pages, an archive of arrays of three, a damaged image and a cut stack."""
    folder = tmp_path / "archive"
    ys, xs = np.mgrid[:40, :48]
    for number in range(6):
        image = (
            0.2 + 0.01 * rng.standard_normal((40, 48)) + 0.5 * np.exp(-((ys - 9) ** 2 + (xs - 9) ** 2) / 2)
        )
        write_grey(folder / f"{number}.png", image.clip(0, 1))
    np.save(folder / "film.npy", rng.integers(0, 255, (5, 24, 32)).astype(np.uint8))
    np.savez_compressed(folder / "more.npz", rng.integers(0, 255, (3, 24, 32)).astype(np.uint8))
    (folder / "damaged.png").write_bytes((folder / "0.png").read_bytes()[:60])
    whole = (folder / "film.npy").read_bytes()
    (folder / "cut.npy").write_bytes(whole[: len(whole) - 24 * 32 - 5])
    return folder


def shard_of(archive, out, number, count):
    engine = ClassicalEngine("tophat", sigmas=6)
    return detect_shard(engine, 0.5, [archive], out, Shard(number, count))


def rows_of(path):
    return list(read_parquet(path)[1])


def key(row):
    return row["path"], row["page"]


@pytest.mark.parametrize("count", [1, 3, 40])
def test_shards_hold_every_frame_once_with_the_targets_of_the_folder_run(archive, tmp_path, count):
    out = tmp_path / "out"
    parts = [rows_of(shard_of(archive, out, number, count).path) for number in range(1, count + 1)]
    rows = {key(row): row for part in parts for row in part}
    assert len(rows) == sum(map(len, parts))
    run = run_engine(ClassicalEngine("tophat", sigmas=6), 0.5, [archive], tmp_path / "all", formats=["csv"])
    found = {(record["image"], record.get("page")): record for record in run.records}
    assert {name for name, row in rows.items() if row["error"] is None} == set(found)
    for name, record in found.items():
        columns = ("x", "y", "area", "score", "scr", "box")
        assert rows[name]["targets"] == [{k: target[k] for k in columns} for target in record["targets"]]
        assert [rows[name][k] for k in ("width", "height")] == [record["width"], record["height"]]
    errors = [row for row in rows.values() if row["error"] is not None]
    assert {row["path"] for row in errors} == {"damaged.png", "cut.npy"}
    assert all(row["targets"] is None for row in errors)
    assert sorted(entry.name for entry in out.iterdir()) == sorted(
        f"part-{number}-of-{count}.parquet" for number in range(1, count + 1)
    )


def test_a_shard_that_is_done_is_not_done_again(archive, tmp_path):
    first = shard_of(archive, tmp_path / "out", 1, 2)
    stamp = first.path.stat().st_mtime_ns
    again = shard_of(archive, tmp_path / "out", 1, 2)
    assert (again.frames, again.before) == (first.frames, first.frames)
    assert first.path.stat().st_mtime_ns == stamp


def test_other_counts_other_settings_and_other_frames_are_refused(archive, tmp_path, rng):
    shard_of(archive, tmp_path / "out", 1, 2)
    with pytest.raises(UsageError, match="one of 3 shards"):
        shard_of(archive, tmp_path / "out", 1, 3)
    with pytest.raises(UsageError, match="other settings or frames"):
        detect_shard(ClassicalEngine("tophat", sigmas=6), 0.4, [archive], tmp_path / "out", Shard(1, 2))
    write_grey(archive / "new.png", rng.random((8, 8)))
    with pytest.raises(UsageError, match="listing"):
        shard_of(archive, tmp_path / "out", 1, 2)


def test_a_part_that_is_damaged_is_a_sentence(archive, tmp_path):
    part = shard_of(archive, tmp_path / "out", 1, 2).path
    part.write_bytes(part.read_bytes()[:-9])
    with pytest.raises(InputError, match="move it away"):
        shard_of(archive, tmp_path / "out", 1, 2)


@pytest.mark.parametrize("line", ["no json", "{}", "[1]", '{"path": "a", "page": 1}'])
def test_a_journal_that_was_tampered_with_is_a_sentence(archive, tmp_path, line):
    part = shard_of(archive, tmp_path / "out", 1, 2).path
    settings, _ = read_parquet(part)
    part.unlink()
    work = part.with_suffix("")
    work.mkdir()
    (work / "rows.jsonl").write_text(json.dumps(settings) + f"\n{line}\n")
    with pytest.raises(InputError, match=r"damaged|not that of a frame"):
        shard_of(archive, tmp_path / "out", 1, 2)
    assert not part.exists()


@pytest.mark.parametrize("text", ["", "0/3", "4/3", "1", "1/0", "-1/2", "1/9999999", "a/b", "1/2/3", "１/２"])
def test_what_is_no_shard_is_refused(text):
    with pytest.raises(UsageError, match="such as 3/16"):
        parse_shard(text)


def test_the_command_refuses_formats_beside_a_shard(archive, tmp_path, capsys):
    out = ["--out", str(tmp_path / "out")]
    assert main(["detect", str(archive), "--shard", "1/2", "--format", "csv", *out]) == 2
    assert "leave out --format" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_kill_in_the_middle_resumes_to_equal_rows_and_two_shards_of_one_number_are_refused(tmp_path, rng):
    folder, out = tmp_path / "frames", tmp_path / "out"
    for number in range(60):
        write_grey(folder / f"{number}.png", rng.random((300, 300)).astype(np.float32))
    command = [
        sys.executable,
        "-m",
        "infraspot",
        "detect",
        str(folder),
        "--threads",
        "1",
        "--method",
        "tophat",
    ]
    command += ["--shard", "1/2", "--out"]
    subprocess.run([*command, str(tmp_path / "whole")], check=True, capture_output=True, timeout=PATIENCE)
    journal = out / "part-1-of-2" / "rows.jsonl"

    def again():
        return subprocess.run([*command, out], capture_output=True, text=True, timeout=PATIENCE, check=False)

    for lines in (4, 12):
        process = subprocess.Popen([*command, str(out)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE
        while not (journal.exists() and journal.read_bytes().count(b"\n") > lines):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.002)
        os.kill(process.pid, signal.SIGSTOP)
        twin = again()
        assert twin.returncode == 2
        assert "in use by process" in twin.stderr
        process.kill()
        process.wait()
    done = again()
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split("errors; ")[1].split()[0]) >= 12
    name = "part-1-of-2.parquet"
    assert rows_of(out / name) == rows_of(tmp_path / "whole" / name)
    assert [entry.name for entry in out.iterdir()] == [name]
