"""The page opens stacks and trees: each frame has its file and its page, in every direction."""

import json
from urllib.parse import quote

import numpy as np
import pytest
import tifffile
from starlette.testclient import TestClient
from web_fakes import spots

from infraspot.cli.main import main
from infraspot.core.errors import DataError
from infraspot.data import FrameKey, Reading, open_dataset, parse_raw, read_mask, write_grey, write_mask
from infraspot.web.actions import SetStatus
from infraspot.web.background import Background
from infraspot.web.server import make_app
from infraspot.web.session import Session
from infraspot.web.taking_in import take_in
from infraspot.web.transfer import EXPORTS

TOKEN, PORT = "a-token", 8000
ORIGIN = f"http://127.0.0.1:{PORT}"
PLACES = [(20, 30), (40, 60), (45, 20)]
SHAPE = (60, 80)
NAMES = [
    "still",
    "film-0001",
    "film-0002",
    "film-0003",
    "night/still",
    "night/array-0001",
    "night/array-0002",
]


@pytest.fixture
def folder(tmp_path, rng):
    """Below the folder a still and a stack of three pages, and in a subfolder a still and an array of two."""
    frames = tmp_path / "frames"
    pages = [spots(rng, [place], SHAPE) for place in PLACES]
    write_grey(frames / "still.png", pages[0])
    write_grey(frames / "night" / "still.png", pages[1])
    deep = (np.stack(pages).clip(0, 1) * 65535).astype(np.uint16)
    tifffile.imwrite(frames / "film.tif", deep, photometric="minisblack")
    np.save(frames / "night" / "array.npy", deep[:2])
    return frames


@pytest.fixture
def session(folder, tmp_path):
    session = Session(folder, tmp_path / "out", recursive=True)
    yield session
    session.journal.close()


@pytest.fixture
def client(session):
    background = Background(session)
    background.ready.add("profile")
    with TestClient(
        make_app(session, TOKEN, PORT, background), base_url=ORIGIN, headers={"origin": ORIGIN}
    ) as client:
        client.cookies.set(f"infraspot-token-{PORT}", TOKEN)
        yield client


def mark(client, image, place, number=1):
    """Click a target and put it down, as the page does."""
    at = f"/api/images/{quote(image, safe='')}"
    version = client.post(f"{at}/open", json={"window": "w"}).json()["version"]
    click = {"window": "w", "id": number, "x": place[1], "y": place[0], "method": "profile"}
    target = client.post(f"{at}/click", json=click).json()
    actions = [{"kind": "put", "target": target}, {"kind": "status", "status": "done"}]
    body = {"window": "w", "version": version, "action": {"kind": "batch", "actions": actions}}
    assert client.post(f"{at}/act", json=body).status_code == 200
    return target


def test_every_page_and_every_subfolder_has_frames_of_its_own(session, folder):
    assert sorted(session.images) == sorted(NAMES)
    assert session.images["film-0002"] == FrameKey(folder / "film.tif", 2)
    np.testing.assert_array_equal(session.frame("night/array-0002").image, session.frame("film-0002").image)


def test_without_recursive_subfolders_are_left_and_said(folder, tmp_path):
    session = Session(folder, tmp_path / "flat")
    assert sorted(session.images) == ["film-0001", "film-0002", "film-0003", "still"]
    assert any("--recursive" in sentence for sentence in session.skipped)
    session.journal.close()


def test_a_single_stack_can_be_opened(folder, tmp_path):
    session = Session(folder / "film.tif", tmp_path / "one")
    assert list(session.images) == ["film-0001", "film-0002", "film-0003"]
    session.journal.close()


def test_raw_files_are_frames_where_their_form_is_given(tmp_path, rng):
    frames = tmp_path / "raws"
    frames.mkdir()
    (rng.random((3, *SHAPE)) * 60000).astype("<u2").tofile(frames / "a.raw")
    session = Session(frames, tmp_path / "out", reading=Reading(raw=parse_raw("80x60:uint16")))
    assert list(session.images) == ["a-0001", "a-0002", "a-0003"]
    assert session.frame("a-0003").image.shape == SHAPE
    session.journal.close()


