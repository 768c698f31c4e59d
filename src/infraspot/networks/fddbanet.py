"""FDDBANet: frequency domain decoupling and bidirectional interactive attention (Huang et al., IEEE TGRS,
2024).

The survey's "other methods" (its figure 10): two learnt masks over the image's spectrum give one input that
holds the targets only and one that holds the background only. Two encoders read them, tell each other at
every level what is theirs, and the decoder works on their difference. Contrast learning raises the disparity
of the two while the network trains: ``streams`` holds the features that the loss ``contrast`` compares.

Parameters: 0.844 M. The authors' program is not public: this is a reading of the survey and of the paper's
title. The masks are learnt over vertical and horizontal frequency and interpolated to the size of the
spectrum, so that any image size is taken. They are independent: a frequency may go to both inputs, or to
none. The interaction: the pixel attention of each stream amplifies that stream and weakens the other. The
transform runs in float32; in an exported graph it is a product with cosines and sines.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.blocks.attention import PixelAttention
from infraspot.blocks.conv import ConvNormAct
from infraspot.blocks.fusion.two_way import ACM
from infraspot.blocks.residual import ResidualBlock
from infraspot.networks.base import SegmentationNetwork, SegOutput
from infraspot.networks.sheet import OWN, Sheet


class SpectralSplit(nn.Module):
    """image -> (targets only, background only), each (N, 1, H, W).

    The masks are learnt on a grid over the half spectrum, rows from -1/2 to 1/2 and columns from 0 to 1/2
    cycles a pixel. They start as a soft high-pass for the targets, which are small, and its complement for
    the background, which is smooth.
    """

    def __init__(self, rows: int = 17, columns: int = 9):
        super().__init__()
        vertical = torch.linspace(-0.5, 0.5, rows).unsqueeze(1)
        horizontal = torch.linspace(0, 0.5, columns)
        radius = torch.sqrt(vertical.square() + horizontal.square())
        high = 16 * (radius - 0.15)
        self.masks = nn.Parameter(torch.stack([high, -high]).unsqueeze(0))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        height, width = image.shape[-2:]
        size = (height, width // 2 + 1)
        share = torch.sigmoid(F.interpolate(self.masks, size, mode="bilinear", align_corners=True))
        share = torch.cat([share[..., height // 2 :, :], share[..., : height // 2, :]], dim=-2).float()
        if torch.jit.is_tracing():  # the exporter has no Fourier transform
            inputs = _filtered(image.float(), share)
        else:
            inputs = torch.fft.irfft2(torch.fft.rfft2(image.float()) * share, s=(height, width))
        targets, background = inputs.to(image.dtype).chunk(2, dim=1)
        return targets, background


def _filtered(image: Tensor, share: Tensor) -> Tensor:
    """irfft2(rfft2(image) * share) as products with the cosines and sines of the transform.

    (N, 1, H, W) and the shares (1, K, H, W // 2 + 1) give (N, K, H, W).
    """
    height, width = image.shape[-2:]
    cos_down, sin_down = _waves(height, height, height)
    cos_across, sin_across = _waves(width, width // 2 + 1, width)
    real, imaginary = image @ cos_across, -image @ sin_across
    real, imaginary = cos_down @ real + sin_down @ imaginary, cos_down @ imaginary - sin_down @ real
    real, imaginary = share * real, share * imaginary
    real, imaginary = cos_down @ real - sin_down @ imaginary, cos_down @ imaginary + sin_down @ real
    column = torch.arange(width // 2 + 1)
    alone = (2 * column) % width == 0  # the other columns stand for two frequencies
    weight = torch.where(alone, 1.0, 2.0) / (height * width)
    return (weight * real) @ cos_across.T - (weight * imaginary) @ sin_across.T


def _waves(places: int, frequencies: int, period: int) -> tuple[Tensor, Tensor]:
    """cos and sin of 2 pi place frequency / period, (places, frequencies); phases are reduced as integers."""
    turns = (torch.arange(places)[:, None] * torch.arange(frequencies)) % period
    phase = turns.float() * (2 * math.pi) / period
    return torch.cos(phase), torch.sin(phase)


class _Interaction(nn.Module):
    """Bidirectional: the pixel attention of each stream amplifies that stream and weakens the other."""

    def __init__(self, channels: int):
        super().__init__()
        self.of_targets = PixelAttention(channels)
        self.of_background = PixelAttention(channels)

    def forward(self, targets: Tensor, background: Tensor) -> tuple[Tensor, Tensor]:
        of_targets = self.of_targets.weights(targets)
        of_background = self.of_background.weights(background)
        return (
            targets * (1 + of_targets - of_background),
            background * (1 + of_background - of_targets),
        )


class FDDBANet(SegmentationNetwork):
    """Two streams of ``widths``, one decoder of their difference."""

    sheet = Sheet(
        family="other: frequency",
        source="Huang et al., IEEE TGRS 2024",
        licence=OWN,
        note="the authors' program is not public",
    )

    def __init__(self, widths: Sequence[int] = (16, 32, 64, 128)):
        super().__init__()
        self.stride = 2 ** (len(widths) - 1)
        self.split = SpectralSplit()
        self.target_levels, self.background_levels = _stream(widths), _stream(widths)
        self.interactions = nn.ModuleList(_Interaction(width) for width in widths)
        self.differences = nn.ModuleList(ConvNormAct(2 * width, width, 1) for width in widths)
        self.fusion = nn.ModuleList(ACM(low, high, low) for low, high in pairwise(widths))
        self.decoder = nn.ModuleList(ResidualBlock(width, width) for width in widths[:-1])
        self.heads = nn.ModuleList(nn.Conv2d(width, 1, 1) for width in widths)

    def _encode(self, targets: Tensor, background: Tensor) -> list[tuple[Tensor, Tensor]]:
        streams = []
        for target_level, background_level, interact in zip(
            self.target_levels, self.background_levels, self.interactions, strict=True
        ):
            targets, background = interact(target_level(targets), background_level(background))
            streams.append((targets, background))
        return streams

    def segment(self, image: Tensor) -> SegOutput:
        streams = self._encode(*self.split(image))
        levels = [
            difference(torch.cat([targets, targets - background], dim=1))
            for difference, (targets, background) in zip(self.differences, streams, strict=True)
        ]
        maps = [levels.pop()]
        for fusion, decoder, low in zip(self.fusion[::-1], self.decoder[::-1], levels[::-1], strict=True):
            maps.append(decoder(fusion(low, maps[-1])))
        finest, *coarser = (head(map_) for head, map_ in zip(self.heads, reversed(maps), strict=True))
        return SegOutput(finest, aux=tuple(coarser), streams=tuple(streams) if self.training else ())


def _stream(widths: Sequence[int]) -> nn.ModuleList:
    """A stem, then residual levels at half the size each."""
    entry = nn.Sequential(ConvNormAct(1, widths[0]), ResidualBlock(widths[0], widths[0]))
    rest = (ResidualBlock(low, high, stride=2) for low, high in pairwise(widths))
    return nn.ModuleList([entry, *rest])
