"""What comes into the journal: results of detection, own exports, masks."""

import json
import shutil

import numpy as np
import pytest

from infraspot.cli.main import main
from infraspot.core.errors import DataError
from infraspot.data import open_dataset, read_mask, write_grey, write_mask
from infraspot.jobs.detect import detect_files
from infraspot.web.actions import Batch, MarkedTarget, PutTarget, SetSky, SetStatus, Undo
from infraspot.web.runs import to_mask, to_patch
from infraspot.web.session import Session
from infraspot.web.taking_in import take_in
from infraspot.web.transfer import EXPORTS

SHAPE = (60, 80)
RECORD = '{"image": "one.png", "width": 80, "height": 60, "targets": [%s]}'


def patch(*pixels):
    mask = np.zeros(SHAPE, bool)
    for y, x in pixels:
        mask[y, x] = True
    return to_patch(mask)


def target(number, *pixels, **more):
    y, x = pixels[0]
    return PutTarget(target=MarkedTarget(id=number, x=x, y=y, method="hand", patch=patch(*pixels), **more))


@pytest.fixture
def folder(tmp_path, rng):
    images = tmp_path / "frames"
    ys, xs = np.mgrid[: SHAPE[0], : SHAPE[1]]
    for name in ("one", "two", "three", "four", "five"):
        spot = 0.6 * np.exp(-((ys - 20) ** 2 + (xs - 30) ** 2) / 4)
        write_grey(images / f"{name}.png", (0.2 + spot + 0.01 * rng.standard_normal(SHAPE)).clip(0, 1))
    return images


@pytest.fixture
def session(folder, tmp_path):
    """Targets that touch, a doubtful image with a doubtful target and a sky, and an empty image."""
    session = Session(folder, tmp_path / "out")
    touching = [
        target(1, (5, 5), (5, 6)),
        target(2, (6, 5), (6, 6), level=0.3, confidence=0.7),
        target(3, (40, 50)),
    ]
    for action in (*touching, SetStatus(status="done")):
        session.journal.add("one", "w", action)
    for action in (
        SetSky(patch=patch((0, 0), (0, 1))),
        target(4, (9, 9), doubtful=True),
        SetStatus(status="doubtful"),
    ):
        session.journal.add("two", "w", action)
    session.journal.add("three", "w", SetStatus(status="empty"))
    session.journal.add("four", "w", target(1, (1, 1)))  # open: not exported
    yield session
    session.journal.close()


@pytest.fixture
def fresh(folder, tmp_path):
    session = Session(folder, tmp_path / "fresh")
    yield session
    session.journal.close()


def known(session, image):
    state = session.state(image)[0]
    return state.status, state.targets, state.sky


@pytest.mark.parametrize("form", [form for form in EXPORTS if form not in ("level", "timing")])
def test_an_own_export_comes_back_exactly_also_where_targets_touch(session, fresh, form):
    EXPORTS[form](session, session.out / form)
    taken = take_in(fresh, session.out / form)
    assert taken.sentence == "3 images taken in, 0 left as they were, exactly as they were exported"
    for image in ("one", "two", "three"):
        assert known(fresh, image) == known(session, image)
    assert len(fresh.state("one")[0].targets) == 3
    assert fresh.state("four")[1] == 0
    assert not fresh.state("two")[0].can_undo or fresh.journal.history("two").version == 1


def test_an_import_is_undone_by_one_step(session, fresh):
    EXPORTS["coco"](session, session.out / "coco")
    take_in(fresh, session.out / "coco" / "annotations" / "instances_all.json")
    fresh.journal.add("one", "w", Undo())
    assert fresh.state("one")[0].targets == []


def test_an_export_that_was_edited_is_read_from_its_files_and_that_is_said(session, fresh):
    EXPORTS["masks"](session, session.out / "masks")
    write_mask(session.out / "masks" / "three.png", to_mask([patch((30, 30), (30, 31))], SHAPE))
    taken = take_in(fresh, session.out / "masks")
    assert "changed since" in taken.sentence
    assert [t.patch for t in fresh.state("three")[0].targets] == [patch((30, 30), (30, 31))]
    assert len(fresh.state("one")[0].targets) == 2  # a mask cannot keep touching targets apart


def test_marks_beyond_the_frame_are_left_out_with_a_sentence(session, tmp_path, rng):
    EXPORTS["points"](session, session.out / "points")
    write_grey(tmp_path / "small" / "one.png", rng.random((20, 20)))
    write_grey(tmp_path / "small" / "three.png", rng.random((20, 20)))
    other = Session(tmp_path / "small", tmp_path / "small-out")
    taken = take_in(other, session.out / "points")
    assert "1 image taken in" in taken.sentence
    assert "20x20" in taken.problems[0]
    other.journal.close()


