import json

import numpy as np
import pytest
from pydantic import ValidationError

from infraspot.core.errors import DataError
from infraspot.web.actions import (
    Batch,
    DropTarget,
    History,
    MarkedTarget,
    PutTarget,
    Redo,
    SetSky,
    SetStatus,
    Undo,
)
from infraspot.web.journal import Journal
from infraspot.web.runs import Patch, to_mask, to_patch

DOT = Patch(box=(3, 4, 5, 5), runs=[0, 2])


def put(number, **changes):
    target = MarkedTarget(id=number, x=3, y=4, method="profile", level=0.3, patch=DOT)
    return PutTarget(target=target.model_copy(update=changes))


def test_a_patch_is_the_mask_row_by_row_beginning_with_background():
    patch = to_patch(np.array([[0, 0, 0], [0, 1, 1], [0, 0, 1]]))
    assert patch.box == (1, 1, 3, 3)
    assert patch.runs == [0, 2, 1, 1]


def test_any_mask_comes_back_from_its_patch(rng):
    for density in (0.0, 0.02, 0.5, 1.0):
        mask = rng.random((13, 17)) < density
        np.testing.assert_array_equal(to_mask([to_patch(mask)], mask.shape), mask)


@pytest.mark.parametrize(
    "patch",
    [
        {"box": [0, 0, 2, 2], "runs": [3]},
        {"box": [2, 0, 0, 2], "runs": []},
        {"box": [0, 0, 2, 2], "runs": [-1, 5]},
        {"box": [-1, 0, 1, 2], "runs": [4]},
    ],
)
def test_a_patch_that_does_not_fill_its_box_is_refused(patch):
    with pytest.raises(ValidationError):
        Patch.model_validate(patch)


def test_undo_takes_the_last_action_off_and_redo_puts_it_back():
    history = History()
    for action in (put(1), put(2), DropTarget(id=1), Undo()):
        history.apply(action)
    assert [target.id for target in history.state().targets] == [1, 2]
    history.apply(Redo())
    assert [target.id for target in history.state().targets] == [2]
    assert history.version == 5


def test_a_new_action_forgets_what_was_undone():
    history = History()
    for action in (put(1), Undo(), put(2), Redo()):
        history.apply(action)
    assert [target.id for target in history.state().targets] == [2]


def test_a_batch_is_undone_and_redone_as_one_step():
    history = History()
    for action in (put(1), Batch(actions=[put(2), put(3), SetStatus(status="done")]), Undo()):
        history.apply(action)
    assert ([target.id for target in history.state().targets], history.state().status) == ([1], "open")
    history.apply(Redo())
    assert ([target.id for target in history.state().targets], history.state().status) == ([1, 2, 3], "done")


@pytest.mark.parametrize("actions", [[], [{"kind": "undo"}], [{"kind": "batch", "actions": []}]])
def test_a_batch_holds_at_least_one_step_and_no_step_of_time(actions):
    with pytest.raises(ValidationError):
        Batch.model_validate({"kind": "batch", "actions": actions})


def test_undo_of_nothing_changes_nothing():
    history = History()
    history.apply(Undo())
    assert history.state().model_dump() == History().state().model_dump()


def test_no_target_here_clears_the_targets_and_marking_one_opens_the_image_again():
    history = History()
    history.apply(put(1))
    history.apply(SetStatus(status="empty"))
    assert history.state().targets == []
    history.apply(put(2))
    assert history.state().status == "open"


def test_the_journal_brings_everything_back(tmp_path):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.add("a", "w", put(1), 2.5)
    journal.add("b", "w", SetSky(patch=DOT))
    journal.add("a", "w", Undo())
    journal.close()
    again = Journal(path)
    assert again.history("a").state().can_redo
    assert again.history("b").state().sky == DOT
    assert again.entries[0].seconds == 2.5
    assert again.seconds == {"a": 2.5, "b": 0.0}
    assert again.history("never touched").state().status == "open"


def test_a_batch_is_one_line_so_that_a_kill_leaves_all_of_it_or_nothing(tmp_path):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.add("a", "w", Batch(actions=[put(1), put(2)]))
    journal.close()
    whole = path.read_bytes()
    assert whole.count(b"\n") == 1
    again = Journal(path)
    assert [target.id for target in again.history("a").state().targets] == [1, 2]
    again.close()
    path.write_bytes(whole[:-1])
    assert Journal(path).history("a").state().targets == []


def test_a_journal_of_the_first_version_is_read_as_ever(tmp_path):
    target = {
        "id": 1,
        "x": 3.0,
        "y": 4.0,
        "method": "profile",
        "level": 0.3,
        "patch": {"box": [3, 4, 5, 5], "runs": [0, 2]},
    }
    lines = [
        {
            "time": 1.0,
            "window": "w",
            "image": "a",
            "action": {"kind": "put", "target": target},
            "seconds": 2.0,
        },
        {"time": 2.0, "window": "w", "image": "a", "action": {"kind": "status", "status": "done"}},
        {"time": 3.0, "window": "w", "image": "a", "action": {"kind": "undo"}},
    ]
    path = tmp_path / "journal.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    state = Journal(path).history("a").state()
    assert (len(state.targets), state.status, state.can_redo) == (1, "open", True)


def test_half_a_last_line_is_cut_off_and_the_rest_is_kept(tmp_path):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.add("a", "w", put(1))
    journal.close()
    whole = path.read_text()
    path.write_text(whole + '{"time": 17, "win')
    again = Journal(path)
    again.add("a", "w", put(2))
    again.close()
    assert [len(Journal(path).history("a").state().targets)] == [2]
    assert path.read_text().startswith(whole)


def test_a_damaged_line_in_the_middle_is_named_and_nothing_is_changed(tmp_path):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    for number in (1, 2, 3):
        journal.add("a", "w", put(number))
    journal.close()
    lines = path.read_text().splitlines()
    lines[1] = lines[1][:-9]
    path.write_text("\n".join(lines) + "\n")
    before = path.read_bytes()
    with pytest.raises(DataError, match=r"journal\.jsonl, line 2: expected one action"):
        Journal(path)
    assert path.read_bytes() == before


def test_two_processes_cannot_have_one_journal(tmp_path):
    first = Journal(tmp_path / "journal.jsonl")
    with pytest.raises(DataError, match="in use by another"):
        Journal(tmp_path / "journal.jsonl")
    first.close()
    Journal(tmp_path / "journal.jsonl").close()


def test_a_journal_line_is_plain_json(tmp_path):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.add("a", "w", put(1))
    line = json.loads(path.read_text())
    assert line["image"] == "a"
    assert line["action"]["target"]["patch"] == {"box": [3, 4, 5, 5], "runs": [0, 2]}
