import io
import json
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from infraspot.core.errors import DataError, InfraspotError, InputError
from infraspot.data import write_grey
from infraspot.inference import DEFAULT_MODEL
from infraspot.jobs.adapt import Adaptation
from infraspot.web import adapting as adapting_module
from infraspot.web import background as background_module
from infraspot.web.actions import PutTarget
from infraspot.web.background import Background
from infraspot.web.runs import Patch, to_mask
from infraspot.web.server import MAX_BODY, make_app
from infraspot.web.session import LEASE_SECONDS, RefusedError, Session
from infraspot.web.taking_in import take_in
from infraspot.web.transfer import EXPORTS

TOKEN, PORT = "a-token", 8000
ORIGIN = f"http://127.0.0.1:{PORT}"
OF_IMAGES = [form for form in EXPORTS if form != "level"]


def frame_with_targets(rng, places, shape=(60, 80)):
    image = 0.2 + 0.01 * rng.standard_normal(shape)
    ys, xs = np.mgrid[: shape[0], : shape[1]]
    for y, x in places:
        image += 0.5 * np.exp(-((ys - y) ** 2 + (xs - x) ** 2) / 4)
    return image.clip(0, 1)


@pytest.fixture
def folder(tmp_path, rng):
    images = tmp_path / "frames"
    write_grey(images / "one.png", frame_with_targets(rng, [(20, 30), (40, 60)]))
    write_grey(images / "two.tif", frame_with_targets(rng, [(10, 10)]), bits=16)
    write_grey(images / "odd name ü.png", frame_with_targets(rng, []))
    return images


@pytest.fixture
def session(folder, tmp_path):
    session = Session(folder, tmp_path / "out")
    yield session
    session.journal.close()


def ready(session):
    """A background whose methods answer at once, as they do a few seconds after the start."""
    background = Background(session)
    background.warm_up("profile")
    return background


@pytest.fixture
def client(session):
    app = make_app(session, TOKEN, PORT, ready(session))
    with TestClient(app, base_url=ORIGIN, headers={"origin": ORIGIN}) as client:
        client.cookies.set(f"infraspot-token-{PORT}", TOKEN)
        yield client


def mark(client, x, y, image="one", window="w", number=1):
    click = {"window": window, "id": number, "x": x, "y": y, "method": "profile"}
    return client.post(f"/api/images/{image}/click", json=click).json()


def act(client, action, version, image="one", window="w"):
    return client.post(
        f"/api/images/{image}/act",
        json={"window": window, "version": version, "action": action, "seconds": 2.0},
    )


def open_image(client, image="one", window="w"):
    return client.post(f"/api/images/{image}/open", json={"window": window})


def test_a_click_gives_the_mask_of_the_target_under_it(client):
    target = mark(client, 30, 20)
    mask = to_mask([Patch.model_validate(target["patch"])], (60, 80))
    assert mask[20, 30]
    assert 5 <= mask.sum() <= 60
    assert target["method"] == "profile"


def test_a_doubtful_target_whose_mask_changes_stays_doubtful(client, session):
    open_image(client)
    target = mark(client, 30, 20)
    act(client, {"kind": "put", "target": {**target, "doubtful": True}}, 0)
    assert mark(client, 30, 20)["doubtful"]
    assert not mark(client, 60, 40, number=2)["doubtful"]


def test_what_was_only_taken_in_costs_no_time(client, session, tmp_path):
    finish(client)
    session.journal.add("two", "import", PutTarget(target=session.state("one")[0].targets[0]))
    assert EXPORTS["timing"](session, tmp_path / "t").sentence == "1 image, 1 target, 4 s, 4.0 s a target"
    assert "two" not in (tmp_path / "t" / "timing.csv").read_text()


def test_several_clicks_give_masks_that_share_no_pixel(client):
    places = [{"x": 30, "y": 20}, {"x": 60, "y": 40}, {"x": 30, "y": 20}]
    body = {"window": "w", "id": 5, "method": "profile", "places": places}
    targets = client.post("/api/images/one/clicks", json=body).json()["targets"]
    assert [target["id"] for target in targets] == [5, 6]  # the third place is taken already
    masks = [to_mask([Patch.model_validate(target["patch"])], (60, 80)) for target in targets]
    assert not (masks[0] & masks[1]).any()
    assert client.post("/api/images/one/clicks", json={**body, "places": []}).status_code == 400


