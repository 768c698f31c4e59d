"""Two stages: proposals, then a second look at the features of each (Faster R-CNN, 2015); Cascade R-CNN.

Regions are read from the pyramid by our own RoIAlign. Pyramids begin at stride 4 and may begin at 2: at the
published stride a target of 3x3 pixels is less than one cell.
"""

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.core.catalog import find
from infraspot.detection.assigners import IGNORED, Said, by_overlap
from infraspot.detection.backbones import BACKBONES
from infraspot.detection.base import BoxOutput, Detector, Wanted
from infraspot.detection.boxes import NARROW, from_deltas, pairwise_overlaps, to_deltas, within
from infraspot.detection.losses import cross_entropy
from infraspot.detection.priors import Anchors, Priors
from infraspot.detection.pyramid import FPN
from infraspot.detection.region_heads import REGION, BoxHead, ProposalHead
from infraspot.detection.roi import roi_align_levels
from infraspot.detection.suppression import suppress
from infraspot.networks.sheet import Sheet

NOTHING = -20.0  # the logit of a row that holds no proposal
PER_LEVEL = 1000
PROPOSED_APART = 0.7
RATIOS = (0.5, 1.0, 2.0)


class Sampled(NamedTuple):
    """Boxes of one frame to learn from: (n, 4), the target of each (-1: none), and the targets (n, 4)."""

    boxes: Tensor
    target: Tensor
    truth: Tensor


