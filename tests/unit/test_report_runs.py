"""Run folders are listed, compared and deleted; what others put there does no harm."""

import json
from pathlib import Path

import pytest

from infraspot.cli.main import main
from infraspot.core.errors import InputError, UsageError
from infraspot.core.files import write_text
from infraspot.core.lock import locked
from infraspot.jobs.runs import delete_run
from infraspot.report.runs import differing, find_runs, read_run

RECIPE = """[network]
name = "compact"
[[augment]]
name = "crop"
size = 64
[train]
epochs = {epochs}
seed = {seed}
select = {{"iou" = 1, "fa_area" = -1000}}
"""
LOG = """epoch,loss,lr,iou,niou,pd,fa_area
1,2.5,0.01,0.25,0.5,1,1e-05
2,2,0.01,,,,
3,1.5,0.01,0.5,0.5,1,0.001
"""


def make_run(folder: Path, seed: int = 0, epochs: int = 3, log: str = LOG) -> Path:
    write_text(folder / "recipe.toml", RECIPE.format(seed=seed, epochs=epochs))
    write_text(folder / "log.csv", log)
    (folder / "state.pt").write_bytes(b"never read")
    return folder


def test_a_run_is_read_from_its_recipe_and_its_log(tmp_path: Path) -> None:
    run = read_run(make_run(tmp_path / "a"))
    assert run.option("network.name") == "compact"
    assert run.option("augment.0.size") == "64"
    assert run.option("scheme.name") == "-"
    assert run.epochs == (3, 3)
    assert run.state == "finished"
    # 0.25 - 0.01 against 0.5 - 1: by the recipe's rule the first epoch is the best.
    assert run.best is not None
    assert run.best["epoch"] == 1
    assert run.last is not None
    assert run.last["iou"] == 0.5
    assert "iou" not in run.rows[1]


def test_a_run_in_which_a_program_trains_says_so_and_is_not_deleted(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "a", epochs=9)
    assert read_run(folder).state == "stopped"
    with locked(folder):
        assert read_run(folder).state == "training"
    (folder / "run.lock").write_text("left behind by a killed program")
    assert read_run(folder).state == "stopped"


def test_runs_are_found_below_a_folder_and_not_through_links(tmp_path: Path) -> None:
    make_run(tmp_path / "a" / "seed-1")
    make_run(tmp_path / "b")
    outside = make_run(tmp_path.parent / f"{tmp_path.name}-outside")
    (tmp_path / "link").symlink_to(outside)
    assert find_runs(tmp_path) == [tmp_path / "a" / "seed-1", tmp_path / "b"]


def test_options_that_differ_are_named(tmp_path: Path) -> None:
    runs = [read_run(make_run(tmp_path / name, seed=k)) for k, name in enumerate("ab")]
    assert differing(runs) == ["train.seed"]


