"""Data sets of sequences: small fakes of their layouts, frames in order, times and tracks."""

from contextlib import suppress

import numpy as np
import pytest
import scipy.io

from infraspot.core.errors import DataError, InfraspotError, InputError
from infraspot.data import open_dataset, write_grey
from infraspot.data.sequences import open_sequences
from infraspot.jobs.evaluate_tracks import _truths


def frame(path, level=0.2):
    write_grey(path, np.full((12, 16), level, np.float32))


def mask(path, y=4, x=5):
    picture = np.zeros((12, 16), np.float32)
    picture[y : y + 2, x : x + 3] = 1
    write_grey(path, picture)


def text(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)


@pytest.fixture
def mot(tmp_path):
    """A sequence of frames 1, 2 and 4; target 7 in two of them, and a row that does not count."""
    for number in (1, 2, 4):
        frame(tmp_path / "mot" / "night" / "img1" / f"{number:06d}.png")
        frame(tmp_path / "mot" / "day" / "img1" / f"{number:06d}.png")
    rows = "1,7,5,3,3,2,1,-1,-1,-1\n4,7,8,3,3,2,1,-1,-1,-1\n4,9,1,1,2,2,0,-1,-1,-1\n"
    text(tmp_path / "mot" / "night" / "gt" / "gt.txt", rows)
    text(tmp_path / "mot" / "day" / "gt" / "gt.txt", "2 1 5.5 3 3 2\n")
    text(tmp_path / "mot" / "night" / "seqinfo.ini", "[Sequence]\nname=night\nframeRate=20\n")
    return tmp_path / "mot"


def test_mot_gives_boxes_tracks_times_and_missing_frames(mot):
    assert open_dataset(mot).layout == "mot"
    day, night = open_sequences(mot)
    assert (day.name, day.rate, day.times) == ("day", None, None)
    assert (night.name, night.numbers, len(night)) == ("night", (1, 2, 4), 3)
    np.testing.assert_allclose(night.times, [0, 0.05, 0.15])
    samples = dict(night)
    assert samples[1].boxes.tolist() == [[4, 2, 7, 4]]
    assert samples[1].tracks.tolist() == [7]
    assert samples[2].boxes.shape == (0, 4)
    assert samples[4].tracks.tolist() == [7]


def test_tracks_of_a_set_are_truth_for_tracks(tmp_path):
    thermal = tmp_path / "rgbt" / "DJI_1" / "01"
    for number, x in ((0, 5), (1, 7)):
        frame(thermal / f"{number:05d}.png")
        frame(thermal.parent / "00" / f"{number:05d}.png")
        text(
            thermal / f"{number:05d}.xml",
            "<annotation><object><name>ship</name><id>3</id><bndbox>"
            f"<xmin>{x}</xmin><ymin>3</ymin><xmax>{x + 2}</xmax><ymax>4</ymax></bndbox></object>"
            "</annotation>",
        )
    assert open_dataset(tmp_path / "rgbt").layout == "rgbt-tiny"
    ((name, points),) = _truths(tmp_path / "rgbt").items()
    assert name == "DJI_1"
    # Pixels 5 to 7 and 3 to 4, counted from 1, have their centre at (x, y) = (5, 2.5).
    assert [(frame, ids.tolist(), places.tolist()) for frame, (ids, places) in points.items()] == [
        (1, [1], [[2.5, 5.0]]),
        (2, [1], [[2.5, 7.0]]),
    ]


def test_the_last_frame_of_nudt_mirsdt_has_the_mask(tmp_path):
    for name in ("Sequence1", "Sequence47"):
        for number in (1, 2):
            stack = np.zeros((5, 12, 16), np.uint8)
            stack[-1] = 50 * number
            place = tmp_path / name / "Mix" / f"{number:05d}.mat"
            place.parent.mkdir(parents=True, exist_ok=True)
            scipy.io.savemat(place, {"Mix": stack}, do_compression=number == 2)
            mask(tmp_path / name / "masks" / f"{number:05d}.png")
    reader = open_dataset(tmp_path)
    assert reader.layout == "nudt-mirsdt"
    assert [round(float(sample.image[0, 0] * 255)) for sample in reader] == [50, 100, 50, 100]
    assert all(sample.mask.sum() == 6 for sample in reader)
    assert open_dataset(tmp_path, split="test").ids == ["Sequence47_00001", "Sequence47_00002"]
    assert [(one.name, one.numbers) for one in open_sequences(tmp_path)] == [
        ("Sequence1", (1, 2)),
        ("Sequence47", (1, 2)),
    ]


