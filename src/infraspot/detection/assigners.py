"""Which place of a frame is taught which target: pure functions of one frame.

Each takes the priors, (n, 4) target boxes, and what the detector says so far (without gradient).
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from infraspot.detection.boxes import (
    areas,
    centres,
    overlaps,
    pairwise_overlaps,
    sides,
    to_edges,
)
from infraspot.detection.losses import cross_entropy
from infraspot.detection.priors import Priors

BACKGROUND, IGNORED = -1, -2
FAR = 1e8


class Said(NamedTuple):
    """What a detector says about one frame: (K,) scores in [0, 1] and (K, 4) boxes."""

    scores: Tensor
    boxes: Tensor


class Assignment(NamedTuple):
    """What each of K places is taught.

    Attributes
    ----------
    target
        (K,) number of the target, BACKGROUND or IGNORED.
    label
        (K,) what the score should be, in [0, 1].
    """

    target: Tensor
    label: Tensor

    @property
    def positive(self) -> Tensor:
        """(K,) whether a place is taught a target."""
        return self.target >= 0


def boxes_taught(boxes: Sequence[Tensor], assigned: Sequence[Assignment]) -> Tensor:
    """(P, 4) target boxes of all places that are taught one, frame after frame."""
    return torch.cat([own[one.target[one.positive]] for own, one in zip(boxes, assigned, strict=True)])


Assigner = Callable[[Priors, Tensor, Said], Assignment]


def plain(target: Tensor) -> Assignment:
    """Every place with a target has the label 1."""
    return Assignment(target, (target >= 0).float())


def in_box(ranges: tuple[float, ...] = (), radius: float | None = None, nearest: bool = False) -> Assigner:
    """Places inside a box, each taught the smallest one around it (FCOS, 2019).

    Parameters
    ----------
    ranges
        Upper bounds of the distance to the furthest edge, one for each level; the last may be left out.
    radius
        Only places within so many strides of the centre (centre sampling).
    nearest
        A box without any place teaches the nearest one of the finest level. This is ours: at stride 8, two
        boxes in three of 3x3 to 5x5 pixels hold no place.
    """

    def assign(priors: Priors, boxes: Tensor, said: Said) -> Assignment:
        if not len(boxes):
            return plain(torch.full_like(priors.level, BACKGROUND))
        edges = to_edges(priors.points[:, None], boxes[None])  # (K, n, 4)
        fits = edges.amin(-1) > 0
        furthest = edges.amax(-1)
        if ranges:
            bounds = priors.points.new_tensor([0.0, *ranges, FAR])
            fits &= (furthest >= bounds[priors.level, None]) & (furthest <= bounds[priors.level + 1, None])
        if radius is not None:
            gap = (priors.points[:, None] - centres(boxes)).abs().amax(-1)
            fits &= gap <= radius * priors.strides[:, None]
        cost = torch.where(fits, areas(boxes), FAR)
        least, target = cost.min(1)
        target = torch.where(least < FAR, target, BACKGROUND)
        if nearest:
            _give_nearest(target, priors, boxes)
        return plain(target)

    return assign


def _give_nearest(target: Tensor, priors: Priors, boxes: Tensor) -> None:
    """Give each box that has no place the nearest free one of the finest level; small boxes come first."""
    have = torch.zeros(len(boxes), dtype=torch.bool, device=boxes.device)
    have[target[target >= 0]] = True
    for k in sorted((~have).nonzero()[:, 0].tolist(), key=lambda k: float(areas(boxes[k]))):
        gap = (priors.points - centres(boxes[k])).square().sum(-1)
        free = (priors.level == 0) & (target < 0)
        target[torch.where(free, gap, FAR).argmin()] = k


def by_overlap(
    positive: float = 0.5, negative: float = 0.4, least: float = 0.0, *, every_box: bool = True
) -> Assigner:
    """Anchors that overlap a box by ``positive``; those between the bounds are ignored (Faster R-CNN, 2015).

    With ``every_box`` the best anchors of each box are taught too, if they overlap it by more than ``least``.
    """

    def assign(priors: Priors, boxes: Tensor, said: Said) -> Assignment:
        if not len(boxes):
            return plain(torch.full_like(priors.level, BACKGROUND))
        shared = pairwise_overlaps(priors.boxes, boxes)
        best, target = shared.max(1)
        found = torch.where(best >= positive, target, IGNORED)
        found = torch.where(best < negative, BACKGROUND, found)
        if every_box:
            highest = shared.amax(0)
            rows, columns = ((shared == highest) & (highest > least)).nonzero(as_tuple=True)
            found[rows] = columns
        return plain(found)

    return assign


def adaptive(most: int = 9, *, by_score: float = 0.0) -> Assigner:
    """ATSS (2020): of the ``most`` nearest anchors a level, those that overlap a box by mean plus deviation.

    ``by_score`` is DDOD's (2021) share of the score in the quality that takes the overlap's place.
    """

    def assign(priors: Priors, boxes: Tensor, said: Said) -> Assignment:
        if not len(boxes):
            return plain(torch.full_like(priors.level, BACKGROUND))
        if by_score:
            shared = pairwise_overlaps(said.boxes, boxes)
            shared = shared ** (1 - by_score) * said.scores[:, None] ** by_score
        else:
            shared = pairwise_overlaps(priors.boxes, boxes)
        gap = torch.cdist(centres(priors.boxes), centres(boxes))
        near = torch.cat(
            [
                _nearest_of(gap, (priors.level == k).nonzero()[:, 0], most)
                for k in range(int(priors.level.max()) + 1)
            ]
        )  # (c, n)
        quality = shared.gather(0, near)
        bound = quality.mean(0) + quality.std(0)
        inside = to_edges(centres(priors.boxes)[near], boxes).amin(-1) > 0.01
        return plain(_best_of(quality, near, (quality >= bound) & inside, len(priors.points)))

    return assign


def _nearest_of(gap: Tensor, places: Tensor, most: int) -> Tensor:
    """(m, n) the places with the least gap to each box."""
    return places[gap[places].topk(min(most, len(places)), 0, largest=False).indices]


def _best_of(quality: Tensor, places: Tensor, chosen: Tensor, count: int) -> Tensor:
    """(count,) target of each place: of several that chose it, the one with the highest quality."""
    table = quality.new_full((count, quality.shape[1]), -FAR)
    table.scatter_(0, places, torch.where(chosen, quality, -FAR))
    best, target = table.max(1)
    return torch.where(best > -FAR, target, BACKGROUND)


def aligned(most: int = 13, score_power: float = 1.0, overlap_power: float = 6.0) -> Assigner:
    """TOOD (2021): the places inside a box whose score and overlap agree best; labels are that agreement.

    The agreement is score^a IoU^b, scaled so that the best place of a box has its highest overlap.
    """

    def assign(priors: Priors, boxes: Tensor, said: Said) -> Assignment:
        if not len(boxes):
            return plain(torch.full_like(priors.level, BACKGROUND))
        shared = pairwise_overlaps(said.boxes, boxes)
        quality = said.scores[:, None] ** score_power * shared**overlap_power
        inside = to_edges(priors.points[:, None], boxes[None]).amin(-1) > 0
        quality = torch.where(inside, quality, -1.0)
        top = quality.topk(min(most, len(quality)), 0)
        target = _best_of(shared.gather(0, top.indices), top.indices, top.values >= 0, len(priors.points))
        row = torch.arange(len(target), device=target.device)
        taught = target >= 0
        own = torch.where(taught, quality[row, target.clamp(min=0)], 0.0)
        fit = torch.where(taught, shared[row, target.clamp(min=0)], 0.0)
        highest = own.new_zeros(len(boxes)).scatter_reduce(0, target[taught], own[taught], "amax")
        best_fit = own.new_zeros(len(boxes)).scatter_reduce(0, target[taught], fit[taught], "amax")
        scale = (best_fit / highest.clamp(min=1e-9))[target.clamp(min=0)]
        return Assignment(target, torch.where(taught, own * scale, 0.0))

    return assign


def optimal_transport(radius: float = 2.5, most: int = 10) -> Assigner:
    """SimOTA (YOLOX, 2021): each box takes its k cheapest places, k being the sum of its best overlaps."""

    def assign(priors: Priors, boxes: Tensor, said: Said) -> Assignment:
        if not len(boxes):
            return plain(torch.full_like(priors.level, BACKGROUND))
        inside = to_edges(priors.points[:, None], boxes[None]).amin(-1) > 0
        gap = (priors.points[:, None] - centres(boxes)).abs().amax(-1)
        central = gap < radius * priors.strides[:, None]
        shared = pairwise_overlaps(said.boxes, boxes)
        score = said.scores.clamp(1e-7, 1 - 1e-7)[:, None]
        cost = -score.log() - 3 * (shared + 1e-8).log()
        cost = cost + torch.where(inside & central, 0.0, 1e5) + torch.where(inside | central, 0.0, FAR)
        return _cheapest(cost, shared, most, soft=False)

    return assign


def dynamic_soft(most: int = 13, prior_radius: float = 3.0) -> Assigner:
    """RTMDet's (2022) SimOTA with soft labels: the cost of a score is against the overlap, and distance has
    a soft price. Labels are overlaps."""

    def assign(priors: Priors, boxes: Tensor, said: Said) -> Assignment:
        if not len(boxes):
            return plain(torch.full_like(priors.level, BACKGROUND))
        inside = to_edges(priors.points[:, None], boxes[None]).amin(-1) > 0
        shared = pairwise_overlaps(said.boxes, boxes)
        gap = torch.cdist(priors.points, centres(boxes)) / priors.strides[:, None]
        logits = torch.logit(said.scores, eps=1e-6)[:, None].expand_as(shared)
        of_score = cross_entropy(logits, shared) * (shared - said.scores[:, None]).square()
        cost = of_score - 3 * (shared + 1e-7).log() + 10 ** (gap - prior_radius).clamp(max=6)
        cost = cost + torch.where(inside.any(1, keepdim=True), 0.0, FAR)
        return _cheapest(cost, shared, most, soft=True)

    return assign


def _cheapest(cost: Tensor, shared: Tensor, most: int, *, soft: bool) -> Assignment:
    """Each box takes as many of the cheapest places as its best overlaps sum to, and at least one."""
    most = min(most, len(cost))
    counts = shared.topk(most, 0).values.sum(0).int().clamp(min=1)
    chosen = torch.zeros_like(cost, dtype=torch.bool)
    ranked = cost.topk(most, 0, largest=False)
    ranks = torch.arange(most, device=cost.device)[:, None]
    chosen.scatter_(0, ranked.indices, (ranks < counts) & (ranked.values < FAR))
    least, target = torch.where(chosen, cost, FAR * 10).min(1)
    target = torch.where(least < FAR * 10, target, BACKGROUND)
    row = torch.arange(len(target), device=target.device)
    fit = torch.where(target >= 0, shared[row, target.clamp(min=0)], 0.0)
    return Assignment(target, fit if soft else (target >= 0).float())


def nearest_anchors(count: int = 4, ignore_above: float = 0.7, least: float = 0.15) -> Assigner:
    """YOLOF (2021): of each box the ``count`` nearest anchors and the ``count`` nearest predictions.

    Others that predict a box well (``ignore_above``) are ignored, and so are chosen anchors that overlap
    their box by less than ``least``.
    """

    def assign(priors: Priors, boxes: Tensor, said: Said) -> Assignment:
        if not len(boxes):
            return plain(torch.full_like(priors.level, BACKGROUND))
        shared = pairwise_overlaps(said.boxes, boxes)
        target = torch.where(shared.amax(1) > ignore_above, IGNORED, BACKGROUND)
        for candidates in (said.boxes, priors.boxes):
            gap = _box_distance(candidates, boxes)
            near = gap.topk(min(count, len(gap)), 0, largest=False).indices
            fit = overlaps(priors.boxes[near], boxes)
            number = torch.arange(len(boxes), device=boxes.device).expand_as(near)
            target[near.flatten()] = torch.where(fit < least, IGNORED, number).flatten()
        return plain(target)

    return assign


def _box_distance(boxes: Tensor, others: Tensor) -> Tensor:
    """(N, M) sum of the differences of centres and sides."""
    forms = [torch.cat([centres(one), sides(one)], -1) for one in (boxes, others)]
    return torch.cdist(forms[0], forms[1], p=1)


def by_cell(ignore_above: float = 0.5) -> Assigner:
    """YOLOv3 (2018): the anchor that fits a box best in shape, at the cell that holds its centre.

    Others that overlap a box by more than ``ignore_above`` are ignored.
    """

    def assign(priors: Priors, boxes: Tensor, said: Said) -> Assignment:
        if not len(boxes):
            return plain(torch.full_like(priors.level, BACKGROUND))
        shared = pairwise_overlaps(priors.boxes, boxes)
        target = torch.where(shared.amax(1) > ignore_above, IGNORED, BACKGROUND)
        holds = (priors.points[:, None] - centres(boxes)).abs().amax(-1) <= priors.strides[:, None] / 2
        same_centre = torch.cat([-sides(boxes), sides(boxes)], -1) / 2
        shape = torch.cat([-sides(priors.boxes), sides(priors.boxes)], -1) / 2
        fit = torch.where(holds, pairwise_overlaps(shape, same_centre), -1.0)
        best = fit.argmax(0)
        target[best] = torch.arange(len(boxes), device=boxes.device)
        return plain(target)

    return assign


ASSIGNERS: dict[str, Callable[..., Assigner]] = {
    "in_box": in_box,
    "overlap": by_overlap,
    "atss": adaptive,
    "aligned": aligned,
    "simota": optimal_transport,
    "dynamic_soft": dynamic_soft,
    "nearest_anchors": nearest_anchors,
    "cell": by_cell,
}
