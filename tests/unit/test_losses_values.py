"""Losses against values computed by hand from their formulas."""

import math

import pytest
import torch

from infraspot.core.errors import UsageError
from infraspot.losses import LOSSES as L
from infraspot.losses import SLS, Batch, DeepSupervision, Edge, Loss, Weighted, outline, weighted
from infraspot.networks import SegOutput


def _logits(*probabilities: float) -> torch.Tensor:
    """One sample of one row with these probabilities."""
    return torch.tensor(probabilities, dtype=torch.float64).logit().float().view(1, 1, 1, -1)


def _batch(labels: torch.Tensor, images: torch.Tensor | None = None) -> Batch:
    ids = tuple(f"frame{k}" for k in range(len(labels)))
    return Batch(ids, torch.zeros_like(labels) if images is None else images, labels)


def _labels(*values: float) -> Batch:
    """One sample of one row with these labels."""
    return _batch(torch.tensor(values, dtype=torch.float32).view(1, 1, 1, -1))


# p = (0.8, 0.3), y = (1, 0): sum py 0.8, sum p 1.1, sum y 1
P, Y = _logits(0.8, 0.3), _labels(1, 0)
BCE_1, BCE_2 = -math.log(0.8), -math.log(0.7)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("soft_iou", 1 - 1.8 / 2.3),
        ("dice", 1 - 2.6 / 3.1),
        ("bce", (BCE_1 + BCE_2) / 2),
        ("focal", (0.75 * 0.2**2 * BCE_1 + 0.25 * 0.3**2 * BCE_2) / 2),
        # mean p_t = (0.8 + 0.7) / 2
        ("threshold_focal", (0.2 ** -math.log(0.75) * BCE_1 + 0.3 ** -math.log(0.75) * BCE_2) / 2),
        ("point_focal", 0.2**2 * BCE_1 + 0.3**2 * BCE_2),
        ("hard_clutter", BCE_2 / 2),
        ("sls", 1 - 1.8 / 2.3),
    ],
)
def test_values_follow_the_formula(name: str, expected: float) -> None:
    assert L[name]()(P, Y).item() == pytest.approx(expected, rel=1e-5)


def test_threshold_focal_gives_weight_to_hard_pixels() -> None:
    # p_t = 0.2: BCE times 1.3^(-log 0.2)
    expected = -math.log(0.2) * 1.3 ** -math.log(0.2)
    assert L["threshold_focal"]()(_logits(0.2), _labels(1)).item() == pytest.approx(expected, rel=1e-5)


def test_focal_iou_follows_the_formula() -> None:
    p1, p2 = 0.999 * 0.3 + 0.5, 0.999 * -0.2 + 0.5
    iou = (p1 + 1) / (p1 + p2 + 1 - p1 + 1)
    b1, b2 = -math.log(p1), -math.log(1 - p2)
    power = (iou + 1) / 2
    expected = (1 - iou) * (0.75 * ((1 - p1) ** 2 * b1) ** power + 0.25 * (p2**2 * b2) ** power)
    assert L["focal_iou"]()(P, Y).item() == pytest.approx(expected, rel=1e-5)


def test_pooled_soft_iou_sums_over_the_batch_before_it_divides() -> None:
    logits = torch.cat([P, _logits(0.5, 0.5)])
    batch = _batch(torch.tensor([[1.0, 0.0], [0.0, 0.0]]).view(2, 1, 1, 2))
    # shared 0.8, p 2.1, y 1
    expected = 1 - 1.8 / 3.3
    assert L["soft_iou_batch"]()(logits, batch).tolist() == pytest.approx([expected, expected], rel=1e-5)


def test_sls_after_its_warm_up_weighs_size_and_place() -> None:
    loss = SLS(warm_up=5, smooth=0.0)
    logits, batch = _logits(0.8, 0.4, 0.2, 0.1), _labels(1, 1, 0, 0)
    assert loss(logits, batch).item() == pytest.approx(1 - 1.2 / 2.3, rel=1e-5)
    loss.begin_epoch(5)
    # sizes 1.5 and 2: d = 1/16; weight (1.5 + d) / (2 + d); one row: y = 0, so the angles are 0
    weight = 1.5625 / 2.0625
    # means of x/W p and x/W y over 4 pixels: (0.1 + 0.1 + 0.075) / 4 and 0.25 / 4
    place = 1 - 0.25 / 0.275
    assert loss(logits, batch).item() == pytest.approx(1 - weight * 1.2 / 2.3 + place, rel=1e-3)


