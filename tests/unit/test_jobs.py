"""Whole-folder work as plain functions: they write, they return what was done, and they print nothing."""

import numpy as np
import pytest

import infraspot
from infraspot.core.errors import DataError, InputError, UsageError
from infraspot.data import write_grey, write_mask


@pytest.fixture
def data(tmp_path):
    """Six frames of 48x48 with one bright target each, and their masks."""
    for number in range(6):
        image, mask = np.full((48, 48), 0.3), np.zeros((48, 48), bool)
        mask[10 + number : 14 + number, 20:24] = True
        image += 0.01 * np.random.default_rng(number).standard_normal(image.shape)
        image[mask] = 0.8
        write_grey(tmp_path / "data/images" / f"f{number}.png", image.clip(0, 1))
        write_mask(tmp_path / "data/masks" / f"f{number}.png", mask)
    return tmp_path / "data"


def test_every_job_runs_from_python_and_prints_nothing(data, tmp_path, capsys):
    options = {"method": "tophat", "sigmas": 5, "formats": ["mask", "json"]}
    run = infraspot.detect_files(data, tmp_path / "found", **options)
    assert [record["image"] for record in run.records] == [f"f{number}.png" for number in range(6)]
    assert run.failures == []
    scores = infraspot.evaluate(tmp_path / "found", data / "masks", bootstrap=0)
    assert scores.result["pd"] == 1
    assert scores.result["n_images"] == 6
    labels = infraspot.label_dataset(data, tmp_path / "masks", methods=["profile"], workers=1)
    assert (labels.images, labels.clicks, labels.problems) == (6, 6, [])
    assert labels.figures["profile"]["iou"] > 0.8
    level = infraspot.calibrate(data, tmp_path / "level.json", folds=2)
    assert (level.targets, level.images) == (6, 6)
    assert infraspot.write_scenes(tmp_path / "scenes", 2) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == ""


def test_a_job_tells_its_caller_of_each_bad_input_and_returns_it_as_well(data, tmp_path):
    (data / "images/f2.png").write_text("no image")
    told: list[object] = []
    run = infraspot.detect_files(data, tmp_path / "found", method="tophat", tell=told.append)
    assert [type(said) for said in told] == [InputError]
    assert run.failures == [str(told[0])]
    assert len(run.records) == 5


def test_a_jobs_progress_sees_every_item(data, tmp_path):
    seen: list[tuple[int, str]] = []

    def watch(items, total, what):
        for item in items:
            seen.append((total, what))
            yield item

    infraspot.detect_files(data, tmp_path / "found", method="tophat", progress=watch)
    infraspot.evaluate(tmp_path / "found", data / "masks", bootstrap=0, progress=watch)
    assert seen == [(6, "detecting")] * 6 + [(6, "scoring")] * 6


def test_wrong_options_are_refused_before_anything_is_written(data, tmp_path):
    out = tmp_path / "out"
    for wrong in ({"formats": ["jsn"]}, {"formats": []}, {"method": "tophat", "model": "x"}, {"sigmas": 3.0}):
        with pytest.raises(UsageError):
            infraspot.detect_files(data, out, **wrong)
    with pytest.raises(UsageError, match="none came"):
        infraspot.detect_files([], out)
    with pytest.raises(UsageError):
        infraspot.label_dataset(data, out, methods=[])
    assert not out.exists()


def test_nothing_readable_is_an_error_that_names_the_first(tmp_path):
    (tmp_path / "a.png").write_text("no image")
    with pytest.raises(DataError, match=r"no frame could be read.*a\.png"):
        infraspot.detect_files(tmp_path / "a.png", tmp_path / "out", method="tophat")
