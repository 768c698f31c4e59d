"""What single methods do, by hand; parameters against the papers."""

from itertools import product

import pytest
import torch

from infraspot.detection import DETECTORS, Wanted
from infraspot.detection.assigners import BACKGROUND, IGNORED, Said, adaptive, by_overlap, in_box
from infraspot.detection.atss import lower_part
from infraspot.detection.centernet import CenterNet
from infraspot.detection.dyhead import DynamicBlock
from infraspot.detection.exchange import ChannelExchange, SpatialExchange
from infraspot.detection.grid_rcnn import boxes_of, heat_of
from infraspot.detection.heads import HeadMaps, NormedByLevel, flat
from infraspot.detection.losses import centreness, distribution_focal
from infraspot.detection.matching import matched, set_loss
from infraspot.detection.priors import Anchors, SizedAnchors
from infraspot.detection.sabl import buckets, confidence
from infraspot.detection.sampling import LearntMovesConv2d
from infraspot.detection.ssd import hardest
from infraspot.detection.transformers_detr import SetDetector

# Of the stem, which reads one grey channel here, and three in the papers.
STEM = 2 * 64 * 7 * 7
STEMS = {
    "ssd": 2 * 64 * 9,
    "yolov3": 2 * 32 * 9,
    "rtmdet": 2 * 32 * 9,
    "efficientdet": 2 * 32 * 9,
    "yolox": 8 * 32 * 9,
}
# Of the 79 classes that some of the table's counts have beside one.
CLASSES = {
    "yolov3": 79 * 3 * sum(wide + 1 for wide in (256, 512, 1024)),
    "rtmdet": 79 * 3 * (256 + 1),
    "sabl": 79 * (1024 + 1),
    "ddod": 79 * (9 * 256 + 1),
    "yolox": 79 * 3 * (128 + 1),
}

COUNTED = {
    name: detector.sheet.paper_params
    for name, detector in DETECTORS.items()
    if detector.sheet.paper_params and (name in CLASSES or not detector.sheet.note)
}


def count(name: str, **options: object) -> int:
    if issubclass(DETECTORS[name], SetDetector):
        pytest.importorskip("transformers")
    with torch.device("meta"):
        return sum(p.numel() for p in DETECTORS[name](**options).parameters())


@pytest.mark.parametrize("name", COUNTED)
def test_parameters_are_those_of_the_papers_table(name: str) -> None:
    whole = count(name) + STEMS.get(name, STEM) + CLASSES.get(name, 0)
    assert whole == pytest.approx(COUNTED[name], abs=700 if whole < 1e8 else 5e5)


def test_retinanet_on_other_backbones_has_the_parameters_of_other_rows() -> None:
    assert count("retinanet", backbone="pvt-tiny") + 2 * 64 * 16 == pytest.approx(21.325e6, abs=500)
    assert count("retinanet", backbone="efficientnet-b3") + 2 * 40 * 9 == pytest.approx(18.320e6, abs=1000)
    assert count("tridentnet", dilations=(1,)) + STEM == pytest.approx(33.035e6, abs=500)


def test_efficientdet_has_the_parameters_of_d0_but_for_its_90_classes() -> None:
    classes = 89 * 9 * (64 + 1)
    assert count("efficientdet") + STEMS["efficientdet"] + classes == 3_880_067


def test_bafe_has_the_parameters_of_the_program_without_those_it_never_runs() -> None:
    assert count("bafe") + STEM == pytest.approx(22.56e6 - 0.85e6, abs=5e3)
    assert count("bafe", backbone="resnet50") + STEM == pytest.approx(35.58e6 - 0.85e6, abs=5e3)