class FasterRCNN(Detector):
    """Faster R-CNN on a feature pyramid, as published by default.

    Parameters
    ----------
    strides
        Of the pyramid; the last level serves proposals alone.
    scale
        Side of the anchors, in strides.
    proposals
        Most proposals of a frame.
    finest
        Regions of a side below twice this many pixels are read from the first level; by default 14 strides of
        it, as published (56 at stride 4).
    hidden
        Width of the layers over a region.
    """

    sheet = Sheet(
        family="two-stage",
        source="Ren et al., 2015; Lin et al., 2017",
        paper_params=33.035e6,
        note="41.348 M with a pyramid; the table's form without one is tridentnet with dilations=[1]",
    )
    thresholds: ClassVar[tuple[float, ...]] = (0.5,)
    spreads: ClassVar[tuple[tuple[float, ...], ...]] = (NARROW,)
    stage_gains: ClassVar[tuple[float, ...]] = (1.0,)
    learnt_from, share = 512, 0.25
    sides: ClassVar[tuple[float, ...]] = (1.0,)  # of the anchors, times the option ``scale``

    def __init__(
        self,
        *,
        backbone: str = "resnet50",
        strides: tuple[int, ...] = (4, 8, 16, 32, 64),
        width: int = 256,
        scale: float = 8.0,
        proposals: int = 300,
        finest: float | None = None,
        hidden: int = 1024,
    ):
        super().__init__()
        self.backbone = find("backbone", backbone, BACKBONES)()
        self.stride, self.strides = self.backbone.strides[-1], tuple(strides)
        self.neck = self.make_neck(width)
        self.anchors = Anchors(tuple(scale * side for side in self.sides), RATIOS)
        self.propose = self.make_proposer(width)
        self.stages = nn.ModuleList(self.make_stage(width, hidden) for _ in self.thresholds)
        self.proposals, self.finest = proposals, finest or 14.0 * strides[0]
        self.choose = by_overlap(0.7, 0.3, least=0.3)
        self.remember()

    def remember(self) -> None:
        """Make what a method keeps of earlier steps, as buffers."""

    def make_neck(self, width: int) -> nn.Module:
        """The pyramid."""
        return FPN(self.backbone, self.strides, width, extra_from="pool")

    def make_proposer(self, width: int) -> nn.Module:
        """What proposals come from."""
        return ProposalHead(width, self.anchors.count)

    def make_stage(self, width: int, hidden: int) -> nn.Module:
        """A head: from (n, C, 7, 7) features of regions to (n,) logits and (n, d) numbers of a box."""
        return BoxHead(width, hidden)

    def features(self, image: Tensor) -> list[Tensor]:
        """The maps that proposals and regions are read from."""
        maps: list[Tensor] = self.neck(self.backbone(image))
        return maps

    def detect(self, image: Tensor) -> BoxOutput:
        maps = self.features(image)
        logits, deltas = self.propose(maps)
        priors = self.anchors(maps, self.strides)
        shape = int(image.shape[-2]), int(image.shape[-1])
        found = self._proposals(logits.detach().float(), deltas.detach().float(), priors, shape)
        boxes, total = found, torch.zeros(())
        for number, stage in enumerate(self.stages):
            said, numbers = self.look(stage, maps, boxes)
            total = total.to(said) + said
            boxes = self._moved(boxes, numbers, number, shape)
        logit = total / len(self.stages)
        parts = {"maps": maps, "logits": logits, "deltas": deltas, "found": found, "shape": shape}
        counts, sure = [len(own) for own in found], self.sureness(numbers)
        quality = None if sure is None else side_by_side(boxes, sure.split(counts)).logits
        output = side_by_side(boxes, logit.split(counts))
        return output._replace(quality=quality, priors=priors, parts=parts)

    def look(
        self, stage: nn.Module, maps: Sequence[Tensor], boxes: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """What a stage says of the boxes of each frame, all frames together."""
        said: tuple[Tensor, Tensor] = stage(self.regions(maps, boxes, REGION))
        return said

    def regions(self, maps: Sequence[Tensor], boxes: Sequence[Tensor], size: int) -> Tensor:
        """(n, C, size, size) features of the boxes of each frame, all frames together."""
        levels = [k for k, stride in enumerate(self.strides) if stride in self.backbone.strides]
        strides = [self.strides[k] for k in levels]
        return roi_align_levels([maps[k] for k in levels], strides, boxes, size, finest=self.finest)

    def decoded(self, boxes: Tensor, numbers: Tensor, number: int) -> Tensor:
        """(n, 4) boxes that the numbers of a stage make of the ones that it looked at."""
        return from_deltas(boxes, numbers, self.spreads[number])

    def sureness(self, numbers: Tensor) -> Tensor | None:
        """(n,) logits of how sure the last stage's boxes are, for methods that score it."""
        return None

    def _moved(
        self, boxes: Sequence[Tensor], deltas: Tensor, number: int, shape: tuple[int, int]
    ) -> list[Tensor]:
        """The boxes of each frame after the deltas of a stage."""
        own = deltas.float().split([len(one) for one in boxes])
        return [
            within(self.decoded(one, moves, number), shape) for one, moves in zip(boxes, own, strict=True)
        ]

    @torch.no_grad()
    def _proposals(
        self, logits: Tensor, deltas: Tensor, priors: Priors, shape: tuple[int, int]
    ) -> list[Tensor]:
        """(n, 4) proposals of each frame: the best of each level, thinned out, the best of all."""
        found = []
        for scores, moves in zip(logits, deltas, strict=True):
            boxes, kept_scores = [], []
            for level in range(len(self.strides)):
                places = (priors.level == level).nonzero()[:, 0]
                places = places[scores[places].topk(min(PER_LEVEL, len(places))).indices]
                mine = within(from_deltas(priors.boxes[places], moves[places]), shape)
                whole = ((mine[:, 2:] - mine[:, :2]) > 0.1).all(1)
                mine, own = mine[whole], scores[places][whole]
                kept = suppress(mine, own, PROPOSED_APART, most=self.proposals)
                boxes.append(mine[kept])
                kept_scores.append(own[kept])
            together, own = torch.cat(boxes), torch.cat(kept_scores)
            found.append(together[own.topk(min(self.proposals, len(own))).indices])
        return found

    def loss(self, output: BoxOutput, wanted: Wanted) -> Tensor:
        total = self._loss_of_proposals(output, wanted)
        maps, shape = output.parts["maps"], output.parts["shape"]
        boxes = [
            torch.cat([own, truth]) for own, truth in zip(output.parts["found"], wanted.boxes, strict=True)
        ]
        for number, stage in enumerate(self.stages):
            chosen = [
                self.sampled(own, truth, number) for own, truth in zip(boxes, wanted.boxes, strict=True)
            ]
            logits, numbers = self.look(stage, maps, [one.boxes for one in chosen])
            total = total + self.stage_gains[number] * self._loss_of_stage(logits, numbers, chosen, number)
            boxes = self._moved([one.boxes for one in chosen], numbers.detach(), number, shape)
            boxes = [own[(own[:, 2:] - own[:, :2] > 0.1).all(1)] for own in boxes]
        return total

    def _loss_of_proposals(self, output: BoxOutput, wanted: Wanted) -> Tensor:
        priors = output.priors
        assert priors is not None
        logits, deltas = output.parts["logits"], output.parts["deltas"]
        total, count = deltas.sum() * 0.0, 0
        for k, boxes in enumerate(wanted.boxes):
            found = self.choose(priors, boxes, Said(logits[k], priors.boxes)).target
            taught = drawn(found != IGNORED, found >= 0, 256, 0.5)
            positive = taught[found[taught] >= 0]
            total = total + cross_entropy(logits[k, taught].float(), (found[taught] >= 0).float()).sum()
            truth = to_deltas(priors.boxes[positive], boxes[found[positive]])
            total = total + F.l1_loss(deltas[k, positive].float(), truth, reduction="sum")
            count += len(taught)
        return total / max(count, 1)

    def sampled(self, boxes: Tensor, truth: Tensor, number: int) -> Sampled:
        """Which boxes of a frame a stage learns from: up to a quarter with a target."""
        if not len(truth):
            own = boxes[torch.randperm(len(boxes), device=boxes.device)[: self.learnt_from]]
            return Sampled(own, torch.full_like(own[:, 0], -1, dtype=torch.long), own)
        fit, target = pairwise_overlaps(boxes, truth).max(1)
        positive = fit >= self.threshold_of(number)
        chosen = self.drawn(positive, fit)
        target = torch.where(positive, target, -1)[chosen]
        return Sampled(boxes[chosen], target, truth[target.clamp(min=0)])

    def drawn(self, positive: Tensor, fit: Tensor) -> Tensor:
        """Places of the boxes that are learnt from, given how well each fits its target."""
        return drawn(torch.ones_like(positive), positive, self.learnt_from, self.share)

    def threshold_of(self, number: int) -> float:
        """The overlap from which a box has its target, of a stage."""
        return self.thresholds[number]

    def _loss_of_stage(
        self, logits: Tensor, numbers: Tensor, chosen: Sequence[Sampled], number: int
    ) -> Tensor:
        positive = torch.cat([one.target for one in chosen]) >= 0
        boxes, truth = (torch.cat([one[k] for one in chosen])[positive] for k in (0, 2))
        box = self.box_loss(boxes, truth, numbers[positive].float(), number)
        return (cross_entropy(logits.float(), positive.float()).sum() + box) / max(len(positive), 1)

    def box_loss(self, boxes: Tensor, truth: Tensor, numbers: Tensor, number: int) -> Tensor:
        """Sum of the losses of what a stage says of the (P, 4) boxes that have a target."""
        return self.box_losses(numbers, to_deltas(boxes, truth, self.spreads[number])).sum()

    def box_losses(self, found: Tensor, wanted: Tensor) -> Tensor:
        """Losses of (P, 4) deltas."""
        return (found - wanted).abs()


def side_by_side(boxes: Sequence[Tensor], logits: Sequence[Tensor]) -> BoxOutput:
    """The (n, 4) boxes and (n,) logits of each frame as one table; rows that a frame lacks hold nothing."""
    most = max(len(own) for own in boxes)
    table = boxes[0].new_zeros(len(boxes), most, 4), logits[0].new_full((len(boxes), most), NOTHING)
    for k, (own, said) in enumerate(zip(boxes, logits, strict=True)):
        table[0][k, : len(own)], table[1][k, : len(own)] = own, said
    return BoxOutput(*table)


def drawn(able: Tensor, positive: Tensor, count: int, share: float) -> Tensor:
    """Up to ``count`` places drawn from those that are able, with up to a ``share`` of positive ones."""
    targets = (able & positive).nonzero()[:, 0]
    others = (able & ~positive).nonzero()[:, 0]
    targets = targets[torch.randperm(len(targets), device=able.device)[: int(count * share)]]
    others = others[torch.randperm(len(others), device=able.device)[: count - len(targets)]]
    return torch.cat([targets, others])


class CascadeRCNN(FasterRCNN):
    """Cascade R-CNN (Cai and Vasconcelos, 2018): three heads, each for boxes that fit better."""

    sheet = Sheet(family="two-stage", source="Cai and Vasconcelos, CVPR 2018", paper_params=69.152e6)
    thresholds = (0.5, 0.6, 0.7)
    spreads = (NARROW, (0.05, 0.05, 0.1, 0.1), (0.033, 0.033, 0.067, 0.067))
    stage_gains = (1.0, 0.5, 0.25)
