"""Detection in a stream: frames come from a camera or a pipe, one record goes out for each."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from threading import Condition, Thread
from typing import Any

from infraspot.core.errors import InfraspotError, InputError
from infraspot.core.options import require_whole
from infraspot.data import Reading
from infraspot.data.live import LiveFrame, is_live, live_frames
from infraspot.inference import Engine
from infraspot.inference.frames import as_displayed
from infraspot.inference.predictor import TargetEngine, predict_displayed
from infraspot.jobs.watching import Tell, tell_nobody
from infraspot.report.detection import Detection

AHEAD = 4


@dataclass(frozen=True)
class LiveRun:
    """How a stream went: frames that came, were detected in, were dropped, and could not be read.

    ``whole`` is False where it broke off or was cut off, and ``stopped`` True where the caller stopped it.
    """

    came: int = 0
    detected: int = 0
    dropped: int = 0
    failed: int = 0
    whole: bool = True
    stopped: bool = False


def detect_live(
    engine: Engine | TargetEngine,
    threshold: float,
    source: str,
    write: Callable[[dict[str, Any]], None],
    *,
    reading: Reading | None = None,
    ahead: int = AHEAD,
    drop: bool | None = None,
    tell: Tell = tell_nobody,
) -> LiveRun:
    """Detect in the frames of a stream as they come, in bounded memory, until it ends or is interrupted.

    Parameters
    ----------
    engine, threshold
        What :func:`infraspot.jobs.choosing.choose_engine` gives.
    source
        See :func:`infraspot.data.live.live_frames`.
    write
        Takes the record of each frame: that of ``detect`` with ``frame``, ``time`` (seconds), ``ms`` (work on
        it) and ``dropped`` (frames left out since the record before); a frame that cannot be read has
        ``error`` in place of its targets.
    ahead
        Most frames that wait while one is in work.
    drop
        Whether the oldest waiting frame gives way to a new one, or the source waits; by default cameras and
        addresses drop, and pipes wait.
    tell
        Hears why a stream broke off.

    Raises
    ------
    UsageError
        If the source or an option is none that can be used.
    InputError
        If the stream gives no frame at all.
    """
    require_whole(1, 10_000, ahead=ahead)
    feed = _Feed(live_frames(source, reading or Reading()), ahead, is_live(source) if drop is None else drop)
    run = LiveRun()
    try:
        for frame, dropped in feed:
            started = time.perf_counter()
            record = _record(frame, source, engine, threshold)
            failed = "error" in record
            run = replace(
                run,
                came=frame.number,
                detected=run.detected + (not failed),
                dropped=run.dropped + dropped,
                failed=run.failed + failed,
            )
            spent = round(1000 * (time.perf_counter() - started), 1)
            write(
                {"frame": frame.number, "time": round(frame.time, 4), "dropped": dropped, "ms": spent}
                | record
            )
    except KeyboardInterrupt:
        return replace(run, stopped=True)
    finally:
        feed.stop()
    if feed.error is not None:
        if not run.came or not isinstance(feed.error, InputError):
            raise feed.error
        tell(feed.error)
        return replace(run, whole=False)
    return run


def _record(live: LiveFrame, source: str, engine: Engine | TargetEngine, threshold: float) -> dict[str, Any]:
    frame = live.item
    if isinstance(frame, InputError):
        return {"error": str(frame)}
    name, shown = f"{live.number}", as_displayed(frame)
    try:
        prediction = predict_displayed(engine, frame, shown, name)
    except InputError as error:
        return {"error": f"frame {live.number}: {error}"}
    targets = prediction.find_targets(threshold, frame.image)
    found = Detection(
        name, source, None, shown.image, frame.bit_depth, engine.name, threshold, prediction, targets
    ).record()
    del found["image"]
    return found


class _Feed:
    """Frames of a stream, read by a thread of its own into a short queue."""

    def __init__(self, frames: Iterator[LiveFrame], ahead: int, drop: bool) -> None:
        self.error: InfraspotError | None = None
        self._waiting: deque[LiveFrame] = deque()
        self._ahead, self._drop = ahead, drop
        self._dropped, self._done, self._stopped = 0, False, False
        self._changed = Condition()
        self._frames = frames
        # It may wait for bytes that never come, and must not keep the program.
        Thread(target=self._read, name="stream", daemon=True).start()

    def _read(self) -> None:
        try:
            for frame in self._frames:
                if not self._put(frame):
                    return
        except InfraspotError as error:
            self.error = error
        except Exception as error:  # whatever a camera's driver raises ends the stream with a sentence
            self.error = InputError(f"the stream broke off ({error or type(error).__name__})")
        finally:
            with self._changed:
                self._done = True
                self._changed.notify_all()

    def _put(self, frame: LiveFrame) -> bool:
        with self._changed:
            while len(self._waiting) >= self._ahead and not self._drop and not self._stopped:
                self._changed.wait()
            if len(self._waiting) >= self._ahead:
                self._waiting.popleft()
                self._dropped += 1
            self._waiting.append(frame)
            self._changed.notify_all()
            return not self._stopped

    def __iter__(self) -> Iterator[tuple[LiveFrame, int]]:
        """Each frame, and how many were dropped since the one before it."""
        while True:
            with self._changed:
                while not self._waiting and not self._done:
                    self._changed.wait(0.5)  # so that Ctrl-C is heard
                if not self._waiting:
                    return
                frame, dropped = self._waiting.popleft(), self._dropped
                self._dropped = 0
                self._changed.notify_all()
            yield frame, dropped

    def stop(self) -> None:
        """Take no more frames."""
        with self._changed:
            self._stopped = True
            self._waiting.clear()
            self._changed.notify_all()