def test_what_is_not_ready_yet_is_refused_in_words_and_granted_later(session):
    background = Background(session)
    app = make_app(session, TOKEN, PORT, background)
    with TestClient(app, base_url=ORIGIN, headers={"origin": ORIGIN}) as client:
        client.cookies.set(f"infraspot-token-{PORT}", TOKEN)
        click = {"window": "w", "id": 1, "x": 30, "y": 20, "method": "profile"}
        answers = [
            client.post("/api/images/one/click", json=click),
            client.post(
                "/api/images/one/clicks",
                json={"window": "w", "id": 1, "method": "profile", "places": [{"x": 1, "y": 1}]},
            ),
            client.get("/api/images/one/proposals"),
        ]
        assert [answer.status_code for answer in answers] == [503, 503, 503]
        assert "being prepared" in answers[0].json()["error"]
        assert client.get("/api/images").json()["methods"]["profile"] is False
        background.warm_up("profile")
        background.load_model()
        assert client.post("/api/images/one/click", json=click).status_code == 200
        assert len(client.get("/api/images/one/proposals").json()["rings"]) == 2


def test_a_model_that_cannot_be_loaded_is_said_and_is_not_the_same_as_no_proposals(session):
    def refuse():
        raise InputError("my.onnx is damaged")

    background = Background(session, refuse)
    background.load_model()
    with TestClient(make_app(session, TOKEN, PORT, background), base_url=ORIGIN) as client:
        client.cookies.set(f"infraspot-token-{PORT}", TOKEN)
        answer = client.get("/api/images/one/proposals")
    assert answer.status_code == 422
    assert "my.onnx is damaged" in answer.json()["error"]


def test_a_fault_of_the_run_time_is_a_sentence_and_nobody_waits_for_ever(session):
    def broken():
        raise MemoryError("no room for the graph")

    background = Background(session, broken)
    background.load_model()
    with pytest.raises(InfraspotError, match="cannot be loaded: MemoryError: no room for the graph"):
        background.proposer()


def test_what_was_done_is_there_after_the_server_was_killed(client, session, folder, tmp_path):
    assert open_image(client).json()["version"] == 0
    target = mark(client, 30, 20)
    answer = act(client, {"kind": "put", "target": target}, 0).json()
    assert answer["version"] == 1
    act(client, {"kind": "status", "status": "done"}, 1)
    session.journal._file.close()  # what SIGKILL does
    again = Session(folder, tmp_path / "out")
    state, version = again.state("one")
    assert (state.status, len(state.targets), version) == ("done", 1, 2)


def test_two_windows_cannot_have_one_image(client):
    assert open_image(client, window="first").status_code == 200
    refusal = open_image(client, window="second")
    assert refusal.status_code == 409
    assert "open in another window" in refusal.json()["error"]
    assert act(client, {"kind": "status", "status": "done"}, 0, window="second").status_code == 409
    client.post("/api/images/one/close", json={"window": "first"})
    assert open_image(client, window="second").status_code == 200


def test_a_window_that_fell_silent_loses_its_image(session):
    now = [0.0]
    session.clock = lambda: now[0]
    session.open("one", "first")
    now[0] = LEASE_SECONDS + 1
    session.open("one", "second")
    with pytest.raises(RefusedError, match="no longer has one"):
        session.keep("one", "first")


def test_an_action_on_an_old_version_is_refused_and_changes_nothing(client, session):
    open_image(client)
    act(client, {"kind": "status", "status": "done"}, 0)
    stale = act(client, {"kind": "status", "status": "rejected"}, 0)
    assert stale.status_code == 409
    assert session.state("one")[0].status == "done"


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"headers": {"host": "evil.example"}}, 403),
        ({"headers": {"origin": "http://evil.example"}}, 403),
        ({"cookies": {f"infraspot-token-{PORT}": "wrong"}}, 403),
        ({"content": b"{", "json": None}, 400),
        ({"json": {"window": "w", "surprise": 1}}, 400),
        ({"json": {"window": ""}}, 400),
    ],
)
def test_a_request_that_is_not_the_pages_own_is_refused_with_a_sentence(client, change, status):
    if "cookies" in change:
        client.cookies.clear()
        client.cookies.set(f"infraspot-token-{PORT}", "wrong")
        change = {}
    response = client.post("/api/images/one/open", **{"json": {"window": "w"}, **change})
    assert response.status_code == status
    assert response.json()["error"]


