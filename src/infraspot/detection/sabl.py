"""SABL: side-aware boundary localization (Wang et al., ECCV 2020), on Faster R-CNN.

Each edge of a box is found by itself. Seven buckets lie along each half of the region, which is 1.7 times the
proposal; a head says in which of them an edge is, and how far from the bucket's middle. How sure it is of the
buckets goes into the score.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.detection.boxes import centres, sides
from infraspot.detection.losses import cross_entropy
from infraspot.detection.rcnn import FasterRCNN
from infraspot.detection.region_heads import REGION, ClassHead
from infraspot.networks.sheet import Sheet

BUCKETS = REGION  # of an edge
WIDER = 1.7
BETA = 0.1


class SideHead(ClassHead):
    """One layer to the score; and each row and column of the region, weighed by attention, to two edges."""

    def __init__(self, width: int, hidden: int):
        super().__init__(width, hidden, depth=1)
        self.before = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(inplace=True),
        )
        self.attention = nn.Conv2d(width, 2, 1)
        self.after = nn.ModuleList(nn.Conv1d(width, width, 3, padding=1) for _ in range(2))
        self.finer = nn.ModuleList(nn.ConvTranspose1d(width, width, 2, 2) for _ in range(2))
        self.bucket, self.offset = nn.Linear(width, 1), nn.Linear(width, 1)
        for layer, deviation in ((self.attention, 0.01), (self.bucket, 0.01), (self.offset, 0.001)):
            nn.init.normal_(layer.weight, std=deviation)

    def forward(self, regions: Tensor) -> tuple[Tensor, Tensor]:
        """(n,) logits, and (n, 2, 4, 7) logits and offsets of the buckets of x0, y0, x1 and y1."""
        x = self.before(regions)
        weights = self.attention(x).sigmoid()
        said = []
        for axis, after, finer in zip((2, 3), self.after, self.finer, strict=True):
            weight = weights[:, axis - 2 : axis - 1]
            line = (x * weight / weight.sum(axis, keepdim=True)).sum(axis)
            line = F.relu(finer(F.relu(after(line)))).transpose(1, 2)  # (n, 14, C)
            both = torch.stack([self.bucket(line)[..., 0], self.offset(line)[..., 0]], 1)
            said.append(torch.stack([both[..., :BUCKETS], both[..., BUCKETS:].flip(-1)], 2))
        numbers = torch.stack([said[0][:, :, 0], said[1][:, :, 0], said[0][:, :, 1], said[1][:, :, 1]], 2)
        return self.read(self.layers(regions)), numbers


def buckets(boxes: Tensor) -> tuple[Tensor, Tensor]:
    """(n, 4, 7) middles of the buckets of each edge, from the outermost inwards; and (n, 4) their widths."""
    middle, size = centres(boxes), sides(boxes) * WIDER
    width = size / (2 * BUCKETS)
    outermost = torch.cat([middle - size / 2, middle + size / 2], -1)
    steps = torch.arange(BUCKETS, device=boxes.device) + 0.5
    inwards = torch.cat([width, -width], -1)
    return outermost[..., None] + inwards[..., None] * steps, torch.cat([width, width], -1)


def confidence(logits: Tensor) -> Tensor:
    """(n,) how sure (n, 4, 7) logits of buckets are: the best and, if it lies beside it, the second best."""
    chance, place = logits.softmax(-1).topk(2, -1)
    beside = (place[..., 0] - place[..., 1]).abs() == 1
    return (chance[..., 0] + chance[..., 1] * beside).mean(-1)


class SABL(FasterRCNN):
    """Faster R-CNN whose boxes are found edge by edge."""

    sheet = Sheet(
        family="two-stage",
        source="Wang et al., ECCV 2020",
        paper_params=42.213e6,
        note="the table's figure counts 80 classes",
    )

    def make_stage(self, width: int, hidden: int) -> nn.Module:
        return SideHead(width, hidden)

    def sureness(self, numbers: Tensor) -> Tensor:
        return torch.logit(confidence(numbers[:, 0]), eps=1e-6)

    def decoded(self, boxes: Tensor, numbers: Tensor, number: int) -> Tensor:
        middles, widths = buckets(boxes)
        best = numbers[:, 0].argmax(-1, keepdim=True)
        offset = numbers[:, 1].gather(-1, best)[..., 0]
        return middles.gather(-1, best)[..., 0] - offset * widths

    def box_loss(self, boxes: Tensor, truth: Tensor, numbers: Tensor, number: int) -> Tensor:
        middles, widths = buckets(boxes)
        offsets = (middles - truth[..., None]) / widths[..., None]
        nearest = offsets.abs().topk(2, -1, largest=False).indices
        label = torch.zeros_like(offsets).scatter(-1, nearest[..., :1], 1.0)
        close = offsets.abs() < 1
        # The bucket next to the right one is neither right nor wrong; both learn how far they are off.
        of_bucket = cross_entropy(numbers[:, 0], label) * ~(close & (label == 0))
        learns = torch.zeros_like(offsets).scatter(-1, nearest, 1.0) * (close | (label > 0))
        of_offset = F.smooth_l1_loss(numbers[:, 1], offsets, beta=BETA, reduction="none") * learns
        return of_bucket.sum() + of_offset.sum()
