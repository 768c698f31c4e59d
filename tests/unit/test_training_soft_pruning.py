"""Filters that are set to 0 before each epoch, and may come back."""

from pathlib import Path

import pytest
from torch import Tensor, nn
from training_fakes import Stopper, assert_same, make_recipe, write_data

from infraspot.core.errors import UsageError
from infraspot.networks import SegmentationNetwork, SegOutput
from infraspot.training import build_run, fit, read_state, restore_run
from infraspot.training.settings import Recipe

WIDTH = 12


class OneLayer(SegmentationNetwork):
    """Its only channel is the answer."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(1, 1, 3, padding=1)

    def segment(self, image: Tensor) -> SegOutput:
        return SegOutput(self.head(image), (self.head(image),))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("sets") / "made-up")


def _recipe(data: Path, *, keep: float, lr: float) -> Recipe:
    network = {"name": "training_fakes:TinyNet", "width": WIDTH}
    still = {"lr": lr, "weight_decay": 0.0}
    return make_recipe(data, network=network, prune={"keep": keep}, optimiser=still)


@pytest.mark.parametrize(("keep", "left"), [(0.5, 6), (0.75, 9), (1.0, 12)])
def test_the_least_important_filters_are_set_to_0(data: Path, tmp_path: Path, keep: float, left: int) -> None:
    run = build_run(_recipe(data, keep=keep, lr=1e-12), tmp_path)
    before = run.module.first[0].weight.detach().clone()
    assert fit(run)
    filters = run.module.first[0].weight.detach()
    alive = filters.flatten(1).norm(dim=1) > 1e-6
    assert int(alive.sum()) == left
    assert (filters[alive] - before[alive]).abs().max() < 1e-6


def test_filters_may_come_back_within_the_epoch(data: Path, tmp_path: Path) -> None:
    run = build_run(_recipe(data, keep=0.5, lr=0.01), tmp_path)
    assert fit(run)
    assert int((run.module.first[0].weight.detach().flatten(1).norm(dim=1) > 1e-3).sum()) > WIDTH // 2


def test_a_run_that_stopped_within_an_epoch_goes_on_bit_by_bit(data: Path, tmp_path: Path) -> None:
    recipe = _recipe(data, keep=0.5, lr=0.01)
    assert fit(build_run(recipe, tmp_path / "whole"))
    assert not fit(build_run(recipe, tmp_path / "halves"), Stopper(4))
    again = build_run(recipe, tmp_path / "halves")
    restore_run(again, read_state(tmp_path / "halves"))
    assert fit(again)
    assert_same(read_state(tmp_path / "halves"), read_state(tmp_path / "whole"))


def test_a_network_of_which_nothing_can_leave_is_a_sentence(data: Path, tmp_path: Path) -> None:
    recipe = make_recipe(data, network={"name": f"{__name__}:OneLayer"}, prune={"keep": 0.5})
    with pytest.raises(UsageError, match="no channels of this network can be pruned"):
        fit(build_run(recipe, tmp_path))
