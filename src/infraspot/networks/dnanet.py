"""DNANet: dense nested attention network (Li et al., IEEE TIP 2022; arXiv 2021).

The survey's "nested fusion" with channel and spatial attention (CSAM): a UNet++ grid, in which a node meets
the earlier nodes of its row, the enlarged node below and, what UNet++ lacks, the shrunk node above, so that
details of tiny targets survive the deep layers. A feature pyramid brings the last node of each row to full
resolution.

Node (row, column); row 0 has the full size, each row below half of it::

    0,0   0,1   0,2   0,3   0,4      1 block on row 0, 2 on the others
    1,0   1,1   1,2   1,3
    2,0   2,1   2,2                  pyramid: 4,0  3,1  2,2  1,3 by 1x1, with 0,4
    3,0   3,1
    4,0

Departures: one grey channel instead of three; no bias before a batch norm. ``aux`` holds the heads of columns
3, 2 and 1; the authors weigh all four heads equally in the loss and use the last one in evaluation.
"""

import torch
from torch import Tensor, nn

from infraspot.blocks.residual import AttentiveResidualBlock, enlarge, stage
from infraspot.networks.base import SegmentationNetwork, SegOutput
from infraspot.networks.sheet import AFRESH, Sheet

CHANNELS = (16, 32, 64, 128, 256)
LAST = len(CHANNELS) - 1


class DNANet(SegmentationNetwork):
    """Nested grid of attentive residual blocks with a pyramid at its end."""

    sheet = Sheet(
        family="fusion, local, semantics",
        source="Li et al., IEEE TIP 2022",
        licence=AFRESH + "MIT",
        paper_params=4.70e6,
        paper_flops=14.26e9,
        parity=2.1e-6,
    )
    stride = 16

    def __init__(self) -> None:
        super().__init__()
        self.pool = nn.MaxPool2d(2)
        self.nodes = nn.ModuleDict({f"{row}{column}": _node(row, column) for row, column in _order()})
        self.laterals = nn.ModuleList(nn.Conv2d(CHANNELS[row], CHANNELS[0], 1) for row in range(LAST, 0, -1))
        self.pyramid = AttentiveResidualBlock(CHANNELS[0] * len(CHANNELS), CHANNELS[0])
        self.heads = nn.ModuleList(nn.Conv2d(CHANNELS[0], 1, 1) for _ in range(LAST))

    def segment(self, image: Tensor) -> SegOutput:
        grid: list[list[Tensor]] = [[] for _ in CHANNELS]
        for row, column in _order():
            grid[row].append(self.nodes[f"{row}{column}"](self._inputs(image, grid, row, column)))
        ends = [
            enlarge(lateral(grid[row][-1]), 2**row)
            for lateral, row in zip(self.laterals, range(LAST, 0, -1), strict=True)
        ]
        final = self.pyramid(torch.cat([*ends, grid[0][-1]], dim=1))
        first, second, third, last = self.heads
        aux = (third(grid[0][3]), second(grid[0][2]), first(grid[0][1]))
        return SegOutput(last(final), aux)

    def _inputs(self, image: Tensor, grid: list[list[Tensor]], row: int, column: int) -> Tensor:
        """What a node reads: its row so far, the node below to the left, the node above."""
        if column == 0:
            return self.pool(grid[row - 1][0]) if row else image
        maps = [*grid[row], enlarge(grid[row + 1][column - 1], 2)]
        if row:
            maps.append(enlarge(grid[row - 1][column], 0.5))
        return torch.cat(maps, dim=1)


def _order() -> list[tuple[int, int]]:
    """Nodes (row, column) so that each comes after those that it reads."""
    return [(row, column) for column in range(LAST + 1) for row in range(LAST + 1 - column)]


def _node(row: int, column: int) -> nn.Sequential:
    width = CHANNELS[row]
    if column == 0:
        inputs = CHANNELS[row - 1] if row else 1
    else:
        inputs = column * width + CHANNELS[row + 1] + (CHANNELS[row - 1] if row else 0)
    return stage(AttentiveResidualBlock, inputs, width, 2 if row else 1)
