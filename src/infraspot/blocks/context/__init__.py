"""Semantic context refinement: every row of the survey's Table 2, and of that column of its Table 5.

``Context(channels)(x)`` at the same shape; a :class:`CrossLayerContext` is made with and called with the next
finer level too.
"""

from collections.abc import Callable

from torch import nn

from infraspot.blocks.attention import CBAM
from infraspot.blocks.context.cross_layer import CFAR, SFM, CrossLayerContext
from infraspot.blocks.context.pyramids import FPN, LSPM, MVTM, NLPPM, REAM
from infraspot.blocks.context.regions import ContextPyramid
from infraspot.blocks.context.transforming import (
    CGMLP,
    HAA,
    AtrousTransformer,
    MRCBContext,
    TransformerContext,
)
from infraspot.blocks.pyramid import AtrousPyramid, DynamicPyramid, SpatialPyramid

__all__ = ["CONTEXT", "CrossLayerContext"]


class NoContext(nn.Identity):
    """No context: the map as it is."""


CONTEXT: dict[str, Callable[..., nn.Module]] = {
    "agcb": ContextPyramid,
    "aspp": AtrousPyramid,
    "aspp-transformer": AtrousTransformer,
    "cbam": CBAM,
    "cfar": CFAR,
    "cgmlp": CGMLP,
    "dpc": DynamicPyramid,
    "fpn": FPN,
    "haa": HAA,
    "lspm": LSPM,
    "mrcb": MRCBContext,
    "mvtm": MVTM,
    "nlppm": NLPPM,
    "none": NoContext,
    "ream": REAM,
    "sfm": SFM,
    "spp": SpatialPyramid,
    "transformer": TransformerContext,
}
