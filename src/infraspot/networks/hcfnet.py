"""HCF-Net: hierarchical context fusion network (Xu et al., ICME 2024; arXiv).

In the survey's Table 6: fusion, local and semantics refinement. A U-Net of three parts:

- PPA, parallelised patch-aware attention: three serial 3x3 and two branches that look at patches of 2 and 4
  pixels, summed, then channel and spatial attention;
- DASI, dimension-aware selective integration: a skip selects, place by place, between what the finer and the
  coarser level say;
- MDCR, multi-dilated channel refiner: four groups of channels at dilations 1, 6, 12 and 18, mixed by index.

``aux`` holds the predictions of the coarser decoder levels at their own scales, finest first; the authors
weigh them by 1, 1/2, 1/4, 1/8 and 1/16.

Departures: one grey channel instead of three; no bias before a batch norm; the layers of DASI that the
program makes but never calls are left out; a patch branch enlarges after its 1x1 instead of before (the two
commute), hence fewer FLOPs than Table 6's; MDCR's shared norm sees all 128 indices at once, where the program
calls it 128 times in turn: its statistics in training differ, the answers in evaluation do not.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.blocks.attention import EfficientChannelAttention, SpatialAttention
from infraspot.blocks.conv import ConvNormAct, resize_to
from infraspot.networks.base import SegmentationNetwork, SegOutput
from infraspot.networks.sheet import AFRESH, Sheet

CHANNELS = (32, 64, 128, 256, 512)
DILATIONS = (1, 6, 12, 18)


class HCFNet(SegmentationNetwork):
    """U-Net of five scales: PPA stages, DASI skips, MDCR at the bottom."""

    sheet = Sheet(
        family="fusion, local, semantics",
        source="Xu et al., ICME 2024",
        licence=AFRESH + "Apache-2.0",
        paper_params=15.29e6,
        paper_flops=23.29e9,
        note="4 % fewer FLOPs: the 1x1 of a patch branch runs before the enlargement, with the same result",
        parity=1.8e-6,
    )
    stride = 64  # the patches of 4 pixels on the coarsest map, at 1/16

    def __init__(self) -> None:
        super().__init__()
        widths = CHANNELS
        self.pool = nn.MaxPool2d(2)
        self.encoder = nn.ModuleList(
            PatchAwareAttention(*pair) for pair in zip((1, *widths[:-1]), widths, strict=True)
        )
        self.bottom = MultiDilatedRefiner(widths[-1])
        self.skips = nn.ModuleList(
            [FirstIntegration(widths[0]), *(SelectiveIntegration(width) for width in widths[1:4])]
        )
        self.up = nn.ModuleList(Enlarge(widths[k + 1], widths[k]) for k in range(4))
        self.decoder = nn.ModuleList(PatchAwareAttention(2 * width, width) for width in widths[:4])
        self.heads = nn.ModuleList(nn.Conv2d(width, 1, 1) for width in widths)

    def segment(self, image: Tensor) -> SegOutput:
        levels = [self.encoder[0](image)]
        for encode in self.encoder[1:]:
            levels.append(encode(self.pool(levels[-1])))
        levels[-1] = self.bottom(levels[-1])
        skips = [self.skips[0](levels[0], levels[1])]
        skips += [self.skips[k](levels[k], levels[k + 1], levels[k - 1]) for k in (1, 2, 3)]
        y = levels[-1]
        predictions = [self.heads[4](y)]
        for k in (3, 2, 1, 0):
            y = self.decoder[k](torch.cat([self.up[k](y), skips[k]], dim=1))
            predictions.insert(0, self.heads[k](y))
        return SegOutput(predictions[0], tuple(predictions[1:]))


class Enlarge(nn.Sequential):
    """Twice the size: transposed convolution, norm, ReLU."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(
            nn.ConvTranspose2d(in_channels, out_channels, 2, stride=2, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )


