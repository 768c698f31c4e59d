"""Fusion of local details and high-level semantics: every row of the survey's Table 1, and of that column of
its Table 5."""

from collections.abc import Callable

from infraspot.blocks.fusion.base import Add, Concat, Fusion
from infraspot.blocks.fusion.one_way import BLAM, FAMCA, MCAF, OCDF, SBAM, TOAA
from infraspot.blocks.fusion.plain import CFM, MFFM, AdjacentFusion
from infraspot.blocks.fusion.two_way import AAF, AAFM, ACM, AFM, EDIG, PGA, TCFM

__all__ = ["FUSION", "Fusion"]

FUSION: dict[str, Callable[[int, int, int], Fusion]] = {
    "aaf": AAF,
    "aafm": AAFM,
    "acm": ACM,
    "add": Add,
    "adjacent": AdjacentFusion,
    "afm": AFM,
    "blam": BLAM,
    "cfm": CFM,
    "concat": Concat,
    "edig": EDIG,
    "famca": FAMCA,
    "mcaf": MCAF,
    "mffm": MFFM,
    "ocdf": OCDF,
    "pga": PGA,
    "sbam": SBAM,
    "tcfm": TCFM,
    "toaa": TOAA,
}