def test_lists_of_boxes_are_read_by_the_last_parts_of_their_paths(tmp_path):
    for number in (0, 1):
        frame(tmp_path / "images" / "7" / f"{number}.png")
    text(tmp_path / "coco_train_DAUB.txt", "/home/someone/DAUB/images/7/0.png 4,2,7,4,0 1,1,3,3,0\n")
    text(tmp_path / "coco_val_DAUB.txt", "C:\\data\\images\\7\\1.png 4,2,7,4,0\n")
    reader = open_dataset(tmp_path)
    assert (reader.layout, reader.ids) == ("box-lists", ["7_0", "7_1"])
    assert reader[0].boxes.tolist() == [[4, 2, 7, 4], [1, 1, 3, 3]]
    assert reader[0].classes.tolist() == [0, 0]
    assert open_dataset(tmp_path, split="val").ids == ["7_1"]


def test_folders_of_sequences_with_masks_and_lists_of_sequences(tmp_path):
    for sequence in ("1", "2"):
        for number in (0, 1):
            frame(tmp_path / "images" / sequence / f"{number:04d}.png")
            mask(tmp_path / "masks" / sequence / f"{number:04d}.png")
    text(tmp_path / "video_idx" / "train.txt", "1\n")
    text(tmp_path / "video_idx" / "test.txt", "2\n")
    sequences = open_sequences(tmp_path)
    assert [(one.name, one.numbers) for one in sequences] == [("1", (0, 1)), ("2", (0, 1))]
    assert open_dataset(tmp_path, split="test").ids == ["2_0000", "2_0001"]
    (only,) = open_sequences(tmp_path, split="train")
    assert [number for number, _ in only] == [0, 1]


def test_frames_without_numbers_of_their_own_are_counted(tmp_path):
    for name in ("a", "b"):
        frame(tmp_path / "images" / f"{name}.png")
        mask(tmp_path / "masks" / f"{name}.png")
    (only,) = open_sequences(tmp_path)
    assert only.numbers == (1, 2)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("night/gt/gt.txt", "1,7,5,3,3\n", "line 1: expected frame"),
        ("night/gt/gt.txt", "1,7,5,3,nan,2\n", "line 1: expected frame"),
        ("night/gt/gt.txt", "1,7,5,3,1e300,2\n", "at most"),
        ("night/gt/gt.txt", "1,7,5,3,0,2\n", "no area"),
        ("night/gt/gt.txt", "1,1e40,5,3,1,2\n", "line 1"),
        ("night/seqinfo.ini", "[Sequence]\nframeRate=0\n", "frames a second"),
        ("night/seqinfo.ini", "%(x)s\n", "no frame rate"),
    ],
)
def test_damaged_texts_of_mot_are_sentences(mot, name, content, words):
    (mot / name).write_text(content)
    with pytest.raises(InputError) as caught:
        open_sequences(mot, layout="mot")
    assert words in str(caught.value) or words == "at most"


@pytest.mark.parametrize(
    "line",
    [
        "../../secret/0.png 1,1,2,2,0",
        "images/7/9.png 1,1,2,2,0",
        "images/7/0.png 2,2,1,1,0",
        "images/../0.png 1,1,2,2,0",
    ],
)
def test_lists_lead_nowhere_else(tmp_path, line):
    frame(tmp_path / "set" / "images" / "7" / "0.png")
    frame(tmp_path / "secret" / "0.png")
    text(tmp_path / "set" / "train.txt", line + "\n")
    with pytest.raises((DataError, InputError)):
        open_dataset(tmp_path / "set", layout="box-lists")


def test_damaged_mat_files_are_sentences(tmp_path):
    rng = np.random.default_rng(5)
    path = tmp_path / "Sequence1" / "Mix" / "00001.mat"
    path.parent.mkdir(parents=True)
    scipy.io.savemat(path, {"Mix": rng.integers(0, 255, (5, 12, 16), dtype=np.uint8)}, do_compression=True)
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    for _ in range(80):
        damaged = whole.copy()
        damaged[rng.integers(120, len(whole), 3)] = rng.integers(0, 256, 3)
        path.write_bytes(damaged[: rng.integers(130, len(whole) + 1)].tobytes())
        with suppress(InfraspotError):
            assert open_dataset(tmp_path)[0].image.ndim == 2
    scipy.io.savemat(path, {"a": np.ones((3, 4)), "b": np.ones((3, 4)), "words": "hello"})
    with pytest.raises(InputError, match=r"2 arrays \(a, b\)"):
        open_dataset(tmp_path)[0]