def test_the_list_and_the_comparison_are_printed_and_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    make_run(tmp_path / "runs" / "a$x$")
    make_run(tmp_path / "runs" / "[red]<b>", seed=1)
    assert main(["runs", "list", str(tmp_path / "runs"), "--json", str(tmp_path / "all.json")]) == 0
    printed = capsys.readouterr().out
    assert "[red]<b>" in printed
    assert "0.2500" in printed
    assert [one["best"]["epoch"] for one in json.loads((tmp_path / "all.json").read_text())] == [1, 1]
    assert main(["runs", "compare", str(tmp_path / "runs"), "--plots", str(tmp_path / "plots")]) == 0
    assert "train.seed" in capsys.readouterr().out
    page = (tmp_path / "plots" / "runs.html").read_text()
    assert "[red]&lt;b&gt;" in page
    assert (tmp_path / "plots" / "curves.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("recipe.toml", b"[train\n"),
        ("recipe.toml", b"\xff\xfe"),
        ("recipe.toml", b"x = 0x" + b"f" * 9000),
        ("recipe.toml", b"x = " + b"9" * 9000),
        ("recipe.toml", ".".join(["a"] * 5000).encode() + b" = 1"),
        ("recipe.toml", b"x = " + b"[" * 100_000),
        ("recipe.toml", b"#" * (1 << 21)),
        ("log.csv", b"epoch,iou\n1,abc\n"),
        ("log.csv", b"epoch,iou\n1,2,3\n"),
        ("log.csv", b"iou\n1\n"),
        ("log.csv", b"epoch,epoch\n1,1\n"),
        ("log.csv", b'epoch\n"' + b"1" * 200_000),
    ],
)
def test_a_hostile_run_is_a_sentence_and_the_others_are_listed(
    name: str, content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run(tmp_path / "good")
    bad = make_run(tmp_path / "bad")
    (bad / name).write_bytes(content)
    with pytest.raises(InputError, match=name):
        read_run(bad)
    assert main(["runs", "list", str(tmp_path)]) == 1
    printed = capsys.readouterr()
    assert "good" in printed.out
    assert printed.err.count("error: ") == 1


def test_numbers_that_are_none_are_shown_as_such(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(tmp_path, log="epoch,loss,iou,niou,pd,fa_area\nnan,1,nan,nan,inf,1e308\n")
    assert main(["runs", "list", str(tmp_path)]) == 0
    assert " - " in capsys.readouterr().out


def test_figures_by_clicks_are_listed_with_a_star(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = "epoch,loss,click_iou,click_niou,click_pd,click_fa_area\n1,2.5,0.25,0.5,1,1e-05\n"
    folder = make_run(tmp_path / "run", epochs=1, log=log)
    recipe = (folder / "recipe.toml").read_text() + 'select_on = "clicks"\n'
    write_text(folder / "recipe.toml", recipe)
    for command in ("list", "compare"):
        assert main(["runs", command, str(tmp_path)]) == 0
        printed = capsys.readouterr().out
        assert "0.2500*" in printed
        assert "10.0*" in printed
        assert "* against the masks that `profile` grows" in printed


def test_a_detector_is_listed_by_its_boxes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_run(tmp_path / "runs" / "masks")
    boxes = make_run(tmp_path / "runs" / "boxes", log="epoch,loss,lr,ap,recall\n1,2,0.1,0.625,0.75\n")
    recipe = (boxes / "recipe.toml").read_text().partition("select")[0] + 'select = "ap"\n'
    write_text(boxes / "recipe.toml", recipe)
    assert main(["runs", "list", str(tmp_path / "runs")]) == 0
    head, *lines = [line for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert head.split()[-1] == "AP"
    of_boxes, of_masks = (next(line for line in lines if name in line).split() for name in ("boxes", "masks"))
    assert "0.6250" in of_boxes
    assert "0.6250" not in of_masks


def test_deleting_takes_what_training_wrote_and_nothing_else(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("kept")
    folder = make_run(tmp_path / "run")
    (folder / "best.safetensors").symlink_to(secret)
    (folder / "notes.txt").write_text("mine")
    (folder / "frames.csv").write_text("id,weight\n")
    (folder / "chosen.txt").write_text("a\n")
    assert delete_run(folder) == ["notes.txt"]
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]
    assert secret.read_text() == "kept"
    assert delete_run(make_run(tmp_path / "other")) == []
    assert not (tmp_path / "other").exists()


def test_what_is_no_run_is_not_deleted(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "log.csv").write_text("mine")
    (tmp_path / "link").symlink_to(make_run(tmp_path / "run"))
    for place in ("folder", "link", "nowhere"):
        with pytest.raises(UsageError):
            delete_run(tmp_path / place)
    assert (tmp_path / "folder" / "log.csv").read_text() == "mine"
    assert len([*(tmp_path / "run").iterdir()]) == 3


def test_deleting_asks_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_run(tmp_path / "run")
    monkeypatch.setattr("click.confirm", lambda *_, **__: False)
    assert main(["runs", "delete", str(folder)]) == 1
    assert "nothing was deleted" in capsys.readouterr().err
    assert folder.exists()
    assert main(["runs", "delete", str(folder), "--yes"]) == 0
    assert not folder.exists()
