"""``profile``: the annotator of infraspot; from one click to the seeded component at the right level."""

from infraspot.annotators.profile.annotator import annotate_profile

__all__ = ["annotate_profile"]
