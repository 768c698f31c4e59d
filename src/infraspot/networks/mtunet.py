"""MTU-Net: multi-level TransUNet for space-based infrared tiny ship detection (Wu et al., IEEE TGRS 2023).

The survey names its transformer (semantics refinement), its copy-paste augmentation and its FocalIoU loss. A
residual U-Net; one-layer vision transformers on its four finest levels, with patches of 16, 8, 4 and 2
pixels, bring long-range dependencies to one grid of 1/16, where they join the coarsest level.

The program is written for frames of 1024 pixels: a grid of 64 x 64 with as many learnt positions. Here the
positions are resized to the grid of any frame.

Departures: no bias before a batch norm; what the program makes but never calls (a fifth transformer, a first
layer, a second head) is left out: 2.50 M of its 10.78 M parameters for frames of 256 pixels, 3.48 M of
12.75 M for frames of 1024. Table 6 counts 8.22 M: it leaves out these and the positions. A patch is a square
of neighbouring pixels, as in the paper; the program's axes make it a sparse grid over the whole frame
(``sparse=True``).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.blocks.attention import tokens, untokens
from infraspot.blocks.residual import LeakyResidualBlock, enlarge, stage
from infraspot.networks.base import SegmentationNetwork, SegOutput
from infraspot.networks.sheet import AFRESH, Sheet

CHANNELS = (16, 32, 64, 128, 256)
PATCHES = (16, 8, 4, 2)
EMBEDDING = 64
HIDDEN = 4096
GRID = 64


class MTUNet(SegmentationNetwork):
    """Residual U-Net of five scales with a vision transformer on each of the finer four.

    Parameters
    ----------
    sparse
        Patches as the authors' program makes them.
    """

    sheet = Sheet(
        family="semantics",
        source="Wu et al., IEEE TGRS 2023",
        licence=AFRESH + "MIT",
        paper_params=8.22e6,
        paper_flops=6.20e9,
        note="Table 6's counter misses the learnt positions (1.05 M): bare parameters",
        parity=7.4e-7,
    )
    stride = 16

    def __init__(self, *, sparse: bool = False):
        super().__init__()
        widths = CHANNELS
        self.pool = nn.MaxPool2d(2)
        self.encoder = nn.ModuleList(
            stage(LeakyResidualBlock, before, width, depth)
            for before, width, depth in zip((1, *widths[:-1]), widths, (1, 2, 2, 2, 2), strict=True)
        )
        self.transformers = nn.ModuleList(
            VisionTransformer(width, side, sparse=sparse)
            for width, side in zip(widths[:4], PATCHES, strict=True)
        )
        self.bottom = LeakyResidualBlock(4 * EMBEDDING + widths[4], widths[4])
        self.decoder = nn.ModuleList(
            LeakyResidualBlock(widths[k] + widths[k + 1], widths[k]) for k in range(4)
        )
        self.head = nn.Conv2d(widths[0], 1, 1)

    def segment(self, image: Tensor) -> SegOutput:
        levels = [self.encoder[0](image)]
        for encode in self.encoder[1:]:
            levels.append(encode(self.pool(levels[-1])))
        coarsest = levels.pop()
        distant = [transform(level) for transform, level in zip(self.transformers, levels, strict=True)]
        y = self.bottom(torch.cat([*reversed(distant), coarsest], dim=1))
        for level, decode in zip(reversed(levels), reversed(self.decoder), strict=True):
            y = decode(torch.cat([level, enlarge(y, 2)], dim=1))
        return SegOutput(self.head(y))


class VisionTransformer(nn.Module):
    """One transformer layer over patches and a class token: (N, C, H, W) to (N, 64, H / side, W / side).

    Likenesses are multiplied by 32, half of the length of a query, where 1/8, the inverse of its square root,
    was meant. This comes from the precedence of operators in the program, with which the published weights
    were trained.
    """

    def __init__(self, channels: int, side: int, *, sparse: bool):
        super().__init__()
        self.sparse = sparse
        self.project = nn.Conv2d(channels, EMBEDDING, side, side)
        self.positions = nn.Parameter(torch.rand(1, EMBEDDING, GRID, GRID))
        self.class_token = nn.Parameter(torch.randn(1, 1, EMBEDDING))
        self.dropout = nn.Dropout(0.1)
        self.qkv = nn.Linear(EMBEDDING, 3 * EMBEDDING, bias=False)
        self.out = nn.Linear(EMBEDDING, EMBEDDING, bias=False)
        self.norm1 = nn.LayerNorm(EMBEDDING)
        self.mlp = nn.Sequential(
            nn.Linear(EMBEDDING, HIDDEN), nn.GELU(), nn.Dropout(0.1), nn.Linear(HIDDEN, EMBEDDING)
        )
        self.norm2 = nn.LayerNorm(EMBEDDING)

    def forward(self, x: Tensor) -> Tensor:
        grid = self._patches(x)
        size = grid.shape[-2:]
        positions: Tensor = self.positions
        if positions.shape[-2:] != size:
            positions = F.interpolate(positions, size=size, mode="bilinear", align_corners=True)
        patches = tokens(grid + positions)
        first = self.class_token.expand(len(x), -1, -1).to(patches.dtype)
        sequence = self.dropout(torch.cat([first, patches], dim=1))
        query, key, value = self.qkv(sequence).unflatten(-1, (3, EMBEDDING)).unbind(-2)
        gathered = self.out(F.scaled_dot_product_attention(query, key, value, scale=EMBEDDING / 2))
        sequence = self.norm1(sequence + self.dropout(gathered))
        sequence = self.norm2(sequence + self.dropout(self.mlp(sequence)))
        return untokens(sequence[:, 1:], grid)

    def _patches(self, x: Tensor) -> Tensor:
        if not self.sparse:
            return self.project(x)
        side = self.project.kernel_size[0]
        spread = (x.shape[-2] // side, x.shape[-1] // side)
        return F.conv2d(x, self.project.weight, self.project.bias, dilation=spread)
