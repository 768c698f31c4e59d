"""``infraspot generate``: readers take its data set, it repeats, and it never costs other files."""

import json

import numpy as np
import pytest

from infraspot.cli.main import main
from infraspot.core.errors import DataError
from infraspot.data import open_dataset
from infraspot.jobs import generate as module
from infraspot.synth import SceneRanges

RANGES = SceneRanges(size=(48, 40))


def run(out, *options):
    return main(["generate", "--out", str(out), "--size", "48x40", *options])


def test_the_folder_is_a_data_set_with_every_layer(tmp_path):
    assert run(tmp_path / "set", "--scenes", "5", "--bits", "14") == 0
    samples = open_dataset(tmp_path / "set")
    assert len(samples) == 5
    sample = samples[0]
    assert sample.shape == (40, 48)
    assert sample.bit_depth == 16
    assert sample.mask is not None
    assert len(open_dataset(tmp_path / "set", split="train")) == 4
    assert len(open_dataset(tmp_path / "set", split="val")) == 1
    points = json.loads((tmp_path / "set/points.json").read_text())
    x, y = points[sample.id][0]
    assert sample.mask[round(y), round(x)]
    assert {"images", "masks", "sky", "bboxes", "splits"} <= {p.name for p in (tmp_path / "set").iterdir()}


def test_the_same_options_make_the_same_files(tmp_path):
    for name in ("a", "b"):
        run(tmp_path / name, "--scenes", "3", "--seed", "5")
    for path in sorted((tmp_path / "a").rglob("*.*")):
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes()


def test_a_second_run_keeps_what_is_there_and_adds_what_is_missing(tmp_path):
    out = tmp_path / "set"
    assert module.write_scenes(out, 3, 0, RANGES) == 3
    (out / "masks/scene_0_000001_pixels0.png").unlink()
    kept = (out / "images/scene_0_000000.png").stat().st_mtime_ns
    assert module.write_scenes(out, 5, 0, RANGES) == 3
    assert (out / "images/scene_0_000000.png").stat().st_mtime_ns == kept
    assert len(json.loads((out / "scenes.json").read_text())["scenes"]) == 5
    assert module.write_scenes(out, 2, 0, RANGES) == 0
    assert len(json.loads((out / "scenes.json").read_text())["scenes"]) == 5


def test_an_interrupted_run_leaves_a_whole_data_set_and_goes_on(tmp_path, monkeypatch):
    out, made = tmp_path / "set", module._write_scene

    def stopped_at_two(folder, seed, ranges, index):
        if index == 2:
            raise KeyboardInterrupt
        return made(folder, seed, ranges, index)

    monkeypatch.setattr(module, "_write_scene", stopped_at_two)
    with pytest.raises(KeyboardInterrupt):
        module.write_scenes(out, 4, 0, RANGES)
    assert len(open_dataset(out)) == 2
    monkeypatch.setattr(module, "_write_scene", made)
    assert module.write_scenes(out, 4, 0, RANGES) == 2


def test_a_killed_run_goes_on_from_its_records(tmp_path):
    out = tmp_path / "set"
    options = json.loads(json.dumps({"seed": 0, "ranges": module.asdict(RANGES)}))
    assert module._folder(out).open(options) == {}
    module._write_scene(out, 0, RANGES, 0)  # killed here: no index was written
    assert module.write_scenes(out, 2, 0, RANGES) == 1
    assert not (out / ".scenes").exists()


def test_other_files_and_other_options_are_refused(tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("x")
    assert run(tmp_path / "mine", "--scenes", "1") == 1
    assert "not scenes" in capsys.readouterr().err
    run(tmp_path / "set", "--scenes", "1")
    assert run(tmp_path / "set", "--scenes", "1", "--seed", "9") == 1
    assert "other options" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options",
    [("--size", "big"), ("--targets", "x"), ("--scr", "5-2"), ("--targets", "4-1"), ("--bits", "9")],
)
def test_wrong_options_exit_with_two_and_write_nothing(tmp_path, options):
    assert main(["generate", "--out", str(tmp_path / "set"), "--scenes", "1", *options]) == 2
    assert not (tmp_path / "set").exists()


def test_sequences_are_written_frame_by_frame(tmp_path):
    assert run(tmp_path / "set", "--scenes", "1", "--frames", "3", "--kind", "sky", "--targets", "1") == 0
    ids = sorted(path.stem for path in (tmp_path / "set/images").iterdir())
    assert ids == [f"scene_0_000000_{t:04d}" for t in range(3)]


