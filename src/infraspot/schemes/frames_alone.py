"""What schemes share that learn from frames of which nothing is known: labels of no target, and draws."""

import numpy as np
import torch
from numpy.random import Generator, default_rng
from torch import Tensor

from infraspot.schemes.base import Scheme, Trainee

# Seeds the draws of these schemes apart from those of augmentation.
STREAM = 17


class FramesAlone(Scheme):
    """A scheme that makes its own task from frames; a subclass writes ``loss``.

    Nothing is validated unless the recipe asks for it: what the weights are worth shows in what is trained
    from them.
    """

    self_supervised = True

    def __init__(self) -> None:
        self._drawn = 0

    def begin(self, run: Trainee) -> None:
        """Give every frame an empty label, and train on all of them."""
        for sample in run.samples:
            run.labels[sample.id] = np.zeros(sample.shape, np.bool_)
        run.labels.active = [sample.id for sample in run.samples]

    def draws(self, run: Trainee) -> Generator:
        """The generator of the next batch: the same one in a run that was stopped and goes on."""
        self._drawn += 1
        return default_rng([run.seed, STREAM, self._drawn])

    def state_dict(self) -> dict[str, int]:
        return {"drawn": self._drawn}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self._drawn = int(state["drawn"])


def to_frames(images: Tensor) -> "list[np.ndarray[tuple[int, int], np.dtype[np.float32]]]":
    """Copies of the frames of a batch (N, 1, H, W) as N arrays (H, W)."""
    return list(images[:, 0].detach().cpu().numpy().copy())


def to_batch(frames: "list[np.ndarray[tuple[int, int], np.dtype[np.float32]]]", like: Tensor) -> Tensor:
    """N arrays (H, W) as (N, 1, H, W) float32 on the device of another batch."""
    return torch.from_numpy(np.stack(frames).astype(np.float32)).unsqueeze(1).to(like.device)
