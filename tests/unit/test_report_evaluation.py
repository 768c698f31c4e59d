"""The report of an evaluation: its numbers by hand, its bounds, and names that would break out of it."""

import json
import re
from importlib.resources import files

import numpy as np
import pytest
from PIL import Image

from infraspot.cli.main import main
from infraspot.core.contrast import signal_to_clutter
from infraspot.core.geometry import find_components
from infraspot.metrics import Evaluation
from infraspot.metrics.intervals import curve_bands, rate_interval, share_interval
from infraspot.metrics.taxonomy import CAUSES, KINDS, alarm_causes
from infraspot.report import cases
from infraspot.report.cases import Case, CaseBook, FrameView, Picture
from infraspot.report.crops import Window, outline, png_text, window_at
from infraspot.report.document import embedded_json, write_document

HOSTILE = "<script>window.broken=1<!--&\u2028"


def spot(y, x, side=3, shape=(40, 50)):
    mask = np.zeros(shape, bool)
    mask[y : y + side, x : x + side] = True
    return mask


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, array)
    else:
        Image.fromarray(np.asarray(array, np.uint8) * (255 if array.dtype == bool else 1)).save(path)


def data_in(path):
    """The JSON inside a report."""
    text = path.read_text(encoding="utf-8")
    (found,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    return json.loads(found)


def rows_of(data):
    return [dict(zip(data["cases"]["columns"], row, strict=True)) for row in data["cases"]["rows"]]


@pytest.fixture
def scored(tmp_path, rng):
    """Three frames with a target each: found, missed with a false alarm, found. Image, truth and scores."""
    for number, found in enumerate([(10, 10), (30, 44), (10, 12)]):
        mask = spot(10, 10 + number)
        image = rng.integers(90, 110, mask.shape).astype(np.uint8)
        image[mask] = 30 if number == 2 else 220
        save(tmp_path / "set" / "images" / f"cam_{number}.png", image)
        save(tmp_path / "set" / "masks" / f"cam_{number}_pixels0.png", mask)
        save(tmp_path / "pred" / f"cam_{number}.npy", np.where(spot(*found), 0.8, 0.1).astype(np.float32))
    return tmp_path


def report_of(folder, *options, status=0):
    out = folder / "report.html"
    arguments = ["evaluate", str(folder / "pred"), str(folder / "set"), "--report", str(out)]
    assert main([*arguments, *options]) == status
    return out


def test_the_report_holds_every_target_and_alarm_with_what_became_of_it(scored, capsys):
    out = report_of(scored)
    assert f"-> {out}" in capsys.readouterr().out
    data = data_in(out)
    rows = rows_of(data)
    assert [(one["kind"], one["frame"], one["word"], one["found"]) for one in rows] == [
        ("target", "cam_1", "miss", False),
        ("alarm", "cam_1", "clutter", None),
        ("target", "cam_0", "good", True),
        ("target", "cam_2", "good", True),
    ]
    assert [(one["x"], one["y"], one["area"], one["border"]) for one in rows[:3]] == [
        (12, 11, 9, 10),
        (45, 31, 9, 3),
        (11, 11, 9, 10),
    ]
    assert [one["score"] for one in rows] == pytest.approx([0.1, 0.8, 0.8, 0.8])
    assert rows[3]["scr"] < -5 < 5 < rows[2]["scr"]
    strata = {
        one["name"]: {row["range"]: (row["hits"], row["targets"]) for row in one["rows"]}
        for one in data["strata"]
    }
    assert strata["polarity"] == {"bright": (1, 2), "dark": (1, 1)}
    assert strata["distance to the border"]["8-31"] == (2, 3)
    assert data["causes"] == {"clutter": 1}
    assert data["scenes"][0][:5] == ["cam", 3, 3, 1, 1]
    assert data["scenes"][0][5] == pytest.approx(3 * 40 * 50 / 1e6)
    assert data["frames"][0][:6] == ["cam_1", 50, 40, 1, 1, 1]
    assert data["source"]["seed"] == 0
    assert data["numbers"]["definition"]
    assert all(picture[0] for picture in data["pictures"])


def test_the_curve_and_the_headline_have_the_same_interval(scored):
    data = data_in(report_of(scored))
    curve = data["curves"][0]
    at = curve["threshold"].index(0.5)
    assert curve["pd"][at] == pytest.approx(2 / 3)
    assert [curve["pd_low"][at], curve["pd_high"][at]] == pytest.approx(data["numbers"]["intervals"]["pd"])
    assert curve["false"][at] == pytest.approx(1 / (3 * 2000 / 1e6))


def test_a_second_detector_is_compared_target_by_target(scored, capsys):
    for number, found in enumerate([(30, 30), (10, 11), (10, 12)]):
        save(scored / "other" / f"cam_{number}.npy", np.where(spot(*found), 0.8, 0.1).astype(np.float32))
    out = report_of(scored, "--against", str(scored / "other"), "--json", str(scored / "all.json"))
    printed = capsys.readouterr().out
    assert "1 found by both, 1 by this one only, 1 by the other only, 0 by neither" in printed
    data = data_in(out)
    found = {(one["kind"], one["frame"]): one["by"] for one in rows_of(data)}
    assert found == {
        ("target", "cam_0"): "first",
        ("target", "cam_1"): "other",
        ("target", "cam_2"): "both",
        ("alarm", "cam_0"): "other",
        ("alarm", "cam_1"): "first",
    }
    assert data["comparison"]["numbers"]["pd"]["difference"] == 0
    assert data["comparison"]["targets"]["p"] == 1
    stored = json.loads((scored / "all.json").read_text())
    assert stored["against"]["n_images"] == 3
    assert stored["comparison"] == data["comparison"]


def test_only_frames_that_both_have_are_compared(scored, capsys):
    save(scored / "other" / "cam_0.npy", np.where(spot(10, 10), 0.8, 0.1).astype(np.float32))
    data = data_in(report_of(scored, "--against", str(scored / "other"), status=1))
    assert data["numbers"]["n_images"] == 1
    assert data["frames_not_scored"] == ["cam_1", "cam_2"]
    assert "2 images are left out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--against-threshold", "0.3"], "second detector"),
        (["--against", "/nowhere"], "/nowhere"),
        (["--tracks"], "tracks.json"),
    ],
)
def test_options_that_make_no_sense_write_nothing(scored, options, words, capsys):
    out = scored / "report.html"
    arguments = ["evaluate", str(scored / "pred"), str(scored / "set"), "--report", str(out), *options]
    assert main(arguments) in (1, 2)
    assert words in capsys.readouterr().err
    assert not out.exists()


