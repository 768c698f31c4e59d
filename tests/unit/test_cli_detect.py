import csv
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tifffile
from PIL import Image

import infraspot
from infraspot.cli.main import main
from infraspot.core.errors import DataError
from infraspot.data import write_grey


def frame(rng, places, shape=(48, 64)):
    image = 0.3 + 0.004 * rng.standard_normal(shape)
    for y, x in places:
        image[y : y + 2, x : x + 2] = 0.8
    return image.clip(0, 1)


@pytest.fixture
def folder(tmp_path, rng):
    images = tmp_path / "frames"
    write_grey(images / "two.png", frame(rng, [(10, 20), (30, 40)]))
    write_grey(images / "none.png", np.full((20, 30), 0.4))
    write_grey(images / "deep.tif", 0.1 + 0.02 * frame(rng, [(10, 20)]), bits=16)
    return images


def detect(*arguments, method="tophat"):
    return main(["detect", *map(str, arguments), *(["--method", method, "--sigmas", "5"] if method else [])])


def test_every_format_is_written_at_the_frames_own_size(folder, tmp_path, capsys):
    out = tmp_path / "out"
    assert detect(folder, "--out", out, "--format", "mask,json,csv,coco,overlay,prob") == 0
    record = json.loads((out / "two.json").read_text())
    assert (record["image"], record["width"], record["height"], record["bit_depth"]) == ("two.png", 64, 48, 8)
    assert {tuple(target["box"]) for target in record["targets"]} == {(20, 10, 22, 12), (40, 30, 42, 32)}
    first = next(target for target in record["targets"] if target["box"] == [20, 10, 22, 12])
    assert (first["x"], first["y"], first["area"]) == (20.5, 10.5, 4)
    assert first["score"] > 0.5
    assert first["scr"] > 50
    mask = np.asarray(Image.open(out / "two.mask.png"))
    assert mask.shape == (48, 64)
    assert np.unique(mask).tolist() == [0, 255]
    assert (mask > 0).sum() == 8
    assert np.asarray(Image.open(out / "two.prob.png")).dtype in (np.uint16, np.int32)
    assert json.loads((out / "none.json").read_text())["targets"] == []
    with (out / "detections.csv").open() as file:
        assert [row["image"] for row in csv.DictReader(file)].count("two.png") == 2
    coco = json.loads((out / "coco.json").read_text())
    assert len(coco["images"]) == 3
    assert {tuple(note["bbox"]) for note in coco["annotations"]} >= {(20, 10, 2, 2), (40, 30, 2, 2)}
    assert "3 frames" in capsys.readouterr().out


def test_ids_count_from_one_with_the_highest_score_first(folder, tmp_path):
    detect(folder, "--out", tmp_path / "out")
    targets = json.loads((tmp_path / "out" / "two.json").read_text())["targets"]
    assert [target["id"] for target in targets] == [1, 2]
    assert targets[0]["score"] >= targets[1]["score"]


def test_what_cannot_be_read_is_named_and_the_others_are_done(folder, tmp_path, capsys):
    (folder / "text.png").write_text("not an image")
    (folder / "cut.png").write_bytes((folder / "two.png").read_bytes()[:60])
    Image.new("L", (1, 1), 7).save(folder / "dot.png")
    tifffile.imwrite(folder / "nan.tif", np.full((9, 9), np.nan, np.float32))
    out = tmp_path / "out"
    assert detect(folder, "--out", out) == 1
    said = capsys.readouterr().err
    for name in ("text.png", "cut.png", "nan.tif"):
        assert name in said
    assert "Traceback" not in said
    assert {path.name for path in out.glob("*.json")} == {"two.json", "none.json", "deep.json", "dot.json"}


def test_an_absent_file_fails_and_the_others_are_done(folder, tmp_path, capsys):
    assert detect(tmp_path / "absent.png", folder / "two.png", "--out", tmp_path / "out") == 1
    assert "absent.png" in capsys.readouterr().err
    assert (tmp_path / "out" / "two.json").is_file()


def test_files_of_one_stem_keep_their_suffix_in_the_names_of_results(folder, tmp_path):
    write_grey(folder / "two.tif", np.full((9, 9), 0.5))
    out = tmp_path / "out"
    assert detect(folder, "--out", out, "--format", "json") == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "deep.json", "none.json", "two.png.json", "two.tif.json"
    ]  # fmt: skip
    assert json.loads((out / "two.tif.json").read_text())["width"] == 9