def test_sls_turns_with_the_angle() -> None:
    loss = SLS(warm_up=0)
    target = torch.zeros(1, 1, 8, 8)
    target[..., 0, 4] = 1
    moved = target.mT
    near, far = loss((target * 2 - 1) * 20, _batch(target)), loss((moved * 2 - 1) * 20, _batch(target))
    # disjoint masks of one pixel: IoU 1 / 3 with smoothing; 90 degrees apart: 4 / pi^2 (pi / 2)^2 = 1
    assert near.item() == pytest.approx(0, abs=1e-3)
    assert far.item() == pytest.approx(2 / 3 + 1, abs=5e-2)


def test_gradient_loss_of_a_step() -> None:
    # A wall of ones at the right half: the Sobel slope is 0.5 in the two columns beside the step.
    target = torch.zeros(1, 1, 4, 6)
    target[..., 3:] = 1
    value = L["gradient"]()(torch.full_like(target, -40.0), _batch(target))
    assert value.item() == pytest.approx(2 * 0.5 / 6)


def test_bce_can_weigh_target_pixels() -> None:
    assert L["bce"](target_weight=3.0)(P, Y).item() == pytest.approx((3 * BCE_1 + BCE_2) / 2, rel=1e-5)


def test_a_weighted_sum_of_names() -> None:
    loss = weighted({"soft_iou": 1, "focal": 5}, {"focal": {"gamma": 0.0, "alpha": 0.5}})
    assert loss(P, Y).item() == pytest.approx(1 - 1.8 / 2.3 + 5 * 0.5 * (BCE_1 + BCE_2) / 2, rel=1e-5)


def test_an_unknown_loss_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UsageError, match="did you mean 'soft_iou'"):
        weighted({"soft_io": 1})


def test_deep_supervision_pools_the_target_so_that_none_vanishes() -> None:
    target = torch.zeros(1, 1, 4, 4)
    target[..., 1, 2] = 1
    pooled = torch.tensor([[0.0, 1.0], [0.0, 0.0]]).view(1, 1, 2, 2)
    output = SegOutput(torch.zeros(1, 1, 4, 4), ((pooled * 2 - 1) * 30,))
    loss = DeepSupervision(L["bce"](), [1, 0.5])
    assert loss(output, _batch(target)).item() == pytest.approx(math.log(2), rel=1e-5)


def test_deep_supervision_can_average_over_heads() -> None:
    output = SegOutput(torch.zeros(1, 1, 4, 4), (torch.zeros(1, 1, 2, 2),))
    loss = DeepSupervision(L["bce"](), [1, 1], size="upsample", normalise=True)
    assert loss(output, _batch(torch.zeros(1, 1, 4, 4))).item() == pytest.approx(math.log(2), rel=1e-5)


def test_deep_supervision_takes_one_weight_for_every_auxiliary_map() -> None:
    output = SegOutput(torch.zeros(1, 1, 4, 4), 3 * (torch.zeros(1, 1, 2, 2),))
    target = torch.zeros(1, 1, 4, 4)
    assert DeepSupervision(L["bce"](), 0.5)(output, _batch(target)).item() == pytest.approx(2.5 * math.log(2))
    assert DeepSupervision(L["bce"](), 0.5)(P, Y).item() == pytest.approx(L["bce"]()(P, Y).item())


def test_deep_supervision_counts_the_maps() -> None:
    with pytest.raises(UsageError, match="3 weights, and the network gives 1 maps"):
        DeepSupervision(L["bce"](), [1, 0.5, 0.25])(P, Y)


def test_edges_are_compared_with_the_outline() -> None:
    target = torch.zeros(1, 1, 5, 5)
    target[..., 2, 2] = 1
    ring = outline(target)
    assert ring.sum() == 9  # the pixel itself differs from its neighbours, and so do they
    output = SegOutput(torch.zeros(1, 1, 5, 5), edge=(ring * 2 - 1) * 30)
    assert Edge(L["bce"]())(output, _batch(target)).item() == pytest.approx(0, abs=1e-6)


def test_an_edge_loss_without_an_edge_map_is_refused() -> None:
    with pytest.raises(UsageError, match="this one has none"):
        Edge(L["bce"]())(P, Y)


def test_an_empty_sum_is_refused() -> None:
    with pytest.raises(UsageError, match="at least one term"):
        Weighted([])


def test_wrappers_pass_the_epoch_on() -> None:
    class Told(Loss):
        epoch = -1

        def begin_epoch(self, epoch: int) -> None:
            self.epoch = epoch

    told = Told()
    DeepSupervision(Weighted([(1.0, Edge(told))]), [1]).begin_epoch(4)
    assert told.epoch == 4
