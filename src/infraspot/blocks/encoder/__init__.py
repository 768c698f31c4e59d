"""How a frame becomes levels: one branch or two (survey, section 2.4), or guided by a decomposition (2.5)."""

from infraspot.blocks.encoder.base import Encoder, MakeBlock, SingleEncoder
from infraspot.blocks.encoder.branches import DualEncoder, DualResolutionEncoder
from infraspot.blocks.encoder.decomposed import DifferentialEncoder, low_rank_background

__all__ = ["ENCODER", "Encoder", "MakeBlock", "low_rank_background"]

ENCODER: dict[str, type[Encoder]] = {
    "differential": DifferentialEncoder,
    "dual": DualEncoder,
    "dual-resolution": DualResolutionEncoder,
    "single": SingleEncoder,
}