def test_masks_without_scores_and_without_images_still_make_a_report(tmp_path):
    for number in range(2):
        save(tmp_path / "set" / f"{number}.png", spot(10, 10))
        save(tmp_path / "pred" / f"{number}.png", spot(10, 10 + 20 * number))
    data = data_in(report_of(tmp_path))
    assert data["curves"] == [None]
    assert [one["name"] for one in data["strata"]] == ["size", "distance to the border"]
    assert len(data["pictures"]) == 3


def test_a_protocol_with_a_grid_gives_places_of_the_frame(tmp_path):
    save(tmp_path / "set" / "a.png", spot(100, 300, 12, (200, 400)))
    save(tmp_path / "pred" / "a.npy", spot(100, 300, 12, (200, 400)).astype(np.float32))
    (row,) = rows_of(data_in(report_of(tmp_path, "--protocol", "dnanet")))
    assert row["found"]
    assert (row["x"], row["y"]) == pytest.approx((305.5, 105.5), abs=1.5)
    assert row["border"] == pytest.approx(88, abs=2)


def test_a_hostile_name_stays_text(scored):
    name = HOSTILE.replace("/", "")
    for part, suffix in (("set/images", ".png"), ("set/masks", "_pixels0.png"), ("pred", ".npy")):
        (scored / part / f"cam_1{suffix}").rename(scored / part / f"{name}{suffix}")
    text = report_of(scored).read_text(encoding="utf-8")
    assert text.count("<script") == 2
    assert "window.broken" in text
    assert "<!--" not in text
    assert "\u2028" not in text
    assert name in {one["frame"] for one in rows_of(data_in(scored / "report.html"))}


