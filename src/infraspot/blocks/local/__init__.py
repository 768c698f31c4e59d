"""Local details refinement: every row of the survey's Table 3, and of that column of its Table 5,
``Local(in_channels, out_channels)(x)``."""

from collections.abc import Callable

from torch import nn

from infraspot.blocks.local.attentive import (
    ICA,
    SAE,
    SCTB,
    TCIA,
    InteractiveAttention,
    PiAM,
    SiAM,
    SwinGCL,
    SwinLCA,
    SwinPair,
)
from infraspot.blocks.local.base import Local
from infraspot.blocks.local.clutter import OTC
from infraspot.blocks.local.contrasting import CAE, DDC, ContrastShape
from infraspot.blocks.local.convolutional import (
    FEM,
    MALC,
    MDAF,
    MLFPM,
    MRCB,
    EmbeddedUNet,
    PlainConvolutions,
)
from infraspot.blocks.residual import AttentiveResidualBlock, ResidualBlock

__all__ = ["LOCAL", "Local"]

LOCAL: dict[str, Callable[[int, int], nn.Module]] = {
    "cae": CAE,
    "contrast-shape": ContrastShape,
    "conv": PlainConvolutions,
    "csam": AttentiveResidualBlock,
    "ddc": DDC,
    "embedded-unet": EmbeddedUNet,
    "fem": FEM,
    "ica": ICA,
    "malc": MALC,
    "mdaf": MDAF,
    "mlfpm": MLFPM,
    "mrcb": MRCB,
    "otc": OTC,
    "piam": PiAM,
    "residual": ResidualBlock,
    "sae": SAE,
    "sctb": SCTB,
    "siam": SiAM,
    "siam-piam": InteractiveAttention,
    "swin": SwinPair,
    "swin-gcl": SwinGCL,
    "swin-lca": SwinLCA,
    "tcia": TCIA,
}
