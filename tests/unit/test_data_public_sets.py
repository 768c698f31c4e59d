"""`infraspot data where`: how each public set is had, and whether a copy is whole."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from infraspot.cli.main import main
from infraspot.core.errors import DataError
from infraspot.data import LAYOUTS, open_dataset, write_grey, write_mask
from infraspot.data.public_sets import PUBLIC_SETS, PublicSet, find_lacks


def write_copy(folder: Path, count: int, *, masks: int | None = None, name: str = "Misc_{}") -> Path:
    image = np.full((16, 16), 0.3)
    image[4:6, 4:6] = 0.9
    for number in range(1, count + 1):
        write_grey(folder / "images" / f"{name.format(number)}.png", image)
        if number <= (count if masks is None else masks):
            write_mask(folder / "masks" / f"{name.format(number)}_pixels0.png", image > 0.5)
    return folder


@pytest.mark.parametrize("known", PUBLIC_SETS.values(), ids=PUBLIC_SETS)
def test_every_row_of_the_table_is_complete(known: PublicSet) -> None:
    assert set(known.layouts) <= set(LAYOUTS)
    assert known.licence
    assert known.address is None or re.fullmatch(r"https://github\.com/[\w.-]+/[\w.-]+", known.address)
    assert all(count > 0 for count in known.counts)


def test_the_table_names_every_set_and_whether_it_is_here(tmp_path, monkeypatch, capsys) -> None:
    write_copy(tmp_path / "sirst-v1", 1)
    monkeypatch.setenv("INFRASPOT_DATA", str(tmp_path))
    assert main(["data", "where"]) == 0
    shown = capsys.readouterr().out
    assert all(key in shown for key in PUBLIC_SETS)
    assert main(["data", "where", "--json"]) == 0
    rows = {row["set"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["sirst-v1"]["here"]
    assert not rows["irstd-1k"]["here"]
    assert rows["irstd-1k"]["place"] == str(tmp_path / "irstd-1k")


def test_one_set_is_described_with_its_page_licence_layout_and_place(monkeypatch, capsys) -> None:
    monkeypatch.delenv("INFRASPOT_DATA", raising=False)
    assert main(["data", "where", "irstd-1k"]) == 0
    shown = capsys.readouterr().out
    for part in (
        "https://github.com/RuiZhang97/ISNet",
        "MIT",
        "1001",
        "IRSTD1k_Img/",
        "$INFRASPOT_DATA/irstd-1k",
    ):
        assert part in shown


def test_a_whole_copy_is_told_and_what_a_part_lacks_is_said(tmp_path, monkeypatch, capsys) -> None:
    row = PublicSet("A set", None, (3,), ("nuaa-sirst",))
    monkeypatch.setattr("infraspot.data.public_sets.PUBLIC_SETS", {"tiny": row})
    write_copy(tmp_path / "whole", 3)
    assert main(["data", "where", "tiny", "--check", str(tmp_path / "whole")]) == 0
    assert "a whole copy of tiny" in capsys.readouterr().out
    write_copy(tmp_path / "part", 2, masks=1)
    assert main(["data", "where", "tiny", "--check", str(tmp_path / "part")]) == 1
    shown = capsys.readouterr().out
    assert "2 of 3 images are here; 1 are missing" in shown
    assert "1 image has no mask: Misc_2" in shown
    assert "not a whole copy" in shown


def test_a_set_is_opened_by_its_name_where_no_folder_here_has_it(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("INFRASPOT_DATA", raising=False)
    with pytest.raises(DataError, match=r"no folder tiny; .* or the name of one within \$INFRASPOT_DATA"):
        open_dataset("tiny")
    write_copy(tmp_path / "sets" / "tiny", 3)
    monkeypatch.setenv("INFRASPOT_DATA", str(tmp_path / "sets"))
    assert (open_dataset("tiny").name, len(open_dataset("tiny"))) == ("tiny", 3)
    assert main(["pseudo", "tiny", "--out", "masks", "--workers", "1"]) == 0
    assert len([*(tmp_path / "masks").glob("*.png")]) == 3
    write_copy(tmp_path / "tiny", 2)
    assert len(open_dataset("tiny")) == 2  # a folder here comes first
    with pytest.raises(DataError, match=r"data set$"):
        open_dataset("sets/other")


def test_another_layout_too_many_images_and_no_folder_are_said_in_sentences(tmp_path) -> None:
    row = PublicSet("A set", None, (2,), ("irstd-1k-release",))
    _, lacks = find_lacks(row, write_copy(tmp_path, 3))
    assert lacks[0].startswith("the layout is nuaa-sirst")
    assert lacks[1] == "3 images are here, and the set has 2; 1 are too many"
    reader, lacks = find_lacks(row, tmp_path / "nowhere")
    assert reader is None
    assert "there is no folder" in lacks[0]
    assert "Expected: IRSTD-1K as published" in lacks[0]


def test_wrong_use_of_the_command_is_a_sentence(capsys) -> None:
    assert main(["data", "where", "irdts"]) == 2
    assert "did you mean 'irdst'" in capsys.readouterr().err
    assert main(["data", "where", "--check", "."]) == 2
    assert "--check needs the set" in capsys.readouterr().err
