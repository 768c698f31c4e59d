"""``infraspot evaluate``: its contract, its names, and everything that can be wrong with a folder."""

import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from PIL import Image

from infraspot.cli.main import main
from infraspot.core.prediction import Prediction

CONTRACT = {"protocol", "definition", "iou", "niou", "pd", "fa_area", "fa_pixel", "n_images", "n_targets"}


def target(y, x, shape=(40, 50)):
    mask = np.zeros(shape, bool)
    mask[y : y + 3, x : x + 3] = True
    return mask


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, array)
    elif path.suffix == ".tif":
        tifffile.imwrite(path, array, photometric="minisblack")
    else:
        Image.fromarray(array.astype(np.uint8) * 255 if array.dtype == bool else array).save(path)


@pytest.fixture
def folders(tmp_path):
    """Three truths and three perfect masks, named as the data sets and the detector name them."""
    for number in range(3):
        save(tmp_path / "truth" / f"Misc_{number}_pixels0.png", target(10, 10 + number))
        save(tmp_path / "pred" / f"Misc_{number}.mask.png", target(10, 10 + number))
    return tmp_path


def evaluate(folder, *options, status=0):
    """Run the command and return the JSON that it wrote."""
    out = folder / "scores.json"
    arguments = [
        "evaluate",
        str(folder / "pred"),
        str(folder / "truth"),
        "--json",
        str(out),
        "--bootstrap",
        "0",
    ]
    assert main([*arguments, *options]) == status
    return json.loads(out.read_text()) if out.exists() else None


def test_perfect_masks_score_one_and_the_json_keeps_its_contract(folders):
    scores = evaluate(folders, "--protocol", "basicirstd")
    assert set(scores) >= CONTRACT
    assert (scores["iou"], scores["niou"], scores["pd"], scores["fa_area"], scores["fa_pixel"]) == (
        1,
        1,
        1,
        0,
        0,
    )
    assert (scores["n_images"], scores["n_targets"], scores["protocol"]) == (3, 3, "basicirstd")
    assert scores["curve"] is None
    assert [one["id"] for one in scores["per_image"]] == ["Misc_0", "Misc_1", "Misc_2"]


@pytest.mark.parametrize(
    "name", ["a.png", "a.mask.png", "a_mask.png", "a_pixels0.png", "a.prob.png", "a.npy"]
)
@pytest.mark.parametrize("truth", ["a.png", "a_pixels0.png", "a_mask.png", "a.mask.png"])
def test_names_match_with_and_without_their_endings(tmp_path, name, truth):
    save(tmp_path / "truth" / truth, target(5, 5))
    save(tmp_path / "pred" / name, target(5, 5))
    assert evaluate(tmp_path, "--no-curves")["iou"] == 1


@pytest.mark.parametrize("kind", ["8 bits", "16 bits", "tiff", "npy"])
def test_score_maps_of_every_kind_give_the_same_curve(tmp_path, kind):
    scores = np.where(target(5, 5), 0.8, np.where(target(20, 20), 0.4, 0.0))
    stored = {
        "8 bits": ("a.png", (scores * 255).round().astype(np.uint8)),
        "16 bits": ("a.prob.png", (scores * 65535).round().astype(np.uint16)),
        "tiff": ("a.tif", scores.astype(np.float32)),
        "npy": ("a.npy", scores[None]),
    }
    save(tmp_path / "pred" / stored[kind][0], stored[kind][1])
    save(tmp_path / "truth" / "a.png", target(5, 5))
    result = evaluate(tmp_path)
    assert (result["iou"], result["pixel_auc"]) == (1, 1)
    at = result["curve"]["threshold"].index(0.3)
    assert result["curve"]["false_alarms_per_image"][at] == 1
    assert result["points"]["best_iou"]["value"] == 1


def test_the_score_map_goes_before_the_mask_and_overlays_are_passed_over(folders):
    save(folders / "pred" / "Misc_0.prob.png", np.full((40, 50), 30000, np.uint16))
    save(folders / "pred" / "Misc_0.overlay.png", np.zeros((5, 5, 3), np.uint8))
    assert evaluate(folders)["n_detections"] == 2


def test_a_missing_prediction_is_named_and_left_out(folders, capsys):
    (folders / "pred" / "Misc_1.mask.png").unlink()
    scores = evaluate(folders, status=1)
    assert (scores["n_images"], scores["left_out"], scores["pd"]) == (2, ["Misc_1"], 1)
    errors = capsys.readouterr().err
    assert "Misc_1: there is no prediction" in errors
    assert "1 image is left out" in errors


