"""The page learns: corrected targets move the level of the next masks, and the journal keeps it."""

import json

import numpy as np
import pytest
from pydantic import ValidationError
from starlette.testclient import TestClient

from infraspot.annotators import Convention, annotate, read_level, save_level
from infraspot.core.errors import DataError, InputError, UsageError
from infraspot.data import write_grey, write_points
from infraspot.web.actions import MarkedTarget, PutTarget, SetStatus, Undo
from infraspot.web.background import Background
from infraspot.web.learning import Learning
from infraspot.web.runs import Patch, to_mask
from infraspot.web.server import make_app
from infraspot.web.session import Session
from infraspot.web.taking_in import take_in
from infraspot.web.transfer import EXPORTS

TOKEN, PORT = "a-token", 8000
ORIGIN = f"http://127.0.0.1:{PORT}"
PLACES = [(20, 20), (20, 60), (45, 20), (45, 60)]
USUAL = (80 / 255, 3 / 255, 20.0)


def frame(rng, depth=0.5, base=0.2):
    """Four spots of different width, (65, 80)."""
    image = base + 0.01 * rng.standard_normal((65, 80))
    ys, xs = np.mgrid[:65, :80]
    for spread, (y, x) in zip((1.4, 1.8, 2.2, 2.6), PLACES, strict=True):
        image += depth * np.exp(-((ys - y) ** 2 + (xs - x) ** 2) / (2 * spread**2))
    return image.clip(0, 1)


@pytest.fixture
def folder(tmp_path, rng):
    images = tmp_path / "frames"
    for name in ("one", "two", "three"):
        write_grey(images / f"{name}.png", frame(rng))
    write_grey(images / "deep.tif", frame(rng), bits=16)
    write_grey(images / "dark.png", frame(rng, -0.5, 0.8))
    write_grey(images / "nothing.png", frame(rng, 0.0))
    return images


def opened(folder, tmp_path, **options):
    return Session(folder, tmp_path / "out", **options)


@pytest.fixture
def session(folder, tmp_path):
    session = opened(folder, tmp_path)
    yield session
    session.journal.close()


class Person:
    """Somebody at the page: every deed goes through the server, as the page's own do."""

    def __init__(self, session):
        background = Background(session)
        background.ready.add("profile")
        app = make_app(session, TOKEN, PORT, background)
        self.client = TestClient(app, base_url=ORIGIN, headers={"origin": ORIGIN})
        self.client.cookies.set(f"infraspot-token-{PORT}", TOKEN)
        self.versions = {}

    def post(self, path, **body):
        answer = self.client.post(f"/api/{path}", json={"window": "w", **body})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def act(self, image, action):
        if image not in self.versions:
            self.versions[image] = self.post(f"images/{image}/open")["version"]
        answer = self.post(f"images/{image}/act", version=self.versions[image], action=action)
        self.versions[image] = answer["version"]
        return answer

    def click(self, image, place, number=1, **options):
        y, x = place
        return self.post(f"images/{image}/click", id=number, x=x, y=y, method="profile", **options)

    def correct(self, image, place, direction, steps, number=1):
        """Click a target and press the key so many times; answers what the last key press did."""
        self.versions.pop(image, None)
        target = self.click(image, place, number)
        self.act(image, {"kind": "put", "target": target})
        for _ in range(steps):
            target = self.click(image, place, number, level=target["level"], grow=direction)
            answer = self.act(image, {"kind": "put", "target": target})
        return answer

    def learned(self):
        return self.client.get("/api/images").json()["learning"]


@pytest.fixture
def person(session):
    return Person(session)


def area(target):
    return to_mask([Patch.model_validate(target["patch"])], (65, 80)).sum()


def test_before_any_correction_masks_are_those_of_auto(person, session):
    target = person.click("one", PLACES[0])
    auto = annotate(session.frame("one").image, [PLACES[0]])
    assert target["level"] == auto.clicks[0].level
    assert person.learned() == {"on": True, "fixed": False, "targets": 0, "level": None, "auto": None}


@pytest.mark.parametrize(("direction", "word"), [(1, "wider"), (-1, "tighter")])
def test_targets_that_were_grown_or_shrunk_move_the_next_masks_the_same_way(person, direction, word):
    before = [area(person.click("three", place)) for place in PLACES]
    for image in ("one", "two"):
        for number, place in enumerate(PLACES, 1):
            answer = person.correct(image, place, direction, 4, number)
    learning = answer["learning"]
    assert learning["targets"] == 8
    assert (learning["level"] < learning["auto"]) == (word == "wider")
    after = [area(person.click("three", place)) for place in PLACES]
    assert all((new - old) * direction >= 0 for old, new in zip(before, after, strict=True))
    assert (sum(after) - sum(before)) * direction > 0


