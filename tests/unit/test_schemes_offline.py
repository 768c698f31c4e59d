"""Labels grown once from clicks, and what clicks must be."""

from pathlib import Path

import numpy as np
import pytest
import torch
from training_fakes import make_recipe, make_samples, write_data

from infraspot.annotators import annotate
from infraspot.cli.main import main
from infraspot.core.errors import DataError, UsageError
from infraspot.core.files import write_text
from infraspot.core.sample import Sample
from infraspot.data import write_dataset, write_points
from infraspot.data.clicks import centroid_points
from infraspot.schemes import LabelStore, Offline
from infraspot.schemes.clicks import click_mask, doubled_clicks, require_clicks
from infraspot.training import Row, Run, TrainingError, build_run, fit, read_state
from infraspot.training.label_state import LabelWatch
from infraspot.training.recipe import to_toml

SPLITS = {"train": [f"frame{k}" for k in range(7)], "val": [f"frame{k}" for k in range(7, 10)]}


def _clicked(count: int = 10) -> list[Sample]:
    """Frames with a click on each target, and no masks."""
    return [
        sample.replace(mask=None, points=centroid_points(sample.mask))
        for sample in make_samples(count)
        if sample.mask is not None
    ]


def _frame(points: list[list[float]] | None) -> Sample:
    given = None if points is None else np.array(points, float).reshape(-1, 2)
    return Sample("a", np.zeros((20, 30), np.float32), points=given)


@pytest.mark.parametrize("annotator", ["profile", "diffusion", "mclc", "otsu"])
def test_the_labels_are_those_of_the_annotator(annotator: str, tmp_path: Path) -> None:
    write_dataset(tmp_path / "set", _clicked(), splits=SPLITS)
    options = {"name": "offline", "annotator": annotator}
    run = build_run(make_recipe(tmp_path / "set", scheme=options), tmp_path / "run")
    run.scheme.begin(run)
    for sample in run.samples:
        assert sample.mask is None
        assert np.array_equal(run.labels[sample.id], annotate(sample.image, sample.points, annotator).mask)


def test_options_reach_the_annotator_and_soft_labels_stay_soft() -> None:
    scheme = Offline("profile", {"level": 0.5}, soft=True)
    sample = _clicked(1)[0]
    run = type("Run", (), {"samples": [sample], "labels": LabelStore()})()
    scheme.begin(run)
    wanted = annotate(sample.image, sample.points, "profile", level=0.5).soft
    assert np.array_equal(run.labels[sample.id], wanted)
    assert run.labels[sample.id].dtype == np.float32


@pytest.mark.parametrize("options", [{"size_prior": "oracle"}, {"areas": [3]}])
def test_true_areas_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(UsageError, match="reads the true area of each target"):
        Offline("mclc", options)