def test_a_missing_prediction_can_count_as_empty(folders):
    (folders / "pred" / "Misc_1.mask.png").unlink()
    scores = evaluate(folders, "--missing", "empty")
    assert (scores["n_images"], scores["pd"]) == (3, pytest.approx(2 / 3))


def damage_text(path):
    path.write_text("this is no image")


def damage_cut(path):
    path.write_bytes(path.read_bytes()[:60])


def damage_empty(path):
    path.write_bytes(b"")


def damage_size(path):
    save(path, target(1, 1, shape=(12, 9)))


def damage_pickle(path):
    path.unlink()
    np.save(path.with_suffix(".npy"), np.array([{"a": 1}], object), allow_pickle=True)


def damage_nan(path):
    path.unlink()
    np.save(path.with_suffix(".npy"), np.full((40, 50), np.nan))


def damage_logits(path):
    path.unlink()
    tifffile.imwrite(path.with_suffix(".tif"), np.full((40, 50), -3.5, np.float32))


def damage_dimensions(path):
    path.unlink()
    np.save(path.with_suffix(".npy"), np.zeros((2, 40, 50)))


DAMAGES = [value for name, value in sorted(globals().items()) if name.startswith("damage_")]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("threads", ["1", "3"])
def test_one_bad_prediction_is_named_and_the_others_are_scored(folders, capsys, damage, threads):
    damage(folders / "pred" / "Misc_1.mask.png")
    scores = evaluate(folders, "--threads", threads, status=1)
    assert (scores["n_images"], scores["left_out"], scores["iou"]) == (2, ["Misc_1"], 1)
    errors = capsys.readouterr().err
    assert "Misc_1" in errors
    assert "Traceback" not in errors


def test_a_damaged_truth_is_named_too(folders, capsys):
    damage_cut(folders / "truth" / "Misc_2_pixels0.png")
    assert evaluate(folders, status=1)["n_images"] == 2
    assert "Misc_2" in capsys.readouterr().err


def test_predictions_without_truth_are_mentioned_and_harmless(folders, capsys):
    save(folders / "pred" / "other.png", target(1, 1))
    assert evaluate(folders)["n_images"] == 3
    assert "1 prediction has no truth and is not scored: other.png" in capsys.readouterr().err


def test_a_grey_border_in_the_truth_gives_a_warning_and_the_right_score(tmp_path, capsys):
    stored = np.where(target(10, 10), 255, 0).astype(np.uint8)
    stored[9, 9:14] = 100
    save(tmp_path / "truth" / "a.png", stored)
    save(tmp_path / "pred" / "a.png", target(10, 10))
    assert evaluate(tmp_path)["iou"] == 1
    assert "1 grey value in" in capsys.readouterr().err


def test_masks_of_zero_and_one_are_noticed_and_read_when_asked(folders, capsys):
    for path in (folders / "pred").iterdir():
        save(path, (np.asarray(Image.open(path)) > 0).astype(np.uint8))
    assert evaluate(folders)["iou"] == 0
    assert "--max-value 1" in capsys.readouterr().err
    assert evaluate(folders, "--max-value", "1")["iou"] == 1


def test_a_set_without_targets_gives_null_and_its_reason(tmp_path, capsys):
    for folder in ("truth", "pred"):
        save(tmp_path / folder / "a.png", np.zeros((9, 9), bool))
    scores = evaluate(tmp_path)
    assert scores["pd"] is None
    assert scores["reasons"]["pd"] == "no targets in the set"
    assert "no targets in the set" in capsys.readouterr().out


def test_nothing_to_score_is_a_sentence(tmp_path, capsys):
    save(tmp_path / "truth" / "a.png", target(1, 1))
    (tmp_path / "pred").mkdir()
    assert evaluate(tmp_path, status=1) is None
    assert "holds no prediction" in capsys.readouterr().err
    save(tmp_path / "pred" / "b.png", target(1, 1))
    assert evaluate(tmp_path, status=1) is None
    assert "expected a.png or the like" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--protocol", "basicirst"], "did you mean 'basicirstd'"),
        (["--threshold", "2"], "--threshold"),
        (["--data", "somewhere"], "expected TRUTH"),
        (["--max-value", "0"], "--max-value"),
    ],
)
def test_wrong_usage_ends_with_two(folders, capsys, options, words):
    assert evaluate(folders, *options, status=2) is None
    assert words in capsys.readouterr().err