def test_a_target_that_is_accepted_as_it_came_teaches_nothing(person):
    person.act("one", {"kind": "put", "target": person.click("one", PLACES[0])})
    assert person.learned()["targets"] == 0


def test_a_target_that_was_moved_many_times_counts_once_with_its_last_level(person, session):
    person.correct("one", PLACES[0], 1, 3)
    person.correct("one", PLACES[0], -1, 1)
    target = session.state("one")[0].targets[0]
    [record] = session.learning.convention().records
    assert record[3] == target.level
    assert record[:3] == [target.lesson.contrast, target.lesson.noise, target.lesson.area]


def test_undo_takes_a_lesson_back_and_redo_brings_it_again(person, session):
    fresh = person.click("three", PLACES[0])
    person.correct("one", PLACES[0], 1, 1)
    taught = person.click("three", PLACES[0])
    assert person.act("one", {"kind": "undo"})["learning"]["targets"] == 0
    assert person.click("three", PLACES[0]) == fresh
    assert person.act("one", {"kind": "redo"})["learning"]["targets"] == 1
    assert person.click("three", PLACES[0]) == taught
    assert person.act("one", {"kind": "drop", "id": 1})["learning"]["targets"] == 0


def test_masks_that_were_made_never_move_by_what_is_learned_later(person, session):
    for image in ("two", "three"):
        for number, place in enumerate(PLACES, 1):
            person.act(image, {"kind": "put", "target": person.click(image, place, number)})
    before = session.state("two"), session.state("three")
    for number, place in enumerate(PLACES, 1):
        person.correct("one", place, 1, 5, number)
    person.post("images/nothing/open")
    assert (session.state("two"), session.state("three")) == before


def test_all_proposals_accepted_at_once_take_what_was_learned(person):
    def accepted():
        places = [{"y": y, "x": x} for y, x in PLACES]
        return person.post("images/three/clicks", id=1, method="profile", places=places)["targets"]

    before = accepted()
    for number, place in enumerate(PLACES, 1):
        person.correct("one", place, 1, 4, number)
    after = accepted()
    assert sum(map(area, after)) > sum(map(area, before))
    assert [one["level"] for one in after] == [person.click("three", place)["level"] for place in PLACES]


def test_after_a_kill_the_same_convention_and_the_same_switch_are_there(person, session, folder, tmp_path):
    for number, place in enumerate(PLACES, 1):
        person.correct("one", place, 1, 3, number)
    learned, mask = session.learning.convention(), person.click("three", PLACES[0])
    session.journal._file.close()  # what SIGKILL does
    again = opened(folder, tmp_path)
    assert again.learning.convention() == learned
    other = Person(again)
    assert other.click("three", PLACES[0]) == mask
    other.post("learning", on=False)
    again.journal._file.close()
    third = opened(folder, tmp_path)
    assert third.learning.shown() == {**again.learning.shown(), "on": False}
    third.journal.close()


def test_switched_off_masks_are_those_of_auto_and_corrections_go_on_counting(person):
    fresh = person.click("three", PLACES[0])
    person.correct("one", PLACES[0], 1, 4)
    taught = person.click("three", PLACES[0])
    assert person.post("learning", on=False)["targets"] == 1
    assert person.click("three", PLACES[0]) == fresh
    person.correct("two", PLACES[0], 1, 4)
    assert person.learned() == {**person.learned(), "on": False, "targets": 2}
    person.versions.pop("two")
    person.act("two", {"kind": "undo"})
    assert person.post("learning", on=True)["on"] is True
    assert person.click("three", PLACES[0])["level"] <= taught["level"]


def test_what_was_learned_is_exported_for_annotate_and_taken_up_by_another_page(
    person, session, folder, tmp_path
):
    for number, place in enumerate(PLACES, 1):
        person.correct("one", place, 1, 4, number)
    message = person.client.post("/api/export", json={"window": "w", "format": "level"}).json()["message"]
    assert message.startswith("the level of 4 corrected targets")
    path = session.out / "export" / "level" / "level.json"
    assert read_level(path).about == {"frames": "frames", "targets": 4}
    by_page = person.click("three", PLACES[0])
    by_python = annotate(session.frame("three").image, [PLACES[0]], level=str(path))
    assert by_python.clicks[0].level == by_page["level"]
    other = Session(folder, tmp_path / "other", level=str(path))
    somebody = Person(other)
    assert somebody.click("three", PLACES[0])["level"] == by_page["level"]
    assert somebody.learned() == {"on": True, "fixed": False, "targets": 4, "level": None, "auto": None}
    somebody.correct("two", PLACES[0], 1, 1)
    assert len(other.learning.convention().observed) == 5
    other.journal.close()