def test_without_an_origin_nothing_is_changed(session):
    with TestClient(make_app(session, TOKEN, PORT, ready(session)), base_url=ORIGIN) as bare:
        bare.cookies.set(f"infraspot-token-{PORT}", TOKEN)
        assert open_image(bare).status_code == 403


@pytest.mark.parametrize("image", ["absent", "..%2Fframes%2Fone", "%2Fetc%2Fpasswd", "one.png"])
def test_only_the_images_of_the_folder_can_be_named(client, image):
    assert client.get(f"/api/images/{image}/pixels").status_code == 404
    assert client.get("/static/..%2Fserver.py").status_code == 404


def test_a_huge_body_is_refused_before_it_is_read(client):
    response = client.post("/api/images/one/open", content=b" " * (MAX_BODY + 1))
    assert response.status_code == 413


def test_the_page_sets_the_token_and_asks_nothing_of_other_sites(client):
    page = client.get("/", params={"token": TOKEN})
    assert page.status_code == 200
    assert "http://" not in page.text
    assert "https://" not in page.text
    assert "samesite=strict" in page.headers["set-cookie"].lower()
    for name in ("api.js", "keys.js", "list.js", "masks.js", "mouse.js", "page.css", "page.js", "view.js"):
        assert client.get(f"/static/{name}").status_code == 200


def test_pixels_come_whole_with_their_size_and_depth(client, folder):
    response = client.get("/api/images/two/pixels")
    assert (response.headers["x-width"], response.headers["x-height"]) == ("80", "60")
    assert response.headers["x-depth"] == "16"
    values = np.frombuffer(response.content, "<u2").reshape(60, 80)
    stored = np.asarray(Image.open(folder / "two.tif"))
    np.testing.assert_array_equal(values, stored)
    thumbnail = client.get("/api/images/odd%20name%20%C3%BC/thumbnail")
    assert Image.open(io.BytesIO(thumbnail.content)).size == (80, 60)


def test_a_damaged_image_gives_a_sentence(client, folder, session):
    (folder / "one.png").write_bytes(b"\x89PNG damaged")
    response = client.get("/api/images/one/pixels")
    assert response.status_code == 422
    assert "one.png" in response.json()["error"]


@pytest.mark.parametrize("form", OF_IMAGES)
def test_every_export_can_be_written_twice_and_says_what_it_holds(client, session, form):
    open_image(client)
    act(client, {"kind": "put", "target": mark(client, 30, 20)}, 0)
    act(client, {"kind": "status", "status": "done"}, 1)
    for _ in range(2):
        answer = client.post("/api/export", json={"window": "w", "format": form})
        assert answer.status_code == 200, answer.text
        assert "1 image, 1 target" in answer.json()["message"]
    assert any((session.out / "export" / form).rglob("*"))
    assert client.post("/api/export", json={"window": "w", "format": "xls"}).status_code == 400


@pytest.mark.parametrize("form", ["points", "coco", "yolo", "voc", "label-studio"])
def test_what_was_exported_can_be_taken_in_again(client, session, folder, tmp_path, form):
    open_image(client)
    act(client, {"kind": "put", "target": mark(client, 30, 20)}, 0)
    act(client, {"kind": "put", "target": mark(client, 60, 40, number=2)}, 1)
    act(client, {"kind": "status", "status": "done"}, 2)
    EXPORTS[form](session, session.out / form)
    single = {"points": "points.json", "label-studio": "label-studio.json"}
    source = session.out / form / single[form] if form in single else session.out / form
    fresh = Session(folder, tmp_path / "fresh")
    assert take_in(fresh, source).sentence.startswith("1 image taken in")
    found = sorted((round(t.y), round(t.x)) for t in fresh.state("one")[0].targets)
    assert found == [(20, 30), (40, 60)]
    assert take_in(fresh, source).sentence.startswith("0 images taken in, 1 left as they were")
    fresh.journal.close()


def test_open_images_with_targets_are_left_out_of_an_export_and_counted(client, session, tmp_path):
    open_image(client)
    act(client, {"kind": "put", "target": mark(client, 30, 20)}, 0)
    finish(client, "two", x=10, y=10)
    assert "1 open images with targets left out" in EXPORTS["points"](session, tmp_path / "points").sentence
    assert list(json.loads((tmp_path / "points" / "points.json").read_text())) == ["two"]