def test_pages_never_overwrite_the_results_of_a_file_with_their_number(tmp_path, rng):
    folder, out = tmp_path / "frames", tmp_path / "out"
    write_grey(folder / "a-0001.png", np.full((20, 30), 0.4))
    stack = np.stack([frame(rng, [(10, 20)]), frame(rng, [(10, 30)])])
    tifffile.imwrite(folder / "a.tif", (stack * 255).astype(np.uint8), photometric="minisblack")
    assert detect(folder, "--out", out, "--format", "json") == 0
    found = {path.name: json.loads(path.read_text()) for path in out.iterdir()}
    assert sorted(found) == ["a-0001.json", "a.tif-0001.json", "a.tif-0002.json"]
    assert [len(record["targets"]) for _, record in sorted(found.items())] == [0, 1, 1]
    assert [record.get("page") for _, record in sorted(found.items())] == [None, 1, 2]


def test_results_mirror_the_folders_below_the_one_that_all_images_share(tmp_path, rng):
    for camera in ("camA", "camB"):
        write_grey(tmp_path / "in" / camera / "0001.png", frame(rng, [(10, 20)]))
    out = tmp_path / "out"
    formats = "json,mask,csv,coco"
    assert detect(tmp_path / "in/camA", tmp_path / "in/camB", "--out", out, "--format", formats) == 0
    for camera in ("camA", "camB"):
        assert json.loads((out / camera / "0001.json").read_text())["image"] == f"{camera}/0001.png"
        assert (out / camera / "0001.mask.png").is_file()
    with (out / "detections.csv").open() as file:
        assert [row["image"] for row in csv.DictReader(file)] == ["camA/0001.png", "camB/0001.png"]
    assert len(json.loads((out / "coco.json").read_text())["images"]) == 2


def test_an_image_named_coco_does_not_meet_the_file_of_the_run(tmp_path, rng):
    write_grey(tmp_path / "in" / "coco.png", frame(rng, [(10, 20)]))
    assert detect(tmp_path / "in", "--out", tmp_path / "out", "--format", "json,coco") == 0
    assert "annotations" in json.loads((tmp_path / "out/coco.json").read_text())
    assert json.loads((tmp_path / "out/coco.png.json").read_text())["image"] == "coco.png"


def test_an_image_is_never_overwritten_by_results(folder, capsys):
    write_grey(folder / "two.mask.png", np.full((9, 9), 0.5))
    before = (folder / "two.mask.png").read_bytes()
    assert detect(folder, "--out", folder) == 2
    assert "two.mask.png is read in this run" in capsys.readouterr().err
    assert (folder / "two.mask.png").read_bytes() == before
    assert not (folder / "two.json").exists()


def test_a_damaged_page_costs_neither_the_pages_before_it_nor_other_files(tmp_path, rng, capsys):
    folder, out = tmp_path / "frames", tmp_path / "out"
    stack = np.stack([frame(rng, [(10, 20)]), frame(rng, [(10, 30)])])
    folder.mkdir()
    tifffile.imwrite(folder / "film.tif", (stack * 65535).astype(np.uint16), compression="zlib")
    write_grey(folder / "good.png", frame(rng, [(10, 20)]))
    with tifffile.TiffFile(folder / "film.tif") as film:
        start, length = film.pages[1].dataoffsets[0], film.pages[1].databytecounts[0]
    damaged = bytearray((folder / "film.tif").read_bytes())
    damaged[start : start + length] = bytes(length)
    (folder / "film.tif").write_bytes(damaged)
    assert detect(folder, "--out", out, "--format", "json") == 1
    said = capsys.readouterr()
    assert "film.tif" in said.err
    assert "1 input failed" in said.err
    assert sorted(path.name for path in out.iterdir()) == ["film-0001.json", "good.json"]
    assert json.loads((out / "film-0001.json").read_text())["targets"][0]["x"] == pytest.approx(20.5, abs=0.6)


