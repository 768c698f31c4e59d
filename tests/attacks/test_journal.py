"""The annotation journal keeps what was confirmed and nothing else, on full disks and under odd names."""

import os
import resource

import numpy as np
import pytest

from infraspot.core.errors import DataError
from infraspot.data import write_grey
from infraspot.web.actions import SetStatus
from infraspot.web.journal import Journal
from infraspot.web.session import Session
from infraspot.web.transfer import EXPORTS

pytestmark = pytest.mark.slow

DONE, REJECTED = SetStatus(status="done"), SetStatus(status="rejected")


class FullDisk:
    """No file of this process grows beyond ``room`` bytes: a write is cut short, and the next one fails."""

    def __init__(self, room: int) -> None:
        self.room = room

    def __enter__(self) -> None:
        self.before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.room, self.before[1]))

    def __exit__(self, *_: object) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self.before)


@pytest.mark.parametrize("room", [0, 1, 40])
def test_an_action_that_a_full_disk_refused_is_never_written_later(tmp_path, room):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.add("kept", "w", DONE)
    before = path.read_bytes()
    with FullDisk(len(before) + room), pytest.raises(DataError, match="free the disk"):
        journal.add("refused", "w", DONE)
    assert path.read_bytes() == before
    journal.add("after", "w", REJECTED)
    journal.close()
    assert [entry.image for entry in Journal(path).entries] == ["kept", "after"]


@pytest.mark.parametrize("name", ["a\u0085b", "a\u2028b", "a\u2029b", "a\rb", "a\nb", "ü\x1c", '"\\'])
def test_any_file_name_can_be_read_back(tmp_path, name):
    journal = Journal(tmp_path / "journal.jsonl")
    journal.add(name, "w", DONE)
    journal.close()
    assert [entry.image for entry in Journal(tmp_path / "journal.jsonl").entries] == [name]


def test_nothing_is_called_saved_in_a_journal_that_was_deleted(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    journal.add("a", "w", DONE)
    (tmp_path / "journal.jsonl").unlink()
    with pytest.raises(DataError, match="was deleted while it was open"):
        journal.add("a", "w", REJECTED)
    assert journal.history("a").state().status == "done"
    journal.close()


def test_half_a_last_line_is_set_aside_wherever_it_was_cut(tmp_path):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.add("first", "w", DONE)
    whole = len(path.read_bytes())
    journal.add("zweite-ü-\u2028", "w", DONE)
    journal.close()
    data = path.read_bytes()
    for cut in range(whole + 1, len(data)):
        path.write_bytes(data[:cut])
        (tmp_path / "journal.torn").unlink(missing_ok=True)
        again = Journal(path)
        again.close()
        assert [entry.image for entry in again.entries] == ["first"]
        assert "half written" in again.notice
        assert path.read_bytes() == data[:whole]
        assert (tmp_path / "journal.torn").read_bytes() == data[whole:cut] + b"\n"


@pytest.mark.parametrize("damage", [b"\xff\xfe", b"{}", b"[1, 2", b"\x00" * 9, b'{"time": 1e999}'])
def test_a_damaged_line_in_the_middle_is_named(tmp_path, damage):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.add("first", "w", DONE)
    journal.close()
    path.write_bytes(path.read_bytes() + damage + b"\n")
    with pytest.raises(DataError, match="line 2"):
        Journal(path)


def test_an_image_whose_name_is_not_utf8_is_left_out_with_a_sentence(tmp_path, rng):
    folder = tmp_path / "frames"
    write_grey(folder / "other.png", rng.random((20, 20)))
    (folder / "other.png").rename(os.fsdecode(os.fsencode(folder) + b"/b\xffd.png"))
    write_grey(folder / "good.png", rng.random((20, 20)))
    session = Session(folder, tmp_path / "out")
    assert list(session.images) == ["good"]
    assert "not UTF-8" in session.skipped[0]


@pytest.mark.parametrize("form", [form for form in EXPORTS if form != "level"])
def test_an_image_that_cannot_be_decoded_does_not_block_the_export_of_the_others(tmp_path, rng, form):
    folder = tmp_path / "frames"
    for name in ("bad", "good"):
        write_grey(folder / f"{name}.png", np.clip(rng.random((20, 20)), 0, 1))
    session = Session(folder, tmp_path / "out")
    for name in ("bad", "good"):
        session.journal.add(name, "w", SetStatus(status="empty"))
    (folder / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n not any more")
    exported = EXPORTS[form](session, tmp_path / form)
    session.journal.close()
    if form != "timing":  # needs no pixels
        assert len(exported.problems) == 1
        assert "bad.png" in exported.problems[0]
        assert "1 image," in exported.sentence
    assert any((tmp_path / form).rglob("*"))