def test_nothing_in_the_file_names_another_address(scored):
    text = report_of(scored).read_text(encoding="utf-8")
    assert set(re.findall(r"https?://[^\"' ]+", text)) == {"http://www.w3.org/2000/svg"}
    assert "default-src 'none'" in text


def test_every_word_of_the_taxonomy_has_its_words_on_the_page():
    words = files("infraspot.report").joinpath("static", "elements.js").read_text(encoding="utf-8")
    assert [name for name in (*KINDS, *CAUSES) if not re.search(rf"\b{name}: \"", words)] == []


def test_names_that_are_no_text_are_written_and_json_ends_no_element(tmp_path):
    write_document(tmp_path / "a.html", "night\udcff", {"name": "night\udcff"}, ["runs.js"])
    assert data_in(tmp_path / "a.html")["name"] == "night\udcff"
    assert (
        embedded_json({"a": "</script>&", "b": float("nan")})
        == '{"a":"\\u003c/script\\u003e\\u0026","b":null}'
    )


def test_intervals_agree_with_published_values():
    low, high = share_interval([9, 0, 0], [10, 5, 0])
    assert (low[0], high[0]) == pytest.approx((0.5958, 0.9821), abs=1e-4)
    assert (low[1], high[1]) == pytest.approx((0, 0.4345), abs=1e-4)
    assert np.isnan(low[2])
    # Garwood's interval of 3 events: [0.6187, 8.7673].
    assert np.ravel(rate_interval(3, 2.0)) == pytest.approx([0.6187 / 2, 8.7673 / 2], abs=1e-3)
    assert np.ravel(rate_interval(0, 1.0)) == pytest.approx([0, 3.6889], abs=1e-3)


def test_bands_of_frames_that_are_all_alike_have_no_width():
    hits, false = np.tile([[2, 1, 0]], (9, 1)), np.tile([[3, 1, 0]], (9, 1))
    bands = curve_bands(hits, false, np.full(9, 2), np.full(9, 500_000), draws=50)
    assert bands.pd_low.tolist() == bands.pd_high.tolist() == [1, 0.5, 0]
    assert bands.false_low.tolist() == [6, 2, 0]
    assert bands.false_high.tolist() == pytest.approx([6, 2, 3.6889 / 4.5], abs=1e-3)


def test_false_alarms_have_causes():
    truth = spot(20, 20)
    scores = np.zeros(truth.shape)
    for y, x, side in ((20, 20, 3), (22, 23, 1), (0, 5, 3), (35, 40, 1), (30, 5, 4)):
        scores[spot(y, x, side)] = 0.9
    scores[22, 23] = 0  # apart from the target, and close to it
    scores[24, 22] = 0.9
    evaluation = Evaluation()
    record = evaluation.update(scores, truth)
    causes = alarm_causes(record, evaluation.protocol, evaluation.pairs_of(record), truth.shape)
    places = [tuple(place) for place in np.rint(record.detections.centroids).astype(int).tolist()]
    words = {place: word for place, word, false in zip(places, causes, record.false, strict=True) if false}
    assert words == {(1, 6): "border", (24, 22): "at_target", (35, 40): "speck", (32, 6): "clutter"}


