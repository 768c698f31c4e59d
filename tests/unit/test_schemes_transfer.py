"""What the schemes of few shots and adaptation compute, against small cases by hand."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from training_fakes import TINY, TinyNet, make_recipe, make_samples, write_data

from infraspot.core.errors import UsageError
from infraspot.core.noise import noise_of
from infraspot.data import write_dataset
from infraspot.networks.compared import Compared
from infraspot.schemes.adabn import mix_statistics
from infraspot.schemes.analytic_filters import target_filters
from infraspot.schemes.camera import match_greys, swap_amplitudes
from infraspot.schemes.components import stable_components
from infraspot.schemes.coral import coral_distance, mmd_distance
from infraspot.schemes.finetune import answers_differ
from infraspot.schemes.learning import choose_learning, head_layers
from infraspot.schemes.maml import ORDERS
from infraspot.schemes.prototypes import grouped, likeness_to, set_prototypes
from infraspot.schemes.sdaistd import camera_of
from infraspot.training import build_run, fit, read_state


def test_each_form_lets_its_parameters_learn_and_no_other() -> None:
    network = TinyNet()
    assert choose_learning(network, "head") == ["coarse.bias", "coarse.weight", "head.bias", "head.weight"]
    assert choose_learning(network, "norms-and-biases") == [
        "coarse.bias",
        "first.0.bias",
        "first.1.bias",
        "first.1.weight",
        "head.bias",
    ]
    assert not network.first[0].weight.requires_grad
    assert len(choose_learning(network, "norms-frozen")) == 8
    assert [*head_layers(network)] == ["coarse", "head"]
    with pytest.raises(UsageError, match="the form is one of"):
        choose_learning(network, "tail")


@pytest.mark.parametrize("form", ["norms-frozen", "norms-free", "norms-and-biases", "head"])
def test_what_a_form_leaves_out_stays_bit_by_bit(form: str, tmp_path: Path) -> None:
    recipe = make_recipe(write_data(tmp_path / "data"), scheme={"name": "finetune", "form": form})
    run = build_run(recipe, tmp_path / "run")
    assert fit(run)
    start, end = run.scheme.state_dict()["start"], read_state(tmp_path / "run")["network"]
    changed = {name for name in start if not torch.equal(start[name], end[name])}
    learns = set(choose_learning(TinyNet(), form))
    statistics = {name for name in start if "running" in name or "tracked" in name}
    assert changed <= learns | (statistics if form == "norms-free" else set())
    assert ("first.1.running_mean" in changed) == (form == "norms-free")


def test_answers_that_agree_differ_by_nothing() -> None:
    logits = torch.tensor([[[[-3.0, 2.0]]]])
    assert float(answers_differ(logits, logits)) == pytest.approx(0, abs=1e-6)
    assert float(answers_differ(-logits, logits)) > 1


def test_statistics_are_mixed_by_the_number_of_images() -> None:
    norm = nn.BatchNorm2d(1)
    norm.running_mean.fill_(1.0)
    images = [torch.full((1, 1, 2, 2), 5.0) + torch.tensor([[-1.0, 1.0], [1.0, -1.0]])] * 4
    mix_statistics(norm, images, prior=12.0)
    assert float(norm.running_mean) == pytest.approx(1 + (5 - 1) * 4 / 16)
    assert float(norm.running_var) == pytest.approx(1 + (4 / 3 - 1) * 4 / 16)
    assert norm.momentum == 0.1


def test_only_components_that_are_sure_in_both_views_are_targets() -> None:
    one, other = torch.zeros(1, 1, 9, 9), torch.zeros(1, 1, 9, 9)
    one[0, 0, 1, 1], other[0, 0, 1, 1] = 0.95, 0.92
    one[0, 0, 6, 6], other[0, 0, 6, 6] = 0.95, 0.30
    labels, weights = stable_components(one, other, sure=0.9, doubtful=0.1)
    assert labels.nonzero().tolist() == [[0, 0, 1, 1]]
    assert weights[0, 0, 6, 6] == 0  # not sure: left out
    assert weights[0, 0, 0, 0] == 0  # the ring around the target
    assert weights[0, 0, 1, 1] == weights[0, 0, 4, 4] == 1


def test_equal_features_are_at_no_distance_and_shifted_ones_are() -> None:
    pixels = torch.from_numpy(np.random.default_rng(0).normal(size=(64, 3))).float()
    assert float(coral_distance(pixels, pixels)) == 0
    assert float(coral_distance(pixels, pixels + 2)) == pytest.approx(4, rel=1e-5)
    assert float(mmd_distance(pixels, pixels)) == pytest.approx(0, abs=1e-6)
    assert float(mmd_distance(pixels, pixels + 2)) > 0.1


def test_images_get_the_grey_values_of_a_camera() -> None:
    image = torch.linspace(0, 1, 64 * 64).view(1, 1, 64, 64)
    matched = match_greys(image, torch.linspace(0.2, 0.4, 65))
    torch.testing.assert_close(matched, 0.2 + 0.2 * image, atol=2e-3, rtol=0)


def test_amplitudes_swapped_with_oneself_change_nothing_and_the_mean_follows_the_other() -> None:
    rng = np.random.default_rng(1)
    image, other = (torch.from_numpy(rng.uniform(0.3, 0.5, (1, 1, 16, 16))).float() for _ in range(2))
    torch.testing.assert_close(swap_amplitudes(image, image, 0.1), image, atol=1e-5, rtol=0)
    swapped = swap_amplitudes(image, other + 0.2, 0.05)
    assert float(swapped.mean()) == pytest.approx(float(other.mean()) + 0.2, abs=1e-4)


def test_the_first_filter_answers_targets_and_not_clutter() -> None:
    rng = np.random.default_rng(2)
    wanted, common = np.eye(5)[0], np.eye(5)[1]
    targets = 3 * wanted + rng.normal(0, 0.1, (50, 5)) + rng.normal(0, 3, (50, 1)) * common
    clutter = rng.normal(0, 0.1, (500, 5)) + rng.normal(0, 3, (500, 1)) * common
    (first,) = target_filters(targets, clutter, 1)
    assert abs(first @ wanted) > 0.95
    assert np.linalg.norm(first) == pytest.approx(1)


@pytest.mark.parametrize("order", ORDERS)
def test_every_order_of_meta_learning_moves_the_weights(order: str, tmp_path: Path) -> None:
    recipe = make_recipe(
        write_data(tmp_path / "data"), scheme={"name": "maml", "order": order}, train={"epochs": 1}
    )
    run = build_run(recipe, tmp_path / "run")
    before = {name: value.clone() for name, value in run.module.state_dict().items()}
    assert fit(run)
    moved = {name for name, value in run.module.named_parameters() if not torch.equal(value, before[name])}
    assert {"head.weight"} <= moved
    assert torch.equal(run.module.state_dict()["first.1.running_mean"], before["first.1.running_mean"])


def test_a_frame_is_of_the_set_that_its_id_names() -> None:
    assert camera_of("night/frame1") == "night"
    assert camera_of("frame1") == ""


def test_sdaistd_says_that_it_needs_two_cameras(tmp_path: Path) -> None:
    recipe = make_recipe(write_data(tmp_path / "data"), scheme={"name": "sdaistd"})
    with pytest.raises(UsageError, match=r"trains on two cameras.*and 1 came"):
        fit(build_run(recipe, tmp_path / "run"))


def test_the_noise_of_a_frame_is_measured_beside_its_targets() -> None:
    rng = np.random.default_rng(3)
    image = 0.4 + 0.01 * rng.standard_normal((96, 96))
    image[40:44, 40:44] += 0.5
    assert noise_of(image) == pytest.approx(0.01, rel=0.1)
    assert math.isclose(noise_of(np.full((8, 8), 0.3)), 0.0, abs_tol=1e-6)


def _compared(cameras: int = 1) -> Compared:
    torch.manual_seed(0)
    return Compared(base=TINY, cameras=cameras, camera=cameras - 1)


def test_prototypes_of_shots_answer_their_targets() -> None:
    network, shots = _compared(), make_samples(4)
    set_prototypes(network, shots)
    network.eval()
    for shot in shots:
        assert shot.mask is not None
        logits = network(torch.from_numpy(shot.image)[None, None]).logits[0, 0].detach().numpy()
        assert logits[shot.mask].mean() > logits[~shot.mask].mean()


def test_a_camera_more_leaves_the_answers_of_the_first_bit_by_bit(tmp_path: Path) -> None:
    data = write_data(tmp_path / "data")
    places = {"name": "compared", "base": TINY}
    first = build_run(make_recipe(data, network=places, scheme={"name": "prototypes"}), tmp_path / "a")
    assert fit(first)
    start = str(tmp_path / "a" / "last.safetensors")
    more = {**places, "cameras": 2, "camera": 1, "start": start}
    names = [f"frame{k}" for k in range(10)]
    write_dataset(tmp_path / "other", make_samples(10, seed=3), splits={"train": names[:7], "val": names[7:]})
    other = make_recipe(tmp_path / "other", network=more, scheme={"name": "incremental_prototypes"})
    second = build_run(other, tmp_path / "b")
    assert fit(second)
    one, both = first.module.eval(), second.module.eval()
    both.camera = 0
    image = torch.from_numpy(make_samples(1, seed=5)[0].image)[None, None]
    torch.testing.assert_close(one(image).logits, both(image).logits, rtol=0, atol=0)
    assert not torch.equal(both.target[0], both.target[1])


def test_prototypes_say_which_network_they_need(tmp_path: Path) -> None:
    recipe = make_recipe(write_data(tmp_path / "data"), scheme={"name": "prototypes"})
    with pytest.raises(UsageError, match="need the network compared"):
        fit(build_run(recipe, tmp_path / "run"))


def test_a_cosine_head_learns_prototypes_and_no_feature(tmp_path: Path) -> None:
    places = {"name": "compared", "base": TINY}
    recipe = make_recipe(write_data(tmp_path / "data"), network=places, scheme={"name": "cosine_head"})
    run = build_run(recipe, tmp_path / "run")
    base = {name: value.clone() for name, value in run.module.base.state_dict().items()}
    assert fit(run)
    assert all(torch.equal(value, base[name]) for name, value in run.module.base.state_dict().items())


def test_groups_of_two_bundles_are_the_bundles() -> None:
    bundles = torch.tensor([[1.0, 0.0]] * 5 + [[0.0, 1.0]] * 3)
    found = grouped(bundles, 2, seed=1)
    assert {tuple(row) for row in found.tolist()} == {(1.0, 0.0), (0.0, 1.0)}
    ranks = likeness_to(
        torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]), torch.tensor([[3.0, 0], [0, 2]])
    )
    assert ranks.tolist() == [1.0, -1.0]
