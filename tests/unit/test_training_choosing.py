"""Training on a share of the frames."""

from pathlib import Path

import numpy as np
import pytest
from training_fakes import make_recipe, make_samples, write_data

from infraspot.core.errors import DataError, InputError
from infraspot.core.files import write_text
from infraspot.training import build_run, fit
from infraspot.training.choosing import chosen_frames
from infraspot.training.settings import ChoicePart


def _chosen(part: ChoicePart, seed: int = 0) -> list[str]:
    return [sample.id for sample in chosen_frames(make_samples(10), part, "auto", seed)]


def _weights(folder: Path, text: str) -> ChoicePart:
    write_text(folder / "frames.csv", text)
    return ChoicePart(by="weight", share=0.3, weights=str(folder / "frames.csv"))


def test_the_heaviest_frames_are_chosen_in_the_order_of_the_set(tmp_path: Path) -> None:
    lines = "".join(f'"frame{k}",{(k * 7) % 10}\n' for k in range(10))
    assert _chosen(_weights(tmp_path, "id,weight\n" + lines)) == ["frame1", "frame4", "frame7"]


def test_random_frames_follow_the_seed() -> None:
    part = ChoicePart(by="random", share=0.5)
    assert len(_chosen(part)) == 5
    assert _chosen(part) == _chosen(part)
    assert any(_chosen(part) != _chosen(part, seed) for seed in (1, 2, 3))


def test_the_prior_takes_the_faintest_targets() -> None:
    samples = make_samples(6)
    faint = samples[3].replace(image=(0.2 + 0.05 * samples[3].image).astype(np.float32))
    rng = np.random.default_rng(0)
    samples[3] = faint.replace(image=faint.image + rng.normal(0, 0.02, faint.shape).astype(np.float32))
    found = chosen_frames(samples, ChoicePart(by="prior", share=0.1), "auto", 0)
    assert [sample.id for sample in found] == ["frame3"]


def test_a_list_of_weights_that_cannot_be_used_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"needs data\.choice\.weights"):
        _chosen(ChoicePart(by="weight"))
    with pytest.raises(InputError, match="there is no file"):
        _chosen(ChoicePart(by="weight", weights=str(tmp_path / "absent.csv")))
    for text in ("nonsense", "id,weight\nframe0,heavy\n", "id,weight\nframe0\n"):
        with pytest.raises((InputError, DataError), match=r"list of weights|no weight for"):
            _chosen(_weights(tmp_path, text))
    with pytest.raises(DataError, match="no weight for 10 of the 10 frames, such as frame0"):
        _chosen(_weights(tmp_path, "id,weight\nframe0,nan\n"))


def test_a_d2d_run_leaves_weights_that_another_run_chooses_by(tmp_path: Path) -> None:
    data = write_data(tmp_path / "set")
    first = build_run(make_recipe(data, scheme={"name": "d2d"}), tmp_path / "first")
    assert fit(first)
    choice = {"by": "weight", "share": 0.5, "weights": str(tmp_path / "first" / "frames.csv")}
    second = build_run(
        make_recipe(data, scheme={"name": "offline"}, data={"choice": choice}), tmp_path / "second"
    )
    assert fit(second)
    listed = (tmp_path / "second" / "chosen.txt").read_text().split()
    assert listed == [sample.id for sample in second.samples]
    assert len(listed) == 4
