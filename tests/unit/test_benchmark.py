"""A grid is checked before it trains, its cells go on after kills, and its tables say what was measured."""

import json
import math
import tomllib
from pathlib import Path

import numpy as np
import pytest
from training_fakes import TINY, write_data

from infraspot.benchmark import find_grid, load_grid, run_grid, tables_of, write_tables
from infraspot.benchmark.papers import PAPERS, paper_figures
from infraspot.benchmark.scoring import SCORES, read_scores, score_cell
from infraspot.cli.main import main
from infraspot.core.errors import DataError, InfraspotError, UsageError
from infraspot.core.files import write_text
from infraspot.inference import open_engine, predict
from infraspot.metrics import Evaluation
from infraspot.metrics.reduction import COLUMNS
from infraspot.report import score_tables
from infraspot.report.benchmark_report import write_benchmark_report
from infraspot.report.score_tables import BOX_NUMBERS, Figure, ScoreRow, ScoreTable
from infraspot.training import train

RECIPE = """
[network]
name = "compact"
[[augment]]
name = "crop"
size = 16
[loss]
terms = { bce = 1 }
[train]
epochs = 1
batch = 4
device = "cpu"
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("sets") / "made-up")


def write_grid(folder: Path, data: Path, text: str = "", *, seeds: str = "[0, 1]", paper: str = "") -> Path:
    write_text(folder / "base.toml", RECIPE)
    grid = f"""
[about]
title = "A test"
{paper}
[runs]
recipe = {json.dumps(str(folder / "base.toml"))}
seeds = {seeds}
[[network]]
name = {json.dumps(TINY)}
label = "tiny"
[[data]]
label = "made-up"
path = {json.dumps(str(data))}
{text}
"""
    write_text(folder / "grid.toml", grid)
    return folder / "grid.toml"


def test_a_grid_is_every_network_scheme_set_and_seed(tmp_path: Path, data: Path) -> None:
    more = (
        '[[network]]\nname="compact"\n[[scheme]]\nname="full"\n[[scheme]]\nname="offline"\nannotator="otsu"'
    )
    grid = load_grid(write_grid(tmp_path, data, more))
    assert [(cell.network, cell.scheme, cell.seed) for cell in grid.cells] == [
        (network, scheme, seed)
        for seed in (0, 1)
        for network in ("tiny", "compact")
        for scheme in ("full", "offline")
    ]
    assert grid.cells[1].recipe.scheme.options == {"annotator": "otsu"}
    assert grid.cells[-1].recipe.train.seed == 1
    assert len({cell.name for cell in grid.cells}) == 8


def test_a_grid_can_be_narrowed(tmp_path: Path, data: Path) -> None:
    path = write_grid(tmp_path, data, '[[network]]\nname="compact"')
    grid = load_grid(path, only={"network": ["compact"]}, changes=["train.epochs=7"])
    assert {(cell.network, cell.recipe.train.epochs) for cell in grid.cells} == {("compact", 7)}
    with pytest.raises(UsageError, match="did you mean 'compact'"):
        load_grid(path, only={"network": ["compcat"]})


def test_all_mistakes_of_a_grid_are_named_before_any_training(tmp_path: Path, data: Path) -> None:
    wrong = """
