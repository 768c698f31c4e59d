"""SDAISTD: supervised adaptation, with masks on both cameras and features drawn to the other one's centre.

A reconstruction: there is no program, and the survey gives it one sentence (the Euclidean distance between
the minimised feature of one domain and the centre of the opposite one). Here both cameras train with their
masks on one network. The features of a target's pixels are drawn to the centre of targets of the other
camera, which is a running mean: the mean over targets of the squared distance of the nearest of their
pixels.
"""

from typing import Any

import torch
from torch import Tensor

from infraspot.core.errors import UsageError
from infraspot.core.options import require_number
from infraspot.losses import Batch
from infraspot.schemes.base import Trainee
from infraspot.schemes.features import target_pixels, with_features
from infraspot.schemes.full import Full


class SDAISTD(Full):
    """Masks on two cameras; targets of each near the centre of the other's.

    A frame's camera is its set: frames of ``data.sets`` and ``data.merge`` have ids that begin with a set's
    name.

    Parameters
    ----------
    weight
        Of the distances.
    decay
        Share of itself that a centre keeps at each step.
    """

    def __init__(self, weight: float = 0.05, decay: float = 0.9) -> None:
        require_number(0, 1e6, weight=weight)
        require_number(0, 1, decay=decay)
        self.weight, self.decay = weight, decay
        self._centres: dict[str, Tensor] = {}

    def begin(self, run: Trainee) -> None:
        super().begin(run)
        cameras = {camera_of(sample.id) for sample in run.samples}
        if len(cameras) != 2:
            raise UsageError(
                f"the scheme sdaistd trains on two cameras, each a set with masks, and {len(cameras)}"
                f" came; name the"
                " second one in data.sets"
            )

    def loss(self, run: Trainee, batch: Batch) -> Tensor:
        output, features = with_features(run.network, run.module, batch.images)
        total = run.loss(output, batch).mean()
        for index, id in enumerate(batch.ids):
            pixels = target_pixels(features[index : index + 1], batch.labels[index : index + 1])
            if not len(pixels):
                continue
            own = camera_of(id)
            for other, centre in self._centres.items():
                if other != own:
                    nearest = (pixels - centre.to(pixels)).pow(2).mean(1).amin()
                    total = total + self.weight * nearest / len(batch)
            self._move(own, pixels.detach().mean(0))
        return total

    def _move(self, camera: str, mean: Tensor) -> None:
        before = self._centres.get(camera)
        self._centres[camera] = mean if before is None else torch.lerp(mean, before, self.decay)

    def state_dict(self) -> dict[str, Any]:
        return {"centres": dict(self._centres)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._centres = dict(state["centres"])


def camera_of(id: str) -> str:
    """The set that a frame is from, by its id; "" for the run's own."""
    return id.rpartition("/")[0]
