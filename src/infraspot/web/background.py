"""What goes on while the page is in use: methods are compiled, the model is loaded, every frame is scored."""

from collections.abc import Callable, Collection, Iterator
from functools import lru_cache, partial
from pathlib import Path
from threading import Event, Thread

import numpy as np

from infraspot.annotators import annotate
from infraspot.core.errors import InfraspotError, InputError
from infraspot.data import Frame, FrameKey, open_frames
from infraspot.inference import DEFAULT_MODEL, Engine, predict
from infraspot.inference.predictor import TargetEngine
from infraspot.jobs.choosing import choose_engine
from infraspot.web.adapting import Adapting
from infraspot.web.proposals import METHODS, uncertainty_of
from infraspot.web.session import Session


class NotReadyError(InfraspotError):
    """What was asked for is being compiled or loaded; the same request will be granted soon."""


Proposer = tuple[Engine | TargetEngine, float]
"""A detector, and the score above which a pixel belongs to a target."""


def open_packaged() -> Proposer:
    """The packaged detector on one thread, so that clicks are not held up."""
    return choose_engine(threads=1)


class Background:
    """One thread beside the server, so that no request ever waits for a compiler or a weight file.

    Parameters
    ----------
    open_model
        Opens the detector that proposes targets, and says at which threshold.
    start, trust
        The model that adapting begins with, and names of code that it may import.

    Attributes
    ----------
    ready
        Methods that answer at once.
    uncertainties
        How undecided the detector is about each image that was scored so far (see
        :func:`infraspot.web.proposals.uncertainty_of`).
    failure
        Why there is no model, or None.
    adapting
        Makes a model for these frames when the page asks for it; it then proposes.
    """

    def __init__(
        self,
        session: Session,
        open_model: Callable[[], Proposer] = open_packaged,
        *,
        start: str = DEFAULT_MODEL,
        trust: Collection[str] = (),
    ) -> None:
        self.ready: set[str] = set()
        self.uncertainties: dict[str, float] = {}
        self.failure: InfraspotError | None = None
        self._proposer: Proposer | None = None
        self._open_model = open_model
        self._session = session
        self._stopped, self._anew = Event(), Event()
        self.adapting = Adapting(session, start, trust, self.propose_with)
        self._thread = Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin: the first method, the model, the other methods, then the frames, for each model."""
        self._thread.start()

    def stop(self) -> None:
        """Wait for the work in hand; a thread inside the runtime would abort a process that ends."""
        self._stopped.set()
        self._anew.set()
        self.adapting.join()
        if self._thread.is_alive():
            self._thread.join()

    def check(self, method: str) -> None:
        """Raise a NotReadyError while a method is being compiled; unknown methods pass."""
        if method in METHODS and method not in self.ready:
            raise NotReadyError(f"{method} is still being prepared; your click is kept until it is ready")

    def proposer(self) -> Proposer:
        """The model and its threshold.

        Raises
        ------
        NotReadyError
            While it is being loaded.
        InfraspotError
            If it could not be loaded.
        """
        if self.failure is not None:
            raise self.failure
        if self._proposer is None:
            raise NotReadyError("the model is still being loaded")
        return self._proposer

    def warm_up(self, method: str) -> None:
        """Compile a method by a click on a made-up target."""
        try:
            for level in ({}, {"level": 0.3}) if method == "profile" else ({},):
                annotate(_dot(), np.array([[24.0, 24.0]]), method=method, **level)
        except Exception:  # whatever a library raises: a click will say what is wrong
            pass
        self.ready.add(method)

    def load_model(self) -> None:
        """Open the model, or keep what went wrong."""
        try:
            self._proposer = self._open_model()
        except InfraspotError as error:
            self.failure = error
        except Exception as error:  # whatever a run time raises: the page must not wait for ever
            self.failure = InfraspotError(f"the model cannot be loaded: {type(error).__name__}: {error}")

    def propose_with(self, model: Path) -> None:
        """Propose by another detector from now on, at its own threshold, and score every frame by it."""
        self._proposer, self.failure = choose_engine(model=str(model), threads=1), None
        self._anew.set()

    def _run(self) -> None:
        steps: list[Callable[[], None]] = [partial(self.warm_up, method) for method in METHODS]
        for step in (steps[0], self.load_model, *steps[1:]):
            if self._stopped.is_set():
                return
            step()
        while not self._stopped.is_set():
            self._anew.clear()
            self._score()
            self._anew.wait()

    def _score(self) -> None:
        if self._proposer is None:
            return
        self.uncertainties.clear()
        engine, _ = self._proposer
        for image, frame in self._frames():
            if self._stopped.is_set() or self._anew.is_set():
                return
            try:
                prediction = predict(engine, frame, image)
            except InfraspotError:
                continue  # the page says what is wrong with an image when it is opened
            self.uncertainties[image] = uncertainty_of(prediction)

    def _frames(self) -> Iterator[tuple[str, Frame]]:
        """Every frame that can be read; the pages of a file come in one pass over it."""
        named: dict[Path, dict[FrameKey, str]] = {}
        for image, key in self._session.images.items():
            named.setdefault(key.path, {})[key] = image
        for path, images in named.items():
            for key, frame in open_frames(path, self._session.reading):
                if key in images and not isinstance(frame, InputError):
                    yield images[key], frame


@lru_cache(maxsize=1)
def _dot() -> np.ndarray:
    """A (48, 48) float32 frame with one target in its middle."""
    ys, xs = np.mgrid[:48, :48]
    noise = np.random.default_rng(0).normal(0.2, 0.01, (48, 48))
    return np.ascontiguousarray(noise + 0.5 * np.exp(-((ys - 24) ** 2 + (xs - 24) ** 2) / 4), np.float32)
