"""Which frames a recipe trains on."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from infraspot.core.errors import DataError
from infraspot.training.settings import DataPart
from infraspot.training.sources import open_training, open_validation, set_of


def _write_set(folder: Path, targets: dict[str, bool]) -> Path:
    """A set with one 16 x 16 frame a name, with a target of two pixels or without."""
    for part in ("images", "masks", "splits"):
        (folder / part).mkdir(parents=True)
    for name, target in targets.items():
        mask = np.zeros((16, 16), np.uint8)
        mask[4, 5:7] = 255 * target
        Image.fromarray(mask // 2 + 20).save(folder / "images" / f"{name}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{name}.png")
    (folder / "splits" / "train.txt").write_text("\n".join(targets) + "\n")
    return folder


def test_frames_with_a_target_of_further_sets_join_under_their_folders_name(tmp_path: Path) -> None:
    own = _write_set(tmp_path / "own", {"a": True, "b": False})
    other = _write_set(tmp_path / "other", {"a": True, "c": False, "d": True})
    frames = open_training(DataPart(path=str(own), sets=[str(other)]))
    assert [frame.id for frame in frames] == ["a", "b", "other/a", "other/d"]


def test_a_further_set_is_found_within_the_folder_of_all_sets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, _ = _write_set(tmp_path / "own", {"a": True}), _write_set(tmp_path / "other", {"b": True})
    monkeypatch.setenv("INFRASPOT_DATA", str(tmp_path))
    assert [frame.id for frame in open_training(DataPart(path=str(own), sets=["other"]))] == ["a", "other/b"]


def test_a_further_set_without_a_target_is_a_sentence(tmp_path: Path) -> None:
    own = _write_set(tmp_path / "own", {"a": True})
    empty = _write_set(tmp_path / "empty", {"b": False})
    with pytest.raises(DataError, match=r"data\.sets names .*empty.*leave it out, or name"):
        open_training(DataPart(path=str(own), sets=[str(empty)]))


def test_every_frame_knows_its_set(tmp_path: Path) -> None:
    one, two = _write_set(tmp_path / "one", {"a": True}), _write_set(tmp_path / "two", {"a": True})
    merged = DataPart(merge=[str(one), str(two)], scenes=1)
    assert [set_of(merged, frame.id) for frame in open_training(merged)] == ["one", "two", "scenes"]
    further = DataPart(path=str(one), sets=[str(two)])
    assert [set_of(further, frame.id) for frame in open_training(further)] == ["one", "two"]


def test_a_link_to_a_set_gives_it_the_links_name_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = _write_set(tmp_path / "own", {"a": True})
    (tmp_path / "linked").symlink_to(_write_set(tmp_path / "somewhere/SET-master", {"b": True}))
    monkeypatch.setenv("INFRASPOT_DATA", str(tmp_path))
    part = DataPart(path=str(own), sets=["linked"])
    frames = open_training(part)
    assert [frame.id for frame in frames] == ["a", "linked/b"]
    assert [set_of(part, frame.id) for frame in frames] == ["own", "linked"]


def test_merged_sets_whose_columns_would_be_one_are_refused(tmp_path: Path) -> None:
    folders = [_write_set(tmp_path / name, {"a": True}) for name in ("my set", "my,set")]
    with pytest.raises(DataError, match=r"data\.merge has folders of one name"):
        open_validation(DataPart(merge=[str(folder) for folder in folders]), "train")
