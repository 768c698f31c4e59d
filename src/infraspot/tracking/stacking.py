"""The last frames of a sequence, moved so that the background stands where it stands in the newest one."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.tracking.registration import Motion

Field = NDArray[np.float32]


class Stack:
    """Keeps the last frames of a sequence with the way that the background has gone since each.

    Frames are kept as they came and moved when they are asked for, so that no frame is interpolated twice.

    Parameters
    ----------
    length
        Frames to keep, the newest among them.
    """

    def __init__(self, length: int) -> None:
        self.length = length
        self._frames: list[Field] = []
        self._ways = np.zeros((0, 2))

    def push(self, image: NDArray[Any], motion: Motion) -> Field:
        """Take in a frame and give the registered stack, (length, H, W) float32, the newest frame last.

        At the beginning of a sequence, and after a change of size, the oldest frame that there is stands for
        those that are missing.

        Parameters
        ----------
        image
            (H, W).
        motion
            Of the background since the frame before.
        """
        frame = np.asarray(image, np.float32)
        if self._frames and self._frames[-1].shape != frame.shape:
            self._frames, self._ways = [], np.zeros((0, 2))
        self._frames = [*self._frames, frame][-self.length :]
        ways = self._ways + np.array([motion.dy, motion.dx])
        self._ways = np.concatenate([ways, np.zeros((1, 2))])[-self.length :]
        return self.registered()

    def registered(self) -> Field:
        """The stack as :meth:`push` gave it last."""
        moved = [shifted(frame, way) for frame, way in zip(self._frames, self._ways, strict=True)]
        return np.stack([moved[0]] * (self.length - len(moved)) + moved)

    def state(self) -> dict[str, NDArray[Any]]:
        """Everything that a later :meth:`restore` needs."""
        frames = np.stack(self._frames) if self._frames else np.zeros((0, 0, 0), np.float32)
        return {"frames": frames, "ways": self._ways}

    def restore(self, state: dict[str, NDArray[Any]]) -> None:
        """Go on from what :meth:`state` gave."""
        self._frames = list(np.asarray(state["frames"], np.float32))
        self._ways = np.asarray(state["ways"], np.float64).reshape(-1, 2)


def shifted(image: Field, way: NDArray[np.float64]) -> Field:
    """The frame (H, W) moved by ``way`` = (dy, dx) pixels, bilinearly; beyond its border it repeats it."""
    for axis, step in enumerate(way):
        if not step:
            continue
        whole = int(np.floor(step))
        part = np.float32(step - whole)
        size = image.shape[axis]
        # The result at k lies between the frame's values at k - whole - 1 and k - whole.
        places = np.clip(np.arange(-1, size) - whole, 0, size - 1)
        taken = image.take(places, axis=axis)
        first, second = (taken[:-1], taken[1:]) if axis == 0 else (taken[:, :-1], taken[:, 1:])
        image = second + part * (first - second) if part else second
    return np.ascontiguousarray(image)