def test_comparison_gives_statistics_and_a_picture(tmp_path, capsys):
    run(tmp_path / "real", "--scenes", "3", "--seed", "1")
    assert run(tmp_path / "made", "--scenes", "3", "--compare", str(tmp_path / "real")) == 0
    result = json.loads((tmp_path / "made/comparison.json").read_text())
    assert {"mean", "spread", "gradient", "noise", "area", "scr"} <= set(result)
    assert result["real_frames"] == 3
    assert (tmp_path / "made/comparison.png").stat().st_size > 0
    assert "distance" in capsys.readouterr().out


def test_the_noise_estimate_finds_the_deviation_of_white_noise():
    from infraspot.report.scenes import noise_level

    field = np.random.default_rng(0).normal(0, 3.0, (300, 300)) + np.linspace(0, 50, 300)
    assert noise_level(field) == pytest.approx(3, rel=0.02)


def test_strays_among_the_records_do_not_stop_a_run(tmp_path):
    out = tmp_path / "set"
    assert module.write_scenes(out, 2, 0, RANGES) == 2
    (out / ".scenes").mkdir()
    (out / ".scenes/.5-abcdefgh.json").write_text("{")
    (out / ".scenes/.infraspot~abcdefgh.json").write_text("{")
    (out / ".infraspot~abcdefgh.json").write_text("")
    assert module.write_scenes(out, 3, 0, RANGES) == 1
    assert len(open_dataset(out)) == 3
    assert not (out / ".infraspot~abcdefgh.json").exists()
    assert not (out / ".scenes/.infraspot~abcdefgh.json").exists()


def test_a_run_that_was_killed_before_its_first_file_is_begun_again(tmp_path):
    out = tmp_path / "set"
    out.mkdir()
    (out / ".infraspot~abcdefgh.json").write_text("")
    assert module.write_scenes(out, 1, 0, RANGES) == 1
    assert sorted(path.name for path in out.iterdir() if path.name.startswith(".")) == []


@pytest.mark.parametrize(
    "index",
    ["[]", "7", "{}", '{"options": 1}', '{"options": null, "scenes": 3}', "{", '{"scenes": [[]]}'],
)
def test_a_damaged_index_is_a_sentence(tmp_path, index):
    out = tmp_path / "set"
    module.write_scenes(out, 1, 0, RANGES)
    options = json.loads((out / "scenes.json").read_text())["options"]
    text = index.replace("null", json.dumps(options))
    (out / "scenes.json").write_text(text)
    with pytest.raises(DataError):
        module.write_scenes(out, 1, 0, RANGES)


def test_a_record_without_its_parts_is_a_sentence(tmp_path):
    out = tmp_path / "set"
    module.write_scenes(out, 1, 0, RANGES)
    (out / ".scenes").mkdir()
    for damage in ("[]", '{"index": 5}', '{"index": 5, "frames": [{}]}'):
        (out / ".scenes/5.json").write_text(damage)
        with pytest.raises(DataError, match="damaged"):
            module.write_scenes(out, 1, 0, RANGES)


def test_sequences_come_with_true_tracks_and_the_true_way_of_the_background(tmp_path, capsys):
    out = tmp_path / "set"
    arguments = ["generate", "--scenes", "2", "--size", "72x60", "--frames", "5", "--targets", "2"]
    arguments += [
        "--out",
        str(out),
        "--pan",
        "1",
        "--jitter",
        "0.5",
        "--hover",
        "0.5",
        "--blink",
        "0.5",
        "--cross",
        "1",
    ]
    assert main([*arguments, "--parallax", "0.3", "--workers", "1"]) == 0
    scenes = json.loads((out / "scenes.json").read_text())["scenes"]
    for scene in scenes:
        name = scene["frames"][0]["id"].rpartition("_")[0]
        boxes = [line.split(",") for line in (out / "tracks" / name / "gt/gt.txt").read_text().splitlines()]
        listed = [[int(box[0]), int(box[1])] for box in boxes]
        assert listed == [
            [number, track] for number, frame in enumerate(scene["frames"], 1) for track in frame["tracks"]
        ]
        ways = (out / "tracks" / name / "motion.csv").read_text().splitlines()
        assert ways[:2] == ["frame,x,y", "1,0,0"]
        assert len(ways) == 6
    again = ["evaluate", "--tracks", str(tmp_path / "found"), str(out)]
    assert main(["track", str(out / "images"), "--out", str(tmp_path / "found"), "--method", "tophat"]) == 0
    assert main(again) == 0
    assert main([*again[:-1], str(out / "tracks")]) == 0


def test_options_of_motion_are_refused_for_single_frames(tmp_path, capsys):
    assert main(["generate", "--scenes", "1", "--out", str(tmp_path / "set"), "--hover", "1"]) == 2
    assert "--hover need sequences" in capsys.readouterr().err
    assert not (tmp_path / "set").exists()
