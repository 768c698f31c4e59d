"""`infraspot data`: check names every flaw, split is fair, merge and convert lose nothing."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from infraspot.cli.main import main
from infraspot.core.sample import Sample
from infraspot.data import (
    centroid_points,
    coarse_points,
    open_dataset,
    read_mask,
    read_points,
    write_dataset,
    write_grey,
    write_mask,
)
from infraspot.data.inspection import Inspection
from infraspot.data.splitting import stratified_split


def _sample(name: str, seed: int, targets: int = 1, *, bits: int = 8) -> Sample:
    image = np.random.default_rng(seed).integers(0, 200, (20, 24)) / 255
    mask = np.zeros((20, 24), bool)
    for k in range(targets):
        mask[4:7, 3 + 6 * k : 5 + 6 * k] = True
    return Sample(name, image.astype(np.float32), mask=mask, bit_depth=bits)


@pytest.fixture
def healthy(tmp_path: Path) -> Path:
    root = tmp_path / "healthy"
    samples = [_sample(f"f{k}", k, k % 3) for k in range(6)]
    write_dataset(root, samples, splits={"train": ["f0", "f1", "f2", "f3"], "test": ["f4", "f5"]})
    return root


@pytest.fixture
def ill(healthy: Path) -> Path:
    """The healthy set with every kind of flaw."""
    images, masks = healthy / "images", healthy / "masks"
    (masks / "f1_pixels0.png").unlink()
    write_mask(masks / "f2_pixels0.png", np.ones((5, 6)))
    (images / "f3.png").write_bytes((images / "f3.png").read_bytes()[:60])
    (images / "f5.png").write_bytes((images / "f0.png").read_bytes())  # train and test
    Image.fromarray(np.full((20, 24), 90, np.uint8)).save(masks / "f4_pixels0.png")
    write_mask(masks / "stranger_pixels0.png", np.zeros((4, 4)))
    write_grey(images / "f9.png", np.zeros((9, 9)))
    write_mask(masks / "f9_pixels0.png", np.zeros((9, 9)))
    (healthy / "points.json").write_text('{"f9": [[50, 50]], "nobody": [[1, 1]]}')
    with (healthy / "splits" / "test.txt").open("a") as file:
        file.write("f0\nghost\n")
    (healthy / "splits" / "val.txt").write_text("f4\nf4\n")
    return healthy


def _kinds(path: Path) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for flaw in json.loads(path.read_text())["flaws"]:
        found.setdefault(flaw["kind"], set()).add(flaw["item"])
    return found


def test_check_finds_a_healthy_set_sound(healthy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", str(healthy)]) == 0
    assert "sound" in capsys.readouterr().out


def test_check_names_every_flaw_and_what_mends_it(
    ill: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "flaws.json"
    assert main(["data", "check", str(ill), "--json", str(report)]) == 1
    kinds = _kinds(report)
    assert kinds["missing mask"] == {"f1"}
    assert kinds["size mismatch"] == {"f2"}
    assert kinds["damaged"] == {"f3"}
    assert kinds["non-binary mask"] == {"f4"}
    assert kinds["without image"] == {"stranger_pixels0", "nobody"}
    assert kinds["outside"] == {"f9"}
    assert kinds["listed without image"] == {"ghost"}
    assert kinds["bad list"] == {"splits/val"}
    assert kinds["in two splits"] == {"f0"}
    assert kinds["duplicate between splits"] == {"f5"}
    assert kinds["in no split"] == {"f9"}
    printed = capsys.readouterr().out
    for sentence in ("is 6x5, its image 24x20", "the same pixels as f0", "also holds 90", "-> add the mask"):
        assert sentence in printed


def test_the_limit_of_pixels_is_raised_by_the_option_that_the_sentence_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_dataset(tmp_path / "set", [_sample("x", 0)])
    stats = ["data", "stats", str(tmp_path / "set"), "--max-pixels"]
    assert main([*stats, "479"]) == 1
    assert "raise the limit (--max-pixels" in capsys.readouterr().err
    assert main([*stats, "480"]) == 0


def test_check_writes_nothing_into_the_data(ill: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in ill.rglob("*")}
    main(["data", "check", str(ill)])
    assert before == {path: path.stat().st_mtime_ns for path in ill.rglob("*")}


@pytest.mark.parametrize(
    "arguments", [["check"], ["stats"], ["split"], ["convert", "--to", "nuaa", "--out", "new"]]
)
def test_an_empty_folder_is_refused_in_a_sentence(
    tmp_path: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", arguments[0], str(tmp_path), *arguments[1:]]) == 1
    assert "holds no data set" in capsys.readouterr().err


def _inspection(name: str, areas: list[float], digest: str = "") -> Inspection:
    return Inspection(name, (9, 9), 8, digest or name, areas=np.array(areas))


def test_a_split_has_the_asked_shares_in_every_stratum() -> None:
    sets = {"empty": [], "point": [4.0], "spot": [40.0], "crowd": [4.0, 5.0, 6.0, 7.0]}
    found = [_inspection(f"{kind}{k}", areas) for kind, areas in sets.items() for k in range(50)]
    lists = stratified_split(found, (6, 2, 2), seed=1)
    assert [len(members) for members in lists] == [120, 40, 40]
    for kind in sets:
        counts = [sum(name.startswith(kind) for name in members) for members in lists]
        np.testing.assert_allclose(counts, [30, 10, 10], atol=1)


def test_a_split_depends_on_its_seed_alone() -> None:
    found = [_inspection(str(k), [4.0]) for k in range(40)]
    assert stratified_split(found, (8, 2), seed=1) == stratified_split(found, (8, 2), seed=1)
    assert stratified_split(found, (8, 2), seed=1) != stratified_split(found, (8, 2), seed=2)


def test_images_with_the_same_pixels_stay_together() -> None:
    found = [_inspection(str(k), [4.0], digest=f"twin{k // 4}") for k in range(80)]
    for members in stratified_split(found, (6, 2, 2), seed=3):
        twins = [int(name) // 4 for name in members]
        assert all(twins.count(twin) == 4 for twin in twins)


def test_split_writes_lists_that_the_reader_takes_and_never_overwrites(
    healthy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "lists"
    arguments = ["data", "split", str(healthy), "--ratios", "1:1:1", "--out", str(out)]
    assert main(arguments) == 0
    names = [open_dataset(healthy, split=str(out / f"{name}.txt")).ids for name in ("train", "val", "test")]
    assert sorted(name for ids in names for name in ids) == [f"f{k}" for k in range(6)]
    assert main(arguments) == 1
    assert "already there" in capsys.readouterr().err


@pytest.mark.parametrize("ratios", ["1", "a:b", "1:2:3:4", "-1:2", "0:0", "nan:1"])
def test_bad_ratios_are_refused(healthy: Path, ratios: str) -> None:
    assert main(["data", "split", str(healthy), f"--ratios={ratios}"]) == 2


def test_merge_prefixes_only_names_that_clash_and_joins_the_splits(tmp_path: Path) -> None:
    parts = {"one": ["a", "b"], "two": ["b", "c"]}
    for name, ids in parts.items():
        samples = [_sample(image, seed) for seed, image in enumerate(ids)]
        write_dataset(tmp_path / name, samples, splits={"train": ids[:1], "test": ids[1:]})
    assert (
        main(["data", "merge", str(tmp_path / "one"), str(tmp_path / "two"), "--out", str(tmp_path / "all")])
        == 0
    )
    found = open_dataset(tmp_path / "all")
    assert sorted(found.ids) == ["a", "c", "one_b", "two_b"]
    assert open_dataset(tmp_path / "all", split="train").ids == ["a", "two_b"]
    assert open_dataset(tmp_path / "all", split="test").ids == ["one_b", "c"]
    np.testing.assert_array_equal(found[found.ids.index("c")].image, _sample("c", 1).image)


def test_merge_leaves_a_damaged_image_out_and_says_so(
    ill: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (ill / "splits" / "test.txt").unlink()
    (ill / "splits" / "val.txt").unlink()
    assert main(["data", "merge", str(ill), "--out", str(tmp_path / "all")]) == 1
    assert "f3.png" in capsys.readouterr().err
    found = open_dataset(tmp_path / "all")
    assert "f3" not in found.ids
    assert "f3" not in open_dataset(tmp_path / "all", split="train").ids


@pytest.mark.parametrize("form", ["nuaa", "coco", "voc", "yolo"])
def test_a_converted_set_is_read_back_with_the_same_targets(healthy: Path, tmp_path: Path, form: str) -> None:
    out = tmp_path / form
    assert main(["data", "convert", str(healthy), "--to", form, "--out", str(out)]) == 0
    truth = {sample.id: sample for sample in open_dataset(healthy)}
    found = open_dataset(out)
    assert len(found) == len(truth)
    for sample in found:
        np.testing.assert_array_equal(sample.image, truth[sample.id].image)
        if sample.mask is not None:
            np.testing.assert_array_equal(sample.mask, truth[sample.id].mask)
        if form != "nuaa":
            expected = [(3 + 6 * k, 4, 5 + 6 * k, 7) for k in range(int(sample.id[1:]) % 3)]
            assert sample.boxes is not None
            np.testing.assert_allclose(sample.boxes, np.reshape(expected, (-1, 4)), atol=1e-5)


def test_16_bits_survive_a_conversion(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 65536, (8, 8)) / 65535
    write_dataset(tmp_path / "a", [Sample("x", image.astype(np.float32), bit_depth=16)])
    assert main(["data", "convert", str(tmp_path / "a"), "--to", "nuaa", "--out", str(tmp_path / "b")]) == 0
    found = open_dataset(tmp_path / "b")[0]
    assert found.bit_depth == 16
    np.testing.assert_allclose(found.image, image, atol=1e-7)


def test_masks_points_and_boxes_are_written_by_id(healthy: Path, tmp_path: Path) -> None:
    for form in ("masks", "points", "boxes"):
        assert main(["data", "convert", str(healthy), "--to", form, "--out", str(tmp_path / form)]) == 0
    truth = open_dataset(healthy)[1]
    np.testing.assert_array_equal(read_mask(tmp_path / "masks" / "f1.png"), truth.mask)
    points = read_points(tmp_path / "points" / "points.json")
    np.testing.assert_array_equal(points["f1"], [(5, 3)])  # rows 4-6, columns 3-4: centroid (5, 3.5)
    assert len(points["f0"]) == 0
    assert json.loads((tmp_path / "boxes" / "boxes.json").read_text())["f1"] == [[3, 4, 5, 7]]


def test_boxes_become_filled_masks_with_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_dataset(
        tmp_path / "a", [Sample("x", np.zeros((9, 9), np.float32), boxes=np.array([[1.0, 2, 3, 5]]))]
    )
    assert main(["data", "convert", str(tmp_path / "a"), "--to", "masks", "--out", str(tmp_path / "b")]) == 0
    assert "boxes are filled" in capsys.readouterr().err
    expected = np.zeros((9, 9), bool)
    expected[2:5, 1:3] = True
    np.testing.assert_array_equal(read_mask(tmp_path / "b" / "x.png"), expected)


def test_a_set_without_annotation_cannot_become_boxes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_grey(tmp_path / "a" / "x.png", np.zeros((9, 9)))
    for form, reason in (
        ("voc", "neither a mask nor boxes"),
        ("points", "annotated"),
        ("boxes", "annotated"),
    ):
        out = tmp_path / form
        assert main(["data", "convert", str(tmp_path / "a"), "--to", form, "--out", str(out)]) == 1
        assert reason in capsys.readouterr().err
        assert not out.exists()


def test_nothing_is_written_into_a_folder_that_holds_files(healthy: Path, tmp_path: Path) -> None:
    for arguments in (["merge", str(healthy)], ["convert", str(healthy), "--to", "voc"]):
        assert main(["data", *arguments, "--out", str(healthy)]) == 1
    assert main(["data", "check", str(healthy)]) == 0


def test_coarse_points_lie_on_their_targets_and_scatter_about_the_centroid() -> None:
    mask = np.zeros((40, 60), bool)
    mask[4:13, 5:16] = True
    mask[20:31, 30:43] = True
    mask[24:27, 34:39] = False  # a ring: the centroid is off the target
    draws = np.array([coarse_points(mask, np.random.default_rng(seed)) for seed in range(200)])
    rows, columns = draws.astype(int).transpose(2, 0, 1)
    assert mask[rows, columns].all()
    assert rows[:, 0].max() < 13 <= 20 <= rows[:, 1].min()
    first = draws[:, 0] - centroid_points(mask)[0]
    np.testing.assert_allclose(first.std(axis=0), [0.25 * 4.5, 0.25 * 5.5], rtol=0.25)


def test_a_samples_coarse_points_do_not_depend_on_the_other_samples(healthy: Path, tmp_path: Path) -> None:
    for name, more in (("whole", []), ("part", ["--split", "test"])):
        arguments = [
            "--to",
            "points",
            "--points",
            "coarse",
            "--seed",
            "5",
            "--out",
            str(tmp_path / name),
            *more,
        ]
        assert main(["data", "convert", str(healthy), *arguments]) == 0
    whole, part = (read_points(tmp_path / name / "points.json") for name in ("whole", "part"))
    for image, points in part.items():
        np.testing.assert_array_equal(points, whole[image])


def test_stats_counts_targets_and_draws(
    healthy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures, plot = tmp_path / "s.json", tmp_path / "s.png"
    assert main(["data", "stats", str(healthy), "--json", str(figures), "--plot", str(plot)]) == 0
    found = json.loads(figures.read_text())
    assert (found["images"], found["targets"], found["without_target"]) == (6, 6, 2)
    assert found["area"]["quantiles"][3] == 6
    assert found["commonest_sizes"] == {"24x20": 6}
    assert plot.stat().st_size > 5000
    assert "target area" in capsys.readouterr().out


@pytest.mark.real
@pytest.mark.slow
def test_the_real_sets_are_sound(sirst1: Path, sirst2: Path, densesirst: Path, tmp_path: Path) -> None:
    for lists in (sirst1 / "splits", sirst2 / "splits", densesirst / "Splits"):
        report = tmp_path / "flaws.json"
        assert main(["data", "check", str(lists.parent), "--json", str(report)]) == 0
        listed = {line for path in lists.glob("*.txt") for line in path.read_text().split()}
        assert json.loads(report.read_text())["images"] == len(listed)


@pytest.mark.real
def test_real_boxes_points_and_masks_agree(densesirst: Path) -> None:
    for sample in open_dataset(densesirst)[:40]:
        assert sample.mask is not None
        assert sample.points is not None
        assert sample.boxes is not None
        assert len(sample.points) == len(sample.boxes)
        rows, columns = sample.points.astype(int).T
        inside = [
            any(x0 <= x < x1 and y0 <= y < y1 for x0, y0, x1, y1 in sample.boxes)
            for y, x in zip(rows, columns, strict=True)
        ]
        assert all(inside)
