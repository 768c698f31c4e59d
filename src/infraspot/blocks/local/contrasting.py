"""Local refinement by differences: learnt, dilated, or the fixed contrast of classical detectors."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.blocks.conv import ConvNormAct, central_difference
from infraspot.blocks.local.base import Local
from infraspot.blocks.transformer import TransformerLayer, WindowAttention


class ContrastShape(Local):
    """Central difference convolution for contrast, a large kernel for shape (Lin et al., 2024).

    Judgement: both depthwise at full width, on a shared 1x1; kernel 9; share 0.7 of the central difference as
    in Yu et al. (2020).
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 9, share: float = 0.7):
        super().__init__(in_channels, out_channels)
        self.share = share
        self.enter = ConvNormAct(in_channels, out_channels, 1)
        self.contrast = nn.Parameter(torch.empty(out_channels, 1, 3, 3))
        nn.init.kaiming_uniform_(self.contrast, a=5**0.5)
        self.shape = nn.Conv2d(
            out_channels, out_channels, kernel_size, padding=kernel_size // 2, groups=out_channels, bias=False
        )
        self.merge = ConvNormAct(2 * out_channels, out_channels, 1, act=False)

    def refine(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        contrast = central_difference(x, self.contrast, share=self.share)
        return self.merge(torch.cat([contrast, self.shape(x)], dim=1))


class DDC(Local):
    """Dilated difference convolution: plain, difference and dilated 3x3 side by side (SeRankDet, 2024).

    Three branches, as in the authors' program: three plain 3x3 for shape; one central difference convolution
    for subtle edges, share 0.7; three 3x3 of dilation 2, 4 and 2 for reach. A 3x3 merges them; no residual.
    """

    def __init__(self, in_channels: int, out_channels: int, share: float = 0.7):
        super().__init__(in_channels, out_channels, residual=False)
        self.share = share
        self.plain = _chain(in_channels, out_channels, (1, 1, 1))
        self.difference = nn.Conv2d(in_channels, out_channels, 3, bias=False)
        self.norm = nn.BatchNorm2d(out_channels)
        self.dilated = _chain(in_channels, out_channels, (2, 4, 2))
        self.merge = ConvNormAct(3 * out_channels, out_channels)

    def refine(self, x: Tensor) -> Tensor:
        difference = F.relu(self.norm(central_difference(x, self.difference.weight, share=self.share)))
        return self.merge(torch.cat([self.plain(x), difference, self.dilated(x)], dim=1))


def _chain(in_channels: int, out_channels: int, dilations: tuple[int, int, int]) -> nn.Sequential:
    first, second, third = dilations
    return nn.Sequential(
        ConvNormAct(in_channels, in_channels, dilation=first),
        ConvNormAct(in_channels, out_channels, dilation=second),
        ConvNormAct(out_channels, out_channels, dilation=third),
    )


class CAE(Local):
    """Cross aggregation encoder: fixed local contrast beside multi-head self-attention (Chen et al., 2024).

    Local saliency is a convolution with fixed weights, a place less the mean of its ring of eight, at two
    distances; context is self-attention. Judgement: attention in windows of 8 pixels, rings 1 and 3 pixels
    away; each branch weighs the other by a sigmoid before a 1x1 merges them.
    """

    ring: Tensor

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(in_channels, out_channels)
        self.enter = ConvNormAct(in_channels, out_channels)
        self.saliency = ConvNormAct(2 * out_channels, out_channels, 1)
        self.context = TransformerLayer(out_channels, attention=WindowAttention(out_channels, side=8))
        self.merge = ConvNormAct(2 * out_channels, out_channels, 1, act=False)
        ring = torch.full((1, 1, 3, 3), -1 / 8)
        ring[..., 1, 1] = 1
        self.register_buffer("ring", ring, persistent=False)

    def refine(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        saliency = self.saliency(torch.cat([self._contrast(x, 1), self._contrast(x, 3)], dim=1))
        context = self.context(x)
        crossed = [saliency * torch.sigmoid(context), context * torch.sigmoid(saliency)]
        return self.merge(torch.cat(crossed, dim=1))

    def _contrast(self, x: Tensor, reach: int) -> Tensor:
        weight = self.ring.to(x.dtype).expand(x.shape[1], -1, -1, -1)
        return F.conv2d(x, weight, padding=reach, dilation=reach, groups=x.shape[1])
