"""``infraspot generate dense`` and ``infraspot sky``: sets that readers take, repeatable and resumable."""

import json
from pathlib import Path

import numpy as np
import pytest

from infraspot.cli.main import main
from infraspot.core.sample import Sample
from infraspot.data import open_dataset, read_mask, write_dataset, write_mask
from infraspot.jobs import dense as module


def make_base(folder: Path, count=6, *, target=True, sky=True, splits=None) -> Path:
    """Frames with a bright sky above a dark, rough ground."""
    samples = []
    for number in range(count):
        rng = np.random.default_rng(number)
        image = np.full((48, 64), 0.4, np.float32)
        image[32:] = rng.uniform(0, 0.3, (16, 64))
        mask = np.zeros((48, 64), bool)
        if target:
            image[5:8, 5 + number : 8 + number] = 0.9
            mask[5:8, 5 + number : 8 + number] = True
        above = np.zeros((48, 64), np.uint8)
        above[:32] = 1
        samples.append(Sample(f"b{number}", image, mask=mask, sky=above if sky else None))
    write_dataset(folder, samples, splits=splits)
    return folder


def run(base, out, *options, count=5):
    return main(
        ["generate", "dense", "--base", str(base), "--out", str(out), "--count", str(count), *options]
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.*") if path.is_file()
    }


@pytest.mark.parametrize(("layout", "read_as"), [("infraspot", "images-masks"), ("densesirst", "densesirst")])
def test_readers_take_the_set_with_masks_boxes_points_and_sky(tmp_path, layout, read_as):
    assert run(make_base(tmp_path / "base"), tmp_path / "set", "--layout", layout) == 0
    reader = open_dataset(tmp_path / "set")
    assert (reader.layout, len(reader)) == (read_as, 5)
    records = json.loads((tmp_path / "set/dense.json").read_text())["frames"]
    for sample, record in zip(reader, records, strict=True):
        assert sample.id == record["id"]
        assert len(sample.boxes) == len(sample.points) == record["pasted"] + 1
        assert sample.sky[:32].all()
        for (y, x), (x0, y0, x1, y1) in zip(sample.points, sample.boxes, strict=True):
            assert x0 - 0.5 <= x <= x1 - 0.5
            assert y0 - 0.5 <= y <= y1 - 0.5
            assert sample.mask[int(y0) : int(y1), int(x0) : int(x1)].any()
    assert main(["data", "check", str(tmp_path / "set")]) == 0


def test_the_number_of_processes_changes_no_byte(tmp_path):
    base = make_base(tmp_path / "base")
    for workers in "12":
        run(base, tmp_path / workers, "--workers", workers, count=33)
    assert contents(tmp_path / "1") == contents(tmp_path / "2")


def test_a_larger_count_adds_frames_and_a_lost_file_comes_again(tmp_path):
    base = make_base(tmp_path / "base")
    run(base, tmp_path / "set", count=3)
    (tmp_path / "set/sky/dense_0_000001.png").unlink()
    run(base, tmp_path / "set", count=8)
    run(base, tmp_path / "whole", count=8)
    assert contents(tmp_path / "set") == contents(tmp_path / "whole")


def test_a_stopped_run_leaves_a_whole_set_and_goes_on(tmp_path, monkeypatch):
    base, made = make_base(tmp_path / "base"), module._Maker.__call__

    def stopped(self, index):
        if index == 2:
            raise KeyboardInterrupt
        return made(self, index)

    monkeypatch.setattr(module._Maker, "__call__", stopped)
    assert run(base, tmp_path / "set") == 130
    assert len(open_dataset(tmp_path / "set")) == 2
    monkeypatch.setattr(module._Maker, "__call__", made)
    assert run(base, tmp_path / "set") == 0
    run(base, tmp_path / "whole")
    assert contents(tmp_path / "set") == contents(tmp_path / "whole")


def test_frames_keep_the_split_of_their_base_and_targets_come_from_train_alone(tmp_path, monkeypatch):
    splits = {"train": ["b0", "b1"], "val": ["b2"], "test": ["b3", "b4", "b5"]}
    base = make_base(tmp_path / "base", splits=splits)
    seen, cut = [], module.build_library
    monkeypatch.setattr(
        module, "build_library", lambda samples, *rest: cut([seen.append(s.id) or s for s in samples], *rest)
    )
    run(base, tmp_path / "set", count=12)
    assert sorted(seen) == ["b0", "b1"]
    records = {
        one["id"]: one["base"] for one in json.loads((tmp_path / "set/dense.json").read_text())["frames"]
    }
    for role, members in splits.items():
        made = (tmp_path / f"set/splits/{role}.txt").read_text().split()
        assert sorted(records[name] for name in made) == sorted(members * 2)