def test_the_results_folder_inside_the_frames_is_not_annotated(folder):
    out = folder / "out"
    write_grey(out / "export" / "images" / "x.png", np.full(SHAPE, 0.5))
    session = Session(folder, out, recursive=True)
    assert sorted(session.images) == sorted(NAMES)
    session.journal.close()


def test_pages_are_shown_and_marked_each_by_itself(client, session):
    for image, place in zip(["film-0001", "film-0002", "night/still"], [*PLACES[:2], PLACES[1]], strict=True):
        response = client.get(f"/api/images/{quote(image, safe='')}/pixels")
        assert response.status_code == 200
        assert np.frombuffer(response.content, "<u2").reshape(SHAPE)[place] > 30000
        assert client.get(f"/api/images/{quote(image, safe='')}/thumbnail").status_code == 200
        mark(client, image, place)
    assert [len(session.state(name)[0].targets) for name in NAMES] == [0, 1, 1, 0, 1, 0, 0]


@pytest.mark.parametrize(
    "image", ["film", "film-0004", "night", "../frames/still", "night/../still", "/etc/passwd"]
)
def test_only_frames_of_the_folder_can_be_named(client, image):
    assert client.get(f"/api/images/{quote(image, safe='')}/pixels").status_code == 404


def test_what_detect_found_in_pages_comes_to_the_same_pages(folder, tmp_path, session):
    found = tmp_path / "found"
    assert main(["detect", str(folder), "--recursive", "--out", str(found), "--format", "json,mask"]) == 0
    counts = {name: len(json.loads((found / f"{name}.json").read_text())["targets"]) for name in NAMES}
    assert sum(counts.values()) >= 5
    taken = take_in(session, found)
    assert taken.sentence.startswith("7 images taken in")
    assert {name: len(session.state(name)[0].targets) for name in NAMES} == counts
    for name in NAMES:
        for target in session.state(name)[0].targets:
            assert session.frame(name).image[round(target.y), round(target.x)] > 0.5


@pytest.mark.parametrize("kinds", [("json",), ("mask",)])
def test_records_and_masks_alone_find_their_pages_too(folder, tmp_path, session, kinds):
    found = tmp_path / "found"
    main(["detect", str(folder), "--recursive", "--out", str(found), "--format", ",".join(kinds)])
    assert take_in(session, found).sentence.startswith("7 images taken in")
    assert session.state("film-0003")[0].targets != session.state("film-0001")[0].targets


@pytest.mark.parametrize("form", [form for form in EXPORTS if form not in ("level", "timing")])
def test_every_export_of_pages_and_subfolders_is_taken_in_again_exactly(
    client, session, folder, tmp_path, form
):
    for image, place in (("film-0002", PLACES[1]), ("night/array-0001", PLACES[0]), ("still", PLACES[0])):
        mark(client, image, place)
    EXPORTS[form](session, tmp_path / form)
    again = Session(folder, tmp_path / "again", recursive=True)
    assert take_in(again, tmp_path / form).sentence.startswith("3 images taken in")
    assert {name: again.state(name)[0].targets for name in NAMES} == {
        name: session.state(name)[0].targets for name in NAMES
    }
    again.journal.close()


def test_an_exported_data_set_can_be_read_and_holds_the_pages(client, session, tmp_path):
    for image, place in (("film-0002", PLACES[1]), ("night/array-0001", PLACES[0])):
        mark(client, image, place)
    EXPORTS["dataset"](session, tmp_path / "set")
    reader = open_dataset(tmp_path / "set")
    assert sorted(reader.ids) == ["film-0002", "night__array-0001"]
    sample = reader[reader.ids.index("night__array-0001")]
    assert sample.mask[PLACES[0]]
    assert sample.bit_depth == 16
    EXPORTS["label-studio"](session, tmp_path / "studio")
    tasks = json.loads((tmp_path / "studio" / "label-studio.json").read_text())
    assert "film-0002.png" in json.dumps(tasks)


