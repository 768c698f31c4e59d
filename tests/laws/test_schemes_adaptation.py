"""No scheme that adapts to a camera can learn anything from masks of its frames."""

from pathlib import Path

import numpy as np
import pytest
from training_fakes import assert_same, make_recipe, make_samples, write_data

from infraspot.core.errors import UsageError
from infraspot.data import write_dataset
from infraspot.schemes import SCHEMES
from infraspot.schemes.adaptation import Adaptation
from infraspot.training import build_run, fit, read_state

OPTIONS: dict[str, dict[str, object]] = {
    "finetune": {"keep": 1.0, "pull": 0.1},
    "adabn": {"entropy": 1.0},
    "self_training": {"sure": 0.01, "doubtful": 0.005},
}
ADAPTING = [name for name, make in SCHEMES.items() if isinstance(make, type) and issubclass(make, Adaptation)]
EACH = pytest.mark.parametrize("name", [*ADAPTING, "finetune"])


def _new_camera(folder: Path, masks: str) -> Path:
    samples = []
    for sample in make_samples(6, seed=1):
        assert sample.mask is not None
        changed = {"right": sample.mask, "wrong": np.roll(sample.mask, 9, axis=0), "none": None}[masks]
        samples.append(sample.replace(mask=changed))
    write_dataset(folder, samples, splits={"train": [sample.id for sample in samples]})
    return folder


@EACH
def test_masks_of_the_new_camera_change_no_weight(name: str, tmp_path: Path) -> None:
    data, weights = write_data(tmp_path / "data"), []
    for masks in ("right", "wrong", "none"):
        folder = tmp_path / masks
        recipe = make_recipe(
            data,
            scheme={"name": name, **OPTIONS.get(name, {})},
            unlabelled={
                "path": str(_new_camera(tmp_path / f"set-{masks}", masks)),
                "augment": [{"name": "crop", "size": 16}],
            },
        )
        assert fit(build_run(recipe, folder))
        weights.append(read_state(folder)["network"])
    assert_same(weights[0], weights[1])
    assert_same(weights[0], weights[2])


@pytest.mark.parametrize("name", ADAPTING)
def test_a_scheme_without_frames_of_the_new_camera_says_what_it_needs(name: str, tmp_path: Path) -> None:
    recipe = make_recipe(write_data(tmp_path / "data"), scheme={"name": name})
    with pytest.raises(UsageError, match="adapts to the frames of \\[unlabelled\\]"):
        fit(build_run(recipe, tmp_path / "run"))
