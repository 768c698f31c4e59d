"""Losses against values computed by hand from their formulas."""

import math

import numpy as np
import pytest
import torch

from infraspot.core.errors import UsageError
from infraspot.losses import LOSSES as L
from infraspot.losses import (
    SLS,
    Batch,
    DeepSupervision,
    Edge,
    Loss,
    Weighted,
    edge_gradient,
    outline,
    weighted,
)
from infraspot.losses.sparsity import filter_bands
from infraspot.networks import SegOutput
from infraspot.training import load_recipe
from infraspot.training.parts import build_loss


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


CROSS = [[0, 0, 0, 0, 0], [0, 0, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 0, 0], [0, 0, 0, 0, 0]]


def _pixel() -> torch.Tensor:
    """One target of one pixel, in the middle."""
    target = torch.zeros(1, 1, 5, 5)
    target[..., 2, 2] = 1
    return target


def test_the_outline_is_both_sides_of_the_border() -> None:
    assert outline(_pixel())[0, 0].tolist() == CROSS
    assert not outline(torch.ones(1, 1, 4, 4)).any()


def test_the_edge_gradient_is_the_central_difference() -> None:
    around = torch.tensor(CROSS, dtype=torch.float32) - _pixel()[0, 0]
    assert torch.equal(edge_gradient(_pixel())[0, 0], around)  # opposite neighbours of the pixel are equal
    corner = torch.zeros(1, 1, 5, 5)
    corner[..., 2:, 2:] = 1
    assert edge_gradient(corner)[0, 0, 2, 2] == 1  # its length is the root of 2
    assert edge_gradient(0.5 * corner)[0, 0, 2, 2].item() == pytest.approx(0.5**0.5)


@pytest.mark.parametrize(("truth", "edges"), [("outline", outline), ("gradient", edge_gradient)])
def test_an_edge_map_that_is_the_truth_costs_nothing(truth, edges) -> None:
    output = SegOutput(torch.zeros(1, 1, 5, 5), edge=(edges(_pixel()) * 2 - 1) * 30)
    assert Edge(L["bce"](), truth)(output, _batch(_pixel())).item() == pytest.approx(0, abs=1e-6)


def test_an_unknown_truth_of_edges_is_refused() -> None:
    with pytest.raises(UsageError, match="knows the truths gradient and outline, got 'sobel'"):
        Edge(L["bce"](), "sobel")