def test_nothing_found_and_nothing_read_end_differently(tmp_path, capsys):
    write_grey(tmp_path / "empty.png", np.tile(np.linspace(0.3, 0.5, 30), (20, 1)))
    assert detect(tmp_path / "empty.png", "--out", tmp_path / "out") == 0
    said = capsys.readouterr()
    assert "0 targets" in said.out
    assert said.err == ""
    (tmp_path / "empty.png").write_bytes(b"")
    assert detect(tmp_path / "empty.png", "--out", tmp_path / "out") == 1
    said = capsys.readouterr()
    assert "0 targets" not in said.out
    assert "no frame could be read, so nothing was detected" in said.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--format", "jsn"], "unknown format 'jsn': did you mean 'json'?"),
        (["--method", "tophot"], "did you mean 'tophat'?"),
        (["--method", "tophat", "--threshold", "0.5", "--sigmas", "3"], "each set the threshold"),
        (["--method", "tophat", "--model", "x"], "exclude each other"),
        (["--model", "no-such-model"], "no model 'no-such-model'"),
        (["--threshold", "7"], "--threshold"),
    ],
)
def test_wrong_options_are_said_before_anything_is_done(folder, tmp_path, capsys, arguments, said):
    assert detect(folder, "--out", tmp_path / "out", *arguments, method=None) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_no_input_is_wrong_usage_and_an_empty_folder_a_failure(tmp_path, capsys):
    assert detect() == 2
    assert detect(tmp_path, "--out", tmp_path / "out") == 1
    assert "holds no image" in capsys.readouterr().err


def test_a_data_sets_folder_stands_for_its_images_without_the_masks(tmp_path, rng):
    for name in ("a", "b"):
        write_grey(tmp_path / "set" / "images" / f"{name}.png", frame(rng, [(10, 20)]))
        write_grey(tmp_path / "set" / "masks" / f"{name}.png", np.zeros((48, 64)))
    assert detect(tmp_path / "set", "--out", tmp_path / "out", "--format", "json") == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.json", "b.json"]


def test_pages_of_a_stack_get_numbers(tmp_path, rng):
    stack = np.stack([frame(rng, [(10, 20 + k)]) for k in range(3)])
    tifffile.imwrite(tmp_path / "film.tif", (stack * 65535).astype(np.uint16), photometric="minisblack")
    assert detect(tmp_path / "film.tif", "--out", tmp_path / "out", "--format", "json") == 0
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["film-0001.json", "film-0002.json", "film-0003.json"]
    places = [json.loads((tmp_path / "out" / name).read_text())["targets"][0]["x"] for name in names]
    assert places == pytest.approx([20.5, 21.5, 22.5], abs=0.6)


