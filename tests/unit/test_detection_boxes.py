"""Box geometry, suppression and RoIAlign against second implementations in plain loops."""

import numpy as np
import pytest
import torch

from infraspot.detection.boxes import (
    distance_overlaps,
    from_deltas,
    from_edges,
    generalised_overlaps,
    overlaps,
    to_deltas,
    to_edges,
)
from infraspot.detection.roi import roi_align, roi_align_levels
from infraspot.detection.suppression import soften, suppress


def make_boxes(count: int, seed: int, side: float = 40.0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, side, (count, 2))
    return torch.tensor(np.concatenate([low, low + rng.uniform(1, 12, (count, 2))], 1), dtype=torch.float32)


def iou_by_hand(a: np.ndarray, b: np.ndarray) -> float:
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    common = width * height
    return common / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common)


def suppress_by_hand(boxes: np.ndarray, scores: np.ndarray, iou: float) -> list[int]:
    kept: list[int] = []
    for place in sorted(range(len(scores)), key=lambda k: (-scores[k], k)):
        if all(iou_by_hand(boxes[place], boxes[other]) <= iou for other in kept):
            kept.append(place)
    return kept


@pytest.mark.parametrize(("count", "side"), [(0, 40.0), (1, 40.0), (300, 40.0), (400, 400.0)])
@pytest.mark.parametrize("iou", [0.3, 0.6])
def test_suppression_keeps_what_a_loop_over_the_boxes_keeps(count: int, side: float, iou: float) -> None:
    boxes = make_boxes(count, seed=count, side=side)
    scores = torch.from_numpy(np.random.default_rng(1).integers(0, 50, count) / 50).float()  # with ties
    kept = suppress(boxes, scores, iou)
    assert kept.tolist() == suppress_by_hand(boxes.double().numpy(), scores.numpy(), iou)
    assert suppress(boxes, scores, iou, most=5).tolist() == kept.tolist()[:5]


def test_a_chain_of_boxes_is_settled_from_its_best_end() -> None:
    # Each box hides its neighbours only: the first hides the second, which then does not hide the third.
    x = torch.arange(0, 300, 2.0)
    boxes = torch.stack([x, torch.zeros_like(x), x + 6, torch.full_like(x, 6.0)], 1)
    assert suppress(boxes, 1 - x / 1000, 0.4).tolist() == list(range(0, 150, 2))


def test_soft_suppression_lowers_a_neighbour_by_its_overlap() -> None:
    boxes = torch.tensor([[0.0, 0, 4, 4], [1, 0, 5, 4], [20, 20, 24, 24]])
    places, scores = soften(boxes, torch.tensor([0.9, 0.8, 0.7]), sigma=0.5)
    assert places.tolist() == [0, 2, 1]
    expected = 0.8 * np.exp(-(0.6**2) / 0.5)  # the two share 12 of 20 square pixels
    assert scores.tolist() == pytest.approx([0.9, 0.7, expected], abs=1e-6)
    assert not len(soften(boxes[:0], torch.zeros(0))[0])


def test_overlaps_of_two_boxes_are_those_of_the_drawing() -> None:
    one, other = torch.tensor([0.0, 0, 4, 4]), torch.tensor([2.0, 0, 6, 4])
    assert float(overlaps(one, other)) == pytest.approx(8 / 24)
    assert float(generalised_overlaps(one, other)) == pytest.approx(8 / 24)  # the hull holds nothing else
    far = torch.tensor([6.0, 0, 10, 4])
    assert float(generalised_overlaps(one, far)) == pytest.approx(-8 / 40)
    assert float(distance_overlaps(one, far)) == pytest.approx(-(6**2) / (10**2 + 4**2))


def test_encodings_of_boxes_are_undone_by_their_decodings() -> None:
    boxes, anchors = make_boxes(50, 3), make_boxes(50, 4)
    points = torch.rand(50, 2) * 40
    torch.testing.assert_close(from_edges(points, to_edges(points, boxes)), boxes)
    spread = (0.1, 0.1, 0.2, 0.2)
    decoded = from_deltas(anchors, to_deltas(anchors, boxes, spread), spread)
    torch.testing.assert_close(decoded, boxes, atol=1e-4, rtol=1e-4)


def align_by_hand(map_: np.ndarray, box: np.ndarray, size: int, stride: float, samples: int) -> np.ndarray:
    """Loops over cells, samples and the four neighbours of a sample."""
    channels, height, width = map_.shape
    found = np.zeros((channels, size, size))
    x0, y0, x1, y1 = box / stride
    for row in range(size):
        for column in range(size):
            for i in range(samples):
                for j in range(samples):
                    y = y0 + (y1 - y0) * (row + (i + 0.5) / samples) / size - 0.5
                    x = x0 + (x1 - x0) * (column + (j + 0.5) / samples) / size - 0.5
                    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
                    top, left = int(y), int(x)
                    down, right = min(top + 1, height - 1), min(left + 1, width - 1)
                    a, b = y - top, x - left
                    value = (1 - a) * ((1 - b) * map_[:, top, left] + b * map_[:, top, right])
                    value += a * ((1 - b) * map_[:, down, left] + b * map_[:, down, right])
                    found[:, row, column] += value / samples**2
    return found


def test_regions_are_the_means_of_bilinear_samples() -> None:
    features = torch.rand(2, 3, 9, 11, generator=torch.Generator().manual_seed(0))
    boxes = [torch.tensor([[3.0, 2, 14, 17], [0, 0, 22, 18]]), torch.tensor([[5.5, 6.5, 6.5, 9]])]
    found = roi_align(features, boxes, 4, stride=2.0, samples=2)
    expected = [
        align_by_hand(features[k].double().numpy(), box.double().numpy(), 4, 2.0, 2)
        for k in (0, 1)
        for box in boxes[k]
    ]
    np.testing.assert_allclose(found.numpy(), np.stack(expected), atol=1e-5)


def test_regions_of_frames_without_boxes_are_none() -> None:
    assert roi_align(torch.rand(1, 3, 8, 8), [torch.zeros(0, 4)], 7).shape == (0, 3, 7, 7)


def test_a_box_is_read_from_the_level_of_its_size() -> None:
    fine, coarse = torch.zeros(1, 1, 64, 64), torch.ones(1, 1, 32, 32)
    boxes = [torch.tensor([[0.0, 0, 10, 10], [0, 0, 40, 40], [5, 5, 9, 9]])]
    found = roi_align_levels([fine, coarse], [2, 4], boxes, 3, finest=16.0)
    assert found.mean((1, 2, 3)).tolist() == [0, 1, 0]
