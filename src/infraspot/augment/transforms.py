"""Augmentation: functions from a sample and a random generator to a sample.

Layers of pixels, points, boxes and what belongs to them move together. ``None`` stays ``None``, fields that
no transform knows stay as they are, and the input is never changed. Every draw comes from the generator, so
that the same seed gives the same sample.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from numpy.random import Generator

from infraspot.augment.bag_cp import BagCP
from infraspot.augment.copy_paste import CopyPaste
from infraspot.augment.flecks import Flecks
from infraspot.augment.geometric import Crop, Flip, Rot90, Scale, Transpose
from infraspot.augment.intensity import Blur, Gain, Gamma, Noise
from infraspot.augment.noise_library import NoiseLibrary
from infraspot.augment.rotate_target import RotateTarget
from infraspot.core.sample import Sample

Transform = Callable[[Sample, Generator], Sample]


@dataclass(frozen=True)
class Compose:
    """Transforms one after the other."""

    steps: Sequence[Transform] = ()

    def __call__(self, sample: Sample, rng: Generator) -> Sample:
        for step in self.steps:
            sample = step(sample, rng)
        return sample


TRANSFORMS: dict[str, Callable[..., Transform]] = {
    "crop": Crop,
    "scale": Scale,
    "flip": Flip,
    "transpose": Transpose,
    "rot90": Rot90,
    "gain": Gain,
    "gamma": Gamma,
    "noise": Noise,
    "blur": Blur,
    "copy-paste": CopyPaste,
    "bag-cp": BagCP,
    "rotate-target": RotateTarget,
    "flecks": Flecks,
    "noise-library": NoiseLibrary,
}
