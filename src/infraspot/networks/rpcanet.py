"""RPCANet: deep unfolding of robust principal component analysis (Wu et al., WACV, 2024).

The survey's "other methods": an image D is a low-rank background B plus sparse targets T, and the iterations
that part them are unfolded into stages. Each stage has three small networks in place of the proximal steps:

    B = x + background(x),       x = D - T
    T = x - step * target(x),    x = T + D - B
    D = merge(B + T)

The last T is the logits. ``background`` is the last D - T, so that ``background + logits`` is the
reconstruction that the authors hold to the image with weight 0.01.

Parameters: 0.679 M (the authors' program has 0.680 M). Departure: no bias in convolutions that a batch norm
follows. With the authors' weights carried over, outputs agree to 1e-5 of their range.
"""

import torch
from torch import Tensor, nn

from infraspot.blocks.conv import ConvNormAct
from infraspot.networks.base import SegmentationNetwork, SegOutput
from infraspot.networks.sheet import Sheet


def _normed_mapping(channels: int, layers: int) -> nn.Sequential:
    inner = (ConvNormAct(channels, channels) for _ in range(layers))
    return nn.Sequential(ConvNormAct(1, channels), *inner, nn.Conv2d(channels, 1, 3, padding=1))


def _plain_mapping(channels: int, layers: int) -> nn.Sequential:
    mapping = nn.Sequential(nn.Conv2d(1, channels, 3, padding=1), nn.ReLU(inplace=True))
    for _ in range(layers):
        mapping.extend([nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(inplace=True)])
    return mapping.append(nn.Conv2d(channels, 1, 3, padding=1))


class _Stage(nn.Module):
    """One unfolded iteration: (image, targets) -> (image, targets)."""

    def __init__(self, channels: int, background_layers: int, target_layers: int, merge_layers: int):
        super().__init__()
        self.background = _normed_mapping(channels, background_layers)
        self.target = _plain_mapping(channels, target_layers)
        self.merge = _normed_mapping(channels, merge_layers)
        self.step = nn.Parameter(torch.tensor([0.01]))

    def forward(self, image: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        rest = image - targets
        background = rest + self.background(rest)
        rest = targets + image - background
        targets = rest - self.step * self.target(rest)
        return self.merge(background + targets), targets


class RPCANet(SegmentationNetwork):
    """Six stages of 32 channels at full resolution."""

    sheet = Sheet(family="other: unfolding", source="Wu et al., WACV 2024", parity=6.6e-7)

    def __init__(
        self,
        stages: int = 6,
        channels: int = 32,
        *,
        background_layers: int = 3,
        target_layers: int = 6,
        merge_layers: int = 3,
    ):
        super().__init__()
        self.stages = nn.ModuleList(
            _Stage(channels, background_layers, target_layers, merge_layers) for _ in range(stages)
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_normal_(module.weight)

    def segment(self, image: Tensor) -> SegOutput:
        targets = torch.zeros_like(image)
        for stage in self.stages:
            image, targets = stage(image, targets)
        return SegOutput(targets, background=image - targets)