def test_points_and_masks_find_pages_and_subfolders_by_name(session, tmp_path):
    (tmp_path / "points.json").write_text(json.dumps({"film-0003": [[20, 45]], "night/still": [[60, 40]]}))
    assert take_in(session, tmp_path / "points.json").sentence.startswith("2 images taken in")
    mask = np.zeros(SHAPE, bool)
    mask[5, 5:8] = True
    for name in ("film-0001", "night/array-0002"):
        write_mask(tmp_path / "masks" / f"{name}.png", mask)
    assert take_in(session, tmp_path / "masks").sentence.startswith("2 images taken in")
    assert read_mask(tmp_path / "masks" / "film-0001.png").sum() == 3
    assert session.state("night/array-0002")[0].targets[0].patch.box == (5, 5, 8, 6)


def test_marks_of_frames_that_are_not_read_this_time_are_told_and_kept(folder, tmp_path, capsys):
    session = Session(folder, tmp_path / "out", recursive=True)
    for image in ("night/still", "still"):
        session.journal.add(image, "w", SetStatus(status="empty"))
    session.journal.close()
    command = ["annotate", str(folder), "--out", str(tmp_path / "out"), "--export", "masks"]
    assert main(command) == 0
    said = capsys.readouterr().err
    assert "has marks in night/still," in said
    assert "--recursive" in said
    assert main([*command, "--recursive"]) == 0
    assert "has marks" not in capsys.readouterr().err
    assert (tmp_path / "out" / "export" / "masks" / "night__still.png").is_file()


def test_the_journal_is_never_put_among_the_frames(folder, capsys):
    before = sorted(folder.rglob("*"))
    assert main(["annotate", str(folder), "--out", str(folder / "night" / ".."), "--export", "masks"]) == 2
    assert "nothing is written there" in capsys.readouterr().err
    assert sorted(folder.rglob("*")) == before


def test_two_frames_of_one_name_are_refused_by_name(folder, tmp_path):
    write_grey(folder / "film-0002.png", np.full(SHAPE, 0.5))
    with pytest.raises(DataError, match="film-0002"):
        Session(folder, tmp_path / "clash")
    (folder / "film-0002.png").rename(folder / "night__still.png")
    with pytest.raises(DataError, match="night"):
        Session(folder, tmp_path / "clash", recursive=True)


def test_a_damaged_stack_stays_in_the_list_and_says_what_is_wrong(folder, tmp_path):
    (folder / "film.tif").write_bytes(b"II*\x00 damaged")
    session = Session(folder, tmp_path / "out")
    assert list(session.images) == ["film", "still"]
    background = Background(session)
    with TestClient(
        make_app(session, TOKEN, PORT, background), base_url=ORIGIN, headers={"origin": ORIGIN}
    ) as client:
        client.cookies.set(f"infraspot-token-{PORT}", TOKEN)
        answer = client.get("/api/images/film/pixels")
    assert answer.status_code == 422
    assert "film.tif" in answer.json()["error"]
    session.journal.close()


def test_the_frames_of_a_file_are_scored_in_one_pass_and_others_are_not_held_up(session, folder):
    (folder / "still.png").write_bytes(b"\x89PNG damaged")
    background = Background(session)
    background.load_model()
    background._score()
    assert sorted(background.uncertainties) == sorted(set(NAMES) - {"still"})


def test_the_command_takes_trees_raw_files_and_names_a_wrong_form(folder, tmp_path, capsys):
    out = str(tmp_path / "out")
    session = Session(folder, tmp_path / "out", recursive=True)
    session.journal.add("night/still", "w", SetStatus(status="empty"))
    session.journal.close()
    assert main(["annotate", str(folder), "--recursive", "--out", out, "--export", "masks"]) == 0
    assert (tmp_path / "out" / "export" / "masks" / "night__still.png").is_file()
    assert main(["annotate", str(folder), "--raw", "80:60", "--out", out, "--export", "masks"]) == 2
    assert "80:60" in capsys.readouterr().err
