"""SCTransNet: spatial-channel cross transformer network (Yuan et al., IEEE TGRS 2024).

In the survey's Table 6: fusion and local refinement by a transformer. Between a residual U-Net's encoder and
decoder, the four skips are brought to one grid of 1/16, and spatial-channel cross transformer blocks (SCTB)
let the *channels* of each level gather from the channels of all levels; then each skip returns to its size.
In the decoder, channel cross attention (CCA) gates a skip by what the level below sees.

The answer is the finest prediction, as in the authors' evaluation; ``aux`` is the fusion of all five
predictions, then the four coarser ones, all enlarged to the frame. The authors sum six equal BCE.

Table 6 counts 20.24 G: twice the multiply-accumulates of the program.

Departures: no bias before a batch norm; unused parameters (position embeddings and others, .04 M) are left
out; a skip is enlarged after its 1x1 and norm instead of before, which is equal in evaluation; in training
the norm takes its statistics from the small map.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.blocks.attention import EfficientChannelAttention
from infraspot.blocks.conv import ConvNormAct, LayerNorm2d
from infraspot.blocks.residual import LeakyResidualBlock, enlarge
from infraspot.networks.base import SegmentationNetwork, SegOutput
from infraspot.networks.sheet import Sheet

CHANNELS = (32, 64, 128, 256)
PATCHES = (16, 8, 4, 2)
BLOCKS = 4


class SCTransNet(SegmentationNetwork):
    """Residual U-Net whose four skips pass through cross transformer blocks."""

    sheet = Sheet(
        family="fusion, local",
        source="Yuan et al., IEEE TGRS 2024",
        paper_params=11.19e6,
        paper_flops=20.24e9,
        note="Table 6 shows twice the multiply-accumulates in this row alone",
        parity=5.8e-6,
    )
    stride = 16

    def __init__(self) -> None:
        super().__init__()
        c1, c2, c3, c4 = CHANNELS
        self.pool = nn.MaxPool2d(2)
        self.encoder = nn.ModuleList(
            LeakyResidualBlock(*pair) for pair in zip((1, c1, c2, c3, c4), (c1, c2, c3, c4, c4), strict=True)
        )
        self.cross = CrossTransformer()
        self.decoder = nn.ModuleList(
            GatedDecoder(width, out) for width, out in zip(CHANNELS, (c1, c1, c2, c3), strict=True)
        )
        self.heads = nn.ModuleList(nn.Conv2d(width, 1, 1) for width in (c1, c1, c2, c3, c4))
        self.fuse = nn.Conv2d(5, 1, 1)

    def segment(self, image: Tensor) -> SegOutput:
        levels = [self.encoder[0](image)]
        for encode in self.encoder[1:]:
            levels.append(encode(self.pool(levels[-1])))
        y = levels.pop()
        skips = [2 * level + added for level, added in zip(levels, self.cross(levels), strict=True)]
        decoded = [y]
        for skip, decode in zip(reversed(skips), reversed(self.decoder), strict=True):
            decoded.insert(0, decode(skip, decoded[0]))
        predictions = [self.heads[0](decoded[0])]
        for k, (head, y) in enumerate(zip(self.heads[1:], decoded[1:], strict=True), start=1):
            predictions.append(enlarge(head(y), 2**k))
        finest, *coarser = predictions
        return SegOutput(finest, (self.fuse(torch.cat([*coarser, finest], dim=1)), *coarser))


class CrossTransformer(nn.Module):
    """Four levels to one grid, cross transformer blocks, and back: what to add to each level."""

    def __init__(self) -> None:
        super().__init__()
        pairs = list(zip(CHANNELS, PATCHES, strict=True))
        self.embed = nn.ModuleList(nn.Conv2d(width, width, side, side) for width, side in pairs)
        self.blocks = nn.ModuleList(CrossBlock() for _ in range(BLOCKS))
        self.norms = nn.ModuleList(LayerNorm2d(width) for width in CHANNELS)
        self.restore = nn.ModuleList(ConvNormAct(width, width, 1, act=False) for width in CHANNELS)

    def forward(self, levels: list[Tensor]) -> list[Tensor]:
        maps = [embed(level) for embed, level in zip(self.embed, levels, strict=True)]
        for block in self.blocks:
            maps = block(maps)
        small = [
            restore(norm(map_)) for restore, norm, map_ in zip(self.restore, self.norms, maps, strict=True)
        ]
        return [
            F.relu(enlarge(map_, side, align_corners=False), inplace=True)
            for map_, side in zip(small, PATCHES, strict=True)
        ]


class CrossBlock(nn.Module):
    """SCTB: cross attention over channels, then a complementary feed-forward network, each with residual."""

    def __init__(self) -> None:
        super().__init__()
        self.norms = nn.ModuleList(LayerNorm2d(width) for width in CHANNELS)
        self.norm_all = LayerNorm2d(sum(CHANNELS))
        self.attention = ChannelCrossAttentions()
        self.forwards = nn.ModuleList(
            nn.Sequential(LayerNorm2d(width), ComplementaryForward(width)) for width in CHANNELS
        )

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        every = self.norm_all(torch.cat(maps, dim=1))
        queries = [norm(map_) for norm, map_ in zip(self.norms, maps, strict=True)]
        maps = [map_ + added for map_, added in zip(maps, self.attention(queries, every), strict=True)]
        return [map_ + forward(map_) for map_, forward in zip(maps, self.forwards, strict=True)]


class ChannelCrossAttentions(nn.Module):
    """SSCA: channels of each level gather from the channels of all levels, by the likeness of their maps.

    Queries, keys and values pass a 1x1 and a grouped 3x3; maps are normalised over pixels; the likenesses,
    over the square root of the number of channels, pass an instance norm before the softmax.
    """

    def __init__(self) -> None:
        super().__init__()
        every = sum(CHANNELS)
        self.scale = every**-0.5
        self.queries = nn.ModuleList(_local(width, width // 2) for width in CHANNELS)
        self.key = _local(every, every)
        self.value = _local(every, every)
        self.projects = nn.ModuleList(nn.Conv2d(width, width, 1, bias=False) for width in CHANNELS)

    def forward(self, maps: list[Tensor], every: Tensor) -> list[Tensor]:
        key = F.normalize(self.key(every).flatten(2), dim=-1).transpose(1, 2)
        value = self.value(every).flatten(2)
        gathered = []
        for map_, query, project in zip(maps, self.queries, self.projects, strict=True):
            likeness = F.normalize(query(map_).flatten(2), dim=-1) @ key * self.scale
            weights = torch.softmax(F.instance_norm(likeness.unsqueeze(1)).squeeze(1), dim=-1)
            gathered.append(project((weights @ value).reshape(map_.shape)))
        return gathered


def _local(channels: int, groups: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, channels, 1, bias=False),
        nn.Conv2d(channels, channels, 3, padding=1, groups=groups, bias=False),
    )


class ComplementaryForward(nn.Module):
    """CFN: depthwise 3x3 and 5x5 on two halves of a wide 1x1, back by a 1x1, then ECA with a kernel of 3."""

    def __init__(self, channels: int, expansion: float = 2.66):
        super().__init__()
        hidden = int(channels * expansion)
        self.widen = nn.Conv2d(channels, 2 * hidden, 1, bias=False)
        self.near = nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden, bias=False)
        self.far = nn.Conv2d(hidden, hidden, 5, padding=2, groups=hidden, bias=False)
        self.narrow = nn.Conv2d(2 * hidden, channels, 1, bias=False)
        self.gate = EfficientChannelAttention(CHANNELS[0])  # 32 channels' kernel, 3, at every width

    def forward(self, x: Tensor) -> Tensor:
        near, far = self.widen(x).chunk(2, dim=1)
        return self.gate(self.narrow(F.relu(torch.cat([self.near(near), self.far(far)], dim=1))))


class GatedDecoder(nn.Module):
    """CCA: the skip's channels weighed by both means; with the enlarged level below through two 3x3."""

    def __init__(self, channels: int, out_channels: int):
        super().__init__()
        self.from_skip = nn.Linear(channels, channels)
        self.from_below = nn.Linear(channels, channels)
        self.mix = nn.Sequential(
            ConvNormAct(2 * channels, out_channels), ConvNormAct(out_channels, out_channels)
        )

    def forward(self, skip: Tensor, below: Tensor) -> Tensor:
        means = self.from_skip(skip.mean((2, 3))) + self.from_below(below.mean((2, 3)))
        gated = F.relu(skip * torch.sigmoid(means / 2)[..., None, None])
        return self.mix(torch.cat([gated, F.interpolate(below, scale_factor=2.0)], dim=1))