@pytest.mark.parametrize("form", OF_IMAGES)
def test_an_export_of_nothing_that_is_settled_is_refused_and_leaves_the_last_one(client, session, form):
    finish(client)
    assert export(client, form).status_code == 200
    folder = session.out / "export"
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    open_image(client)
    act(client, {"kind": "status", "status": "open"}, 2)
    answer = export(client, form)
    if form == "timing":  # of work, whatever became of it
        assert "1 image, 1 target" in answer.json()["message"]
        return
    assert answer.status_code == 422
    assert "1 open images with targets left out; Enter marks one as done" in answer.json()["error"]
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def finish(client, image="one", version=0, **click):
    open_image(client, image)
    act(
        client,
        {"kind": "put", "target": mark(client, **{"x": 30, "y": 20, **click}, image=image)},
        version,
        image,
    )
    act(client, {"kind": "status", "status": "done"}, version + 1, image)


def export(client, form):
    return client.post("/api/export", json={"window": "w", "format": form})


def names_in(folder):
    return {path.stem for path in folder.rglob("*.*") if not path.name.startswith(".")}


@pytest.mark.parametrize("form", ["masks", "points", "coco", "yolo", "voc", "label-studio"])
def test_an_export_holds_what_is_finished_now_and_nothing_else(client, session, form):
    finish(client, "one")
    finish(client, "two", x=10, y=10)
    assert "2 images, 2 targets" in export(client, form).json()["message"]
    open_image(client, "two")
    act(client, {"kind": "status", "status": "open"}, 2, "two")
    assert "1 image, 1 target" in export(client, form).json()["message"]
    folder = session.out / "export" / form
    text = "".join(path.read_text() for path in folder.rglob("*") if path.suffix in (".json", ".txt", ".xml"))
    assert "two" not in names_in(folder)
    assert "two" not in text
    assert "one" in names_in(folder) or "one" in text
    assert [path.name for path in folder.parent.iterdir()] == [form]


@pytest.mark.parametrize("form", OF_IMAGES)
@pytest.mark.parametrize("change", ["added", "edited", "unlisted"])
def test_a_folder_with_files_of_somebody_else_stays_as_it_is(client, session, form, change):
    finish(client)
    folder = session.out / "export" / form
    if change == "unlisted":
        folder.mkdir(parents=True)
    else:
        assert export(client, form).status_code == 200
    written = sorted(path for path in folder.rglob("*.*") if not path.name.startswith("."))
    place = written[0] if change == "edited" else folder / "my notes.txt"
    place.write_text("weeks of work")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    answer = export(client, form)
    assert answer.status_code == 422
    assert place.name in answer.json()["error"]
    assert "move" in answer.json()["error"]
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert [path.name for path in folder.parent.iterdir()] == [form]


def test_what_a_file_manager_leaves_is_no_file_of_somebody(client, session):
    finish(client)
    export(client, "masks")
    (session.out / "export" / "masks" / ".DS_Store").write_bytes(b"x")
    assert export(client, "masks").status_code == 200


def test_a_link_in_place_of_an_export_is_not_followed(client, session, tmp_path):
    finish(client)
    treasure = tmp_path / "treasure"
    treasure.mkdir()
    (treasure / "gold.txt").write_text("gold")
    (session.out / "export").mkdir()
    (session.out / "export" / "masks").symlink_to(treasure)
    assert export(client, "masks").status_code == 422
    assert (treasure / "gold.txt").read_text() == "gold"


def test_an_export_that_fails_leaves_the_last_one(client, session, folder):
    finish(client)
    export(client, "coco")
    before = {path: path.read_bytes() for path in (session.out / "export").rglob("*") if path.is_file()}
    (folder / "one.png").write_bytes(b"\x89PNG damaged")
    session.frame.cache_clear()
    assert export(client, "coco").status_code == 422
    after = {path: path.read_bytes() for path in (session.out / "export").rglob("*") if path.is_file()}
    assert after == before


def done_with_target(client, image, x, y):
    version = open_image(client, image).json()["version"]
    target = mark(client, x, y, image)
    version = act(client, {"kind": "put", "target": target}, version, image).json()["version"]
    act(client, {"kind": "status", "status": "done"}, version, image)


def adapting(client):
    return client.get("/api/images").json()["adapting"]