def test_pictures_are_no_truth(folders, capsys):
    noise = np.random.default_rng(0).integers(1, 255, (64, 64)).astype(np.uint8)
    save(folders / "truth" / "Misc_1_pixels0.png", noise)
    scores = evaluate(folders, status=1)
    said = capsys.readouterr().err
    assert "Misc_1_pixels0.png is no mask: 100 % of its pixels are neither 0 nor the largest" in said
    assert scores["n_images"] == 2
    assert scores["iou"] == 1


def test_without_truth_and_data_the_usage_is_wrong(folders, capsys):
    assert main(["evaluate", str(folders / "pred")]) == 2
    assert "expected TRUTH" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_a_sentence(folders, capsys):
    (folders / "file").write_text("")
    arguments = ["evaluate", str(folders / "pred"), str(folders / "truth"), "--bootstrap", "0"]
    assert main([*arguments, "--json", str(folders / "file" / "scores.json")]) == 1
    assert "cannot write" in capsys.readouterr().err


@pytest.mark.parametrize(("draws", "headed"), [("0", False), ("20", True)])
def test_intervals_have_a_column_where_they_were_drawn(folders, capsys, draws, headed):
    arguments = ["evaluate", str(folders / "pred"), str(folders / "truth"), "--bootstrap", draws]
    assert main(arguments) == 0
    assert ("95 % interval" in capsys.readouterr().out) == headed


