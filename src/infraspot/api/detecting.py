"""Detection in one call."""

from collections.abc import Collection, Hashable
from functools import lru_cache
from inspect import signature
from pathlib import Path
from typing import Any, Never

from infraspot.api.detector import Detections, Detector, OnError, load
from infraspot.core.errors import unknown_name
from infraspot.data import MAX_PAGES, MAX_PIXELS
from infraspot.inference import DEFAULT_MODEL, Engine
from infraspot.inference.engines import locate
from infraspot.inference.predictor import TargetEngine
from infraspot.jobs.watching import Progress
from infraspot.report.detection import Detection


def detect(
    source: Any,
    *,
    model: str | Path | Engine | TargetEngine | None = None,
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
    progress: bool | Progress = False,
    on_error: OnError = "raise",
    recursive: bool = False,
    raw: str | None = None,
    array: str | None = None,
    max_pixels: int = MAX_PIXELS,
    max_pages: int = MAX_PAGES,
    **unknown: Never,
) -> Detection | Detections:
    """Find the targets in one frame, or in many.

    Parameters
    ----------
    source
        One frame: the path of an image, what :func:`infraspot.read_image` gives, a sample, a Pillow picture,
        or an array or tensor (H, W) of uint8, uint16 or floats in [0, 1]. Many frames: a folder, a data set,
        a pattern such as ``"night/*.png"``, a file of several pages, or a list or iterator of frames and
        paths. Frames of more than 8 bits are stretched first, as a camera's gain control would.
    model, method, threshold, operating_point, fa_per_mpx, sigmas, engine, threads, trust, polarity
        See :func:`infraspot.load`. The last few models stay loaded.
    calibrate_on
        As in :func:`infraspot.load`, which calibrates once for many calls.
    progress
        With many frames: whether to show a bar, or a function that shows one.
    on_error
        With many frames: ``"raise"`` stops at an input that cannot be used, ``"skip"`` leaves it out and adds
        its error to ``failures``.
    recursive
        Read the subfolders of folders as well.
    raw
        What raw files hold, such as ``"640x512:uint16"`` (see :func:`infraspot.data.parse_raw`).
    array
        Name of the array to take from ``.npz`` files of several.
    max_pixels, max_pages
        Larger images and longer files are refused.

    Returns
    -------
    A :class:`Detection` of one frame, which is a sequence of its targets; or the :class:`Detections` of many,
    an iterable that reads and scores each frame when its turn comes. A list always gives many.

    Raises
    ------
    UsageError
        If an option is wrong, or the source is empty or of another kind.
    InputError
        If an image cannot be read, has another shape or type, or holds NaN or values outside [0, 1].
    """
    if unknown:
        raise unknown_name("option", next(iter(unknown)), _OPTIONS)
    options = {
        "method": method,
        "threshold": threshold,
        "operating_point": operating_point,
        "fa_per_mpx": fa_per_mpx,
        "sigmas": sigmas,
        "engine": engine,
        "threads": threads,
        "trust": trust if isinstance(trust, str) else tuple(trust),
        "polarity": polarity,
        "calibrate_on": calibrate_on,
    }
    hashable = all(isinstance(value, Hashable) for value in options.values())
    is_model = method is None and (model is None or isinstance(model, str | Path))
    if hashable and is_model and calibrate_on is None:
        name = str(model or DEFAULT_MODEL)
        detector = _kept(name, locate(name, engine).stat().st_mtime_ns, **options)
    else:
        detector = load(model, **options)  # type: ignore[arg-type]
    return detector(
        source,
        progress=progress,
        on_error=on_error,
        recursive=recursive,
        raw=raw,
        array=array,
        max_pixels=max_pixels,
        max_pages=max_pages,
    )


@lru_cache(maxsize=4)
def _kept(model: str, changed: int, **options: Any) -> Detector:
    """The detector of a file that was last ``changed`` at this time."""
    return load(model, **options)


_OPTIONS = [name for name in signature(detect).parameters if name not in ("source", "unknown")]