def wait_for_the_end(client):
    deadline = time.monotonic() + 120
    while adapting(client)["state"] == "running" and time.monotonic() < deadline:
        time.sleep(0.05)
    return adapting(client)


def begin_adapting(client):
    return client.post("/api/adapt", json={"window": "w", "work": "begin"})


def test_adapting_is_refused_in_a_sentence_while_too_few_images_are_done(client):
    pytest.importorskip("torch")
    done_with_target(client, "one", 30, 20)
    refused = begin_adapting(client)
    assert refused.status_code == 409
    assert "takes 2 or more images that are done and hold a target" in refused.json()["error"]
    assert adapting(client)["state"] == "idle"
    assert client.post("/api/adapt", json={"window": "w", "work": "dance"}).status_code == 400


def test_an_adapted_model_proposes_and_its_file_is_kept(session, client, monkeypatch):
    seen = []

    def adapt_to(read, out, *, start, progress, **_):
        gathered = read()
        seen.append(
            ([shot.id for shot in gathered.shots], len(gathered.empties), len(gathered.frames), start)
        )
        for _ in progress(range(3), 3, "adapting"):
            pass
        out.write_bytes(b"")
        return Adaptation(out, {"held_out_shots": None, "shots": len(gathered.shots)}, [])

    monkeypatch.setattr(adapting_module, "adapt_to", adapt_to)
    engine = object()
    monkeypatch.setattr(background_module, "choose_engine", lambda model, threads: (engine, 0.25))
    background = ready(session)
    app = make_app(session, TOKEN, PORT, background)
    with TestClient(app, base_url=ORIGIN, headers={"origin": ORIGIN}) as client:
        client.cookies.set(f"infraspot-token-{PORT}", TOKEN)
        done_with_target(client, "one", 30, 20)
        done_with_target(client, "two", 10, 10)
        version = open_image(client, "odd name ü").json()["version"]
        act(client, {"kind": "status", "status": "empty"}, version, "odd name ü")
        assert begin_adapting(client).status_code == 200
        shown = wait_for_the_end(client)
    assert seen == [(["one", "two"], 1, 3, DEFAULT_MODEL)]
    assert (shown["state"], shown["models"]) == ("done", 1)
    assert "adapted to 2 images" in shown["message"]
    assert background.proposer() == (engine, 0.25)
    assert (session.out / "adapted.safetensors").exists()


def test_the_time_left_follows_the_steps_and_never_passes_the_limit(session, client, monkeypatch):
    now, left = [0.0], []

    def adapt_to(read, out, *, progress, **_):
        now[0] = 100.0  # until the frames are read
        for step in progress(range(8), 8, "adapting"):
            left.append(adapting(client)["left"])
            now[0] += 10.0 if step < 4 else 60.0
        raise DataError("enough")

    monkeypatch.setattr(adapting_module, "adapt_to", adapt_to)
    monkeypatch.setattr(adapting_module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    done_with_target(client, "one", 30, 20)
    done_with_target(client, "two", 10, 10)
    begin_adapting(client)
    wait_for_the_end(client)
    assert left == [None, 70, 60, 50, 40, 60, 40, 0]


@pytest.mark.parametrize("ends", ["stopped", "refused", "broken"])
def test_an_adaptation_that_comes_to_nothing_says_so_and_changes_no_model(session, client, monkeypatch, ends):
    begun = threading.Event()

    def adapt_to(read, out, *, progress, **_):
        begun.set()
        if ends == "refused":
            raise DataError("held-out shots got worse")
        if ends == "broken":
            raise RuntimeError("a fault")
        while True:
            for _ in progress(range(1000), 1000, "adapting"):
                time.sleep(0.01)

    monkeypatch.setattr(adapting_module, "adapt_to", adapt_to)
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    done_with_target(client, "one", 30, 20)
    done_with_target(client, "two", 10, 10)
    begin_adapting(client)
    assert begun.wait(60)
    if ends == "stopped":
        assert begin_adapting(client).status_code == 409  # one at a time
        client.post("/api/adapt", json={"window": "w", "work": "stop"})
    shown = wait_for_the_end(client)
    assert shown["state"] == ("stopped" if ends == "stopped" else "failed")
    assert {"stopped": "stopped", "refused": "got worse", "broken": "by a fault"}[ends] in shown["message"]
    assert shown["models"] == 0
    assert not (session.out / "adapted.safetensors").exists()