def test_a_dark_target_has_a_negative_ratio_of_the_same_size(rng):
    image = 0.5 + 0.01 * rng.standard_normal((40, 50))
    parts = find_components(spot(10, 10))
    bright, dark = (np.where(spot(10, 10), 0.5 + step, image) for step in (0.3, -0.3))
    assert signal_to_clutter(dark, parts, signed=True)[0] == pytest.approx(-signal_to_clutter(dark, parts)[0])
    assert signal_to_clutter(bright, parts, signed=True)[0] == pytest.approx(
        signal_to_clutter(bright, parts)[0]
    )


def test_outlines_follow_the_edges_of_pixels():
    assert outline(np.array([[False, True, True]])) == "M1 0h2M1 1h2M1 0v1M3 0v1"
    ring = spot(1, 1, 3, (5, 5)) & ~spot(2, 2, 1, (5, 5))
    assert outline(ring) == "M1 1h3M2 2h1M2 3h1M1 4h3M1 1v3M2 2v1M3 2v1M4 1v3"
    assert outline(np.zeros((4, 4), bool)) == ""
    dots = (np.indices((41, 41)) % 2 == 0).all(axis=0)
    assert outline(dots) == "M0 0h41v41h-41z"


def test_windows_stay_inside_the_frame():
    assert window_at(2, 300, 3, (256, 310)) == Window(266, 0, 44, 44, 1)
    assert window_at(2, 3, 900, (120, 300)) == Window(0, 0, 256, 120, 4)
    assert window_at(5, 5, 3, (9, 7)) == Window(0, 0, 7, 9, 1)
    assert png_text(np.full((9, 7), np.nan))


def view(*members, left_out=0):
    return FrameView("a", (9, 9), 81, np.zeros((0, 4)), None, None, {}, [*members], left_out)


def case(found, size=100):
    picture = Picture("x" * size, Window(0, 0, 9, 9, 1), "", "", "")
    return Case(
        "target", "a", found, "good" if found else "miss", 1, 1, 1, None, 0.5, None, None, 0, None, picture
    )


def test_errors_take_the_room_of_found_targets_and_what_is_left_out_is_counted(monkeypatch):
    monkeypatch.setattr(cases, "MOST_CASES", 4)
    monkeypatch.setattr(cases, "MOST_PICTURES", 3)
    book = CaseBook()
    book.add(view(case(True), case(True), case(True), case(True), case(True)))
    assert [one.picture is not None for one in book.cases] == [True, True, True, False]
    book.add(view(case(False), case(False), left_out=7))
    assert [one.found for one in book.cases] == [False, False, True, True]
    assert [one.picture is not None for one in book.cases] == [True, True, True, False]
    assert book.left_out == 1 + 2 + 7
    book.add(view(*(case(False) for _ in range(5))))
    assert [one.found for one in book.cases] == [False] * 4
    assert sum(one.picture is not None for one in book.cases) == 3
    assert not book.right


def test_pictures_keep_to_their_bytes(monkeypatch):
    monkeypatch.setattr(cases, "PICTURE_BYTES", 500)
    book = CaseBook()
    book.add(view(case(True), case(True, 5000), case(False), case(False), case(False)))
    held = sum(one.picture.size for one in book.cases if one.picture is not None)
    assert held == 480
    assert all(one.picture is not None for one in book.wrong)


def test_very_many_alarms_of_one_frame_are_a_few_rows_and_a_number(tmp_path):
    noisy = np.indices((300, 300)).sum(axis=0) % 3 == 0
    noisy &= np.indices((300, 300))[0] % 3 == 0
    save(tmp_path / "set" / "a.png", spot(10, 10, 3, (300, 300)))
    save(tmp_path / "pred" / "a.png", noisy)
    data = data_in(report_of(tmp_path))
    assert len(data["cases"]["rows"]) == cases.MOST_ALARMS + 1
    assert data["cases_left_out"] == data["numbers"]["n_false_detections"] - cases.MOST_ALARMS
    assert sum(data["causes"].values()) == data["numbers"]["n_false_detections"]
