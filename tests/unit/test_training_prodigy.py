"""Prodigy finds the step size that a problem needs, whatever its scale."""

import pytest
import torch
from torch import nn

from infraspot.training.parts import build_optimiser
from infraspot.training.prodigy import Prodigy
from infraspot.training.settings import OptimiserPart


@pytest.mark.parametrize("distance", [1e-2, 1.0, 1e3])
def test_a_convex_problem_of_any_scale_is_solved_without_a_rate(distance: float) -> None:
    """f(x) = sum |x - distance|: a step too small never arrives, one too large never settles."""
    weight = nn.Parameter(torch.zeros(5))
    optimiser, steps = Prodigy([weight]), 600
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = 1 - step / steps
        optimiser.zero_grad()
        (weight - distance).abs().sum().backward()
        optimiser.step()
    assert weight.detach().numpy() == pytest.approx(distance, rel=0.05)
    # The estimate comes from below: it never exceeds the distance to the solution by much.
    assert distance / 100 < optimiser.param_groups[0]["d"] < 5 * distance


def test_the_first_steps_are_those_of_the_algorithm() -> None:
    """By hand, for one weight, gradient 1: the estimate grows once the weight has moved."""
    weight = nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimiser = Prodigy([weight], betas=(0.0, 0.0), eps=1e-30, first=0.5)
    for expected_weight, expected_d in ((-0.5, 0.5), (-1.0, 0.5), (-1.5, 1.0)):
        weight.grad = torch.ones_like(weight)
        optimiser.step()
        assert weight.item() == pytest.approx(expected_weight)
        assert optimiser.param_groups[0]["d"] == pytest.approx(expected_d)


def test_all_groups_share_the_estimate_and_decay_is_their_own() -> None:
    network = nn.Conv2d(1, 2, 3)
    optimiser = build_optimiser(OptimiserPart(name="prodigy", weight_decay=0.1), network)
    assert [(group["lr"], group["weight_decay"]) for group in optimiser.param_groups] == [
        (1.0, 0.1),
        (1.0, 0.0),
    ]
    for _ in range(30):
        optimiser.zero_grad()
        network(torch.ones(1, 1, 5, 5)).square().sum().backward()
        optimiser.step()
    first, second = (group["d"] for group in optimiser.param_groups)
    assert first == second > 1e-6
    assert OptimiserPart(name="prodigy", lr=0.5).lr == 0.5
    assert OptimiserPart().lr == 1e-3