def test_a_place_that_cannot_be_written_is_said_before_the_work(folder, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert detect(folder, "--out", tmp_path / "file" / "out") == 1
    assert "cannot write" in capsys.readouterr().err


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_done_whole(tmp_path, rng):
    for number in range(400):
        write_grey(tmp_path / "frames" / f"{number}.png", frame(rng, [(10, 20)], (200, 300)))
    out = tmp_path / "out"
    command = [sys.executable, "-m", "infraspot", "detect", str(tmp_path / "frames"), "--method", "mpcm"]
    process = subprocess.Popen(
        [*command, "--out", str(out), "--format", "json,csv"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        # A background job ignores SIGINT, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while not list(out.glob("*.json")) and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "stopped; what was finished before is kept" in said
    assert "Traceback" not in said
    done = list(out.glob("*.json"))
    assert 0 < len(done) < 400
    for path in done:
        json.loads(path.read_text())
    assert (out / "detections.csv").is_file()
    assert not list(out.glob(".*"))


def test_the_demo_makes_scenes_and_shows_what_was_found_in_them(tmp_path, capsys):
    assert detect("--demo", "--out", tmp_path / "out", "--format", "json,overlay") == 0
    assert len(list((tmp_path / "out" / "demo").glob("*.png"))) == 4
    assert len(list((tmp_path / "out").glob("*.overlay.png"))) == 4
    assert "4 frames" in capsys.readouterr().out


def test_a_tree_is_read_with_its_subfolders_and_what_is_passed_over_is_said(tmp_path, rng, capsys):
    tree = tmp_path / "tree"
    for name in ("1.png", "day/1.png", "night/late/1.png"):
        write_grey(tree / name, frame(rng, [(10, 20)]))
    tifffile.imwrite(tree / "night/film.tif", np.zeros((2, 20, 30), np.uint8), photometric="minisblack")
    for name in ("notes.txt", "day/a.xml", "day/.hidden.png"):
        (tree / name).write_text("x")
    (tree / "day/again").symlink_to(tree)
    (tree / "self.png").symlink_to("self.png")
    out = tree / "out"
    for _ in range(2):  # the second run must not take the results of the first for frames
        assert detect(tree, "--out", out, "--recursive", "--format", "json,csv,coco,overlay") == 1
        said = capsys.readouterr().err
        assert "self.png" in said
        assert "3 files hold no frames" in said
        assert "again leads to a folder that is read already" in said
        found = {path.relative_to(out).as_posix() for path in out.rglob("*.json")}
        names = {"1", "day/1", "night/late/1", "night/film-0001", "night/film-0002", "coco"}
        assert found == {f"{name}.json" for name in names}
    assert json.loads((out / "night/film-0002.json").read_text())["page"] == 2
    pages = [one.get("page") for one in json.loads((out / "coco.json").read_text())["images"]]
    assert pages == [None, None, 1, 2, None]
    assert detect(tree, "--out", tmp_path / "flat") == 1
    assert "3 subfolders are not read; add --recursive" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "flat").glob("*.json")] == ["1.json"]


def test_a_raw_file_is_read_with_its_form_and_passed_over_without(folder, tmp_path, rng, capsys):
    stack = np.stack([frame(rng, [(10, 20)]), frame(rng, [(30, 40)])])
    (folder / "film.raw").write_bytes((stack * 16383).astype(">u2").tobytes())
    assert detect(folder, "--out", tmp_path / "out") == 0
    assert "1 .raw (film.raw); raw files are read with --raw" in capsys.readouterr().err
    form = "64x48:uint14:big"
    assert detect(folder, "--out", tmp_path / "out", "--raw", form, "--format", "json,csv") == 0
    record = json.loads((tmp_path / "out/film-0002.json").read_text())
    assert (record["page"], record["bit_depth"]) == (2, 14)
    assert record["targets"][0]["box"][2:] == [42, 32]
    with (tmp_path / "out/detections.csv").open() as file:
        assert "film.raw#2" in {row["image"] for row in csv.DictReader(file)}
    assert detect(folder, "--out", tmp_path / "x", "--raw", "64*48") == 2
    assert not (tmp_path / "x").exists()


def test_an_animated_png_and_an_image_of_its_pages_name_do_not_share_results(tmp_path, rng):
    pictures = [Image.fromarray((frame(rng, []) * 255).astype(np.uint8)) for _ in range(2)]
    pictures[0].save(tmp_path / "a.png", save_all=True, append_images=pictures[1:])
    pictures[0].save(tmp_path / "a-0001.png")
    assert detect(tmp_path, "--out", tmp_path / "out", "--format", "json") == 0
    found = {path.name for path in (tmp_path / "out").iterdir()}
    assert found == {"a.png-0001.json", "a.png-0002.json", "a-0001.json"}


def test_frames_of_one_value_are_told_since_nothing_can_be_found_in_them(folder, tmp_path, capsys):
    for name, value in (("black", 0.0), ("white", 1.0)):
        write_grey(tmp_path / "flat" / f"{name}.png", np.full((20, 30), value), bits=8)
    assert main(["detect", str(tmp_path / "flat"), "--out", str(tmp_path / "out"), "--format", "json"]) == 0
    said = capsys.readouterr().err
    assert "warning: 2 frames have one value in every pixel, where nothing can be found: black, white" in said
    assert detect(folder / "two.png", "--out", tmp_path / "out") == 0
    assert "one value" not in capsys.readouterr().err
    records = [json.loads((tmp_path / f"out/{name}.json").read_text()) for name in ("black", "two")]
    assert [record.get("blank") for record in records] == [True, None]
    assert infraspot.detect(np.zeros((20, 30), np.uint8)).blank
    assert "one value in every pixel" in repr(infraspot.detect(np.full((20, 30), 9, np.uint16)))


def test_a_failure_is_said_once(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert main(["detect", str(tmp_path / "empty"), "--out", str(tmp_path / "out")]) == 1
    said = capsys.readouterr().err
    assert said.count("holds no image, stack or video") == 1
    assert "nothing was detected" in said
    # Who listens to nothing learns why from the error.
    with pytest.raises(DataError, match=r"nothing was detected; the first error: .*holds no image"):
        infraspot.detect_files(tmp_path / "empty", tmp_path / "out")


def test_a_pattern_that_names_nothing_says_so(tmp_path, capsys):
    assert main(["detect", str(tmp_path / "*.png"), "--out", str(tmp_path / "out")]) == 1
    assert f"no file matches {tmp_path / '*.png'}; check the pattern" in capsys.readouterr().err


def test_what_the_chosen_threshold_gave_is_information_and_no_warning(folder, tmp_path, capsys):
    command = ["detect", str(folder), "--out", str(tmp_path / "out"), "--format", "json"]
    main([*command, "--fa-per-mpx", "1000"])
    said = capsys.readouterr()
    told = next(line for line in said.err.splitlines() if "asked for up to 1000 false alarms" in line)
    assert told.startswith("asked")
    card = infraspot.load().card["false_alarms"]
    assert f"the threshold 0 gave {card['curve'][0][1]:.3g}" in told
    assert "threshold 0\n" in said.out
