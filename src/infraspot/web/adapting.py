"""A model for these frames, from what was marked in them: begun by the page, it works beside the server."""

import time
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any, Literal, TypeVar

from infraspot.core.errors import InfraspotError, counted
from infraspot.core.extras import require
from infraspot.core.sample import Sample
from infraspot.jobs.adapt import Adaptation, adapt_to
from infraspot.jobs.adapt_frames import LOOKED_AT, MANY, Gathered, evenly, generated_frames
from infraspot.jobs.cameras import cameras_of
from infraspot.web.session import RefusedError, Session
from infraspot.web.transfer import annotated

FEWEST = 2
"""Images with targets: one is held out to see whether adapting helps, and the others teach."""
MINUTES = 5.0
NAME = "adapted"

State = Literal["idle", "running", "done", "stopped", "failed"]
T = TypeVar("T")


class StoppedError(InfraspotError):
    """A person stopped the adaptation."""


class Adapting:
    """One adaptation at a time, in a thread of its own.

    Parameters
    ----------
    start
        The model to begin with, each time: packaged model, weight file or run folder.
    trust
        Names of code outside infraspot that it may import.
    use
        Takes the weight file that was made, for the proposals.

    Attributes
    ----------
    models
        How many models were made since the server started: the page asks for proposals when it changes.
    """

    def __init__(
        self, session: Session, start: str, trust: Collection[str], use: Callable[[Path], None]
    ) -> None:
        self.models = 0
        self._session, self._start, self._trust, self._use = session, start, trust, use
        self._state: State = "idle"
        self._message = ""
        self._share = 0.0
        self._began = 0.0
        self._first_step = 0.0
        self._stopped = Event()
        self._thread: Thread | None = None

    def begin(self) -> None:
        """Adapt to the images that are done, in the background.

        Raises
        ------
        RefusedError
            If an adaptation is at work, or too few images with targets are done.
        UsageError
            If the extra ``train`` is not installed.
        """
        if self._state == "running":
            raise RefusedError("an adaptation is at work already; stop it, or wait for its end")
        require("train", "adapting")
        count = sum(
            bool(state.targets)
            for state, _ in map(self._session.state, self._session.images)
            if state.status == "done"
        )
        if count < FEWEST:
            raise RefusedError(
                f"adapting takes {FEWEST} or more images that are done and hold a target, so that one can be"
                f" held out, and there {'is' if count == 1 else 'are'} {count}; Enter marks an image as done"
            )
        self._state, self._message, self._share, self._began = "running", "", 0.0, time.monotonic()
        self._stopped.clear()
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop after the step in hand; the proposals stay those of the model before."""
        self._stopped.set()

    def join(self) -> None:
        """Stop, and wait for the end."""
        self.stop()
        if self._thread is not None:
            self._thread.join()

    def shown(self) -> dict[str, Any]:
        """What the page says: the state, the share that is done, the seconds left, and a sentence."""
        return {
            "state": self._state,
            "share": self._share,
            "left": self._seconds_left(),
            "message": self._message,
            "models": self.models,
        }

    def _seconds_left(self) -> int | None:
        """By the pace of the steps, and never more than the limit allows; None before the first step."""
        if self._share <= 0:
            return None
        now = time.monotonic()
        by_pace = (now - self._first_step) * (1 - self._share) / self._share
        return max(0, round(min(by_pace, self._began + 60 * MINUTES - now)))

    def _run(self) -> None:
        state: State = "failed"
        try:
            out = self._session.out / f"{NAME}.safetensors"
            made = adapt_to(
                self._gathered,
                out,
                start=self._start,
                minutes=MINUTES,
                json=out.with_suffix(".json"),
                trust=self._trust,
                progress=self._watched,
            )
            self._use(made.path)
            self.models += 1
            state, self._message = "done", _sentence(made)
        except StoppedError as stopped:
            state, self._message = "stopped", str(stopped)
        except InfraspotError as error:
            self._message = str(error)
        finally:
            if state == "failed" and not self._message:
                self._message = "adapting ended by a fault, which the terminal shows; nothing has changed"
            self._state = state

    def _gathered(self) -> Gathered:
        """The images that are done or hold no target, and an even choice of all frames."""
        known = [sample for sample in annotated(self._session).samples if self._is_settled(sample)]
        shots = [sample for sample in known if sample.mask is not None and sample.mask.any()]
        empties = [sample for sample in known if sample.mask is not None and not sample.mask.any()]
        frames = list(self._frames())
        old, cameras = generated_frames(0), cameras_of(frames)
        return Gathered(frames, evenly(shots, MANY), empties, old, assume_empty=False, cameras=cameras)

    def _is_settled(self, sample: Sample) -> bool:
        """Whether a person is sure of an image."""
        image = self._session.named(sample.id)
        return image is not None and self._session.state(image)[0].status in ("done", "empty")

    def _frames(self) -> Iterator[Sample]:
        for image in evenly(list(self._session.images), LOOKED_AT):
            self._check()
            try:
                frame = self._session.frame(image)
            except InfraspotError:
                continue  # the page says what is wrong with an image when it is opened
            key = self._session.images[image]
            name = str(key.path) if key.page is None else f"{key.path}#{key.page}"
            yield Sample(name, frame.image, bit_depth=frame.bit_depth)

    def _watched(self, items: Iterable[T], total: int, what: str) -> Iterable[T]:
        self._first_step = time.monotonic()
        for done, item in enumerate(items):
            self._check()
            self._share = done / max(total, 1)
            yield item

    def _check(self) -> None:
        if self._stopped.is_set():
            raise StoppedError("stopped; the proposals are those of the model before")


def _sentence(made: Adaptation) -> str:
    held, shots = made.figures["held_out_shots"], made.figures["shots"]
    learnt = f"adapted to {counted(shots, 'image')}; the proposals are those of {made.path.name}"
    if held is None:
        return learnt
    after, before = (
        f"{row['pd']:.0%} of the targets with {row['false_per_frame']:.1f} false alarms an image,"
        f" IoU {row['frame_iou']:.0%}"
        for row in (held["after"], held["before"])
    )
    return f"{learnt}. On images that were held out it finds {after} (before: {before})"
