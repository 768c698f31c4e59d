"""Boxes as tensors: overlaps, and the numbers that a network learns in their place.

Boxes are (..., 4) as (x0, y0, x1, y1) in pixels of the frame, half-open: the edge of the frame is 0, and the
centre of its first pixel .5.
"""

import math

import torch
from torch import Tensor

# Sizes are exponentials of what a network says; a wild answer must not become an infinite box.
LARGEST_POWER = math.log(1000 / 16)
TINY = 1e-7
NARROW = (0.1, 0.1, 0.2, 0.2)  # what shifts and scales are spread by where they are small, as R-CNNs have it


def areas(boxes: Tensor) -> Tensor:
    """(...,) areas in square pixels; 0 for an empty box."""
    return (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(-1)


def intersections(boxes: Tensor, others: Tensor) -> Tensor:
    """Areas that boxes and others share; the two shapes are broadcast."""
    low = torch.maximum(boxes[..., :2], others[..., :2])
    high = torch.minimum(boxes[..., 2:], others[..., 2:])
    return (high - low).clamp(min=0).prod(-1)


def overlaps(boxes: Tensor, others: Tensor) -> Tensor:
    """Intersection over union of boxes and others, broadcast; 0 where both are empty."""
    common = intersections(boxes, others)
    return common / (areas(boxes) + areas(others) - common).clamp(min=TINY)


def pairwise_overlaps(boxes: Tensor, others: Tensor) -> Tensor:
    """(N, M) intersection over union of (N, 4) boxes with (M, 4) others."""
    return overlaps(boxes[:, None], others[None])


def generalised_overlaps(boxes: Tensor, others: Tensor) -> Tensor:
    """GIoU in (-1, 1]: the overlap less the share of the hull that neither box covers (2019)."""
    common = intersections(boxes, others)
    union = (areas(boxes) + areas(others) - common).clamp(min=TINY)
    low = torch.minimum(boxes[..., :2], others[..., :2])
    high = torch.maximum(boxes[..., 2:], others[..., 2:])
    hull = (high - low).prod(-1).clamp(min=TINY)
    return common / union - (hull - union) / hull


def distance_overlaps(boxes: Tensor, others: Tensor) -> Tensor:
    """DIoU in (-1, 1]: the overlap less the squared distance of the centres over the hull's diagonal."""
    low = torch.minimum(boxes[..., :2], others[..., :2])
    high = torch.maximum(boxes[..., 2:], others[..., 2:])
    diagonal = (high - low).square().sum(-1).clamp(min=TINY)
    gap = (centres(boxes) - centres(others)).square().sum(-1)
    return overlaps(boxes, others) - gap / diagonal


def centres(boxes: Tensor) -> Tensor:
    """(..., 2) as (x, y)."""
    return (boxes[..., :2] + boxes[..., 2:]) / 2


def sides(boxes: Tensor) -> Tensor:
    """(..., 2) widths and heights."""
    return boxes[..., 2:] - boxes[..., :2]


def to_edges(points: Tensor, boxes: Tensor) -> Tensor:
    """(..., 4) distances from points (x, y) to the left, upper, right and lower edge of their boxes."""
    return torch.cat([points - boxes[..., :2], boxes[..., 2:] - points], -1)


def from_edges(points: Tensor, distances: Tensor) -> Tensor:
    """The boxes whose edges lie so far from points; the inverse of :func:`to_edges`."""
    return torch.cat([points - distances[..., :2], points + distances[..., 2:]], -1)


def to_deltas(anchors: Tensor, boxes: Tensor, spread: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    """(..., 4) shift and logarithm of the scale from anchors to boxes, over ``spread`` (R-CNN, 2014)."""
    shift = (centres(boxes) - centres(anchors)) / sides(anchors)
    scale = (sides(boxes).clamp(min=TINY) / sides(anchors)).log()
    return torch.cat([shift, scale], -1) / anchors.new_tensor(spread)


def from_deltas(anchors: Tensor, deltas: Tensor, spread: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)) -> Tensor:
    """The boxes that deltas make of anchors; the inverse of :func:`to_deltas`."""
    deltas = deltas * anchors.new_tensor(spread)
    middle = centres(anchors) + deltas[..., :2] * sides(anchors)
    half = sides(anchors) * deltas[..., 2:].clamp(max=LARGEST_POWER).exp() / 2
    return torch.cat([middle - half, middle + half], -1)


def around(points: Tensor, size: Tensor) -> Tensor:
    """Boxes of ``size`` (..., 2) around points (..., 2)."""
    return torch.cat([points - size / 2, points + size / 2], -1)


def within(boxes: Tensor, shape: tuple[int, int]) -> Tensor:
    """Boxes cut at a frame of ``shape``, its height and width."""
    height, width = shape  # sides stay free in an exported graph
    x0, y0, x1, y1 = boxes.clamp(min=0).unbind(-1)
    return torch.stack(
        [x0.clamp(max=width), y0.clamp(max=height), x1.clamp(max=width), y1.clamp(max=height)], -1
    )
