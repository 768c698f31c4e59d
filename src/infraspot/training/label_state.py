"""How labels that evolve are doing: their mass, and, for the report alone, their overlap with the truth."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infraspot.core.sample import Sample
from infraspot.schemes import LabelStore


@dataclass(frozen=True, eq=False)
class LabelWatch:
    """Compares labels with masks that no scheme sees.

    Attributes
    ----------
    truth
        For each frame that has a mask, the flat indices of its targets' pixels.
    """

    truth: dict[str, NDArray[np.intp]]

    @classmethod
    def over(cls, samples: Sequence[Sample]) -> "LabelWatch":
        """Watch the labels of these frames."""
        masks = ((sample.id, sample.mask) for sample in samples)
        return cls({id: np.flatnonzero(mask) for id, mask in masks if mask is not None})

    def numbers(self, labels: LabelStore) -> dict[str, float]:
        """``mass``: pixels of label a frame; ``iou``: overlap with the truth where there is any, both summed.

        Labels count as targets from 0.5 up. Frames that are not active are left out.
        """
        ids = [id for id in labels.active or labels if id in labels]
        if not ids:
            return {}
        numbers = {"mass": sum(map(labels.mass, ids)) / len(ids)}
        common = union = 0
        for id in ids:
            if id in self.truth:
                own, true = labels.pixels(id), self.truth[id]
                shared = np.intersect1d(own, true, assume_unique=True).size
                common, union = common + shared, union + len(own) + len(true) - shared
        return numbers | ({"iou": common / union} if union else {})
