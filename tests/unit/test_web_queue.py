"""Frames to label come in the order of a queue."""

from pathlib import Path

import pytest

from infraspot.core.errors import InputError
from infraspot.data import FrameKey
from infraspot.web.queue import queued, read_queue

IMAGES = {
    "a": FrameKey(Path("f/a.png")),
    "b": FrameKey(Path("f/b.png")),
    "film-0001": FrameKey(Path("f/film.tif"), 1),
    "film-0002": FrameKey(Path("f/film.tif"), 2),
}


def test_frames_of_the_queue_come_first_and_the_others_keep_their_order() -> None:
    found, absent = queued(IMAGES, ["f/film.tif#2", "moved/b.png", "gone.png"])
    assert list(found) == ["film-0002", "b", "a", "film-0001"]
    assert absent == ["gone.png"]
    assert found == IMAGES


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"label_next": 3}', '{"label_next": [3]}', "[" * 5000])
def test_another_file_is_refused_with_a_sentence(text: str, tmp_path: Path) -> None:
    (tmp_path / "q.json").write_text(text)
    with pytest.raises(InputError, match="label_next"):
        read_queue(tmp_path / "q.json")


def test_the_figures_of_adapt_are_a_queue(tmp_path: Path) -> None:
    (tmp_path / "q.json").write_text('{"label_next": ["x.png", "y.png"], "seconds": 3}')
    assert read_queue(tmp_path / "q.json") == ["x.png", "y.png"]
