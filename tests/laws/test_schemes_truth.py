"""No scheme that trains without masks can learn anything from one."""

from pathlib import Path

import numpy as np
import pytest
from training_fakes import TINY, Stopper, assert_same, make_recipe, make_samples

from infraspot.data import write_dataset
from infraspot.schemes import SCHEMES
from infraspot.training import build_run, fit, read_state, restore_run
from infraspot.training.run import Run
from infraspot.training.settings import Recipe

EVERY: dict[str, dict[str, str]] = {name: {"name": name} for name in SCHEMES if name != "boxes"}
EVERY["d2d-program"] = {"name": "d2d", "variant": "program"}


def _is(kind: str, key: str) -> bool:
    """Whether a scheme declares that of itself."""
    return bool(getattr(SCHEMES[EVERY[key]["name"]], kind, False))


ALONE = [key for key in EVERY if _is("self_supervised", key)]
WITHOUT_TRUTH = [key for key in EVERY if not _is("needs_truth", key) and key not in ALONE]
COMPARING = ("cosine_head", "prototypes", "incremental_prototypes")
EACH = pytest.mark.parametrize("name", WITHOUT_TRUTH)
SPLITS = {"train": [f"frame{k}" for k in range(7)], "val": [f"frame{k}" for k in range(7, 10)]}

# The truth may show in these parts of a state, which nothing that is trained reads.
REPORTED = ("data", "recipe", "position")


def _set(folder: Path, masks: str) -> Path:
    """The same frames and clicks with right masks, with wrong ones, or with none."""
    samples = []
    for sample in make_samples(10):
        assert sample.mask is not None
        points = np.argwhere(sample.mask)[4:5].astype(float)
        changed = {"right": sample.mask, "wrong": np.roll(sample.mask, 9, axis=0), "none": None}[masks]
        samples.append(sample.replace(points=points, mask=changed))
    write_dataset(folder, samples, splits=SPLITS)
    return folder


def _recipe(data: Path, name: str) -> Recipe:
    further = {"path": str(data), "split": "val", "per_batch": 2, "augment": [{"name": "crop", "size": 16}]}
    two = {"sets": [str(data)]} if name == "sdaistd" else {}  # trains on two cameras
    compared = {"name": "compared", "base": TINY} if name in COMPARING else {"name": TINY}
    return make_recipe(
        data,
        network=compared,
        scheme=EVERY[name],
        train={"epochs": 5},
        unlabelled=further,
        data={"path": str(data), **two},
    )


def _trained(data: Path, name: str, folder: Path) -> Run:
    run = build_run(_recipe(data, name), folder)
    assert fit(run)
    return run


@EACH
def test_masks_change_nothing_that_is_learned(name: str, tmp_path: Path) -> None:
    states = []
    for masks in ("right", "wrong", "none"):
        run = _trained(_set(tmp_path / masks, masks), name, tmp_path / f"run-{masks}")
        assert run.at.best is not None
        assert run.recipe.train.select_on == "clicks"
        assert ("label_iou" in run.at.rows[-1]) == (masks != "none")
        assert ("iou" in run.at.rows[-1]) == (masks != "none")
        state = read_state(tmp_path / f"run-{masks}")
        states.append(
            {part: value for part, value in state.items() if part not in REPORTED}
            | {"best": run.at.best["selection"], "at": run.at.best["epoch"]}
        )
    assert_same(states[0], states[1])
    assert_same(states[0], states[2])


@pytest.mark.parametrize("name", ALONE)
def test_a_scheme_that_learns_from_frames_alone_reads_no_annotation_and_needs_none(
    name: str, tmp_path: Path
) -> None:
    states = []
    for masks in ("right", "none"):
        data = _set(tmp_path / masks, masks)
        if masks == "none":
            (data / "points.json").unlink()
        run = _trained(data, name, tmp_path / f"run-{masks}")
        assert run.at.best is None
        assert run.recipe.train.select_on == "none"
        state = read_state(tmp_path / f"run-{masks}")
        states.append({part: value for part, value in state.items() if part not in ("data", "recipe")})
    assert_same(*states)


@EACH
def test_the_mass_of_the_labels_is_logged_each_epoch(name: str, tmp_path: Path) -> None:
    run = _trained(_set(tmp_path / "set", "right"), name, tmp_path / "run")
    assert all(row["label_mass"] > 0 for row in run.at.rows)
    assert all(0 <= row["label_iou"] <= 1 for row in run.at.rows)
    assert "label_mass" in (tmp_path / "run" / "log.csv").read_text().splitlines()[0]


@pytest.mark.parametrize("name", EVERY)
def test_a_run_that_stops_within_epochs_is_the_run_that_never_stopped(name: str, tmp_path: Path) -> None:
    recipe = _recipe(_set(tmp_path / "set", "right"), name)
    assert fit(build_run(recipe, tmp_path / "whole"))
    sittings = 0
    while True:
        run = build_run(recipe, tmp_path / "parts")
        if sittings:
            restore_run(run, read_state(tmp_path / "parts"))
        if fit(run, Stopper(2)):
            break
        sittings += 1
    assert sittings >= 5
    assert_same(read_state(tmp_path / "parts"), read_state(tmp_path / "whole"))
