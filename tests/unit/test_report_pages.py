"""The offline pages of runs, tracks and benchmarks: what they hold, their bounds, and how they open."""

import numpy as np
import pytest
from test_report_evaluation import HOSTILE, data_in
from test_report_runs import make_run
from web_fakes import BROWSER_MARKS, browser_page

from infraspot.cli.main import main
from infraspot.metrics.tracks import TrackedSequence
from infraspot.report import run_report, track_report
from infraspot.report.benchmark_report import write_benchmark_report
from infraspot.report.score_tables import Figure, PairRow, ScoreRow, ScoreTable
from infraspot.report.track_report import TrackBook, write_track_report


def points(*rows):
    """Ids and places of one frame."""
    table = np.array(rows, float).reshape(-1, 3)
    return table[:, 0].astype(np.int64), table[:, 1:]


def sequence():
    """A true track over 10 frames; track 1 follows it half a pixel off, track 2 is nowhere near."""
    truth = {frame: points((7, 10, 10 + frame)) for frame in range(1, 11)}
    found = {frame: points((1, 10.5, 10 + frame), (2, 40, 40)) for frame in range(3, 11)}
    return TrackedSequence(truth, found, {(3, 1): 6})


SCORES = {
    "sequences": 1, "left_out": [], "threshold": 0.5, "gate": 3.0, "fps": 25.0, "output": "causal",
    "before": {"pd": 0.5, "false_per_mpx": 1.0},
    **{
        name: {
            "pd": 0.8, "false_per_mpx": 2.0, "true_tracks": 1, "track_pd": 1.0, "time_to_confirm": 3.0,
            "false_tracks": 1, "false_tracks_per_hour": 9000.0, "fragments": 1.0, "position_error": 0.5,
            "mota": 0.1, "idf1": None, "hota": 0.4,
        }
        for name in ("after", "sure", "moving")
    },
}  # fmt: skip


@pytest.fixture
def runs_page(tmp_path):
    make_run(tmp_path / "runs" / "first")
    make_run(tmp_path / "runs" / HOSTILE, seed=1)
    assert main(["runs", "list", str(tmp_path / "runs"), "--report", str(tmp_path / "runs.html")]) == 0
    return tmp_path / "runs.html"


@pytest.fixture
def tracks_page(tmp_path):
    book = TrackBook()
    book.add(HOSTILE, (60, 80), sequence())
    return write_track_report(tmp_path / "tracks.html", SCORES, book, pred="found", truth=HOSTILE)


@pytest.fixture
def benchmark_page(tmp_path):
    rows = [
        ScoreRow(
            name,
            HOSTILE,
            2,
            {
                number: Figure(0.5 + k / 10, 0.01, 0.4, 0.7, 0.6)
                for number in ("iou", "niou", "pd", "fa_area")
            },
        )
        for k, name in enumerate(("acm", "dnanet"))
    ]
    pairs = [
        PairRow("acm", "dnanet", "iou", -0.1, -0.2, 0.0, 0.04, 0.08),
        PairRow("acm", "dnanet", "targets", -0.1, float("nan"), float("nan"), 0.5),
    ]
    return write_benchmark_report(
        tmp_path / "benchmark.html", [ScoreTable("made-up", rows, pairs, ["a note"])], HOSTILE
    )


def test_the_page_of_runs_holds_their_figures_curves_and_differences(runs_page):
    data = data_in(runs_page)
    assert [run["name"] for run in data["runs"]] == [HOSTILE, "first"]
    assert data["runs"][1]["best"]["iou"] == 0.25
    assert data["runs"][1]["curves"]["loss"] == [[1, 2.5], [2, 2], [3, 1.5]]
    assert data["options"][1] == ["train.seed", "1", "0"]


def test_many_runs_and_long_logs_are_thinned_and_said(tmp_path, monkeypatch):
    log = "epoch,loss\n" + "".join(f"{epoch},1\n" for epoch in range(1, 2001))
    for number in range(3):
        make_run(tmp_path / f"{number}", log=log)
    monkeypatch.setattr(run_report, "MOST_RUNS", 2)
    assert main(["runs", "compare", str(tmp_path), "--report", str(tmp_path / "runs.html")]) == 0
    data = data_in(tmp_path / "runs.html")
    assert (len(data["runs"]), data["runs_left_out"]) == (2, 1)
    assert len(data["runs"][0]["curves"]["loss"]) == 400


def test_runs_are_reported_without_naming_a_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["runs", "--report", "all.html"]) == 1
    make_run(tmp_path / "runs" / "a")
    assert main(["runs", "--report", "all.html"]) == 0
    assert data_in(tmp_path / "all.html")["runs"][0]["name"] == "a"
    assert main(["runs", "--report", "all.html", "list"]) == 2
    assert "behind the command" in capsys.readouterr().err


def test_tracks_say_how_much_of_them_is_on_a_target(tracks_page):
    data = data_in(tracks_page)
    assert data["tracks"] == [[HOSTILE, 1, 3, 10, 6, 8, 1.0, 0.5], [HOSTILE, 2, 3, 10, 3, 8, 0.0, None]]
    (shown,) = data["sequences"]
    assert [right for _, right, _ in shown["found"]] == [True, False]
    assert shown["truth"][0].startswith("M11.5 10.5L12.5 10.5")


def test_tracks_beyond_the_bounds_are_counted(monkeypatch):
    monkeypatch.setattr(track_report, "MOST_TRACKS", 3)
    monkeypatch.setattr(track_report, "MOST_SEQUENCES", 1)
    book = TrackBook()
    for name in ("a", "b"):
        book.add(name, (60, 80), sequence())
    assert (len(book.tracks), book.tracks_left_out) == (3, 1)
    assert (len(book.sequences), book.sequences_left_out) == (1, 1)


def test_the_page_of_a_benchmark_holds_rows_and_pairs(benchmark_page):
    (table,) = data_in(benchmark_page)["tables"]
    assert table["rows"][0]["figures"]["iou"] == [0.5, 0.01, 0.4, 0.7, 0.6]
    assert table["pairs"][1][3:] == [-0.1, None, None, 0.5, None]
    assert table["notes"] == ["a note"]


@pytest.mark.parametrize("name", ["runs_page", "tracks_page", "benchmark_page"])
@pytest.mark.parametrize("width", [1280, 390])
def test_pages_open_offline_fit_the_screen_and_run_nothing_from_names(name, width, request):
    path = request.getfixturevalue(name)
    expect = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed").expect
    with browser_page(width, 800) as page:
        said = []
        page.on("console", lambda one: said.append(one.text))
        page.context.set_offline(True)
        page.goto(path.as_uri())
        expect(page.locator("footer")).to_be_visible()
        expect(page.locator("main")).to_contain_text("window.broken")
        page.locator("th button").nth(1).click()
        assert page.evaluate("window.broken") is None
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert said == []


for mark in BROWSER_MARKS:
    test_pages_open_offline_fit_the_screen_and_run_nothing_from_names = mark(
        test_pages_open_offline_fit_the_screen_and_run_nothing_from_names
    )
