"""Augmentation: what training does to a frame and everything that is annotated in it; :data:`TRANSFORMS`."""

from infraspot.augment.transforms import TRANSFORMS, Compose, Transform

__all__ = ["TRANSFORMS", "Compose", "Transform"]
