"""Engines that look at several frames at once, shown a sequence one frame after the other."""

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from infraspot.core.catalog import find
from infraspot.inference.frames import seen_as
from infraspot.inference.scores import scores_of

if TYPE_CHECKING:
    from infraspot.tracking import Motion

USUAL_FA_PER_MPX = 5.0


class SequenceEngine(Protocol):
    """Scores the last of ``frames`` registered frames: (frames, H, W) float32 to (H, W) scores in [0, 1]."""

    name: str
    card: dict[str, Any]
    frames: int

    def score(self, image: NDArray[np.float32]) -> NDArray[np.float32]: ...


class ClassicalSequence:
    """A detector of sequences without training; its threshold rule is part of the score map, at 0.5.

    Parameters
    ----------
    method
        A key of :data:`infraspot.classical.sequences.SEQUENCES`.
    sigmas
        Threshold at the mean plus this many standard deviations of the response.
    fa_per_mpx
        Or, by default at 5, the threshold at this many false alarms a megapixel: read off the extreme values
        of each response.
    """

    def __init__(self, method: str, *, sigmas: float | None = None, fa_per_mpx: float | None = None) -> None:
        from infraspot.classical.sequences import FRAMES, SEQUENCES
        from infraspot.classical.threshold import cfar, k_sigma, score_map

        self.name, self.frames = method, FRAMES
        self._detector = find("classical method", method, SEQUENCES)
        self._score_map = score_map
        rate = fa_per_mpx or USUAL_FA_PER_MPX
        self._rule = (lambda r: cfar(r, rate)) if sigmas is None else (lambda r: k_sigma(r, sigmas))
        chosen = {"fa_per_mpx": rate} if sigmas is None else {"k": sigmas}
        self.card: dict[str, Any] = {"method": method, "threshold": 0.5, **chosen}

    def score(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        response = self._detector(image)
        # A response without a tail (the first frame of a sequence has no past) has no targets.
        return self._score_map(response, max(self._rule(response), 1e-6))


class FrameByFrame:
    """An engine that is shown a sequence one frame after the other, and remembers what it needs.

    It stands where a frame's engine does, and says by ``whole`` that frames are not to be cut into tiles.
    """

    whole = True
    name: str
    card: dict[str, Any]

    def __init__(self) -> None:
        self._key: Hashable = None
        self.begin()

    def begin(self) -> None:
        """Forget the frames before: another sequence begins."""
        raise NotImplementedError

    def enter(self, key: Hashable) -> None:
        """Say which sequence the next frame belongs to; another key than before begins anew."""
        if key != self._key:
            self.begin()
        self._key = key

    def follow(self, motion: "Motion") -> None:
        """Give the motion of the background before the next frame, for engines that use it."""

    def score(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """(H, W) scores of the next frame of the sequence."""
        raise NotImplementedError

    def state(self) -> dict[str, NDArray[Any]]:
        """What it remembers, for a later :meth:`restore`."""
        raise NotImplementedError

    def restore(self, state: dict[str, NDArray[Any]]) -> None:
        """Go on from what :meth:`state` gave."""
        raise NotImplementedError


class Streaming(FrameByFrame):
    """Shows an engine of sequences the registered stack that it takes.

    Each frame is registered against those before it, unless the caller gives the motion (:meth:`follow`).
    Frames of more than 8 bits come stretched, as to every engine.

    Parameters
    ----------
    engine
        What looks at the registered stack.
    polarity
        As in :func:`infraspot.inference.frames.seen_as`. With ``"dark"``, frames come turned. With
        ``"both"``, the stack is turned here, after the stretch, which clips dark targets of deep frames:
        seek those by themselves.
    """

    def __init__(self, engine: SequenceEngine, polarity: str = "bright") -> None:
        self.engine, self.name, self.card = engine, engine.name, engine.card
        self.polarity, self._views = ("bright", "both") if polarity == "both" else (polarity, "bright")
        super().__init__()

    def begin(self) -> None:
        # Loads SciPy, which single frames need not wait for.
        from infraspot.tracking import Registrar
        from infraspot.tracking.stacking import Stack

        self._registrar, self._stack = Registrar(), Stack(self.engine.frames)
        self._motion: Motion | None = None

    def follow(self, motion: "Motion") -> None:
        self._motion = motion

    def score(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        motion, self._motion = self._motion, None
        if motion is None:
            motion = self._registrar.step(image)
        stack = self._stack.push(image, motion)
        looks = [scores_of(self.engine, view) for view in seen_as(stack, self._views)]
        return looks[0] if len(looks) == 1 else np.maximum(*looks)

    def state(self) -> dict[str, NDArray[Any]]:
        return self._stack.state()

    def restore(self, state: dict[str, NDArray[Any]]) -> None:
        """Go on from what :meth:`state` gave; the motion must be given from then on."""
        self._stack.restore(state)


def streaming(engine: Any, polarity: str = "bright") -> Any:
    """An engine of sequences wrapped for single frames; any other engine as it is."""
    return Streaming(engine, polarity) if getattr(engine, "frames", 1) > 1 else engine
