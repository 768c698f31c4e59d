"""Writing in one step, and what becomes of the temporary files of killed processes."""

import os
import subprocess
import sys

import pytest

from infraspot.core import files
from infraspot.core.errors import DataError
from infraspot.core.files import check_writable, clear_leftovers, write_text

WRITE = """
import os, signal, sys
from infraspot.core.files import replacing
with replacing(sys.argv[1]) as temporary:
    temporary.write_text("half")
    print("writing", flush=True)
    {then}
"""


def start_writing(path, then):
    command = [sys.executable, "-c", WRITE.format(then=then), str(path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "writing\n"
    return process


@pytest.fixture(autouse=True)
def forget_folders(monkeypatch):
    monkeypatch.setattr(files, "_swept", set())


def test_a_killed_writer_leaves_the_old_file_and_the_next_one_clears_up(tmp_path):
    path = tmp_path / "scores.json"
    write_text(path, "old")
    start_writing(path, "os.kill(os.getpid(), signal.SIGKILL)").wait(timeout=30)
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 2
    files._swept.clear()
    write_text(tmp_path / "other.txt", "new")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["other.txt", "scores.json"]


def test_the_temporary_file_of_a_process_at_work_is_left_alone(tmp_path):
    process = start_writing(tmp_path / "scores.json", "sys.stdin.readline()")
    clear_leftovers(tmp_path)
    write_text(tmp_path / "mine.txt", "mine")
    process.communicate("go on\n", timeout=30)
    assert process.returncode == 0
    assert (tmp_path / "scores.json").read_text() == "half"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["mine.txt", "scores.json"]


def test_hidden_files_of_others_are_never_removed(tmp_path):
    for name in (".5-abcdefgh.json", ".hidden", "._mac.png"):
        (tmp_path / name).write_text("mine")
    clear_leftovers(tmp_path)
    clear_leftovers(tmp_path / "absent")
    assert len(list(tmp_path.iterdir())) == 3


def test_names_as_long_as_the_system_allows_are_written(tmp_path):
    name = "n" * 250 + ".json"
    write_text(tmp_path / name, "x")
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def test_a_failure_keeps_the_old_file_and_leaves_nothing(tmp_path):
    write_text(tmp_path / "a.txt", "old")
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "a.txt", "new \ud800")
    assert [(entry.name, entry.read_text()) for entry in tmp_path.iterdir()] == [("a.txt", "old")]


def test_a_place_that_takes_no_files_is_said_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot write"):
        check_writable(tmp_path / "file" / "below")
    check_writable(tmp_path / "new" / "folder")
    assert list((tmp_path / "new" / "folder").iterdir()) == []


def test_the_written_file_has_the_rights_of_any_new_file(tmp_path):
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "a.txt", "x")
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640
