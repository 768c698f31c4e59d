"""`infraspot.detect` and `infraspot.load`: frames of any kind in, results that a person can use out."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import infraspot
from infraspot.core.errors import DataError, InfraspotError, InputError, UsageError
from infraspot.core.prediction import Prediction
from infraspot.core.sample import Sample
from infraspot.data import Frame, write_grey, write_mask


class Bright:
    """Scores are grey values."""

    name, card = "bright", {"threshold": 0.5}

    def score(self, image):
        return image


class Boxes:
    """A detector of boxes: it has no score map."""

    name, card = "boxes", {"threshold": 0.4}

    def predict(self, frame, id):
        return Prediction.from_boxes(id, [(1, 1, 4, 4)], [0.45], frame.image.shape)


@pytest.fixture
def detector():
    return infraspot.load(Bright())


@pytest.fixture
def image():
    """A target of 2x3 pixels with its corner at row 10, column 20, and one pixel at row 40, column 5."""
    frame = np.full((48, 64), 0.2, np.float32)
    frame[10:12, 20:23] = 0.8
    frame[40, 5] = 0.6
    return frame


@pytest.fixture
def folder(tmp_path, image):
    for number in range(3):
        write_grey(tmp_path / "frames" / f"f{number}.png", image)
    return tmp_path / "frames"


def test_a_result_is_a_sequence_of_its_targets_with_everything_in_one_order(detector, image):
    found = detector(image)
    assert len(found) == 2
    assert [target.area for target in found] == [6, 1]
    assert found[0] is found.targets[0]
    assert (found[0].x, found[0].y) == (21, 10.5)
    np.testing.assert_allclose(found.points, [(10.5, 21), (40, 5)])
    np.testing.assert_allclose(found.boxes, [(20, 10, 23, 12), (5, 40, 6, 41)])
    np.testing.assert_array_equal(found.mask, image > 0.5)
    np.testing.assert_array_equal(found.scores, image)
    mask = infraspot.annotate(image, found.points).mask
    assert mask[10, 21]
    assert mask[40, 5]


def test_reprs_are_one_short_line(detector, image, folder):
    found = detector(image)
    assert repr(found) == "<Detection frame 64x48: 2 targets>"
    assert repr(found[0]).startswith("Target(x=21.0, y=10.5, area=6, score=0.80, scr=")
    assert repr(detector) == "<Detector bright, threshold 0.5>"
    assert repr(detector(folder)) == "<Detections of 3 frames by bright>"
    assert repr(found.prediction) == "<Prediction frame 64x48: score map>"
    assert repr(infraspot.read_image(folder / "f0.png")) == "<Frame 64x48, 8-bit>"
    assert repr(Sample("a", image, image > 0.5)) == "<Sample a 64x48: mask>"


def test_one_frame_may_come_as_a_path_array_tensor_picture_frame_or_sample(detector, image, folder):
    import torch

    eight = np.round(image * 255).astype(np.uint8)
    deep = Image.fromarray(np.round(image * 65535).astype(np.uint16))
    for source in (
        folder / "f0.png", str(folder / "f0.png"), image, eight,
        image.astype(np.float64), image.astype(np.float16),
        torch.tensor(image, requires_grad=True), torch.tensor(image).bfloat16(), torch.tensor(eight),
        Image.fromarray(eight), Image.fromarray(eight).convert("RGB"), Image.fromarray(eight).convert("P"),
        Image.fromarray(image), Frame(image, 8), Sample("s", image),
    ):  # fmt: skip
        found = detector(source)
        assert [(round(target.x), target.area) for target in found] == [(21, 6), (5, 1)], source
    assert detector(deep).bit_depth == 16
    assert len(detector(deep)) > 0


def test_many_frames_are_found_one_by_one(image, folder):
    asked = []

    class Counting(Bright):
        def score(self, image):
            asked.append(image.shape)
            return image

    found = infraspot.load(Counting())(folder)
    assert (len(found), asked) == (3, [])
    frames = iter(found)
    assert next(frames).name == "f0"
    assert len(asked) == 1
    assert [result.name for result in found] == ["f0", "f1", "f2"]
    mixed = infraspot.load(Bright())([folder, image, folder / "f1.png"])
    assert [result.name for result in mixed] == ["f0", "f1", "f2", "frame-0004", "f1"]
    assert len(infraspot.load(Bright())(str(folder / "*.png"))) == 3
    assert len(infraspot.load(Bright())([image])) == 1


def test_a_data_set_gives_its_images_without_its_masks(detector, folder, image):
    folder.rename(folder.parent / "images")
    for number in range(3):
        write_mask(folder.parent / "masks" / f"f{number}.png", image > 0.5)
    for source in (folder.parent, infraspot.open_dataset(folder.parent)):
        assert [found.name for found in detector(source)] == ["f0", "f1", "f2"]


def test_a_file_of_several_pages_gives_many_results_and_a_file_of_one_gives_one(detector, image, tmp_path):
    pages = [Image.fromarray((image * shade * 255).astype(np.uint8)) for shade in (1.0, 0.9)]
    pages[0].save(tmp_path / "film.tif", save_all=True, append_images=pages[1:])
    pages[0].save(tmp_path / "one.tif")
    found = detector(tmp_path / "film.tif")
    assert [(frame.name, frame.page) for frame in found] == [("film-0001", 1), ("film-0002", 2)]
    with pytest.raises(TypeError, match="not known"):
        len(found)
    assert detector(tmp_path / "one.tif").name == "one"


def test_trees_arrays_and_raw_files_are_read_as_the_command_reads_them(detector, image, folder):
    deep = folder / "deep"
    deep.mkdir()
    np.save(deep / "stack.npy", np.stack([image, image]))
    (folder / "film.raw").write_bytes((image * 255).astype(np.uint8).tobytes() * 2)
    assert [found.name for found in detector(folder)] == ["f0", "f1", "f2"]
    found = [found.name for found in detector(folder, recursive=True)]
    assert sorted(found) == ["deep/stack-0001", "deep/stack-0002", "f0", "f1", "f2"]
    assert [len(found) for found in detector(folder / "film.raw", raw="64x48:uint8")] == [2, 2]
    with pytest.raises(UsageError, match="64by48"):
        detector(folder / "film.raw", raw="64by48")


def test_an_iterator_is_taken_frame_by_frame_and_only_once(detector, image):
    drawn = []

    def camera():
        for number in range(3):
            drawn.append(number)
            yield image

    found = detector(camera())
    frames = iter(found)
    next(frames)
    assert drawn == [0]
    assert [result.name for result in frames] == ["frame-0002", "frame-0003"]
    with pytest.raises(UsageError, match="gives them once"):
        iter(found)


def test_progress_is_told_how_many_frames_there_are(detector, folder):
    told = []

    def watch(items, total, what):
        told.append((total, what))
        return items

    list(detector(folder, progress=watch))
    list(detector(folder, progress=True))
    assert told == [(3, "detecting")]


def test_tensors_that_hold_no_plain_pixels_are_refused_in_a_sentence(detector, image):
    torch = pytest.importorskip("torch")
    for tensor in (torch.tensor(image).to_sparse(), torch.empty(5, 6, device="meta")):
        with pytest.raises(InputError, match=r"^expected a dense tensor .*torch.float32"):
            detector(tensor)


def test_an_input_that_cannot_be_used_stops_the_run_or_is_left_out_and_named(detector, folder, image):
    (folder / "f1.png").write_text("no image")
    with pytest.raises(InputError, match=r"f1\.png"):
        list(detector(folder))
    found = detector(folder, on_error="skip")
    assert [result.name for result in found] == ["f0", "f2"]
    (failure,) = found.failures
    assert "f1.png" in failure
    found = detector([image, image * np.nan], on_error="skip")
    assert len(list(found)) == 1
    assert found.failures[0].startswith("frame-0002: 3072 of 3072 pixels are NaN")


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ([], "an empty list came"),
        ("", "an empty string came"),
        ("nowhere/frame.png", "there is no file"),
        ("nowhere", "no such file or folder"),
        (["nowhere.png"], "item 1 of the list: there is no file"),
        (np.zeros((9, 9), np.int32), "the image is int32"),
        (np.full((9, 9), np.nan), "NaN or infinite"),
        (np.zeros((9, 9, 3), np.uint8), r"\(9, 9, 3\); of a colour image pass one channel"),
        (np.zeros((2, 9, 9, 3), np.uint8), r"of several frames a list"),
        ([np.zeros((9, 9), np.uint8), np.zeros((9, 9, 3), np.uint8)], "item 2 of the list: expected a grey"),
        ([[np.zeros((9, 9))]], "lists in lists"),
        ({"a": 1}, "dict came"),
        (b"frame.png", "bytes came"),
        (np.zeros((0, 4)), r"its shape is \(0, 4\)"),
    ],
    ids=range(14),
)
def test_what_is_no_source_is_refused_in_a_sentence(source, sentence):
    with pytest.raises(InfraspotError, match=sentence):
        infraspot.detect(source)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"treshold": 0.5}, "unknown option 'treshold': did you mean 'threshold'"),
        ({"threshold": 2}, "threshold=2 came"),
        ({"threshold": [1]}, r"threshold=\[1\] came"),
        ({"threshold": 0.5, "operating_point": "quiet"}, "each set the threshold"),
        ({"operating_point": "quit"}, "did you mean 'quiet'"),
        ({"operating_point": 3}, "operating_point=3 came"),
        ({"fa_per_mpx": -1}, "fa_per_mpx=-1 came"),
        ({"method": "tophatt"}, "did you mean 'tophat'"),
        ({"method": "tophat", "model": "compact-sirst1"}, "exclude each other"),
        ({"model": "compact"}, "no model 'compact'"),
        ({"model": 3}, "and 3 came"),
        ({"engine": "tensorrt"}, "unknown engine"),
        ({"threads": -1}, "threads=-1 came"),
        ({"on_error": "ignore"}, "'raise' or 'skip'"),
    ],
    ids=range(14),
)
def test_wrong_options_are_refused_in_a_sentence(image, options, sentence):
    with pytest.raises(UsageError, match=sentence):
        infraspot.detect(image, **options)


def test_results_are_saved_in_the_format_that_the_name_ends_in(detector, image, tmp_path):
    found = detector(image)
    for name in ("a.json", "a.csv", "a.mask.png", "a.prob.png", "deep/a.png"):
        assert found.save(tmp_path / name) == tmp_path / name
    assert json.loads((tmp_path / "a.json").read_text()) == found.record()
    rows = list(csv.DictReader((tmp_path / "a.csv").open()))
    assert [(row["x"], row["area"]) for row in rows] == [("21.0", "6"), ("5.0", "1")]
    np.testing.assert_array_equal(infraspot.read_mask(tmp_path / "a.mask.png"), found.mask)
    np.testing.assert_allclose(infraspot.read_image(tmp_path / "a.prob.png").image, found.scores, atol=1e-5)
    assert Image.open(tmp_path / "deep/a.png").size == found.overlay().size
    with pytest.raises(UsageError, match=r"ends in \.json"):
        found.save(tmp_path / "new/a.bmp")
    with pytest.raises(InputError, match="gives targets only"):
        infraspot.load(Boxes())(image).save(tmp_path / "new/a.mask.png")
    assert not (tmp_path / "new").exists()


def test_a_detector_of_boxes_gives_the_same_kind_of_result(image):
    found = infraspot.load(Boxes())(image)
    assert (len(found), found[0].box) == (1, (1, 1, 4, 4))
    for part in ("mask", "scores"):
        with pytest.raises(InputError, match="gives targets only"):
            getattr(found, part)


def test_a_notebook_shows_picture_and_table_and_no_foreign_html(detector, image, tmp_path):
    write_grey(tmp_path / "<b>x.png", image)
    shown = detector(tmp_path / "<b>x.png")._repr_html_()
    assert "data:image/png;base64," in shown
    assert shown.count("<tr>") == 3
    assert "<b>" not in shown
    assert "&lt;b&gt;x.png" in shown


def test_plot_draws_a_box_around_every_target(detector, image, monkeypatch):
    pytest.importorskip("matplotlib").use("Agg")
    axes = detector(image).plot()
    assert sorted((patch.get_width(), patch.get_height()) for patch in axes.patches) == [(5, 5), (7, 6)]
    assert axes.patches[0].get_xy() == (17.5, 7.5)
    assert detector(image).plot(axes) is axes
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match=r"infraspot\[report\]"):
        detector(image).plot()


def test_the_model_stays_loaded_until_its_file_changes(image, tmp_path, monkeypatch):
    from infraspot.api import detecting

    opened = []
    monkeypatch.setattr(detecting, "load", lambda *a, **k: opened.append(a) or infraspot.load(Bright()))
    detecting._kept.cache_clear()
    weights = tmp_path / "w.safetensors"
    weights.write_text("a")
    for changed in (1, 1, 2):
        os.utime(weights, (changed, changed))
        infraspot.detect(image, model=weights)
    assert len(opened) == 2
    detecting._kept.cache_clear()


def test_neither_torch_nor_matplotlib_is_loaded_to_detect():
    code = (
        "import sys, numpy, infraspot; found = infraspot.detect(numpy.zeros((32, 32), 'uint8'));"
        "found._repr_html_(); print([m for m in ('torch', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_empty_folder_is_no_empty_sky(tmp_path):
    with pytest.raises(DataError, match="holds no image"):
        infraspot.detect(Path(tmp_path))
