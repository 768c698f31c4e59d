"""Names of results: they mirror the inputs, and no two of them meet."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infraspot.core.errors import UsageError
from infraspot.inference.stream import numbered
from infraspot.jobs.naming import name_results, refuse_overwriting


def names(*files, reserved=()):
    return [file.name for file in name_results([Path(file) for file in files], reserved=reserved)]


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        (["f/a.png", "f/b.tif"], ["a", "b"]),
        (["f/one.png"], ["one"]),
        (["f/camA/1.png", "f/camB/1.png"], ["camA/1", "camB/1"]),
        (["f/1.png", "f/deep/er/1.png"], ["1", "deep/er/1"]),
        (["f/same.png", "f/same.bmp", "f/other.png"], ["same.png", "same.bmp", "other"]),
        (["f/a.tif", "f/a-0001.png"], ["a.tif", "a-0001"]),
        (["f/a.tif", "f/a-001.png", "f/a-x0001.png"], ["a", "a-001", "a-x0001"]),
        (["f/a.tif", "f/b/a-0001.png"], ["a", "b/a-0001"]),
        (["f/a.png.png", "f/a.png", "f/a.bmp"], ["a.png.png", "a.png", "a.bmp"]),
        (["f/a.png", "f/a.png", "f/../f/a.png"], ["a"]),
    ],
)
def test_names_mirror_the_tree_and_keep_the_suffix_where_they_would_meet(files, wanted):
    assert names(*files) == wanted


def test_reserved_names_are_avoided_at_the_top_only():
    assert names("f/coco.png", "f/a.png", reserved=["coco"]) == ["coco.png", "a"]
    assert names("f/x/coco.png", "f/a.png", reserved=["coco"]) == ["x/coco", "a"]


words = st.sampled_from(["a", "b", "a-0001", "a-0002", "a-0001-0001", "a.png", "a.tif", "a.tif-0001", "coco"])
endings = st.sampled_from([".png", ".bmp", ".tif", ".TIFF"])
folders = st.sampled_from(["", "x/", "x/y/", "z/"])


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(folders, words, endings), min_size=1, max_size=9))
def test_no_two_results_share_a_name_whatever_the_files_and_pages_are(parts):
    found = name_results([Path("/f", *folder.split("/"), word + end) for folder, word, end in parts])
    owners = {}
    for file in found:
        pages = [numbered(file.name, page) for page in (1, 2)] if file.path.suffix.lower() != ".png" else []
        for name in [file.name, *(pages if file.path.suffix.lower() in (".tif", ".tiff") else [])]:
            assert owners.setdefault(name, file.path) == file.path


@pytest.mark.parametrize("victim", ["a.mask.png", "film-0002.mask.png"])
def test_a_result_in_the_place_of_an_image_is_refused(victim):
    files = name_results([Path("/f/a.png"), Path("/f/film.tif"), Path("/f") / victim])
    with pytest.raises(UsageError, match="overwrite"):
        refuse_overwriting(files, Path("/f"), [".json", ".mask.png"])
    refuse_overwriting(files, Path("/f"), [".json"])
    refuse_overwriting(files, Path("/f/out"), [".json", ".mask.png"])
