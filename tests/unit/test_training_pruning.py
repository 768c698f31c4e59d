"""Pruning: which channels may leave, which do, and what is left."""

import pytest
import torch
from torch import Tensor, nn

from infraspot.core.errors import UsageError
from infraspot.networks import NETWORKS
from infraspot.weights.pruning import Group, choose, find_groups, importance, shrink, soften, widths


class Chain(nn.Module):
    """Two prunable layers, one of them through a norm and a depthwise convolution, and two that are added."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.second = nn.Conv2d(8, 6, 1)
        self.third = nn.Conv2d(6, 5, 1)
        self.fourth = nn.Conv2d(6, 5, 1)
        self.last = nn.Conv2d(5, 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        x = self.depthwise(torch.relu(self.norm(self.first(image))))
        x = torch.relu(self.second(x))
        return self.last(self.third(x) + self.fourth(x))


@pytest.fixture
def chain() -> Chain:
    torch.manual_seed(0)
    return Chain().eval()


IMAGE = torch.zeros(1, 1, 8, 8)


def test_groups_are_read_from_the_graph(chain: Chain) -> None:
    assert find_groups(chain, IMAGE) == [
        Group("first", ("norm", "depthwise"), ("second",)),
        Group("second", (), ("fourth", "third")),
    ]


def test_a_layer_that_is_used_twice_is_left_alone() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.enter = nn.Conv2d(1, 4, 1)
            self.shared = nn.Conv2d(4, 4, 1)
            self.leave = nn.Conv2d(4, 1, 1)

        def forward(self, image: Tensor) -> Tensor:
            return self.leave(self.shared(self.shared(self.enter(image))))

    assert find_groups(Twice(), IMAGE) == []


def test_shrinking_equals_silencing_the_channels_that_leave(chain: Chain) -> None:
    plan = [
        Group("first", ("norm", "depthwise"), ("second",), kept=(1, 2, 5)),
        Group("second", (), ("fourth", "third"), kept=(0, 4)),
    ]
    small = shrink(chain, plan)
    image = torch.rand(2, 1, 9, 7)
    with torch.no_grad():
        got = small(image)
        chain.second.weight[:, [0, 3, 4, 6, 7]] = 0
        for reader in (chain.third, chain.fourth):
            reader.weight[:, [1, 2, 3, 5]] = 0
        expected = chain(image)
    torch.testing.assert_close(got, expected)
    assert small.first.weight.shape == (3, 1, 3, 3)
    assert small.depthwise.groups == small.norm.num_features == 3
    assert small.second.weight.shape == (2, 3, 1, 1)
    assert small.third.weight.shape == (5, 2, 1, 1)


def test_the_low_band_decides_what_matters(chain: Chain) -> None:
    with torch.no_grad():
        chain.first.weight.zero_()
        chain.first.weight[0] = torch.tensor([1.0, 1, 0, 0, 0, 0, 0, 0, 0]).reshape(1, 3, 3)
        chain.first.weight[1] = torch.tensor([1.0, -1, 0, 0, 0, 0, 0, 0, 0]).reshape(1, 3, 3)
        chain.norm.weight[0] = 3
    score = importance(chain, find_groups(chain, IMAGE)[0])
    assert score[0].item() == pytest.approx(3 * 2**0.5, rel=1e-6)
    assert not score[1:].any()


def test_the_least_important_channels_leave(chain: Chain) -> None:
    with torch.no_grad():
        for channel in range(8):
            chain.first.weight[channel] = channel + 1.0
        for channel in range(6):
            chain.second.weight[channel] = 6.0 - channel
    plan = choose(chain, find_groups(chain, IMAGE), keep=0.5, least=1)
    assert [group.kept for group in plan] == [(4, 5, 6, 7), (0, 1, 2)]


def test_soft_pruning_silences_filters_that_may_come_back(chain: Chain) -> None:
    plan = [Group("first", ("norm", "depthwise"), ("second",), kept=(1, 2))]
    soften(chain, plan)
    silent = [not filter_.any() for filter_ in chain.first.weight]
    assert silent == [True, False, False, True, True, True, True, True]
    assert chain.first.weight.requires_grad


def test_a_plan_makes_a_fresh_network_ready_for_the_weights(chain: Chain) -> None:
    plan = choose(chain, find_groups(chain, IMAGE), keep=0.5, least=1)
    small = shrink(chain, plan)
    fresh = shrink(Chain(), plan).eval()
    fresh.load_state_dict(small.state_dict())
    image = torch.rand(1, 1, 8, 8)
    assert torch.equal(fresh(image), small(image))


def test_widths_name_every_layer_that_changed_with_its_channels(chain: Chain) -> None:
    plan = [
        Group("first", ("norm", "depthwise"), ("second",), kept=(1, 2, 5)),
        Group("second", (), ("fourth", "third"), kept=(0, 4)),
    ]
    assert widths(chain, plan) == {
        "first": [1, 3],
        "norm": [3, 3],
        "depthwise": [3, 3],
        "second": [3, 2],
        "third": [2, 5],
        "fourth": [2, 5],
    }


def test_what_cannot_be_traced_is_refused_with_a_sentence() -> None:
    class Fickle(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return image if image.mean() > 0 else -image

    with pytest.raises(UsageError, match="Fickle cannot be pruned, because its graph cannot be traced"):
        find_groups(Fickle(), IMAGE)


def test_wrong_shares_and_empty_plans_are_refused(chain: Chain) -> None:
    groups = find_groups(chain, IMAGE)
    with pytest.raises(UsageError, match="share of channels to keep"):
        choose(chain, groups, keep=0)
    with pytest.raises(UsageError, match="no channels of this network"):
        choose(chain, [], keep=0.5)
    with pytest.raises(UsageError, match="call choose"):
        shrink(chain, groups)


@pytest.mark.parametrize("name", ["acm-port", "compact", pytest.param("unet", marks=pytest.mark.slow)])
def test_networks_shrink_and_answer_as_if_the_channels_were_silent(name: str) -> None:
    network = NETWORKS[name]().eval()
    plan = choose(network, find_groups(network, torch.zeros(1, 1, 64, 64)), keep=0.4)
    small = shrink(network, plan)
    assert _count(small) < 0.9 * _count(network)
    image = torch.rand(2, 1, 70, 65)
    _silence(network, plan)
    with torch.no_grad():
        torch.testing.assert_close(small(image).logits, network(image).logits)
    small.train()(image).logits.square().mean().backward()


@torch.no_grad()
def _silence(network: nn.Module, plan: list[Group]) -> None:
    for group in plan:
        assert group.kept is not None
        for reader in group.readers:
            weight = network.get_parameter(f"{reader}.weight")
            weight[:, sorted(set(range(weight.shape[1])) - set(group.kept))] = 0


def _count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
