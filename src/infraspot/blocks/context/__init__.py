"""Semantic context refinement: every row of the survey's Table 2, ``Context(channels)(x)`` at the same
shape."""

from collections.abc import Callable

from torch import nn

from infraspot.blocks.attention import CBAM
from infraspot.blocks.context.pyramids import FPN, LSPM, MVTM, NLPPM, REAM
from infraspot.blocks.context.regions import CFAR, ContextPyramid
from infraspot.blocks.pyramid import AtrousPyramid, DynamicPyramid, SpatialPyramid

__all__ = ["CONTEXT"]


def no_context(_channels: int) -> nn.Module:
    """No context: the map as it is."""
    return nn.Identity()


CONTEXT: dict[str, Callable[[int], nn.Module]] = {
    "agcb": ContextPyramid,
    "aspp": AtrousPyramid,
    "cbam": CBAM,
    "cfar": CFAR,
    "dpc": DynamicPyramid,
    "fpn": FPN,
    "lspm": LSPM,
    "mvtm": MVTM,
    "nlppm": NLPPM,
    "none": no_context,
    "ream": REAM,
    "spp": SpatialPyramid,
}