def test_the_csv_has_one_line_an_image(folders):
    save(folders / "pred" / "Misc_0.mask.png", target(30, 30))
    evaluate(folders, "--csv", str(folders / "rows.csv"))
    with (folders / "rows.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == ["Misc_0", "Misc_1", "Misc_2"]
    assert (rows[0]["hits"], rows[0]["false_area"], rows[0]["errors"]) == ("0", "9", "miss")
    assert rows[1]["iou"] == "1.0"


def test_a_data_set_gives_ratios_by_contrast_and_a_split(tmp_path, rng):
    for number in range(4):
        image = rng.integers(0, 20, (40, 50)).astype(np.uint8)
        mask = target(10, 10 + number)
        image[mask] = 200
        save(tmp_path / "truth" / "images" / f"{number}.png", image)
        save(tmp_path / "truth" / "masks" / f"{number}_pixels0.png", mask)
        save(tmp_path / "pred" / f"{number}.png", mask)
    (tmp_path / "truth" / "splits").mkdir()
    (tmp_path / "truth" / "splits" / "val.txt").write_text("1\n3\n")
    scores = evaluate(tmp_path, "--split", "val")
    assert (scores["n_images"], scores["iou"]) == (2, 1)
    assert scores["strata"]["scr"][-1] == {
        "range": ">8", "targets": 2, "hits": 2, "pd": 1, "target_iou": 1, "pixel_recall": 1,
    }  # fmt: skip


def test_plots_show_the_curve_the_strata_and_the_worst_frames(folders):
    noisy = np.where(target(30, 30), 0.7, np.where(target(10, 11), 0.9, 0.1))
    save(folders / "pred" / "Misc_1.npy", noisy)
    evaluate(folders, "--plots", str(folders / "plots"))
    names = {path.name for path in (folders / "plots").iterdir()}
    assert names == {"pd_fa.png", "iou_by_size.png", "pixel_curves.png", "worst.png", "report.html"}
    assert all(Image.open(folders / "plots" / name).size[0] > 300 for name in names - {"report.html"})
    page = (folders / "plots" / "report.html").read_text()
    assert "Operating point" in page
    assert '"error' in page  # the data are inside


def test_a_model_is_scored_on_a_data_set(tmp_path, monkeypatch):
    inference = pytest.importorskip("infraspot.inference")
    for number in range(2):
        mask = target(10, 10 + number)
        save(tmp_path / "data" / "images" / f"{number}.png", mask)
        save(tmp_path / "data" / "masks" / f"{number}_pixels0.png", mask)
    monkeypatch.setattr(inference, "open_engine", lambda spec, trust: SimpleNamespace(name=spec, card={}))
    monkeypatch.setattr(
        inference,
        "predict",
        lambda engine, frame: Prediction(frame.id, frame.image * np.float32(0.9)),
    )
    out = tmp_path / "scores.json"
    assert main(["evaluate", "compact", "--data", str(tmp_path / "data"), "--json", str(out)]) == 0
    scores = json.loads(out.read_text())
    assert (scores["iou"], scores["n_images"], scores["source"]["prediction"]) == (1, 2, "compact")


def test_the_list_of_protocols_defines_each(capsys):
    assert main(["evaluate", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines][:3] == ["infraspot", "basicirstd", "dnanet"]


def test_mutated_predictions_never_show_a_traceback(folders, capsys):
    rng = np.random.default_rng(4)
    path = folders / "pred" / "Misc_1.mask.png"
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    for _ in range(60):
        damaged = whole.copy()
        damaged[rng.integers(0, len(whole), rng.integers(1, 6))] = rng.integers(0, 256)
        path.write_bytes(damaged[: rng.integers(1, len(whole) + 1)].tobytes())
        arguments = [
            "evaluate",
            str(folders / "pred"),
            str(folders / "truth"),
            "--bootstrap",
            "0",
            "--no-curves",
        ]
        assert main(arguments) in (0, 1)
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.real
def test_real_masks_score_perfectly_against_themselves(sirst1, tmp_path):
    out = tmp_path / "scores.json"
    arguments = ["evaluate", str(sirst1 / "masks"), str(sirst1), "--split", "val", "--protocol", "basicirstd"]
    assert main([*arguments, "--json", str(out), "--no-curves", "--bootstrap", "0"]) == 0
    scores = json.loads(out.read_text())
    assert (scores["n_images"], scores["iou"], scores["pd"], scores["fa_area"]) == (85, 1, 1, 0)


def test_a_tree_of_predictions_is_scored_against_a_tree_of_masks(tmp_path, capsys):
    for folder in ("day", "night/late"):
        save(tmp_path / "truth" / folder / "1.png", target(5, 5))
        save(tmp_path / "pred" / folder / "1.mask.png", target(5, 5 if folder == "day" else 25))
    assert evaluate(tmp_path, status=1) is None
    assert "--recursive" in capsys.readouterr().err
    scores = evaluate(tmp_path, "--recursive")
    assert [(one["id"], one["iou"]) for one in scores["per_image"]] == [("day/1", 1), ("night/late/1", 0)]
    assert [(name, one["iou"], one["pd"]) for name, one in scores["sets"].items()] == [
        ("day", 1, 1),
        ("night", 0, 0),
    ]
    assert "night" in capsys.readouterr().out


@pytest.mark.parametrize("truth", ["stack", "files"])
@pytest.mark.parametrize("predictions", ["film.tif", "film.npy", "film.prob.tif", "files"])
def test_pages_of_stacks_are_scored_against_pages_of_the_same_number(tmp_path, truth, predictions, capsys):
    masks = np.stack([target(5, 5 + 4 * page) for page in range(4)])
    if truth == "stack":
        save(tmp_path / "truth" / "film.tif", masks[:3].astype(np.uint8) * 255)
    else:
        for page in (1, 2, 3):
            save(tmp_path / "truth" / f"film-{page:04d}_pixels0.png", masks[page - 1])
    if predictions == "files":
        for page in (1, 2, 3, 4):
            save(tmp_path / "pred" / f"film-{page:04d}.mask.png", masks[page - 1])
    else:
        save(tmp_path / "pred" / predictions, masks.astype(np.float32))
    scores = evaluate(tmp_path)
    assert [one["id"] for one in scores["per_image"]] == ["film-0001", "film-0002", "film-0003"]
    assert (scores["iou"], scores["n_targets"]) == (1, 3)
    surplus = "film-0004.mask.png" if predictions == "files" else f"{predictions}#4"
    assert f"1 prediction has no truth and is not scored: {surplus}" in capsys.readouterr().err


def test_a_page_without_prediction_is_missing_and_a_damaged_one_is_named(tmp_path, capsys):
    save(tmp_path / "truth" / "film.tif", np.stack([target(5, 5)] * 4).astype(np.uint8) * 255)
    scores = np.stack([target(5, 5)] * 3).astype(np.float32)
    scores[1] = np.nan
    save(tmp_path / "pred" / "film.npy", scores)
    result = evaluate(tmp_path, status=1)
    assert result["left_out"] == ["film-0004", "film-0002"]
    errors = capsys.readouterr().err
    assert "film-0004: there is no prediction" in errors
    assert "film-0002" in errors
    assert (result["n_images"], result["iou"]) == (2, 1)