def test_isnets_loss_follows_the_program() -> None:
    labels = (torch.rand(2, 1, 8, 9, generator=torch.Generator().manual_seed(1)) > 0.7).float()
    logits = torch.randn(2, 1, 8, 9, generator=torch.Generator().manual_seed(2))
    edge = torch.randn(2, 1, 8, 9, generator=torch.Generator().manual_seed(4))
    across = torch.tensor([[[[0.0, 0, 0], [-1, 0, 1], [0, 0, 0]]]])
    slopes = [torch.nn.functional.conv2d(labels, kernel, padding=1) for kernel in (across, across.mT)]
    truth = (slopes[0] ** 2 + slopes[1] ** 2 + 1e-6).sqrt().clamp(max=1)

    def soft_iou(p: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return 1 - ((p * y).sum() + 1) / ((p + y - p * y).sum() + 1)

    expected = soft_iou(logits.sigmoid(), labels) + soft_iou(edge.sigmoid(), truth)
    expected = expected + 10 * torch.nn.functional.binary_cross_entropy(edge.sigmoid(), truth)
    loss = build_loss(load_recipe("isnet").loss)
    value = loss(SegOutput(logits, edge=edge), _batch(labels)).mean()
    assert value.item() == pytest.approx(expected.item(), rel=1e-2)  # the program's floor of 0.001


def test_an_edge_loss_without_an_edge_map_is_refused() -> None:
    with pytest.raises(UsageError, match="has 'edge', and this one gives none"):
        Edge(L["bce"]())(P, Y)


def test_hard_edge_bce_averages_the_hardest_half() -> None:
    # Both pixels lie at the border and count 4 times; the second is the harder one.
    assert L["hard_edge_bce"]()(P, Y).item() == pytest.approx(4 * BCE_2, rel=1e-5)
    assert L["hard_edge_bce"](share=1.0)(P, Y).item() == pytest.approx(2 * (BCE_1 + BCE_2), rel=1e-5)


def test_hard_edge_bce_weighs_the_border_and_nothing_else() -> None:
    # Only the first two pixels lie at the border; the others cost log 2 each.
    logits = torch.cat([P, torch.zeros(1, 1, 1, 2)], dim=3)
    expected = (4 * BCE_1 + 4 * BCE_2 + 2 * math.log(2)) / 4
    assert L["hard_edge_bce"](share=1.0)(logits, _labels(1, 0, 0, 0)).item() == pytest.approx(
        expected, rel=1e-5
    )


def test_hard_edge_bce_with_other_options_is_what_the_program_computes() -> None:
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(3, 1, 9, 8)), rng.random((3, 1, 9, 8)) < 0.1
    cost = 4 * np.where(labels, np.logaddexp(0, -logits), np.logaddexp(0, logits))
    kept = cost[cost >= np.sort(cost.ravel())[cost.size // 2]]
    loss = weighted({"hard_edge_bce": 4}, {"hard_edge_bce": {"edge_weight": 1.0, "pooled": True}})
    value = loss(torch.tensor(logits), _batch(torch.tensor(labels).float())).mean()
    assert value.item() == pytest.approx(kept.mean(), rel=1e-5)


def test_hard_edge_bce_refuses_a_share_of_nothing() -> None:
    with pytest.raises(UsageError, match="above 0 and up to 1, got 0"):
        L["hard_edge_bce"](share=0)


def test_fidelity_is_the_squared_error_of_the_reconstruction() -> None:
    logits, background = torch.tensor([[[[0.5, 0.0]]]]), torch.tensor([[[[0.2, 0.1]]]])
    batch = _batch(torch.zeros(1, 1, 1, 2), images=torch.tensor([[[[0.3, 0.4]]]]))
    value = L["fidelity"]()(SegOutput(logits, background=background), batch)
    assert value.item() == pytest.approx((0.4**2 + 0.3**2) / 2)


def _streams(f: list[list[float]], g: list[list[float]]) -> SegOutput:
    """Features of 2 channels on a row of 2 pixels, of which the first is the target."""
    pair = tuple(torch.tensor(stream).view(1, 2, 1, 2) for stream in (f, g))
    return SegOutput(torch.zeros(1, 1, 1, 2), streams=(pair,))


def test_contrast_falls_as_the_streams_part() -> None:
    loss, batch = L["contrast"](temperature=0.5), _labels(1, 0)
    same = _streams([[2.0, 2.0], [0.0, 0.0]], [[3.0, 3.0], [0.0, 0.0]])
    assert loss(same, batch).item() == pytest.approx(math.log(2))
    square = _streams(
        [[2.0, 7.0], [0.0, 0.0]], [[7.0, 0.0], [0.0, 3.0]]
    )  # f (1, 0) on the target, g (0, 1) off
    assert loss(square, batch).item() == pytest.approx(math.log1p(math.exp(-1 / 0.5)))
    opposite = _streams([[2.0, 7.0], [0.0, 0.0]], [[7.0, -3.0], [0.0, 0.0]])
    assert loss(opposite, batch).item() == pytest.approx(math.log1p(math.exp(-2 / 0.5)))


def test_contrast_is_0_where_there_is_nothing_to_compare() -> None:
    output = _streams([[2.0, 7.0], [0.0, 0.0]], [[7.0, 0.0], [0.0, 3.0]])
    assert L["contrast"]()(output, _labels(0, 0)).item() == 0
    assert L["contrast"]()(output, _labels(1, 1)).item() == 0


def test_wavelet_sparsity_adds_the_lengths_of_the_bands_of_every_filter() -> None:
    first, head = torch.nn.Conv2d(1, 2, (1, 2)), torch.nn.Conv2d(2, 1, 1)
    first.weight.data = torch.tensor([[3.0, 1.0], [0.0, 0.0]]).view(2, 1, 1, 2)
    loss = L["wavelet_sparsity"]()
    loss.begin(torch.nn.Sequential(first, head))
    value = loss(P, Y)
    # Half sums and half differences of (3, 1), scaled by the root of 2; the head is left alone.
    assert value.item() == pytest.approx((4 + 2) / 2**0.5)
    value.sum().backward()
    assert first.weight.grad is not None
    assert first.weight.grad[1].eq(0).all()
    assert first.weight.grad[0].flatten().tolist() == pytest.approx([2**0.5, 0.0])
    assert head.weight.grad is None


def test_wavelet_sparsity_alone_brings_filters_to_nothing_band_by_band() -> None:
    layer = torch.nn.Conv2d(1, 2, (1, 2))
    layer.weight.data = torch.tensor([[3.0, 2.5], [0.3, 0.1]]).view(2, 1, 1, 2)
    loss = L["wavelet_sparsity"]()
    loss.begin(layer)
    optimiser = torch.optim.SGD(layer.parameters(), lr=0.05)
    for _ in range(10):
        optimiser.zero_grad()
        loss(P, Y).sum().backward()
        optimiser.step()
    low, high = filter_bands(layer.weight.detach())
    # Each band lost 0.05 a step, or swings about 0: the weak filter is gone, and the noise of the strong too.
    assert low.flatten().tolist() == pytest.approx([5.5 / 2**0.5 - 0.5, 0.0], abs=0.05)
    assert high.flatten().tolist() == pytest.approx([0.0, 0.0], abs=0.05)


def test_the_bands_of_a_filter_hold_its_energy() -> None:
    weight = torch.randn(3, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    low, high = filter_bands(weight)
    torch.testing.assert_close(low.square().sum() + high.square().sum(), weight.square().sum())
    assert [band.shape for band in filter_bands(weight[:, :1])] == [(3, 5), (3, 5)]  # 9 numbers, one repeated


def _mshnet_program(maps: list[torch.Tensor], labels: torch.Tensor, epoch: int) -> float:
    """What MSHNet's program minimises (batches of targets only, smoothed by 1): 5 is its last warm epoch."""
    p, y = maps[1].sigmoid(), labels
    if epoch <= 5:
        shared, union = (p * y).sum((1, 2, 3)), (p + y - p * y).sum((1, 2, 3))
        return 1 - ((shared + 1) / (union + 1)).mean().item()
    total = 0.0
    for k, logits in enumerate(maps):
        if k > 1:
            y = torch.nn.functional.max_pool2d(y, 2)
        p, y_x, y_y = (
            logits.sigmoid(),
            torch.arange(y.shape[3]) / y.shape[3],
            torch.arange(y.shape[2]) / y.shape[2],
        )
        for one, truth in zip(p[:, 0], y[:, 0], strict=True):
            size, true_size, shared = one.sum(), truth.sum(), (one * truth).sum()
            slack = ((size - true_size) / 2) ** 2 + 1
            weight = (min(size, true_size) + slack) / (max(size, true_size) + slack)
            total += 1 - float(weight * (shared + 1) / (size + true_size - shared + 1))
            places = [((y_x * m).mean().item(), (y_y[:, None] * m).mean().item()) for m in (one, truth)]
            radii = [math.sqrt(u * u + v * v + 1e-8) for u, v in places]
            angles = [math.atan(v / (u + 1e-8)) for u, v in places]
            total += 1 - min(radii) / (max(radii) + 1e-8) + 4 / math.pi**2 * (angles[0] - angles[1]) ** 2
    return total / len(labels) / len(maps)


@pytest.mark.parametrize("epoch", [0, 5, 6])
def test_mshnet_trains_its_finest_head_alone_for_six_epochs(epoch: int) -> None:
    generator = torch.Generator().manual_seed(epoch)
    sizes = [(16, 24), (16, 24), (8, 12), (4, 6), (2, 3)]
    maps = [torch.randn(2, 1, *size, generator=generator) for size in sizes]
    labels = torch.zeros(2, 1, 16, 24)
    labels[0, 0, 3:6, 9:14] = 1
    labels[1, 0, 10:12, 2:4] = 1
    loss = build_loss(load_recipe("mshnet").loss)
    loss.begin_epoch(epoch)
    value = loss(SegOutput(maps[0], tuple(maps[1:])), _batch(labels)).mean().item()
    assert value == pytest.approx(_mshnet_program(maps, labels, epoch), rel=1e-5)


def test_a_warm_up_needs_an_auxiliary_map() -> None:
    with pytest.raises(UsageError, match="the warm-up loss needs a network whose output has 'aux'"):
        DeepSupervision(L["bce"](), 1.0, warm_up=1)(P, Y)


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
