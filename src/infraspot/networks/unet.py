"""UNet: an encoder-decoder assembled from the survey's words.

The frame of nearly all networks in the survey (its figure 3), with its questions left open: how a frame
becomes levels (``encoder``), how local details are refined (``local``, Table 3), how semantic context is
(``context``, Table 2) and how levels are fused (``fusion``, Table 1). Each is a name, so that a recipe
exchanges one block and keeps the rest:

    [network]
    name = "unet"
    local = "mrcb"
    context = "agcb"
    fusion = "acm"

The recipes in ``recipes/survey`` are rows of the survey's Table 5, written in these words.

Parameters: 0.51 M with the defaults.
"""

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor, nn

from infraspot.blocks.attention import ATTENTION
from infraspot.blocks.context import CONTEXT, CrossLayerContext
from infraspot.blocks.conv import ConvNormAct
from infraspot.blocks.encoder import ENCODER, MakeBlock
from infraspot.blocks.fusion import FUSION
from infraspot.blocks.local import LOCAL
from infraspot.core.catalog import find
from infraspot.core.errors import UsageError
from infraspot.networks.base import SegmentationNetwork, SegOutput
from infraspot.networks.sheet import OWN, Sheet

MOST_CHANNELS = 4096


class UNet(SegmentationNetwork):
    """Levels of ``widths``, each at half the size of the one before.

    Parameters
    ----------
    widths
        Channels of the levels, finest first; two or more.
    encoder
        Name in :data:`~infraspot.blocks.encoder.ENCODER`: one branch, two, or guided by a decomposition.
    stem, local, decoder
        Names in :data:`~infraspot.blocks.local.LOCAL`: the layer that reads the frame (a 3x3 where it is
        None), the block of an encoder level and that of a decoder level.
    context
        Name in :data:`~infraspot.blocks.context.CONTEXT`: what refines the coarsest level.
    fusion
        Name in :data:`~infraspot.blocks.fusion.FUSION`: how the decoder meets the encoder.
    attention
        Name in :data:`~infraspot.blocks.attention.ATTENTION`, applied after each encoder level, or None.

    The answer comes from the finest level; ``aux`` holds one coarser map for each decoder level and the
    coarsest. Raises UsageError for an unknown name, and for widths that are too few or no channel counts.
    """

    sheet = Sheet(family="own", source="infraspot, from the survey's Tables 1-3", licence=OWN)
    training_side = 96

    def __init__(
        self,
        widths: Sequence[int] = (16, 32, 64, 128),
        *,
        encoder: str = "single",
        stem: str | None = None,
        local: str = "mrcb",
        context: str = "agcb",
        fusion: str = "acm",
        decoder: str = "residual",
        attention: str | None = None,
    ):
        super().__init__()
        sound = all(isinstance(width, int) and 1 <= width <= MOST_CHANNELS for width in widths)
        if len(widths) < 2 or not sound:
            raise UsageError(
                f"expected two or more widths for a unet, whole numbers from 1 to {MOST_CHANNELS}, got"
                f" {list(widths)}"
            )
        self.stride = 2 ** (len(widths) - 1)
        make_stem = ConvNormAct if stem is None else find("local refinement", stem, LOCAL)
        make_decoder = find("local refinement", decoder, LOCAL)
        make_fusion = find("fusion", fusion, FUSION)

        self.encoder = find("encoder", encoder, ENCODER)(widths, _refinement(local, attention), make_stem)
        *finer, coarsest = self.encoder.widths
        self.context = _context(context, coarsest, finer[-1])
        self.fusion = nn.ModuleList(
            make_fusion(low, high, width)
            for low, high, width in zip(finer, widths[1:], widths[:-1], strict=True)
        )
        self.decoder = nn.ModuleList(make_decoder(width, width) for width in widths[:-1])
        self.heads = nn.ModuleList(nn.Conv2d(width, 1, 1) for width in widths)

    def segment(self, image: Tensor) -> SegOutput:
        *levels, coarsest = self.encoder(image)
        across = isinstance(self.context, CrossLayerContext)
        maps = [self.context(coarsest, levels[-1]) if across else self.context(coarsest)]
        for fusion, decoder, low in zip(self.fusion[::-1], self.decoder[::-1], levels[::-1], strict=True):
            maps.append(decoder(fusion(low, maps[-1])))
        finest, *coarser = (head(map_) for head, map_ in zip(self.heads, reversed(maps), strict=True))
        return SegOutput(finest, aux=tuple(coarser))


def _refinement(local: str, attention: str | None) -> MakeBlock:
    """What makes the block of an encoder level: local refinement, then attention."""
    make_local = find("local refinement", local, LOCAL)
    family: Mapping[str, Callable[[int], nn.Module]] = ATTENTION
    make_attention = nn.Identity if attention is None else find("attention", attention, family)

    def make(in_channels: int, out_channels: int) -> nn.Module:
        return nn.Sequential(make_local(in_channels, out_channels), make_attention(out_channels))

    return make


def _context(name: str, channels: int, finer_channels: int) -> nn.Module:
    make = find("context", name, CONTEXT)
    across = isinstance(make, type) and issubclass(make, CrossLayerContext)
    return make(channels, finer_channels) if across else make(channels)