class PatchAwareAttention(nn.Module):
    """PPA: a 1x1 skip, each of three serial 3x3 and two patch branches, summed; ECA, SA, dropout, norm."""

    def __init__(self, in_channels: int, channels: int):
        super().__init__()
        self.skip = ConvNormAct(in_channels, channels, 1, act=False)
        self.serial = nn.ModuleList(
            ConvNormAct(in_channels if k == 0 else channels, channels) for k in range(3)
        )
        self.patches = nn.ModuleList(PatchBranch(channels, side) for side in (2, 4))
        self.finish = nn.Sequential(
            EfficientChannelAttention(channels),
            SpatialAttention(channels, bias=True),
            nn.Dropout2d(0.1),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        skip = self.skip(x)
        total = skip
        for branch in self.patches:
            total = total + branch(skip)
        for layer in self.serial:
            x = layer(x)
            total = total + x
        return self.finish(total)


class PatchBranch(nn.Module):
    """Local-global attention over patches of ``side`` x ``side`` pixels.

    A patch becomes ``side ** 2`` numbers, an MLP turns them into ``channels`` numbers, a softmax weighs
    these, and their likeness to a learnt prompt weighs the patch. In the paper the numbers are the pixels of
    the patch (means over channels). In its program, by the order of the axes, they are means over the patch
    of ``side ** 2`` groups of channels; that is done here, since the published figures come from the program.
    The prompt starts positive. With random signs, about half of the branches would start with a negative
    likeness, which is clipped to 0, and would never learn.
    """

    def __init__(self, channels: int, side: int):
        super().__init__()
        self.side = side
        hidden = channels // 2
        self.mlp = nn.Sequential(
            nn.Linear(side * side, hidden), nn.LayerNorm(hidden), nn.Linear(hidden, channels)
        )
        self.prompt = nn.Parameter(torch.randn(channels).abs())
        self.transform = nn.Parameter(torch.eye(channels))
        self.project = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        groups = F.avg_pool2d(x, self.side).unflatten(1, (self.side**2, -1)).mean(2)
        patches = self.mlp(groups.permute(0, 2, 3, 1))
        patches = patches * torch.softmax(patches, dim=-1)
        likeness = F.cosine_similarity(patches, self.prompt, dim=-1, eps=1e-12).clamp(0, 1)
        patches = (patches * likeness.unsqueeze(-1)) @ self.transform
        return resize_to(self.project(patches.permute(0, 3, 1, 2)), x)


class SelectiveIntegration(nn.Module):
    """DASI: sigmoid(x) selects between the coarser and the finer level; 1x1, residual, norm, ReLU."""

    def __init__(self, channels: int):
        super().__init__()
        self.own = nn.Conv2d(channels, channels, 1)
        self.coarser = nn.Conv2d(2 * channels, channels, 1)
        self.finer = nn.Conv2d(channels // 2, channels, 3, stride=2, padding=2, dilation=2)
        self.tail = nn.Conv2d(channels, channels, 1)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor, coarser: Tensor, finer: Tensor) -> Tensor:
        own = self.own(x)
        coarser = resize_to(self.coarser(coarser), own, align_corners=True)
        selected = torch.lerp(self.finer(finer), coarser, torch.sigmoid(own))
        return F.relu(self.norm(self.tail(selected) + own))


class FirstIntegration(nn.Module):
    """DASI on the finest level, which has no finer one: one 1x1 serves each quarter of both levels."""

    def __init__(self, channels: int):
        super().__init__()
        self.own = nn.Conv2d(channels, channels, 1)
        self.coarser = nn.Conv2d(2 * channels, channels, 1)
        self.mix = nn.Conv2d(channels // 2, channels // 4, 1)
        self.tail = nn.Conv2d(channels, channels, 1)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor, coarser: Tensor) -> Tensor:
        own = self.own(x)
        coarser = resize_to(self.coarser(coarser), own, align_corners=True)
        quarters = zip(own.chunk(4, dim=1), coarser.chunk(4, dim=1), strict=True)
        mixed = torch.cat([self.mix(torch.cat(pair, dim=1)) for pair in quarters], dim=1)
        return F.relu(self.norm(self.tail(mixed) + own))


class MultiDilatedRefiner(nn.Module):
    """MDCR: channels in four groups, a dilation each; a shared 4-to-4 mix of equal indices; then 1x1."""

    def __init__(self, channels: int):
        super().__init__()
        width = channels // len(DILATIONS)
        self.groups = nn.ModuleList(
            ConvNormAct(width, width, dilation=dilation, groups=width) for dilation in DILATIONS
        )
        self.mix = ConvNormAct(len(DILATIONS), len(DILATIONS), 1)
        self.merge = ConvNormAct(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        parts = [group(part) for group, part in zip(self.groups, x.chunk(len(DILATIONS), dim=1), strict=True)]
        indexed = torch.stack(parts, dim=2).flatten(0, 1)
        return self.merge(self.mix(indexed).reshape(x.shape))