@pytest.mark.parametrize("kept", ["json,mask", "json", "mask"])
def test_what_detect_wrote_comes_in_with_its_targets_and_stays_open(folder, tmp_path, fresh, kept):
    run = detect_files(folder, tmp_path / "found", formats=kept.split(","))
    taken = take_in(fresh, tmp_path / "found")
    assert taken.sentence.startswith("5 images taken in")
    assert not taken.problems
    state = fresh.state("one")[0]
    assert state.status == "open"
    record = next(record for record in run.records if record["image"] == "one.png")
    assert len(state.targets) == len(record["targets"]) == 1
    found = state.targets[0]
    if "mask" in kept:
        expected = read_mask(tmp_path / "found" / "one.mask.png")
        np.testing.assert_array_equal(to_mask([found.patch], SHAPE), expected)
        assert found.method == "detect"
    if kept == "json,mask":
        assert found.confidence == record["targets"][0]["score"]
        assert (found.x, found.y) == (record["targets"][0]["x"], record["targets"][0]["y"])
    if kept == "json":
        assert to_mask([found.patch], SHAPE)[20, 30]


def test_results_of_another_folder_with_the_same_names_are_not_taken(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "all" / "day")
    night = tmp_path / "all" / "night"
    for path in (tmp_path / "all" / "day").iterdir():
        write_grey(night / path.name, np.full(SHAPE, 0.3))  # nothing to find
    detect_files([tmp_path / "all" / "day", night], tmp_path / "found", formats=["json", "mask"])
    said = {"day": "5 images taken in, 0 left", "night": "0 images taken in, 5 in which nothing was found,"}
    for name, count in (("day", 1), ("night", 0)):
        session = Session(tmp_path / "all" / name, tmp_path / f"{name}-out")
        assert take_in(session, tmp_path / "found").sentence.startswith(said[name])
        assert len(session.state("one")[0].targets) == count
        session.journal.close()
    elsewhere = Session(folder, tmp_path / "elsewhere")
    with pytest.raises(DataError, match="names none"):
        take_in(elsewhere, tmp_path / "found")
    elsewhere.journal.close()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (RECORD % '{"x": 1e999}', "damaged"),
        (RECORD % '{"x": 500, "y": 2, "score": 1, "box": [0, 0, 1, 1]}', "outside"),
        ('{"image": "one.png", "width": 8, "height": 6, "targets": []}', "8x6"),
        ("{", "damaged"),
    ],
)
def test_a_damaged_result_is_named_and_the_others_are_taken(folder, tmp_path, fresh, damage, words):
    detect_files(folder, tmp_path / "found", formats=["json", "mask"])
    (tmp_path / "found" / "one.json").write_text(damage)
    taken = take_in(fresh, tmp_path / "found")
    assert taken.sentence.startswith("4 images taken in")
    assert len(taken.problems) == 1
    assert "one.json" in taken.problems[0]
    assert words in taken.problems[0]
    assert fresh.state("one")[1] == 0


def test_the_dataset_export_is_what_train_takes(session):
    for image in ("four", "five"):
        session.journal.add(image, "w", Batch(actions=[target(1, (20, 30)), SetStatus(status="done")]))
    exported = EXPORTS["dataset"](session, session.out / "dataset")
    assert "4 to train, 1 to validate" in exported.sentence
    whole = open_dataset(session.out / "dataset")
    assert sorted(whole.ids) == ["five", "four", "one", "three", "two"]
    train, val = (open_dataset(session.out / "dataset", split=split) for split in ("train", "val"))
    assert sorted([*train.ids, *val.ids]) == sorted(whole.ids)
    one = whole[whole.ids.index("one")]
    np.testing.assert_array_equal(one.image, session.frame("one").image)
    np.testing.assert_array_equal(
        one.mask, to_mask([t.patch for t in session.state("one")[0].targets], SHAPE)
    )
    assert one.points.tolist() == [[5, 5], [6, 5], [40, 50]]
    three = whole[whole.ids.index("three")]
    assert three.mask is not None
    assert not three.mask.any()


def test_two_images_are_one_to_train_and_one_to_validate(session):
    session.journal.add("three", "w", SetStatus(status="rejected"))
    assert "1 to train, 1 to validate" in EXPORTS["dataset"](session, session.out / "dataset").sentence


def test_the_command_says_what_it_took_in_and_fails_where_it_could_not(folder, tmp_path, capsys):
    detect_files(folder, tmp_path / "found", formats=["json"])
    (tmp_path / "found" / "two.json").write_text("{}")
    command = ["annotate", str(folder), "--out", str(tmp_path / "out"), "--no-open"]
    assert main([*command, "--import", str(tmp_path / "found")]) == 1
    said = capsys.readouterr()
    assert "4 images taken in" in said.out
    assert "two.json" in said.err
    journal = [json.loads(line) for line in (tmp_path / "out" / "journal.jsonl").read_text().splitlines()]
    assert {line["action"]["kind"] for line in journal} == {"batch"}


def test_a_model_that_cannot_be_used_is_refused_before_the_page_starts(folder, tmp_path, capsys):
    damaged = tmp_path / "my.onnx"
    damaged.write_bytes(b"no weights")
    command = ["annotate", str(folder), "--out", str(tmp_path / "out"), "--no-open"]
    for model in (str(damaged), "no-such-model"):
        assert main([*command, "--model", model]) in (1, 2)
        assert model in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
