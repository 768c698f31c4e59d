"""From one click to the target's mask.

Each annotator is a pure function ``(image, points, **options) -> list[Region]``; :func:`annotate` is the
entry to all of them.
"""

from infraspot.annotators.api import Annotator, annotate, find_annotator
from infraspot.annotators.diffusion import annotate_diffusion
from infraspot.annotators.diffusion_mc import annotate_diffusion_mc
from infraspot.annotators.labelled_mask import Click, LabelledMask
from infraspot.annotators.level_set import annotate_level_set
from infraspot.annotators.mclc import annotate_mclc
from infraspot.annotators.profile.annotator import annotate_profile
from infraspot.annotators.profile.learning import Convention
from infraspot.annotators.profile.level_file import read_level, save_level
from infraspot.annotators.windows import annotate_otsu, annotate_random_walker, annotate_watershed

ANNOTATORS: dict[str, Annotator] = {
    "profile": annotate_profile,
    "diffusion": annotate_diffusion,
    "diffusion-mc": annotate_diffusion_mc,
    "mclc": annotate_mclc,
    "level-set": annotate_level_set,
    "otsu": annotate_otsu,
    "random-walker": annotate_random_walker,
    "watershed": annotate_watershed,
}

ADAPTERS = {
    "sam": "infraspot.inference.sam:annotate_sam",
    "sam2": "infraspot.inference.sam:annotate_sam2",
}
"""Annotators that need torch and weights of their own, imported when they are asked for."""

__all__ = [
    "ADAPTERS",
    "ANNOTATORS",
    "Annotator",
    "Click",
    "Convention",
    "LabelledMask",
    "annotate",
    "find_annotator",
    "read_level",
    "save_level",
]
