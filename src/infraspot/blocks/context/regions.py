"""AGPCNet's context: non-local attention in regions, at several scales."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.blocks.attention import NonLocalAttention
from infraspot.blocks.conv import ConvNormAct
from infraspot.blocks.pooling import region_maxima


class AGCB(nn.Module):
    """Attention-guided context at one scale: local NLA, guided by a global view (AGPCNet, 2023).

    The map is cut into ``scale`` x ``scale`` regions. Locally, one NLA, shared by all regions, gathers inside
    each; globally, NLA over the grid of region maxima and a sigmoid give each region its weights. Then 3x3,
    norm, a learnt scale from 0, the residual and a ReLU. As in the authors' program the last row and column
    of regions take the remainder. Regions of one shape are handled in one call. A map with fewer than
    ``scale`` rows or columns is padded with its border, so that there are always as many regions.
    """

    def __init__(self, channels: int, scale: int, reduction: int = 8):
        super().__init__()
        self.scale = scale
        self.local = NonLocalAttention(channels, reduction)
        self.guide = NonLocalAttention(channels, reduction)
        self.merge = ConvNormAct(channels, channels, act=False)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        down, right = (_shortfall(length, self.scale) for length in (height, width))
        if torch.jit.is_tracing() or down or right:  # a traced graph is for maps of every size
            x = F.pad(x, (0, right, 0, down), mode="replicate")
        guide = torch.sigmoid(self.guide(region_maxima(x, self.scale)))
        context = self.merge(self._in_regions(x, guide))
        return F.relu(torch.addcmul(x, self.gamma, context))[..., :height, :width]

    def _in_regions(self, x: Tensor, guide: Tensor) -> Tensor:
        """Local NLA times guide: the regions of one size together, the larger last row and column apart."""
        side = guide.shape[-1]
        if side == 1:
            return self._equal_regions(x, guide)
        row, column = ((side - 1) * (length // side) for length in x.shape[-2:])
        bands = []
        for rows, cells in ((slice(row), slice(-1)), (slice(row, None), slice(-1, None))):
            left = self._equal_regions(x[..., rows, :column], guide[..., cells, :-1])
            right = self._equal_regions(x[..., rows, column:], guide[..., cells, -1:])
            bands.append(torch.cat([left, right], dim=3))
        return torch.cat(bands, dim=2)

    def _equal_regions(self, x: Tensor, guide: Tensor) -> Tensor:
        """Local NLA in the equal regions of ``x``, one for each cell of ``guide``, times that cell."""
        count, channels, height, width = x.shape
        down, across = guide.shape[-2:]
        grid = x.reshape(count, channels, down, height // down, across, width // across)
        regions = grid.permute(0, 2, 4, 1, 3, 5).reshape(-1, channels, height // down, width // across)
        out = self.local(regions).reshape(count, down, across, channels, height // down, width // across)
        weighted = out * guide.permute(0, 2, 3, 1)[..., None, None]
        return weighted.permute(0, 3, 1, 4, 2, 5).reshape(x.shape)


def _shortfall(length: int, wanted: int) -> int:
    """max(0, wanted - length), in arithmetic that a tracer follows."""
    return (wanted - length + abs(wanted - length)) // 2


class ContextPyramid(nn.Module):
    """AGCB at several scales, side by side: AGPCNet's context pyramid module (Zhang et al., 2023).

    1x1 to ``channels / reduction``; AGCB with each number of regions; concatenation with the 1x1's result;
    1x1. The defaults are the authors' settings, except that the inner width is at least 16.
    """

    def __init__(
        self,
        channels: int,
        scales: Sequence[int] = (10, 6, 5, 3),
        *,
        reduction: int = 16,
        region_reduction: int = 4,
    ):
        super().__init__()
        width = min(max(channels // reduction, 16), channels)
        self.reduce = ConvNormAct(channels, width, 1)
        self.blocks = nn.ModuleList(AGCB(width, scale, region_reduction) for scale in scales)
        self.merge = ConvNormAct(width * (1 + len(scales)), channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.reduce(x)
        return self.merge(torch.cat([x, *(block(x) for block in self.blocks)], dim=1))
