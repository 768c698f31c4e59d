"""How a sequence moves: the camera's way, targets that cross each other, targets that blink."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from infraspot.synth.spec import SceneSpec, TargetSpec

Place = tuple[float, float]

_LONGEST_BLINK = 3  # frames


@dataclass(frozen=True, eq=False)
class CameraWay:
    """Where the background has gone in the image since the first frame.

    Attributes
    ----------
    far
        (frames, 2) as (y, x) in pixels: true ego motion, of all that is far away.
    near
        The same of what stands before the sky, which parallax moves further.
    shake
        (frames, 2): the part that the steady pan does not explain; targets share it.
    """

    far: NDArray[np.float64]
    near: NDArray[np.float64]
    shake: NDArray[np.float64]

    @property
    def room(self) -> tuple[int, int]:
        """Rows and columns that a background must have beyond the frame."""
        if len(self.far) == 1:
            return 0, 0
        span = self._all.max(axis=0) - self._all.min(axis=0)
        rows, columns = (int(np.ceil(side)) + 1 for side in span)
        return rows, columns

    def cut(self, layer: NDArray[np.float64], t: int) -> Place:
        """How the wide background moves for frame ``t`` of a layer; no number is above 0."""
        y, x = layer[t] - self._all.max(axis=0)
        return float(y), float(x)

    @property
    def _all(self) -> NDArray[np.float64]:
        return np.concatenate([self.far, self.near])


def camera_way(spec: SceneSpec, rng: np.random.Generator) -> CameraWay:
    """A steady pan by ``spec.drift``, with a shake that is drawn anew for each frame."""
    steps = np.arange(spec.frames, dtype=np.float64)[:, None]
    pan = -steps * np.array(spec.drift)
    shake = np.zeros_like(pan)
    if spec.jitter and spec.frames > 1:
        shake[1:] = rng.normal(0, spec.jitter, (spec.frames - 1, 2))
    far = pan + shake
    return CameraWay(far, (1 + spec.parallax) * far if spec.parallax else far, shake)


def crossed(spec: SceneSpec, places: list[Place]) -> tuple[TargetSpec, ...]:
    """The targets; where ``spec.crossing`` asks for it, the second one meets the first halfway."""
    targets = spec.targets[: len(places)]
    if not spec.crossing or len(targets) < 2 or spec.frames < 3:
        return targets
    halfway = (spec.frames - 1) / 2
    gap = np.subtract(places[0], places[1])
    velocity = gap / halfway + np.array(targets[0].velocity)
    meeting = replace(targets[1], velocity=(float(velocity[0]), float(velocity[1])))
    return (targets[0], meeting, *targets[2:])


def hidden(targets: tuple[TargetSpec, ...], frames: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """(targets, frames) where a target that blinks is not to be seen; never in the first frame."""
    gone = np.zeros((len(targets), frames), bool)
    for number, target in enumerate(targets):
        if not target.blink:
            continue
        t = 1
        while t < frames:
            if rng.random() < target.blink:
                length = int(rng.integers(1, _LONGEST_BLINK + 1))
                gone[number, t : t + length] = True
                t += length
            t += 1
    return gone
