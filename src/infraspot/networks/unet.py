"""UNet: an encoder-decoder assembled from the survey's words.

The frame of nearly all networks in the survey (its figure 3), with its three questions left open: how local
details are refined (``local``, Table 3), how semantic context is (``context``, Table 2) and how levels are
fused (``fusion``, Table 1). Each is a name, so that a recipe exchanges one block and keeps the rest:

    [network]
    name = "unet"
    local = "mrcb"
    context = "agcb"
    fusion = "acm"

Parameters: 0.51 M with the defaults.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.blocks.attention import ATTENTION
from infraspot.blocks.context import CONTEXT
from infraspot.blocks.conv import ConvNormAct
from infraspot.blocks.fusion import FUSION
from infraspot.blocks.local import LOCAL
from infraspot.core.catalog import find
from infraspot.core.errors import UsageError
from infraspot.networks.base import SegmentationNetwork, SegOutput
from infraspot.networks.sheet import OWN, Sheet


class UNet(SegmentationNetwork):
    """Levels of ``widths``, each at half the size of the one before.

    Parameters
    ----------
    widths
        Channels of the levels, finest first; two or more.
    local, decoder
        Names in :data:`~infraspot.blocks.local.LOCAL`: the block of an encoder and of a decoder level.
    context
        Name in :data:`~infraspot.blocks.context.CONTEXT`: what refines the coarsest level.
    fusion
        Name in :data:`~infraspot.blocks.fusion.FUSION`: how the decoder meets the encoder.
    attention
        Name in :data:`~infraspot.blocks.attention.ATTENTION`, applied after each encoder level, or None.

    The answer comes from the finest level; ``aux`` holds one coarser map for each decoder level and the
    coarsest. Raises UsageError for an unknown name or fewer than two widths.
    """

    sheet = Sheet(family="own", source="infraspot, from the survey's Tables 1-3", licence=OWN)

    def __init__(
        self,
        widths: Sequence[int] = (16, 32, 64, 128),
        *,
        local: str = "mrcb",
        context: str = "agcb",
        fusion: str = "acm",
        decoder: str = "residual",
        attention: str | None = None,
    ):
        super().__init__()
        if len(widths) < 2:
            raise UsageError(f"expected two or more widths for a unet, got {list(widths)}; add a level")
        self.stride = 2 ** (len(widths) - 1)
        make_local = find("local refinement", local, LOCAL)
        make_decoder = find("local refinement", decoder, LOCAL)
        make_fusion = find("fusion", fusion, FUSION)

        self.stem = ConvNormAct(1, widths[0])
        self.encoder = nn.ModuleList(
            nn.Sequential(make_local(low, high), _attention(attention, high))
            for low, high in pairwise((widths[0], *widths))
        )
        self.context = find("context", context, CONTEXT)(widths[-1])
        self.fusion = nn.ModuleList(make_fusion(low, high, low) for low, high in pairwise(widths))
        self.decoder = nn.ModuleList(make_decoder(width, width) for width in widths[:-1])
        self.heads = nn.ModuleList(nn.Conv2d(width, 1, 1) for width in widths)

    def segment(self, image: Tensor) -> SegOutput:
        x = self.stem(image)
        levels = []
        for index, block in enumerate(self.encoder):
            x = block(F.max_pool2d(x, 2) if index else x)
            levels.append(x)
        maps = [self.context(levels.pop())]
        for fusion, decoder, low in zip(self.fusion[::-1], self.decoder[::-1], levels[::-1], strict=True):
            maps.append(decoder(fusion(low, maps[-1])))
        finest, *coarser = (head(map_) for head, map_ in zip(self.heads, reversed(maps), strict=True))
        return SegOutput(finest, aux=tuple(coarser))


def _attention(name: str | None, channels: int) -> nn.Module:
    family: Mapping[str, Callable[[int], nn.Module]] = ATTENTION
    return nn.Identity() if name is None else find("attention", name, family)(channels)
