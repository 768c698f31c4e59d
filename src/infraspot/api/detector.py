"""A detector that is loaded once, and what it finds in many frames."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, Literal

from infraspot.api.sources import Source
from infraspot.core.errors import InfraspotError, UsageError, counted
from infraspot.data import MAX_PAGES, MAX_PIXELS, Reading, parse_raw
from infraspot.inference import Engine
from infraspot.inference.predictor import TargetEngine
from infraspot.inference.stream import one_ahead
from infraspot.jobs.choosing import choose_engine
from infraspot.jobs.detect import detect_in
from infraspot.jobs.watching import Progress, no_progress, show_progress
from infraspot.report.detection import Detection

OnError = Literal["raise", "skip"]


def load(
    model: str | Path | Engine | TargetEngine | None = None,
    *,
    method: str | None = None,
    threshold: float | None = None,
    operating_point: str | None = None,
    fa_per_mpx: float | None = None,
    sigmas: float | None = None,
    engine: str = "auto",
    threads: int = 0,
    trust: Collection[str] | str = (),
    polarity: str = "bright",
    calibrate_on: str | Path | None = None,
    device: str | None = None,
    precision: str | None = None,
) -> "Detector":
    """Load a detector once, to call it on many frames.

    >>> detector = load(method="tophat", sigmas=6)
    >>> detector
    <Detector tophat, threshold 0.5>

    Parameters
    ----------
    model
        Name of a packaged model, weight file (``.safetensors``, ``.onnx``) or run folder; the packaged model
        by default. An engine of your own is taken as well (:mod:`infraspot.inference.engines`).
    method
        A classical detector instead of a model: a key of :data:`infraspot.classical.CLASSICAL`.
    threshold
        Score in [0, 1] that a target pixel exceeds. Give this or one of the next three, or none of them.
    operating_point
        Name of a threshold in the model's card: ``"quiet"``, ``"balanced"`` or ``"keen"``.
    fa_per_mpx
        Wanted false alarms in a million pixels.
    sigmas
        With ``method``: standard deviations above the mean response.
    engine
        ``"onnx"``, ``"torch"`` or ``"auto"``: ONNX Runtime where an ONNX file is at hand.
    threads
        CPU threads of one frame; 0 takes every core.
    trust
        Names ``"module:attribute"`` of code outside infraspot that the model's file may import.
    polarity
        ``"bright"``, ``"dark"`` or ``"both"``: targets against their surroundings; both cost twice the time.
    calibrate_on
        Folder or image of this camera without any target: the threshold that gives ``fa_per_mpx``, or the
        rate of the operating point, in these frames. ``card["calibrated_on"]`` says what came of it, with the
        rate that is not exceeded with 95 % confidence.
    device
        ``"cpu"``, ``"cuda"``, ``"tensorrt"`` or ``"openvino"``; what cannot be had is refused.
    precision
        ``"float32"``, or ``"bfloat16"`` by OpenVINO.

    Raises
    ------
    UsageError
        If a name is unknown or options contradict each other.
    InputError
        If the weight file is damaged.
    """
    chosen, level = choose_engine(
        model=str(model) if isinstance(model, Path) else model,
        method=method,
        threshold=threshold,
        operating_point=operating_point,
        fa_per_mpx=fa_per_mpx,
        sigmas=sigmas,
        engine=engine,
        threads=threads,
        trust=trust,
        polarity=polarity,
        calibrate_on=calibrate_on,
        device=device,
        precision=precision,
    )
    return Detector(chosen, level)


class Detector:
    """A loaded detector. Call it with frames: ``detector(frame)``, ``detector("frames/")``.

    Attributes
    ----------
    engine
        What scores the frames.
    threshold
        The score that a target pixel exceeds.
    """

    def __init__(self, engine: Engine | TargetEngine, threshold: float) -> None:
        self.engine, self.threshold = engine, threshold

    @property
    def name(self) -> str:
        """Of the model or method."""
        return self.engine.name

    @property
    def card(self) -> dict[str, Any]:
        """What the model says about itself: training data, operating points, false alarms."""
        return self.engine.card

    def __call__(
        self,
        source: Any,
        *,
        progress: bool | Progress = False,
        on_error: OnError = "raise",
        recursive: bool = False,
        raw: str | None = None,
        array: str | None = None,
        max_pixels: int = MAX_PIXELS,
        max_pages: int = MAX_PAGES,
    ) -> "Detection | Detections":
        """What this detector finds; parameters, result and errors are those of :func:`infraspot.detect`."""
        if on_error not in ("raise", "skip"):
            raise UsageError(f"on_error is 'raise' or 'skip', and {on_error!r} came")
        reading = Reading(max_pixels, max_pages, None if raw is None else parse_raw(raw), array)
        frames = Source(source, reading, recursive=recursive)
        many = Detections(self, frames, progress, on_error)
        return many if not frames.single else many.only()

    def __repr__(self) -> str:
        return f"<Detector {self.name}, threshold {self.threshold:g}>"


class Detections:
    """The detections of many frames, in their order. Each frame is read and scored when its turn comes.

    Going through them again does the work again: ``list(found)`` keeps them all. ``len(found)`` is known
    unless the frames come from an iterator or from files that may hold several.

    Attributes
    ----------
    failures
        One sentence for each input that was left out, of the last time through, with ``on_error="skip"``.
    """

    def __init__(
        self, detector: Detector, frames: Source, progress: bool | Progress, on_error: OnError
    ) -> None:
        self.detector = detector
        self.failures: list[str] = []
        self._frames, self._skip, self._begun = frames, on_error == "skip", False
        if isinstance(progress, bool):
            progress = show_progress if progress else no_progress
        self._progress = progress

    def __iter__(self) -> Iterator[Detection]:
        if self._frames.once and self._begun:
            raise UsageError("these frames came from an iterator, which gives them once; pass a list")
        self._begun, self.failures = True, []
        return self._found()

    def _found(self) -> Iterator[Detection]:
        frames = iter(self._frames) if self._frames.once else one_ahead(iter(self._frames))
        for item in self._progress(frames, self._frames.count or 0, "detecting"):
            if not isinstance(item, InfraspotError):
                yield detect_in(item, self.detector.engine, self.detector.threshold)
            elif self._skip:
                self.failures.append(str(item))
            else:
                raise item

    def only(self) -> "Detection | Detections":
        """The one detection where there is one frame; else all of them, as a file of several pages has."""
        frames = iter(self._frames)
        first = next(frames)
        if isinstance(first, InfraspotError):
            raise first
        if first.page is not None:
            return self
        return detect_in(first, self.detector.engine, self.detector.threshold)

    def __len__(self) -> int:
        if (count := self._frames.count) is None:
            raise TypeError("the number of frames is not known before they are read; use list(...)")
        return count

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        count = self._frames.count
        frames = "several frames" if count is None else counted(count, "frame")
        return f"<Detections of {frames} by {self.detector.name}>"
