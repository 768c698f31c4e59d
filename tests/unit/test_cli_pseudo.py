"""The commands ``pseudo`` and ``calibrate`` on made-up data sets."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from infraspot.cli.main import main


def make_set(folder: Path, count: int = 4, masks: bool = True) -> Path:
    ys, xs = np.mgrid[:48, :48]
    (folder / "images").mkdir(parents=True)
    if masks:
        (folder / "masks").mkdir()
    for index in range(count):
        rng = np.random.default_rng(index)
        distance = np.hypot(ys - 20 - index % 5, xs - 24)
        frame = (
            50 + 130 * np.exp(-((distance / (2 + 0.1 * (index % 7))) ** 2) / 2) + rng.normal(0, 1, (48, 48))
        )
        Image.fromarray(frame.astype(np.uint8)).save(folder / "images" / f"f{index}.png")
        if masks:
            Image.fromarray(((distance < 3.2) * 255).astype(np.uint8)).save(
                folder / "masks" / f"f{index}.png"
            )
    return folder


def test_masks_provenance_and_figures_are_written(tmp_path: Path) -> None:
    data = make_set(tmp_path / "set")
    out, figures = tmp_path / "out", tmp_path / "figures.json"
    status = main(
        ["pseudo", str(data), "--method", "profile,otsu", "--level", "0.33", "--compare", "--out", str(out),
         "--json", str(figures), "--workers", "1"]
    )  # fmt: skip
    assert status == 0
    for method in ("profile", "otsu"):
        mask = np.asarray(Image.open(out / method / "f2.png"))
        assert mask.shape == (48, 48)
        assert set(np.unique(mask)) == {0, 255}
    found = json.loads(figures.read_text())
    assert found["methods"]["profile"]["iou"] > 0.8
    assert found["methods"]["profile"]["by_size"]["10 to 81 px"]["targets"] == 4
    stamp = json.loads((out / "provenance.json").read_text())
    assert stamp["level"] == "0.33"
    assert stamp["images"]["f0"]["profile"][0]["area"] > 10


def test_stacks_and_subfolders_are_labelled_frame_by_frame(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = make_set(tmp_path / "set", 3, masks=False) / "images"
    pages = np.stack([np.asarray(Image.open(frames / f"f{index}.png")) for index in range(3)])
    camera = tmp_path / "camera"
    (camera / "night").mkdir(parents=True)
    tifffile.imwrite(camera / "night" / "film.tif", pages[:2], photometric="minisblack")
    Image.fromarray(pages[2]).save(camera / "still.png")
    points = tmp_path / "points.json"
    points.write_text(json.dumps({"still": [[22, 24]], "night/film-0001": [[20, 24]], "night/film-0002": []}))
    run = ["pseudo", str(camera), "--points", str(points), "--workers", "1", "--out", str(tmp_path / "out")]
    assert main([*run, "--recursive"]) == 0
    for name, marked in {"still": True, "night/film-0001": True, "night/film-0002": False}.items():
        assert np.asarray(Image.open(tmp_path / "out" / f"{name}.png")).any() == marked
    assert main([*run, "--recursive", "--split", "train"]) == 2
    assert "leave it out" in capsys.readouterr().err


def test_a_stack_alone_and_a_folder_of_stacks_are_labelled_without_an_option(tmp_path: Path) -> None:
    frames = make_set(tmp_path / "set", 2, masks=False) / "images"
    pages = np.stack([np.asarray(Image.open(path)) for path in sorted(frames.iterdir())])
    folder = tmp_path / "films"
    folder.mkdir()
    tifffile.imwrite(folder / "film.tif", pages, photometric="minisblack")
    points = tmp_path / "points.json"
    points.write_text(json.dumps({"film-0001": [[20, 24]], "film-0002": [[21, 24]]}))
    for place in (folder, folder / "film.tif"):
        out = tmp_path / f"out-{place.name}"
        assert main(["pseudo", str(place), "--points", str(points), "--out", str(out), "--workers", "1"]) == 0
        assert sorted(path.name for path in out.glob("*.png")) == ["film-0001.png", "film-0002.png"]


def test_two_processes_write_what_one_writes(tmp_path: Path) -> None:
    data = make_set(tmp_path / "set", 6)
    for workers in ("1", "2"):
        assert main(["pseudo", str(data), "--out", str(tmp_path / workers), "--workers", workers]) == 0
    for index in range(6):
        assert (tmp_path / "1" / f"f{index}.png").read_bytes() == (
            tmp_path / "2" / f"f{index}.png"
        ).read_bytes()


def test_points_file_with_strangers_and_gaps_does_the_others(tmp_path: Path, capsys) -> None:
    data = make_set(tmp_path / "set", 3, masks=False)
    points = tmp_path / "points.json"
    points.write_text(json.dumps({"f0": [[24, 20]], "f1": [[99, 20]], "ghost": [[1, 1]]}))
    out = tmp_path / "out"
    assert (
        main(["pseudo", str(data / "images"), "--points", str(points), "--out", str(out), "--workers", "1"])
        == 1
    )
    said = capsys.readouterr().err
    assert "ghost" in said
    assert "f2" in said
    assert "x=99" in said
    assert (out / "f0.png").is_file()
    assert not (out / "f1.png").exists()


def test_csv_points_are_read(tmp_path: Path) -> None:
    data = make_set(tmp_path / "set", 2, masks=False)
    points = tmp_path / "points.csv"
    points.write_text("image,x,y\nf0,24,20\nf1,24,21\n")
    assert (
        main(["pseudo", str(data / "images"), "--points", str(points), "--out", str(tmp_path / "out")]) == 0
    )


def test_second_run_resumes_and_another_level_starts_afresh(tmp_path: Path, capsys) -> None:
    data = make_set(tmp_path / "set", 3)
    arguments = ["pseudo", str(data), "--out", str(tmp_path / "out"), "--workers", "1"]
    main(arguments)
    (tmp_path / "out" / "f1.png").unlink()
    capsys.readouterr()
    assert main(arguments) == 0
    assert "2 of 3 images were finished before" in capsys.readouterr().out
    assert (tmp_path / "out" / "f1.png").is_file()
    assert main([*arguments, "--level", "0.5"]) == 0
    assert "finished before" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "wrong",
    [
        ["--method", "profil"],
        ["--level", "7"],
        ["--points", "nowhere.json"],
        ["--method", "otsu", "--level", "0.3"],
    ],
)
def test_wrong_usage_exits_with_two(tmp_path: Path, wrong: list[str]) -> None:
    data = make_set(tmp_path / "set", 1)
    assert main(["pseudo", str(data), "--out", str(tmp_path / "out"), *wrong]) == 2


def test_damaged_image_is_named_and_the_others_are_done(tmp_path: Path, capsys) -> None:
    data = make_set(tmp_path / "set", 3)
    (data / "images" / "f1.png").write_bytes(b"not a picture")
    assert main(["pseudo", str(data), "--out", str(tmp_path / "out"), "--workers", "1"]) == 1
    assert "f1" in capsys.readouterr().err
    assert (tmp_path / "out" / "f2.png").is_file()


def test_calibrated_file_serves_pseudo(tmp_path: Path, capsys) -> None:
    data = make_set(tmp_path / "set", 8)
    level = tmp_path / "level.json"
    assert main(["calibrate", str(data), "--out", str(level), "--folds", "2"]) == 0
    assert "cross-validated" in capsys.readouterr().out
    out = tmp_path / "out"
    assert main(["pseudo", str(data), "--level", str(level), "--out", str(out), "--workers", "1"]) == 0


@pytest.mark.parametrize(("count", "asked", "made"), [(5, "best", "convention"), (22, "scorer", "level")])
def test_calibrate_writes_the_kind_of_fit_that_was_asked_for(
    tmp_path: Path, count: int, asked: str, made: str
) -> None:
    data = make_set(tmp_path / "set", count)
    out = tmp_path / "level.json"
    assert main(["calibrate", str(data), "--out", str(out), "--folds", "2", "--fit", asked]) == 0
    written = json.loads(out.read_text())
    assert written["format"].startswith(f"infraspot-{made}")
    assert written["about"]["targets"] == count
    assert len(written.get("targets", [0] * count)) == count


@pytest.mark.parametrize(("count", "asked", "said"), [(4, "best", "5 or more"), (6, "scorer", "20 or more")])
def test_calibrate_names_how_many_targets_a_fit_takes(
    tmp_path: Path, capsys, count: int, asked: str, said: str
) -> None:
    data = make_set(tmp_path / "set", count)
    assert main(["calibrate", str(data), "--out", str(tmp_path / "level.json"), "--fit", asked]) == 1
    assert said in capsys.readouterr().err
    assert not (tmp_path / "level.json").exists()


def test_calibrating_without_masks_says_what_is_missing(tmp_path: Path, capsys) -> None:
    data = make_set(tmp_path / "set", 2, masks=False)
    assert main(["calibrate", str(data), "--out", str(tmp_path / "level.json")]) == 1
    assert "masks" in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["5", "{}", '{"image": "f0"}', '{"image": "f0", "met', "[1]", "\x00"])
def test_a_damaged_line_of_the_journal_costs_only_its_own_images(tmp_path: Path, capsys, damage: str) -> None:
    data = make_set(tmp_path / "set", 3)
    arguments = ["pseudo", str(data), "--out", str(tmp_path / "out"), "--workers", "1"]
    main(arguments)
    journal = tmp_path / "out" / "pseudo.jsonl"
    lines = journal.read_text().splitlines()
    journal.write_text("\n".join([*lines[:3], damage]))
    capsys.readouterr()
    assert main(arguments) == 0
    assert "2 of 3 images were finished before" in capsys.readouterr().out
    assert len(journal.read_text().splitlines()) == 4