def test_a_page_that_starts_with_its_own_export_counts_no_target_twice(person, session, folder, tmp_path):
    person.correct("one", PLACES[0], 1, 2)
    person.correct("two", PLACES[1], 1, 2)
    EXPORTS["level"](session, session.out / "kept")
    last = person.correct("two", PLACES[1], -1, 3)["state"]["targets"][0]["level"]
    session.journal.close()
    again = opened(folder, tmp_path, level=str(session.out / "kept" / "level.json"))
    assert again.learning.shown()["targets"] == 2
    assert again.learning.convention().observed[-1].level == last
    assert again.learning.convention() == session.learning.convention()
    again.journal.close()


def test_an_export_of_nothing_learned_is_refused_and_writes_nothing(person, session):
    answer = person.client.post("/api/export", json={"window": "w", "format": "level"})
    assert answer.status_code == 422
    assert "nothing was learned yet" in answer.json()["error"]
    assert not list(session.out.rglob("level*"))


@pytest.mark.parametrize("level", ["0.3", "preset:sirst-v1"])
def test_a_level_that_was_asked_for_stays_whatever_is_corrected(folder, tmp_path, level):
    session = opened(folder, tmp_path, level=level)
    person = Person(session)
    before = person.click("three", PLACES[0])
    expected = annotate(session.frame("three").image, [PLACES[0]], level=level).clicks[0].level
    assert before["level"] == expected
    person.correct("one", PLACES[0], 1, 4)
    assert person.learned()["fixed"] is True
    assert person.click("three", PLACES[0]) == before
    session.journal.close()


@pytest.mark.parametrize("level", ["2", "preset:no", "no.json"])
def test_a_level_that_is_none_is_refused_before_a_journal_is_made(folder, tmp_path, level):
    with pytest.raises(UsageError):
        opened(folder, tmp_path, level=level)
    assert not (tmp_path / "out").exists()


def test_a_damaged_level_file_is_named(folder, tmp_path):
    (tmp_path / "level.json").write_text('{"format": "infraspot-convention-1", "targets": "many"}')
    with pytest.raises(InputError, match=r"level\.json"):
        opened(folder, tmp_path, level=str(tmp_path / "level.json"))


def test_points_that_are_taken_in_become_masks_at_the_level_that_the_page_has(folder, tmp_path):
    convention = Convention.of([(*USUAL, 0.08)] * 6)
    save_level(convention, tmp_path / "mine.json")
    write_points(tmp_path / "points.json", {"one": np.array(PLACES, float)})
    areas = {}
    for level in ("auto", str(tmp_path / "mine.json")):
        session = Session(folder, tmp_path / f"out-{len(areas)}", level=level)
        take_in(session, tmp_path / "points.json")
        areas[level] = sum(area({"patch": one.patch.model_dump()}) for one in session.state("one")[0].targets)
        session.journal.close()
    assert areas[str(tmp_path / "mine.json")] > areas["auto"]


@pytest.mark.parametrize("image", ["deep", "dark"])
def test_deep_frames_and_dark_targets_teach_and_follow_like_others(person, image):
    places = PLACES[:2]
    before = [area(person.click(image, place)) for place in PLACES[2:]]
    for number, place in enumerate(places, 1):
        answer = person.correct(image, place, 1, 5, number)
    assert answer["learning"]["targets"] == 2
    after = [area(person.click(image, place, 3)) for place in PLACES[2:]]
    assert sum(after) >= sum(before)
    assert all(5 <= pixels <= 300 for pixels in after)


def test_the_same_lesson_comes_from_8_and_16_bits(rng, tmp_path):
    image = np.round(frame(rng) * 255) / 255
    lessons = []
    for bits in (8, 16):
        write_grey(tmp_path / str(bits) / f"a.{'png' if bits == 8 else 'tif'}", image, bits=bits)
        session = Session(tmp_path / str(bits), tmp_path / f"out-{bits}")
        Person(session).correct("a", PLACES[1], 1, 2)
        lessons.append(session.learning.convention().records[0])
        session.journal.close()
    assert lessons[0] == pytest.approx(lessons[1], rel=1e-3)


def test_a_click_on_nothing_stays_small_whatever_was_learned(person, rng):
    for image in ("one", "two"):
        for number, place in enumerate(PLACES, 1):
            person.correct(image, place, 1, 8, number)
    assert person.learned()["level"] < person.learned()["auto"]
    places = rng.integers(5, 60, (40, 2))
    areas = [area(person.click("nothing", (int(y), int(x)))) for y, x in places]
    assert np.median(areas) <= 25
    assert max(areas) <= 400


