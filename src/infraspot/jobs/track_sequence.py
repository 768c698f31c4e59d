"""The tracking of one sequence: each frame is checked, searched, registered, followed and written."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.core.errors import Caution, DataError, InfraspotError, InputError, UsageError
from infraspot.data import Reading
from infraspot.data.recordings import expected_frames
from infraspot.inference import Engine
from infraspot.inference.candidates import Candidates, candidates_of
from infraspot.inference.predictor import TargetEngine, gives_maps
from infraspot.inference.sequences import FrameByFrame
from infraspot.inference.stream import StreamedFrame, one_ahead
from infraspot.jobs.sequences import FileSequence, NumberedFrame, numbered_frames
from infraspot.jobs.track_files import STATE, Tables, track_rows
from infraspot.jobs.watching import Progress, Tell
from infraspot.tracking import Motion, Registrar, Settings, Tracker

CHECKPOINT_EVERY = 50
_LOW, _START = 1e-5, 1e-3  # of a network's own scores
_CLASSICAL_LOW, _CLASSICAL_START = 0.3, 0.5
_BOX_LOW, _BOX_START = 0.05, 0.3
_SURE = 0.8  # of the chances that a second look gives
_SATURATED = 0.5  # share of the pixels at the highest value
_COUNTS = ("frames", "used", "unreadable", "other_size", "doubled", "saturated", "unregistered")


class Detector:
    """Detections of a frame down to a low threshold.

    Parameters
    ----------
    engine
        What :func:`infraspot.jobs.choosing.choose_engine` gives.
    low, start
        The two thresholds; None takes those that suit the kind of engine.
    threshold
        Chance above which ``infraspot detect`` takes a detection of a single frame; goes into the summary.
    """

    def __init__(
        self,
        engine: Engine | TargetEngine,
        low: float | None,
        start: float | None,
        threshold: float = 0.5,
    ) -> None:
        usual = (_LOW, _START)
        if not gives_maps(engine):
            usual = (_BOX_LOW, _BOX_START)
        elif "method" in engine.card:
            usual = (_CLASSICAL_LOW, _CLASSICAL_START)
        self.engine, self.name, self.threshold = engine, engine.name, threshold
        self.sure = _SURE if getattr(engine, "second_look", None) is not None else threshold
        self.start = usual[1] if start is None else start
        self.low = min(usual[0], self.start) if low is None else low
        if self.low > self.start:
            raise UsageError(f"expected low up to start, and low {self.low:g} and start {self.start:g} came")

    def detect(self, item: StreamedFrame, motion: Motion) -> Candidates:
        """The candidates of a frame, each with its score and its chance.

        Engines of sequences are shown the frames before it as well, each moved by the motion since then.
        """
        if isinstance(self.engine, FrameByFrame):
            self.engine.follow(motion)
        return candidates_of(self.engine, item.frame, self.low, self.start)

    def state(self) -> dict[str, NDArray[Any]]:
        """What an engine of sequences holds; nothing for others."""
        return self.engine.state() if isinstance(self.engine, FrameByFrame) else {}

    def restore(self, state: dict[str, NDArray[Any]]) -> None:
        """Go on from what :meth:`state` gave."""
        if isinstance(self.engine, FrameByFrame):
            self.engine.restore(state)


class SequenceWork:
    """The tracking of one sequence into one folder.

    Raises
    ------
    DataError
        See :class:`infraspot.jobs.track_files.Tables`.
    """

    def __init__(
        self,
        sequence: FileSequence,
        detector: Detector,
        settings: Settings,
        reading: Reading,
        folder: Path,
        *,
        restart: bool = False,
    ) -> None:
        self.sequence, self.detector, self.settings, self.reading = sequence, detector, settings, reading
        self.options = {
            "source": sequence.files[0].path.as_posix(),
            "model": detector.name,
            "threshold": detector.threshold,
            "low": detector.low,
            **asdict(settings),
            "rule": repr(settings.rule),
        }
        self.tables = Tables(folder, self.options, restart=restart)
        self.registrar = Registrar()
        self.tracker: Tracker | None = None
        self.last = self.last_used = 0
        self.counts = dict.fromkeys(_COUNTS, 0)
        self._before: NDArray[Any] | None = None
        if isinstance(detector.engine, FrameByFrame):
            detector.engine.begin()
        if self.tables.state is not None:
            self._restore(self.tables.state, folder)

    def run(self, progress: Progress, tell: Tell, failures: list[str]) -> dict[str, Any] | None:
        """Track to the end; returns the summary, or None where no frame could be used."""
        total = sum(expected_frames(file.path, self.reading) for file in self.sequence.files)
        frames = one_ahead(numbered_frames(self.sequence, self.reading, self.last))
        try:
            for done, frame in enumerate(progress(frames, total, "tracking"), 1):
                self._take(frame, tell, failures)
                self.last = frame.number
                if done % CHECKPOINT_EVERY == 0:
                    self._checkpoint()
            if self.tracker is None:
                return None
            self.tables.add("tracks.csv", track_rows(self.tracker.finish()))
            about = {"sequence": self.sequence.name, **self.options, **self.counts}
            return self.tables.finish({**about, "shape": list(self.tracker.shape)})
        finally:
            self.tables.close()

    def _take(self, numbered: NumberedFrame, tell: Tell, failures: list[str]) -> None:
        """Use one frame, or say why it cannot be used."""
        self.counts["frames"] += 1
        use, why = self._use_of(numbered)
        self.counts[use] += 1
        if why is not None and (isinstance(why, InfraspotError) or self.counts[use] == 1):
            tell(why)
        if isinstance(why, InfraspotError):
            failures.append(str(why))
        if use != "used":
            self.tables.add("frames.csv", [(numbered.number, numbered.name, use, "", "", "", 0, 0)])
            return
        assert isinstance(numbered.item, StreamedFrame)
        self._follow(numbered.number, numbered.name, numbered.item)

    def _use_of(self, numbered: NumberedFrame) -> tuple[str, InfraspotError | str | None]:
        """Which of the counts a frame belongs to, and what is to be said of it."""
        item = numbered.item
        if isinstance(item, InfraspotError):
            return "unreadable", item
        image, before = item.frame.image, self._before
        if self.tracker is not None and image.shape != self.tracker.shape:
            height, width = self.tracker.shape
            return "other_size", InputError(
                f"{item.name} is {image.shape[1]}x{image.shape[0]}, and the sequence {width}x{height}; the"
                " frame is left out: track frames of one size at a time"
            )
        if before is not None and np.array_equal(image, before):
            return "doubled", Caution(f"{item.name} is the frame before once more; such frames are left out")
        top = image.max()
        if top == image.min() or np.count_nonzero(image == top) > _SATURATED * image.size:
            return "saturated", Caution(
                f"{item.name} has one value in more than half of its pixels (saturated or covered); such"
                " frames are left out"
            )
        return "used", None

    def _follow(self, number: int, name: str, item: StreamedFrame) -> None:
        """Detect, register and follow in a frame that can be used."""
        image = item.frame.image
        if self.tracker is None:
            self.tracker = Tracker(self.settings, (image.shape[0], image.shape[1]))
        passed = number - self.last_used if self.last_used else 1
        motion = self.registrar.step(image, passed)
        found = self.detector.detect(item, motion)
        rows = self.tracker.step(
            number, found.places, found.scores, motion, passed, found.chances, found.alone
        )
        self.tables.add("tracks.csv", track_rows(rows))
        self.tables.add(
            "detections.csv",
            (
                (number, f"{x:.2f}", f"{y:.2f}", f"{score:.6f}", f"{chance:.4f}")
                for (y, x), score, chance, _ in zip(*found, strict=True)
            ),
        )
        moved = (f"{motion.dx:.3f}", f"{motion.dy:.3f}", f"{motion.error:.3f}", int(motion.known))
        self.tables.add("frames.csv", [(number, name, "used", *moved, len(found.places))])
        self.counts["unregistered"] += not motion.known
        self.last_used, self._before = number, image

    def _checkpoint(self) -> None:
        if self.tracker is None:
            return
        assert self._before is not None
        self.tables.checkpoint(
            self.last,
            {
                **{f"tracker:{name}": value for name, value in self.tracker.state().items()},
                **{f"registrar:{name}": value for name, value in self.registrar.state().items()},
                **{f"detector:{name}": value for name, value in self.detector.state().items()},
                "before": self._before,
                "last_used": np.array(self.last_used),
                "counts": np.array([self.counts[name] for name in _COUNTS]),
            },
        )

    def _restore(self, state: dict[str, NDArray[Any]], folder: Path) -> None:
        """Go on from a checkpoint."""
        try:
            before = np.asarray(state["before"], np.float32)
            tracker = Tracker(self.settings, (before.shape[0], before.shape[1]))
            tracker.restore({name: state[f"tracker:{name}"] for name in ("tracks", "held", "numbers")})
            self.registrar.restore({name: state[f"registrar:{name}"] for name in ("motion", "reference")})
            held = {name: state[f"detector:{name}"] for name in self.detector.state()}
            self.detector.restore(held)
            self.last, self.last_used = int(state["frame"]), int(state["last_used"])
            self.counts = dict(zip(_COUNTS, (int(count) for count in state["counts"]), strict=True))
        except (KeyError, ValueError, TypeError, IndexError) as error:
            raise DataError(f"{folder / STATE} is damaged ({error}); start over with --restart") from error
        self.tracker, self._before = tracker, before
