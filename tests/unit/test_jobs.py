"""Whole-folder work as plain functions: they write, they return what was done, and they print nothing."""

import subprocess
import sys
from typing import ClassVar

import numpy as np
import pytest

import infraspot
from infraspot.core.errors import DataError, InputError, UsageError
from infraspot.core.prediction import Prediction
from infraspot.data import write_grey, write_mask
from infraspot.inference import frames, stretch
from infraspot.jobs.detect import run_engine


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


def test_a_model_is_scored_at_the_threshold_that_detect_takes_and_a_folder_at_the_protocols(data, tmp_path):
    model = infraspot.evaluate("compact-sirst1", data=data, bootstrap=0)
    card = infraspot.load("compact-sirst1").card
    assert model.result["threshold"] == card["threshold"] == card["operating_points"]["balanced"]["threshold"]
    assert model.result["source"]["threshold"] == "model"
    asked = infraspot.evaluate("compact-sirst1", data=data, bootstrap=0, threshold=0.7)
    assert asked.result["threshold"] == 0.7
    folder = infraspot.evaluate(data / "masks", data / "masks", bootstrap=0).result
    assert (folder["threshold"], folder["source"]["threshold"]) == (0.5, "protocol")


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


def test_a_deep_frame_is_stretched_once_for_the_network_and_the_picture(tmp_path, monkeypatch):
    write_grey(tmp_path / "deep.png", np.random.default_rng(0).random((40, 48)), bits=16)
    calls: list[tuple[int, ...]] = []

    def counted(image):
        calls.append(image.shape)
        return stretch(image)

    monkeypatch.setattr(frames, "stretch", counted)
    infraspot.detect_files(tmp_path / "deep.png", tmp_path / "out", formats=["overlay", "json"], threads=1)
    assert calls == [(40, 48)]


class Boxes:
    """An engine that answers with one box a frame, and no score map."""

    name = "boxes"
    card: ClassVar[dict[str, object]] = {}

    def predict(self, frame, id):
        return Prediction.from_boxes(id, [[4, 6, 7, 9]], [0.8], frame.image.shape)


def test_an_engine_of_boxes_is_written_in_every_format_but_those_of_maps(data, tmp_path):
    formats = ["json", "overlay", "csv", "coco"]
    run = run_engine(Boxes(), 0.5, [data], tmp_path / "out", formats=formats)
    assert [record["targets"][0]["box"] for record in run.records] == [[4, 6, 7, 9]] * 6
    assert (tmp_path / "out/f0.overlay.png").is_file()
    with pytest.raises(UsageError, match="without score maps; leave out mask and prob"):
        run_engine(Boxes(), 0.5, [data], tmp_path / "other", formats=["json", "mask", "prob"])
    assert not (tmp_path / "other").exists()


def test_a_model_that_finds_nothing_starts_without_what_it_does_not_need(tmp_path):
    write_grey(tmp_path / "sky.png", np.full((48, 48), 0.3))
    code = (
        "import sys; from infraspot.cli.main import main; status = main(sys.argv[1:]);"
        "loaded = {name.partition('.')[0] for name in sys.modules};"
        "print(status, sorted(loaded & {'scipy', 'rich', 'torch', 'numba', 'skimage', 'matplotlib'}))"
    )
    arguments = ["detect", str(tmp_path / "sky.png"), "--out", str(tmp_path / "out"), "--threads", "1"]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "0 []"