GOOD = {"contrast": 0.3, "noise": 0.01, "area": 20.0, "auto": 0.2}
PATCH = {"box": [3, 4, 5, 5], "runs": [0, 2]}
TARGET = {"id": 1, "x": 3, "y": 4, "method": "profile", "level": 0.3, "patch": PATCH}
HOSTILE = [
    {"lesson": {**GOOD, "contrast": 0}},
    {"lesson": {**GOOD, "contrast": 1e-300}},
    {"lesson": {**GOOD, "contrast": float("nan")}},
    {"lesson": {**GOOD, "noise": -1}},
    {"lesson": {**GOOD, "noise": 1e308}},
    {"lesson": {**GOOD, "area": -5}},
    {"lesson": {**GOOD, "area": float("inf")}},
    {"lesson": {**GOOD, "auto": 1}},
    {"lesson": {**GOOD, "auto": "0.2; rm"}},
    {"lesson": {**GOOD, "more": 1}},
    {"lesson": {"contrast": 0.3}},
    {"lesson": [0.3, 0.01, 20, 0.2]},
    {"lesson": GOOD, "level": None},
    {"lesson": GOOD, "level": 0},
    {"lesson": GOOD, "level": 1.5},
]


@pytest.mark.parametrize("change", HOSTILE)
def test_a_lesson_that_is_none_is_refused_in_the_journal_and_over_the_wire(session, person, tmp_path, change):
    with pytest.raises(ValidationError):
        MarkedTarget.model_validate({**TARGET, **change})
    person.post("images/one/open")
    body = json.dumps(
        {"window": "w", "version": 0, "action": {"kind": "put", "target": {**TARGET, **change}}}
    )
    assert person.client.post("/api/images/one/act", content=body).status_code == 400
    session.journal.add("one", "w", SetStatus(status="done"))
    session.journal.close()
    line = {
        "time": 1.0,
        "window": "w",
        "image": "one",
        "action": {"kind": "put", "target": {**TARGET, **change}},
    }
    with session.journal.path.open("a") as file:
        file.write(json.dumps(line) + "\n")
    before = session.journal.path.read_bytes()
    with pytest.raises(DataError, match="line 2"):
        Session(session.folder, session.out)
    assert session.journal.path.read_bytes() == before


@pytest.mark.parametrize(
    "line",
    [
        {"time": 1.0, "window": "w", "learning": "perhaps"},
        {"time": 1.0, "window": "w", "learning": None},
        {"time": 1.0, "window": "w" * 65, "learning": True},
        {"time": 1.0, "window": "w", "learning": True, "image": "one"},
        {"window": "w", "learning": True},
    ],
)
def test_a_switch_that_is_none_is_refused_by_its_line(session, line):
    session.journal.switch_learning("w", False)
    session.journal.close()
    with session.journal.path.open("a") as file:
        file.write(json.dumps(line) + "\n")
    with pytest.raises(DataError, match="line 2"):
        Session(session.folder, session.out)


@pytest.mark.parametrize("body", [{}, {"on": "perhaps"}, {"on": True, "more": 1}])
def test_a_request_to_learn_that_is_none_is_refused_and_changes_nothing(person, session, body):
    answer = person.client.post("/api/learning", json={"window": "w", **body})
    assert answer.status_code == 400
    assert session.journal.learning is True
    assert session.journal.path.read_bytes() == b""


def test_a_journal_made_before_the_page_learned_is_read_as_it_was(session):
    line = {"time": 1.0, "window": "w", "image": "one", "action": {"kind": "put", "target": TARGET}}
    session.journal.path.write_text(json.dumps(line) + "\n")
    session.journal.close()
    again = Session(session.folder, session.out)
    assert len(again.state("one")[0].targets) == 1
    assert again.learning.shown()["targets"] == 0
    again.journal.close()


def test_lessons_of_images_that_have_left_the_folder_still_count(session):
    target = MarkedTarget.model_validate({**TARGET, "lesson": GOOD})
    session.journal.add("gone", "w", PutTarget(target=target))
    assert session.learning.shown()["targets"] == 1
    session.journal.add("gone", "w", Undo())
    assert session.learning.shown()["targets"] == 0


def test_an_own_export_that_is_taken_in_again_brings_its_lessons(person, session, folder, tmp_path):
    person.correct("one", PLACES[0], 1, 2)
    person.act("one", {"kind": "status", "status": "done"})
    EXPORTS["masks"](session, tmp_path / "masks")
    other = Session(folder, tmp_path / "other")
    take_in(other, tmp_path / "masks")
    assert other.learning.convention() == session.learning.convention()
    other.journal.close()


def test_a_thousand_lessons_are_summed_up_once_and_not_at_every_click(session, monkeypatch):
    for number in range(1000):
        target = MarkedTarget.model_validate({**TARGET, "lesson": GOOD})
        session.journal._take(_line(f"image {number}", PutTarget(target=target)))
    learned = session.learning.convention()
    assert len(learned.observed) == 1000
    assert session.learning.convention() is learned
    assert Learning(session.journal, Convention()).convention() == learned


def _line(image, action):
    from infraspot.web.journal import Entry

    return Entry(time=0.0, window="w", image=image, action=action)