@pytest.mark.parametrize(
    ("points", "sentence"),
    [
        (None, r"clicks of every frame, and 1 of 1 frame has none: a; put them into points\.json"),
        ([[3, 4], [3, 29.5]], "1 of 1 frames have clicks outside: a; clicks are x, y"),
        ([[-0.5, 4]], "clicks outside: a"),
        ([], "none of the 1 frames has a click"),
    ],
)
def test_clicks_that_cannot_be_used_are_a_sentence(points: list[list[float]] | None, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        require_clicks([_frame(points)], "the scheme offline")


def test_a_click_belongs_to_the_pixel_around_it() -> None:
    assert np.argwhere(click_mask(_frame([[2.4, 3.5], [0, 29.4]]))).tolist() == [[0, 29], [2, 4]]


def test_two_clicks_on_one_target_and_twice_the_same_click_share_its_mask(tmp_path: Path) -> None:
    samples = _clicked()
    first = samples[0].points
    assert first is not None
    samples[0] = samples[0].replace(points=np.concatenate([first, first, np.add(first, (0, 1))]))
    write_dataset(tmp_path / "set", samples, splits=SPLITS)
    run = build_run(make_recipe(tmp_path / "set", scheme={"name": "offline"}), tmp_path / "run")
    assert fit(run)
    assert run.labels.mass("frame0") == pytest.approx(9, abs=8)


def test_a_set_with_images_and_a_points_file_alone_trains(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_dataset(tmp_path / "set", _clicked(), splits=SPLITS)
    assert {path.name for path in (tmp_path / "set").iterdir()} == {"images", "splits", "points.json"}
    recipe = make_recipe(write_data(tmp_path / "other"), train={"epochs": 2, "evaluate_every": 1})
    write_text(tmp_path / "recipe.toml", to_toml(recipe))
    command = ["train", str(tmp_path / "recipe.toml"), "--data", str(tmp_path / "set")]
    changes = ["--set", "scheme.name=offline", "--out", str(tmp_path / "run")]
    assert main([*command, *changes]) == 0
    said = capsys.readouterr().out
    assert "the masks that `profile` grows from the clicks of val" in said
    assert "chosen on clicks" in said
    assert "IoU (clicks)" in said
    header = (tmp_path / "run" / "log.csv").read_text().splitlines()[0].split(",")
    assert {"click_iou", "label_mass"} <= {*header}
    assert not {"iou", "label_iou"} & {*header}
    assert (tmp_path / "run" / "labels.png").is_file()


def test_without_masks_full_supervision_and_the_rule_of_masks_are_refused(tmp_path: Path) -> None:
    write_dataset(tmp_path / "set", _clicked(), splits=SPLITS)
    run = build_run(make_recipe(tmp_path / "set", scheme={"name": "full"}), tmp_path / "run")
    with pytest.raises(DataError, match="full supervision needs a mask"):
        run.scheme.begin(run)
    recipe = make_recipe(tmp_path / "set", scheme={"name": "offline"}, train={"select_on": "val"})
    with pytest.raises(DataError, match=r"train\.select_on = 'clicks'"):
        fit(build_run(recipe, tmp_path / "other"))


def test_clicks_come_from_the_masks_or_from_a_file_where_the_recipe_says_so(tmp_path: Path) -> None:
    data = write_data(tmp_path / "set")
    points = {f"frame{k}": np.array([[1.0, 2.0]]) for k in range(10)}
    write_points(tmp_path / "points.csv", points)
    for where, wanted in (
        ("auto", None),
        ("centroid", None),
        (str(tmp_path / "points.csv"), points["frame0"]),
    ):
        recipe = make_recipe(data, scheme={"name": "offline"}, data={"points": where})
        found = build_run(recipe, tmp_path / "run").samples[0].points
        mask = make_samples(1)[0].mask
        assert mask is not None
        assert np.array_equal(found, centroid_points(mask) if wanted is None else wanted)


def test_mass_and_overlap_of_labels_by_hand() -> None:
    truth = np.zeros((4, 5), bool)
    truth[1, 1:4] = True
    labels = LabelStore()
    label = np.zeros((4, 5), np.float32)
    label[1, 1:3], label[2, 2], label[3, 3] = 1, 0.5, 0.25
    labels["a"], labels["b"] = label, np.zeros((4, 5), bool)
    labels.active = ["a", "b"]
    image = np.zeros((4, 5), np.float32)
    numbers = LabelWatch.over([Sample("a", image, truth), Sample("b", image)]).numbers(labels)
    assert numbers == {"mass": (2 + 0.5 + 0.25) / 2, "iou": 2 / 4}


def test_only_empty_frames_are_a_sentence_under_any_supervision(tmp_path: Path) -> None:
    empty = [
        sample.replace(mask=np.zeros(sample.shape, bool), points=np.zeros((0, 2)))
        for sample in make_samples(10)
    ]
    write_dataset(tmp_path / "set", empty, splits=SPLITS)
    for name, sentence in (
        ("full", "masks of all 7 frames"),
        ("offline", "none of the 7 frames has a click"),
    ):
        with pytest.raises(DataError, match=sentence):
            fit(build_run(make_recipe(tmp_path / "set", scheme={"name": name}), tmp_path / name))


def test_two_clicks_on_one_target_are_told_by_their_frames() -> None:
    def clicked(id: str, *points: tuple[float, float]) -> Sample:
        return Sample(id, np.zeros((32, 32), np.float32), points=np.array(points).reshape(-1, 2))

    near, apart = clicked("near", (5, 5), (20, 20), (6.5, 5.5)), clicked("apart", (5, 5), (5, 7))
    assert doubled_clicks([near, apart, clicked("one", (5, 5)), clicked("none")]) == ["near"]


def test_a_set_without_val_is_a_sentence(tmp_path: Path) -> None:
    write_dataset(tmp_path / "set", _clicked(), splits={"train": SPLITS["train"]})
    with pytest.raises(UsageError, match="split 'val'"):
        build_run(make_recipe(tmp_path / "set", scheme={"name": "offline"}), tmp_path / "run")


def test_a_loss_that_is_not_finite_says_where_and_leaves_the_last_good_state(tmp_path: Path) -> None:
    write_dataset(tmp_path / "set", _clicked(), splits=SPLITS)
    recipe = make_recipe(tmp_path / "set", scheme={"name": "offline"}, train={"save_seconds": 0})
    run = build_run(recipe, tmp_path / "run")

    class Breaker:
        def step(self, run: Run, loss: float) -> None:
            if run.at.epoch == 1 and run.at.batch == 2:
                with torch.no_grad():
                    next(run.module.parameters()).fill_(float("nan"))

        def epoch(self, run: Run, row: Row) -> None: ...

    with pytest.raises(
        TrainingError, match=r"no longer finite in epoch 2, step 2.*the last checkpoint is as it was"
    ):
        fit(run, Breaker())
    state = read_state(tmp_path / "run")
    assert (state["position"]["epoch"], state["position"]["batch"]) == (1, 1)
    assert all(value.isfinite().all() for value in state["network"].values())