def priors_of(side: int, *strides: int, scale: float = 1.0) -> tuple:
    maps = [torch.zeros(1, 1, side // stride, side // stride) for stride in strides]
    return Anchors((scale,))(maps, strides)


NOTHING = Said(torch.zeros(0), torch.zeros(0, 4))


def test_places_come_level_by_level_and_row_by_row() -> None:
    priors = priors_of(8, 4, 8)
    assert priors.points.tolist() == [[2, 2], [6, 2], [2, 6], [6, 6], [4, 4]]
    assert priors.strides.tolist() == [4, 4, 4, 4, 8]
    assert priors.boxes[0].tolist() == [0, 0, 4, 4]
    maps = [torch.arange(4.0).reshape(1, 1, 2, 2), torch.full((1, 1, 1, 1), 9.0)]
    assert flat(maps).tolist() == [[0, 1, 2, 3, 9]]


def test_a_box_without_a_place_teaches_the_nearest_one_only_if_asked() -> None:
    priors, boxes = priors_of(32, 8), torch.tensor([[8.5, 8.5, 11, 11], [0, 0, 16, 16]])
    plain = in_box()(priors, boxes, NOTHING).target
    assert plain.tolist().count(0) == 0
    assert [k for k, target in enumerate(plain.tolist()) if target == 1] == [0, 1, 4, 5]
    near = in_box(nearest=True)(priors, torch.tensor([[8.5, 8.5, 11, 11]]), NOTHING).target
    assert [k for k, target in enumerate(near.tolist()) if target == 0] == [5]  # the centre (12, 12)


def test_the_smallest_box_around_a_place_is_taught() -> None:
    boxes = torch.tensor([[0.0, 0, 30, 30], [2, 2, 9, 9]])
    target = in_box()(priors_of(32, 8), boxes, NOTHING).target
    assert target[0] == 1
    assert target[1] == 0


def test_overlaps_between_the_bounds_are_ignored() -> None:
    priors = priors_of(16, 8)  # anchors of 8x8 at (0, 0), (8, 0), (0, 8), (8, 8)
    boxes = torch.tensor([[0.0, 0, 8, 8], [8, 0, 16, 3.6]])
    found = by_overlap(0.5, 0.4, every_box=False)(priors, boxes, NOTHING).target
    assert found.tolist() == [0, IGNORED, BACKGROUND, BACKGROUND]  # the second shares .45


def test_atss_takes_the_anchors_above_mean_and_deviation() -> None:
    priors = priors_of(24, 8)
    box = torch.tensor([[7.0, 7, 15, 15]])
    shared = torch.tensor(
        [
            max(0, min(x + 8, 15) - max(x, 7)) * max(0, min(y + 8, 15) - max(y, 7))
            for y, x in product((0, 8, 16), (0, 8, 16))
        ]
    )
    fit = shared / (128 - shared)
    bound = fit.mean() + fit.std()
    found = adaptive(9)(priors, box, NOTHING).target
    assert (found == 0).tolist() == [bool(value >= bound) for value in fit]


def test_the_lower_of_two_heaps_is_parted_from_the_other() -> None:
    values = torch.tensor([0.10, 0.12, 0.09, 2.0, 2.1, 1.9, 2.05])
    lower = lower_part(values)
    assert lower.any()
    assert not lower[3:].any()
    assert lower_part(torch.tensor([3.0])).tolist() == [True]


def test_centreness_is_one_in_the_middle_and_nothing_on_an_edge() -> None:
    edges = torch.tensor([[2.0, 2, 2, 2], [1, 2, 3, 2], [0, 1, 4, 1]])
    assert centreness(edges).tolist() == pytest.approx([1, (1 / 3) ** 0.5, 0])


def test_a_distance_between_two_bins_is_shared_by_them() -> None:
    logits = torch.zeros(1, 17)
    logits[0, 2], logits[0, 3] = 2.0, 1.0
    logs = logits.log_softmax(-1)[0]
    expected = -(0.75 * logs[2] + 0.25 * logs[3])
    assert float(distribution_focal(logits, torch.tensor([2.25]))[0]) == pytest.approx(float(expected))


def test_the_heat_of_a_box_is_one_at_its_centre_on_its_own_level() -> None:
    detector = CenterNet(backbone="resnet10", strides=(8, 16), width=16, depth=1)
    priors = priors_of(64, 8, 16)
    heat, peaks = detector.heat(priors, torch.tensor([[10.0, 10, 14, 14]]))
    assert peaks.tolist() == [9]  # (12, 12) of the level at stride 8
    assert heat[9] == 1
    assert heat[priors.level == 1].max() == 0


def test_swapped_channels_come_from_the_other_feature() -> None:
    exchange = ChannelExchange(4, share=0.5, selection="fixed", adapter=0)
    one, other = torch.arange(4.0).reshape(1, 4, 1, 1), torch.arange(10.0, 14).reshape(1, 4, 1, 1)
    first, second = exchange(one, other)
    assert first.flatten().tolist() == [10, 1, 12, 3]
    assert second.flatten().tolist() == [0, 11, 2, 13]


@pytest.mark.parametrize("selection", ["dynamic", "gated", "fixed", "random"])
@pytest.mark.parametrize("share", [0.03125, 0.375, 0.5, 0.875])
def test_a_share_of_the_channels_is_swapped(selection: str, share: float) -> None:
    torch.manual_seed(0)
    exchange = ChannelExchange(32, share=share, selection=selection, adapter=0).eval()
    first, _ = exchange(torch.full((2, 32, 3, 3), 1.0), torch.full((2, 32, 3, 3), 5.0))
    assert (first != 1).all((2, 3)).sum(1).tolist() == [int(32 * share)] * 2


def test_only_the_gated_selection_trains_its_attention() -> None:
    for selection, learns in (("dynamic", False), ("gated", True)):
        exchange = ChannelExchange(8, selection=selection)
        first, second = exchange(torch.rand(1, 8, 5, 5), torch.rand(1, 8, 5, 5))
        (first.sum() + second.square().sum()).backward()
        assert exchange.attention is not None
        gradients = [p.grad is not None for p in exchange.attention.parameters()]
        assert gradients == [learns] * len(gradients)


def test_every_second_column_is_swapped() -> None:
    one, other = torch.zeros(1, 1, 1, 4), torch.ones(1, 1, 1, 4)
    first, second = SpatialExchange(share=0.5, adapter=0)(one, other)
    assert first.flatten().tolist() == [1, 0, 1, 0]
    assert second.flatten().tolist() == [0, 1, 0, 1]


def test_a_deformable_layer_begins_as_a_plain_convolution() -> None:
    torch.manual_seed(0)
    layer, x = LearntMovesConv2d(3, 5), torch.rand(2, 3, 6, 7)
    torch.testing.assert_close(layer(x), torch.nn.functional.conv2d(x, layer.weight, padding=1))


def test_the_background_is_learnt_from_its_hardest_places_alone() -> None:
    losses = torch.tensor([[5.0, 1, 4, 3, 2, 9], [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]])
    positive = torch.tensor([[False, False, False, False, False, True], [False] * 6])
    assert hardest(losses, positive).tolist() == [[True, False, True, True, False, False], [True] * 6]


def test_anchors_of_given_sizes_lie_around_the_places_of_their_level() -> None:
    maps = [torch.zeros(1, 1, 1, 2), torch.zeros(1, 1, 1, 1)]
    priors = SizedAnchors((((1.0, 1.0), (2.0, 0.5)), ((0.5, 0.5),)))(maps, (4, 8))
    assert priors.points.tolist() == [[2, 2], [2, 2], [6, 2], [6, 2], [4, 4]]
    assert priors.boxes[[0, 3, 4]].tolist() == [[0, 0, 4, 4], [2, 1, 10, 3], [2, 2, 6, 6]]


def test_norms_of_a_shared_tower_are_the_level_s_own() -> None:
    tower = NormedByLevel([torch.nn.Conv2d(3, 3, 1)], 3, 2)
    tower([torch.rand(2, 3, 4, 4), torch.rand(2, 3, 4, 4) + 5])
    means = [norm.running_mean for norm in tower.norms]
    assert not torch.allclose(*means)
    assert len([key for key, _ in tower.named_parameters() if key.startswith("layers")]) == 2


def test_buckets_say_where_an_edge_is() -> None:
    detector = DETECTORS["sabl"](backbone="resnet10", strides=(4, 8), width=16, hidden=16)
    boxes = torch.tensor([[10.0, 20, 24, 34]])  # 14x14: buckets span (5.1, 15.1) to (28.9, 38.9)
    truth = torch.tensor([[11.0, 19, 23, 36]])
    middles, widths = buckets(boxes)
    assert widths[0].tolist() == pytest.approx([1.7] * 4)
    assert middles[0, 0, :2].tolist() == pytest.approx([5.95, 7.65])
    assert middles[0, 2, :2].tolist() == pytest.approx([28.05, 26.35])
    offsets = (middles - truth[..., None]) / widths[..., None]
    logits = -10 * offsets.abs()
    numbers = torch.stack([logits, offsets], 1)
    assert detector.decoded(boxes, numbers, 0)[0].tolist() == pytest.approx(truth[0].tolist(), abs=1e-4)
    right = detector.box_loss(boxes, truth, numbers, 0)
    wrong = detector.box_loss(boxes, truth, torch.stack([logits.flip(-1), offsets], 1), 0)
    assert right < wrong


def test_sureness_counts_the_second_bucket_only_beside_the_first() -> None:
    chance = torch.full((2, 4, 7), 1e-6)
    chance[:, :, 2], chance[0, :, 3], chance[1, :, 5] = 0.6, 0.3, 0.3
    assert confidence(chance.log()).tolist() == pytest.approx([1.0, 2 / 3], abs=1e-3)


def test_heat_of_the_nine_points_gives_the_box_back() -> None:
    area = torch.tensor([[0.0, 0, 56, 112]])  # a cell is 1x2 pixels
    truth = torch.tensor([[14.5, 29, 42.5, 85]])  # all points in the middle of a cell
    heat = heat_of(area, truth)
    assert heat.shape == (1, 9, 28, 28)
    assert heat[0, 4].sum() == 5
    found = boxes_of(area, 20 * (heat - 0.5))
    assert (found - truth).abs().max() <= 2  # the first of five equal cells


def test_pairs_of_a_set_are_the_cheapest_together() -> None:
    scale = torch.full((4,), 100.0)
    targets = torch.tensor([[10.0, 10, 14, 14], [12, 10, 16, 14]])
    boxes = torch.tensor([[12.0, 10, 16, 14], [60, 60, 64, 64], [9, 10, 13, 14]])
    rows, columns = matched(torch.zeros(3), boxes, targets, scale)
    assert dict(zip(rows.tolist(), columns.tolist(), strict=True)) == {0: 1, 2: 0}


def test_a_box_for_each_target_and_sure_scores_cost_least() -> None:
    truth = torch.tensor([[10.0, 10, 14, 14]])
    boxes = torch.tensor([[[10.0, 10, 14, 14], [50, 50, 60, 60]]])
    wanted = Wanted((truth,))
    costs = [
        float(set_loss(torch.tensor([logits]), boxes, wanted, (100, 100)))
        for logits in ([8.0, -8.0], [-8.0, 8.0], [8.0, 8.0])
    ]
    assert costs[0] < 1e-3
    assert min(costs[1:]) > 1


def test_a_dynamic_block_begins_as_plain_convolutions_of_each_level_and_its_neighbours() -> None:
    torch.manual_seed(0)
    block = DynamicBlock(16)
    for norm in block.norms:
        norm.forward = lambda x: x
    block.weigh.forward = lambda x: torch.ones_like(x[:, :1, :1, :1])
    fine, middle, coarse = (torch.rand(1, 16, side, side) for side in (12, 6, 3))
    conv = torch.nn.functional.conv2d
    own = conv(middle, block.own.weight, padding=1)
    finer = conv(fine, block.finer.weight, stride=2, padding=1)
    coarser = torch.nn.functional.interpolate(
        conv(coarse, block.coarser.weight, padding=1), size=(6, 6), mode="bilinear", align_corners=True
    )
    expected = (own + finer + coarser) / 3 / 2  # weights of taps begin at one half
    torch.testing.assert_close(block._gathered([fine, middle, coarse], 1), expected)


@pytest.mark.parametrize("name", ["fcos", "bafe", "vfnet"])
def test_levels_of_different_content_are_normed_in_prediction_as_they_were_in_training(name: str) -> None:
    torch.manual_seed(0)
    options = {"backbone": "resnet10", "strides": (4, 8), "width": 16, "depth": 1, "norm": "batch"}
    head = DETECTORS[name](**options).head
    for norm in head.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.momentum = 1.0  # the running numbers are those of the last batch
    maps = [torch.randn(2, 16, 24, 24), 5 + 3 * torch.randn(2, 16, 24, 24)]
    learnt = _logits(head, maps)
    predicted = _logits(head.eval(), maps)
    for one, other in zip(learnt, predicted, strict=True):
        torch.testing.assert_close(one, other, atol=1e-3, rtol=1e-2)


def _logits(head: torch.nn.Module, maps: list[torch.Tensor]) -> list[torch.Tensor]:
    answer = getattr(head, "with_sky", head)(maps)
    return (answer if isinstance(answer, HeadMaps) else answer[0]).logits