def test_sky_comes_from_a_folder_from_the_base_or_automatically(tmp_path):
    given, bare = make_base(tmp_path / "given"), make_base(tmp_path / "bare", sky=False)
    for number in range(6):
        write_mask(tmp_path / "skies" / f"b{number}.png", np.eye(48, 64) < 0)
    for name, base, sky in (
        ("base", given, "auto"), ("automatic", bare, "auto"), ("folder", given, str(tmp_path / "skies"))
    ):  # fmt: skip
        assert run(base, tmp_path / name, "--sky", sky) == 0
        records = json.loads((tmp_path / name / "dense.json").read_text())["frames"]
        assert {record["sky"] for record in records} == {name}
        assert all(record["areas"] == [] for record in records) == (name == "folder")


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        (["--side", "30"], 2, "fits into its area"),
        (["--areas", "3-1"], 2, "areas"),
        (["--targets", "many"], 2, "--targets"),
        (["--gap", "0"], 2, "gap"),
        (["--sky", "nowhere"], 1, "nowhere"),
        (["--count", "0"], 2, "--count"),
        (["--count", "9999999999999"], 2, "--count"),
    ],
)
def test_wrong_options_are_a_sentence_and_write_nothing(tmp_path, capsys, options, status, words):
    assert run(make_base(tmp_path / "base"), tmp_path / "set", *options) == status
    assert words in capsys.readouterr().err
    assert not (tmp_path / "set").exists()


def test_bases_of_no_use_are_a_sentence_and_write_nothing(tmp_path, capsys):
    make_base(tmp_path / "empty", target=False)
    make_base(tmp_path / "maskless")
    for path in (tmp_path / "maskless/masks").iterdir():
        path.unlink()
    for name, words in (("empty", "library"), ("maskless", "no masks"), ("absent", "no folder")):
        assert run(tmp_path / name, tmp_path / "set") == 1
        assert words in capsys.readouterr().err
        assert not (tmp_path / "set").exists()


def test_a_folder_of_other_files_or_options_is_refused_and_kept(tmp_path, capsys):
    base = make_base(tmp_path / "base")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("x")
    assert run(base, tmp_path / "mine") == 1
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
    run(base, tmp_path / "set")
    before = contents(tmp_path / "set")
    assert run(base, tmp_path / "set", "--seed", "1") == 1
    assert "other options" in capsys.readouterr().err
    assert contents(tmp_path / "set") == before


def test_frames_that_cannot_be_read_are_told_and_the_others_are_made(tmp_path, capsys):
    base = make_base(tmp_path / "base")
    (tmp_path / "base/images/b3.png").write_bytes(b"no image")
    write_mask(tmp_path / "base/sky/b4.png", np.zeros((3, 3)))
    assert run(base, tmp_path / "set", count=6) == 1
    told = capsys.readouterr().err
    assert "b3" in told
    assert "b4" in told
    assert len(open_dataset(tmp_path / "set")) == 4


def test_options_of_scenes_before_dense_are_refused(tmp_path, capsys):
    assert (
        main(
            ["generate", "--seed", "3", "dense", "--base", "x", "--out", str(tmp_path / "o"), "--count", "1"]
        )
        == 2
    )
    assert "put the options of dense after its name" in capsys.readouterr().err
    assert main(["generate"]) == 2
    assert "--out" in capsys.readouterr().err


def test_sky_masks_are_automatic_by_name_and_read_with_their_set(tmp_path):
    base = make_base(tmp_path / "base", sky=False)
    assert main(["sky", str(base), "--out", str(base / "sky")]) == 0
    told = json.loads((base / "sky/skies.json").read_text())
    assert told["options"]["automatic"] is True
    assert [one["id"] for one in told["skies"]] == [f"b{number}" for number in range(6)]
    for sample in open_dataset(base):
        truth = np.arange(48)[:, None] < np.full(64, 32)
        assert (truth & (sample.sky > 0)).sum() / (truth | (sample.sky > 0)).sum() > 0.9


def test_a_second_run_of_sky_makes_what_is_missing_and_refuses_other_masks(tmp_path, capsys):
    base = make_base(tmp_path / "base")
    assert main(["sky", str(base), "--out", str(base / "sky")]) == 1
    assert "not skies" in capsys.readouterr().err
    out = tmp_path / "skies"
    main(["sky", str(base), "--out", str(out)])
    mask = read_mask(out / "b2.png")
    (out / "b2.png").unlink()
    capsys.readouterr()
    main(["sky", str(base), "--out", str(out)])
    assert "6 automatic sky masks (5 were there already)" in capsys.readouterr().out
    np.testing.assert_array_equal(read_mask(out / "b2.png"), mask)


def test_sky_tells_of_images_that_cannot_be_read(tmp_path, capsys):
    base = make_base(tmp_path / "base")
    (tmp_path / "base/images/b3.png").write_bytes(b"no image")
    assert main(["sky", str(base), "--out", str(tmp_path / "skies")]) == 1
    assert "b3" in capsys.readouterr().err
    assert len(list((tmp_path / "skies").glob("*.png"))) == 5