[[network]]
name = "compct"
[[network]]
name = "compact"
width = [3]
[[network]]
name = "acm"
label = "tiny"
[[scheme]]
name = "ful"
[[data]]
label = "nowhere"
path = "/nowhere/at/all"
[score]
protocol = "basicirst"
[[prediction]]
network = "theirs"
scheme = "full"
data = "made"
folder = "/nowhere"
"""
    path = write_grid(tmp_path, data, wrong, paper='paper = "d2d_table9"', seeds="[0, 0]")
    with pytest.raises(UsageError) as error:
        load_grid(path, tmp_path / "out")
    for clause in (
        "did you mean 'compact'",
        "network.width is unknown",
        "2 entries of [[network]] are called 'tiny'",
        "did you mean 'full'",
        "did you mean 'basicirstd'",
        "did you mean 'd2d_table2'",
        "did you mean 'made-up'",
        "there is no folder /nowhere",
        "runs.seeds holds 0 more than once",
    ):
        assert clause in str(error.value)
    assert not (tmp_path / "out").exists()


def test_mistakes_of_the_tables_and_of_the_data_are_named_too(tmp_path: Path, data: Path) -> None:
    with pytest.raises(UsageError, match=r"did you mean 'weights'.*|label"):
        load_grid(write_grid(tmp_path, data, '[score]\nsplitt = "val"\n[[data]]\nlabel = "../x"'))
    with pytest.raises(UsageError, match="data elsewhere, to train on"):
        load_grid(write_grid(tmp_path, data, '[[data]]\nlabel = "elsewhere"\npath = "/nowhere/at/all"'))
    write_text(tmp_path / "grid.toml", "[about\n")
    with pytest.raises(UsageError, match="expected a grid in TOML"):
        load_grid(tmp_path / "grid.toml")


def test_a_folder_with_other_runs_is_refused(tmp_path: Path, data: Path) -> None:
    path, out = write_grid(tmp_path, data, seeds="[0]"), tmp_path / "out"
    cell = load_grid(path, out).cells[0]
    train(cell.recipe, out / "runs" / cell.name)
    assert load_grid(path, out).cells
    with pytest.raises(UsageError, match=r"train\.epochs was 1 and is 2"):
        load_grid(path, out, changes=["train.epochs=2"])


def test_scores_are_those_of_these_weights_alone(tmp_path: Path, data: Path) -> None:
    grid = load_grid(write_grid(tmp_path, data, seeds="[0]"))
    cell, folder = grid.cells[0], tmp_path / "out" / "runs" / grid.cells[0].name
    run = train(cell.recipe, folder)
    score_cell(cell, grid.part, folder)
    scores = read_scores(grid.part, folder)
    assert scores is not None
    assert scores.ids == [frame.id for frame in run.val_frames]
    assert run.at.best is not None
    [table] = tables_of(grid, tmp_path / "out")
    for name, figure in table.rows[0].figures.items():
        assert figure.mean == pytest.approx(run.at.best[name], nan_ok=True)
    other = grid.part.model_copy(update={"score": grid.part.score.model_copy(update={"protocol": "mshnet"})})
    assert read_scores(other, folder) is None
    (folder / "best.safetensors").write_bytes(b"other weights")
    assert read_scores(grid.part, folder) is None
    (folder / SCORES).write_text('{"about": 3}')
    assert read_scores(grid.part, folder) is None
    (folder / SCORES).write_text("[" * 100_000)
    with pytest.raises(DataError, match="expected the scores of a benchmark"):
        read_scores(grid.part, folder)


def fake_scores(
    folder: Path, part: object, common: list[int], hits: list[list[bool]], ranked: object = None
) -> None:
    """Counts of two frames of 10 true and 10 predicted pixels and a target each; no weights are there."""
    rows = np.zeros((len(common), len(COLUMNS)))
    for name, values in {"common": common, "true": 10, "predicted": 10, "targets": 1, "pixels": 100}.items():
        rows[:, COLUMNS.index(name)] = values
    rows[:, COLUMNS.index("hits")] = [sum(frame) for frame in hits]
    about = {"weights": None, "kind": "best", "split": "val", "protocol": "basicirstd"}
    stored = {
        "about": about,
        "columns": COLUMNS,
        "ids": ["made-up/a", "other/b"],
        "counts": rows.tolist(),
        "hits": hits,
        "ranked": {} if ranked is None else dict.fromkeys(BOX_NUMBERS, ranked),
    }
    write_text(folder / SCORES, json.dumps(stored))


def test_tables_hold_means_spreads_pairs_and_the_papers_figures(tmp_path: Path, data: Path) -> None:
    text = """
