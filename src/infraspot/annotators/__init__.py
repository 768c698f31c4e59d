"""From one click to the target's mask.

Each annotator is a pure function ``(image, points, **options) -> list[Region]``; :func:`annotate` is the
entry to all of them.
"""

from infraspot.annotators.api import Annotator, annotate
from infraspot.annotators.labelled_mask import Click, LabelledMask
from infraspot.annotators.profile import annotate_profile
from infraspot.annotators.windows import annotate_otsu, annotate_random_walker, annotate_watershed

ANNOTATORS: dict[str, Annotator] = {
    "profile": annotate_profile,
    "otsu": annotate_otsu,
    "random-walker": annotate_random_walker,
    "watershed": annotate_watershed,
}

__all__ = ["ANNOTATORS", "Annotator", "Click", "LabelledMask", "annotate"]
