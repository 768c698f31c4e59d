"""Archives in folders and buckets: every frame is one row, and what was stopped goes on."""

import shutil

import numpy as np
import pytest

pytest.importorskip("pyarrow", reason="the extra archive is not installed")

from infraspot.cli.main import main
from infraspot.core.errors import DataError, InputError, UsageError
from infraspot.data import Reading, write_grey
from infraspot.data.storage import open_storage
from infraspot.inference.engines import ClassicalEngine
from infraspot.jobs import archive_worker
from infraspot.jobs.archive import PART, _read_done
from infraspot.jobs.archive_worker import Plan, Weights, Worker
from infraspot.jobs.detect import run_engine
from infraspot.jobs.rows import settings_of
from infraspot.report.parquet import read_parquet

OPTIONS = {"method": "tophat", "sigmas": 6.0}


@pytest.fixture
def folder(tmp_path, rng):
    """Six images in two folders, a stack of seven pages, a damaged image and a text."""
    place = tmp_path / "night"
    ys, xs = np.mgrid[:40, :48]
    for number in range(6):
        noise = 0.2 + 0.01 * rng.standard_normal((40, 48))
        image = noise + 0.5 * np.exp(-((ys - 9) ** 2 + (xs - 9) ** 2) / 2)
        write_grey(place / ("" if number < 3 else "late") / f"{number}.png", image.clip(0, 1))
    np.save(place / "film.npy", rng.integers(0, 255, (7, 24, 32)).astype(np.uint8))
    (place / "damaged.png").write_bytes((place / "0.png").read_bytes()[:60])
    (place / "notes.txt").write_text("rain")
    return place


def worker_of(source, out):
    engine = ClassicalEngine("tophat", sigmas=6)
    settings = settings_of(engine, 0.5, None, Reading())
    return Worker(Plan(str(source), str(out), OPTIONS, 0.5, Reading(), settings), None)


def rows_of(out):
    rows = [row for path in out.glob("part-*.parquet") for row in read_parquet(path)[1]]
    return {(row["path"], row["page"]): row for row in rows}, len(rows)


@pytest.mark.parametrize("kind", ["path", "file"])
def test_a_worker_writes_the_rows_of_the_folder_run_and_an_error_for_what_is_damaged(folder, tmp_path, kind):
    names = {"path": str, "file": lambda place: place.as_uri()}[kind]
    worker = worker_of(names(folder), names(tmp_path / "out"))
    files = worker.source.frames(recursive=True)
    assert files == [
        "0.png",
        "1.png",
        "2.png",
        "damaged.png",
        "film.npy",
        *(f"late/{n}.png" for n in (3, 4, 5)),
    ]
    counted = worker.work(files)
    run = run_engine(worker.engine, 0.5, [folder], tmp_path / "plain", formats=["json"], recursive=True)
    rows, number = rows_of(tmp_path / "out")
    assert (counted.frames, counted.errors, len(run.records), number) == (14, 1, 13, 14)
    for record in run.records:
        targets = rows[record["image"], record.get("page")]["targets"]
        assert [(t["x"], t["y"], t["area"]) for t in targets] == [
            (t["x"], t["y"], t["area"]) for t in record["targets"]
        ]
    assert "damaged.png" in rows["damaged.png", None]["error"]
    assert rows["damaged.png", None]["targets"] is None


def test_pages_that_are_done_are_left_out_when_a_file_is_taken_again(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(archive_worker, "ROWS_OF_A_PART", 3)
    worker = worker_of(folder, tmp_path / "out")
    worker.work(["film.npy"])
    parts = sorted((tmp_path / "out").iterdir(), key=lambda path: sum(1 for _ in read_parquet(path)[1]))
    assert [sum(1 for _ in read_parquet(path)[1]) for path in parts] == [1, 3, 3]
    before = rows_of(tmp_path / "out")[0]
    parts[0].unlink()  # the one that says that the file is finished
    done = _read_done(worker.out, worker.plan.settings, resume=True)
    assert (done.files, len(done.ids["film.npy"]), done.run.before) == (set(), 6, 6)
    assert worker.work(["film.npy"], done.ids["film.npy"]).frames == 1
    assert rows_of(tmp_path / "out") == (before, 7)
    assert _read_done(worker.out, worker.plan.settings, resume=True).files == {"film.npy"}


def test_results_that_are_there_need_resume_and_the_same_settings(folder, tmp_path):
    worker = worker_of(folder, tmp_path / "out")
    worker.work(["0.png"])
    with pytest.raises(UsageError, match="holds results of an earlier run; go on with them by --resume"):
        _read_done(worker.out, worker.plan.settings, resume=False)
    with pytest.raises(UsageError, match=r"begun with other settings or frames \(threshold\)"):
        _read_done(worker.out, {**worker.plan.settings, "threshold": 0.6}, resume=True)
    (part,) = (tmp_path / "out").iterdir()
    part.write_bytes(part.read_bytes()[:-9])
    with pytest.raises(InputError, match="is damaged or was not written by"):
        _read_done(worker.out, worker.plan.settings, resume=True)


def test_a_file_that_is_gone_is_a_row_and_a_folder_that_is_gone_stops_the_run(folder, tmp_path):
    worker = worker_of(folder, tmp_path / "out")
    assert worker.work(["absent.png"]).errors == 1
    shutil.rmtree(folder)
    with pytest.raises(DataError, match="night cannot be reached any more"):
        worker.work(["0.png"])
    (tmp_path / "shut").write_text("a file in the place of the folder")
    with pytest.raises(DataError, match="cannot write"):
        open_storage(tmp_path / "shut").write("a.parquet", b"rows")


def test_a_bucket_of_fsspec_is_read_and_written():
    pytest.importorskip("fsspec", reason="fsspec is not installed")
    storage = open_storage("memory://bucket/found")
    assert storage.names(PART) == []
    name = f"part-{'0' * 16}.parquet"
    storage.write(name, b"rows")
    assert (storage.names(PART), storage.read(name)) == ([name], b"rows")
    with pytest.raises(DataError, match="holds no image, stack or video"):
        storage.frames()


@pytest.mark.parametrize("url", ["nothing://here/there", "s3a2://bucket"])
def test_an_unknown_kind_of_url_is_a_sentence(url):
    with pytest.raises(UsageError, match="expected a path or a URL"):
        open_storage(url)


def test_weights_travel_with_the_name_of_their_run(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "best.safetensors").write_bytes(b"weights")
    unpacked = Weights.of(tmp_path / "mine" / "best.safetensors").unpacked()
    assert unpacked.endswith("mine/best.safetensors")
    assert open(unpacked, "rb").read() == b"weights"  # noqa: SIM115, PTH123


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (["detect", "s3://bucket/night"], "need --ray"),
        (["detect", "night", "--resume"], "need --ray"),
        (["detect", "night", "--actors", "2"], "need --ray"),
        (["detect", "night", "--ray", "auto", "--shard", "1/2"], "each divide an archive"),
    ],
)
def test_options_of_archives_are_refused_elsewhere(tmp_path, monkeypatch, capsys, line, sentence):
    monkeypatch.chdir(tmp_path)
    assert main(line) == 2
    assert sentence in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