[[network]]
name = "alclnet"
[[scheme]]
name = "full"
[[scheme]]
label = "mclc"
name = "offline"
annotator = "mclc"
"""
    path = write_grid(tmp_path, data, text, paper='paper = "d2d_table2"')
    write_text(path, path.read_text().replace('made-up"\npath', 'sirst-v1"\npath'))
    grid, out = load_grid(path), tmp_path / "out"
    common = {"full": ([10, 5], [10, 7]), "mclc": ([5, 5], [5, 5])}
    for cell in grid.cells:
        if cell.network == "alclnet":
            hits = [[True], [cell.scheme == "full"]]
            fake_scores(out / "runs" / cell.name, grid.part, list(common[cell.scheme][cell.seed]), hits)
    [table] = tables_of(grid, out)
    rows = {row.scheme: row for row in table.rows}
    assert set(rows) == {"full", "mclc"}
    full = rows["full"].figures["iou"]
    assert full.mean == pytest.approx((15 / 25 + 17 / 23) / 2)
    assert full.deviation == pytest.approx((17 / 23 - 15 / 25) / math.sqrt(2))
    assert full.paper == pytest.approx(0.7257)
    assert rows["mclc"].figures["pd"].paper == pytest.approx(0.9506)
    pairs = {pair.number: pair for pair in table.pairs}
    assert pairs["iou"].difference == pytest.approx(full.mean - 1 / 3)
    assert pairs["targets"].difference == pytest.approx(1 / 2)
    assert pairs["targets"].p == 1
    files = {path.suffix: path.read_text() for path in write_tables(out, [table], "Title <b>")[:4]}
    assert "72.57" in files[".md"]
    assert "Title &lt;b&gt;" in files[".html"]
    assert r"$\pm$" in files[".tex"]
    assert "too good" in files[".md"]
    assert files[".csv"].count("\n") == 1 + 2 * 4


def test_sets_read_as_one_get_a_table_each(tmp_path: Path, data: Path) -> None:
    other = write_data(tmp_path / "other")
    grid_path = write_grid(tmp_path, data, seeds="[0]")
    text = grid_path.read_text().replace(f'path = "{data}"', f"merge = {json.dumps([str(data), str(other)])}")
    write_text(grid_path, text.replace('label = "made-up"', 'label = "both"'))
    grid = load_grid(grid_path)
    fake_scores(tmp_path / "out" / "runs" / grid.cells[0].name, grid.part, [10, 0], [[True], [False]])
    tables = {table.title: table for table in tables_of(grid, tmp_path / "out")}
    assert list(tables) == ["both", "made-up, trained on both", "other, trained on both"]
    assert [table.rows[0].figures["iou"].mean for table in tables.values()] == pytest.approx([10 / 30, 1, 0])


def test_signs_of_other_languages_are_spelt_out() -> None:
    row = ScoreRow("a_b|c", "50 % <x>", 1, {"iou": Figure(0.5)})
    table = ScoreTable("t & u", [row])
    assert r"a\_b|c & 50 \% <x> & 1 & 50.00 & - & - & -" in score_tables.to_latex([table])
    assert r"| a_b\|c | 50 % <x> |" in score_tables.to_markdown([table])
    assert "50 % &lt;x&gt;" in score_tables.to_html([table], "")


@pytest.mark.slow
def test_a_grid_trains_two_at_once_names_what_fails_and_goes_on(
    tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = (
        '[[network]]\nlabel = "wild"\nname = "compact"\nchanges = ["optimiser.name=sgd", "optimiser.lr=1e30"]'
    )
    path, out = write_grid(tmp_path, data, bad, seeds="[0]"), tmp_path / "out"
    heard: list[object] = []
    shown: list[object] = []
    grid = load_grid(path, out)
    outcome = run_grid(grid, out, jobs=2, tell=heard.append, watch=shown.append)
    assert not outcome.stopped
    assert set(outcome.failed) == {"wild-full-made-up-0"}
    assert len(heard) == 1
    assert isinstance(heard[0], InfraspotError)
    assert shown[-1].scored == 1
    before = (out / "runs" / "tiny-full-made-up-0" / SCORES).stat().st_mtime_ns
    assert main(["benchmark", str(path), "--out", str(out), "--only", "network=tiny"]) == 0
    assert (out / "runs" / "tiny-full-made-up-0" / SCORES).stat().st_mtime_ns == before
    assert "-> " in capsys.readouterr().out


@pytest.mark.parametrize("name", ["smoke", "d2d_table2", "survey_table6"])
def test_packaged_grids_are_sound_where_their_data_are(
    name: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("sirst-v1", "nudt-sirst", "irstd-1k"):
        (tmp_path / folder).symlink_to(data)
    monkeypatch.setenv("INFRASPOT_DATA", str(tmp_path))
    # Building the large networks is a law of theirs; here the file is of interest.
    monkeypatch.setattr("infraspot.training.parts.network_of", lambda part: None)
    grid = load_grid(name)
    table = tomllib.loads(find_grid(name).read_text())
    axes = [len(table[axis]) if axis in table else 1 for axis in ("network", "scheme", "data")]
    assert len(grid.cells) == np.prod(axes) * len(table["runs"]["seeds"])
    if grid.part.about.paper:
        known = paper_figures(grid.part.about.paper)
        networks = {(cell.recipe.network.name, "full", cell.data) for cell in grid.cells}
        assert networks <= known.keys()


def test_the_papers_figures_are_all_there() -> None:
    sizes = {name: len(paper_figures(name)) for name in PAPERS}
    assert sizes == {"d2d_table1": 7 * 5 * 4, "d2d_table2": 4 * 5 * 3, "survey_table6": 10 * 3}
    assert paper_figures("d2d_table2")["msdanet", "d2d", "sirst-v1"] == pytest.approx(
        {"iou": 0.7633, "niou": 0.7379, "pd": 1.0, "fa_area": 3.77e-6}
    )
    assert "iou" not in paper_figures("survey_table6")["acm", "full", "sirst-v1"]
    for name in PAPERS:
        for figures in paper_figures(name).values():
            assert all(0 <= figures[number] <= 1 for number in figures)


def test_a_detector_of_boxes_is_a_row_of_a_grid(tmp_path: Path, data: Path) -> None:
    write_grid(tmp_path, data, '[[scheme]]\nname = "boxes"\n', seeds="[0]")
    base, grid = tmp_path / "base.toml", tmp_path / "grid.toml"
    recipe = base.read_text().replace("epochs = 1", 'epochs = 1\nselect = "ap"')
    write_text(base, recipe.replace('"compact"', '"fcos"') + '[scheme]\nname = "boxes"\n')
    options = 'backbone = "resnet10"\nstrides = [2, 4]\nwidth = 8\ndepth = 1'
    write_text(grid, grid.read_text().replace(f"name = {json.dumps(TINY)}", f'name = "fcos"\n{options}'))
    loaded = load_grid(grid, tmp_path / "out")
    outcome = run_grid(loaded, tmp_path / "out")
    assert not outcome.failed
    (table,) = tables_of(loaded, tmp_path / "out")
    figures = table.rows[0].figures
    assert math.isnan(figures["iou"].mean)  # a list of boxes has no pixels
    assert 0 <= figures["pd"].mean <= 1
    log = (tmp_path / "out" / "runs" / loaded.cells[0].name / "log.csv").read_text().splitlines()
    logged = dict(zip(log[0].split(","), log[1].split(","), strict=True))
    assert figures["box_ap.ap07_legacy"].mean == pytest.approx(float(logged["ap"]), abs=1e-6)
    assert figures["box_ap.centre_3"].mean == pytest.approx(float(logged["ap_centre"]), abs=1e-6)


def test_detectors_and_networks_of_masks_stand_in_one_grid(tmp_path: Path, data: Path) -> None:
    recipe = RECIPE.replace('"compact"', '"fcos"').replace("epochs = 1", 'epochs = 1\nselect = "ap"')
    write_text(tmp_path / "boxes.toml", recipe + '[scheme]\nname = "boxes"\n')
    detector = (
        f'[[network]]\nname = "fcos"\nrecipe = {json.dumps(str(tmp_path / "boxes.toml"))}\n'
        'backbone = "resnet10"\nstrides = [2, 4]\nwidth = 8\ndepth = 1\n'
    )
    schemes = '[[scheme]]\nname = "full"\n[[scheme]]\nname = "boxes"\n'
    loaded = load_grid(write_grid(tmp_path, data, detector + schemes, seeds="[0]"), tmp_path / "out")
    pairs = [(cell.network, cell.scheme) for cell in loaded.cells]
    assert pairs == [("tiny", "full"), ("fcos", "boxes")]
    told = (
        ([[True], [False]], [[[], []], [[0.6], [True]]]),
        ([[True], [True]], [[[0.9], [True]], [[0.8, 0.7], [False, True]]]),
    )
    for cell, (hits, ranked) in zip(loaded.cells, told, strict=True):
        fake_scores(tmp_path / "out" / "runs" / cell.name, loaded.part, [1, 1], hits, ranked)
    (table,) = tables_of(loaded, tmp_path / "out")
    assert [row.network for row in table.rows] == ["tiny", "fcos"]
    assert {(pair.one, pair.other) for pair in table.pairs} == {("tiny full", "fcos boxes")}

    # Eleven recalls: six up to a half, five above it, where the detector has a precision of two thirds.
    ap = [row.figures["box_ap.ap07_legacy"] for row in table.rows]
    assert [figure.mean for figure in ap] == pytest.approx([6 / 11, (6 + 5 * 2 / 3) / 11])
    # The frames drawn are both, twice the first, or twice the second: of the detector 1, of these halves.
    assert [(figure.low, figure.high) for figure in ap] == [(0, 1), (0.5, 1)]
    assert table.rows[1].figures["box_ap.centre_3"].mean == pytest.approx(1 / 2 + 1 / 2 * 2 / 3)
    pairs = {pair.number: pair for pair in table.pairs}
    assert pairs["box_ap.ap07_legacy"].difference == pytest.approx(ap[0].mean - ap[1].mean)
    assert pairs["box_ap.ap07_legacy"].p_family == 1  # with one frame exchanged they lie further apart

    files = {path.name: path.read_text() for path in write_tables(tmp_path, [table], "AP")}
    assert "| AP | centre AP |" in files["table.md"]
    assert "84.85 [50.0, 100.0] | 83.33 [" in files["table.md"]
    assert "<th>AP</th><th>centre AP</th>" in files["table.html"]
    assert "& AP & centre AP" in files["table.tex"]
    assert "fcos,boxes,1,box_ap.ap07_legacy,0.84848485,,0.5,1," in files["table.csv"]
    assert "tiny full,fcos boxes,box_ap.centre_3,-0.33333333," in files["pairs.csv"]
    page = write_benchmark_report(tmp_path / "page.html", [table], "AP").read_text()
    assert '"numbers":["iou","niou","pd","fa_area","box_ap.ap07_legacy","box_ap.centre_3"]' in page


def test_average_precision_of_networks_of_masks_is_there_when_asked_for(tmp_path: Path, data: Path) -> None:
    path = write_grid(tmp_path, data, seeds="[0]")
    plain = load_grid(path)
    write_text(path, path.read_text() + "[score]\nboxes = true\n")
    asked = load_grid(path)
    cell, out = plain.cells[0], tmp_path / "out"
    folder = out / "runs" / cell.name
    run = train(cell.recipe, folder)
    score_cell(cell, plain.part, folder)
    [table] = tables_of(plain, out)
    assert list(table.rows[0].figures) == ["iou", "niou", "pd", "fa_area"]
    assert "AP" not in score_tables.to_markdown([table])
    assert read_scores(asked.part, folder) is None  # they are scored anew
    score_cell(cell, asked.part, folder)
    assert read_scores(plain.part, folder) is not None
    [table] = tables_of(asked, out)
    engine, expected = open_engine(str(folder / "best.safetensors"), trust=[TINY]), Evaluation("basicirstd")
    for sample in run.val_frames:
        expected.update(predict(engine, sample), sample)
    for name, figure in table.rows[0].figures.items():
        if name.startswith("box_ap."):
            assert figure.mean == expected.compute()["box_ap"][name.removeprefix("box_ap.")]


@pytest.mark.parametrize("ranked", [[[[0.9], [True]]], [[[0.9], []], [[], []]], [[0.9, True], [[], []]], "x"])
def test_ranked_detections_that_do_not_fit_their_frames_are_refused(
    tmp_path: Path, data: Path, ranked: object
) -> None:
    path = write_grid(tmp_path, data, "[score]\nboxes = true\n", seeds="[0]")
    grid = load_grid(path)
    fake_scores(tmp_path, grid.part, [1, 1], [[True], [True]], ranked)
    with pytest.raises(DataError, match="expected the scores of a benchmark"):
        read_scores(grid.part, tmp_path)


def test_a_network_that_no_scheme_of_the_grid_can_teach_is_named(tmp_path: Path, data: Path) -> None:
    write_grid(tmp_path, data, '[[network]]\nname = "fcos"\nrecipe = "detectors/fcos"\n')
    with pytest.raises(UsageError, match=r"network fcos: detectors of boxes are taught by the scheme boxes"):
        load_grid(tmp_path / "grid.toml")
