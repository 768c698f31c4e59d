"""Which model or method detects, and at which threshold: what the options of a command come to."""

from collections.abc import Collection, Iterable
from copy import copy
from pathlib import Path
from typing import Any

from infraspot.core.errors import UsageError, unknown_name
from infraspot.core.options import require_number, require_text, require_whole, shown
from infraspot.data import Reading
from infraspot.inference import DEFAULT_MODEL, Engine, open_engine
from infraspot.inference.frames import POLARITIES
from infraspot.inference.predictor import TargetEngine
from infraspot.inference.sequences import ClassicalSequence, FrameByFrame, streaming
from infraspot.jobs.watching import Tell, tell_nobody

MOST_THREADS = 4096


def choose_engine(
    *,
    model: str | Engine | TargetEngine | None = None,
    method: str | None = None,
    threshold: float | None = None,
    fa_per_mpx: float | None = None,
    operating_point: str | None = None,
    sigmas: float | None = None,
    engine: str = "auto",
    threads: int = 0,
    trust: Collection[str] | str = (),
    polarity: str = "bright",
    calibrate_on: str | Path | Iterable[str | Path] | None = None,
    device: str | None = None,
    precision: str | None = None,
    reading: Reading | None = None,
    tell: Tell = tell_nobody,
) -> tuple[Engine | TargetEngine, float]:
    """Open a model or a classical method, and settle the threshold of its scores.

    Parameters
    ----------
    model
        Packaged model, weight file, run folder or engine; the packaged model by default.
    method
        A classical detector instead of a model; of one frame, or of a sequence
        (:mod:`infraspot.classical.sequences`).
    threshold
        Least score of a target pixel, in [0, 1]; the model's own by default.
    fa_per_mpx
        Or the threshold that gives this many false alarms a megapixel.
    operating_point
        Or the threshold that the model's card gives this name, such as ``"quiet"``.
    sigmas
        Or, for a classical method, standard deviations above the mean response.
    engine, threads, trust
        See :func:`infraspot.inference.open_engine`.
    polarity
        ``"bright"``, ``"dark"`` or ``"both"``: targets against their surroundings.
    calibrate_on
        Images of this camera without any target: the threshold is that which gives ``fa_per_mpx`` in them, or
        the rate of the operating point. The engine's card says under ``calibrated_on`` what came of it.
    device, precision
        See :func:`infraspot.inference.open_engine`; the CPU and float32 by default.
    reading, tell
        How these images are read, and who hears of the calibration and of the device.

    Raises
    ------
    UsageError
        If two options contradict each other, a name is unknown, or the frames to calibrate on are too few.
    InputError
        If the weight file, or an image to calibrate on, cannot be used.
    """
    if calibrate_on is not None:
        _refuse_beside_calibration(threshold=threshold, sigmas=sigmas)
        require_number(1e-9, 1e6, **_given(fa_per_mpx=fa_per_mpx))
        if fa_per_mpx is not None and operating_point is not None:
            raise UsageError("the options fa-per-mpx and operating-point each set the rate; give one of them")
    if polarity not in POLARITIES:
        raise unknown_name("polarity", str(polarity), POLARITIES)
    opened, level = _open_at(
        model=model,
        method=method,
        threshold=threshold,
        fa_per_mpx=None if calibrate_on is not None else fa_per_mpx,
        operating_point=operating_point,
        sigmas=sigmas,
        engine=engine,
        threads=threads,
        trust=trust,
        **_given(device=device, precision=precision),
    )
    if device is not None or precision is not None:
        tell(f"{opened.name} runs on {getattr(opened, 'runs_on', 'the CPU')}")
    if getattr(opened, "frames", 1) > 1:
        opened = streaming(opened, polarity)
    elif isinstance(opened, FrameByFrame) and polarity == "both":
        raise UsageError(f"{opened.name} goes along a sequence once; ask for bright or for dark targets")
    elif polarity != "bright":
        opened = copy(opened)
        opened.polarity = polarity  # type: ignore[union-attr]
    if calibrate_on is None:
        if fa_per_mpx is not None and method is None:
            from infraspot.inference.false_alarms import known_at

            tell(known_at(level, fa_per_mpx, opened.card))
        return opened, level
    from infraspot.inference.operating_points import DEFAULT_POINT, rate_at
    from infraspot.jobs.empty_frames import calibrated  # loads SciPy

    rate = fa_per_mpx or rate_at(operating_point or DEFAULT_POINT, opened.card, opened.name)
    return calibrated(opened, calibrate_on, rate, reading=reading, tell=tell)


def _refuse_beside_calibration(**options: object) -> None:
    for name in _given(**options):
        raise UsageError(f"the options {name} and calibrate-on each set the threshold; give one of them")


def _open_at(
    *,
    model: str | Engine | TargetEngine | None,
    method: str | None,
    threshold: float | None,
    fa_per_mpx: float | None,
    operating_point: str | None,
    sigmas: float | None,
    engine: str,
    threads: int,
    trust: Collection[str] | str,
    **where: str,
) -> tuple[Engine | TargetEngine, float]:
    """The engine at a threshold that its card or the caller knows; see :func:`choose_engine`."""
    from infraspot.inference.engines import ClassicalEngine
    from infraspot.inference.false_alarms import threshold_for
    from infraspot.inference.operating_points import threshold_at

    rules = {
        "threshold": threshold,
        "fa-per-mpx": fa_per_mpx,
        "operating-point": operating_point,
        "sigmas": sigmas,
    }
    given = [name for name, value in rules.items() if value is not None]
    if len(given) > 1:
        raise UsageError(f"the options {' and '.join(given)} each set the threshold; give one of them")
    require_text(**_given(method=method, operating_point=operating_point))
    require_whole(0, MOST_THREADS, threads=threads)
    require_number(0, 1, **_given(threshold=threshold))
    require_number(1e-9, 1e6, **_given(fa_per_mpx=fa_per_mpx))
    require_number(0, 1e9, **_given(sigmas=sigmas))
    chosen: Engine | TargetEngine
    if method is not None:
        if model is not None:
            raise UsageError("the options model and method exclude each other; give one of them")
        if operating_point is not None:
            raise UsageError(
                "a classical method has no operating points; give threshold, fa-per-mpx or sigmas"
            )
        if where:
            raise UsageError("a classical method runs on the CPU alone; leave out device and precision")
        from infraspot.classical.sequences import SEQUENCES

        made = ClassicalSequence if method in SEQUENCES else ClassicalEngine
        chosen = made(method, sigmas=sigmas, fa_per_mpx=fa_per_mpx)
    elif sigmas is not None:
        raise UsageError("the option sigmas needs a method; for a model give threshold or fa-per-mpx")
    else:
        model = model or DEFAULT_MODEL
        if isinstance(model, str):
            chosen = open_engine(model, engine=engine, threads=threads, trust=trust, **where)
        elif hasattr(model, "card") and (hasattr(model, "score") or hasattr(model, "predict")):
            if where:
                raise UsageError("an engine of your own runs where it runs; leave out device and precision")
            chosen = model
        else:
            raise UsageError(
                "expected the model as a packaged name, a weight file, a run folder or an engine, and"
                f" {shown(model)} came"
            )
        if fa_per_mpx is not None:
            return chosen, threshold_for(fa_per_mpx, chosen.card, chosen.name)
        if operating_point is not None:
            return chosen, threshold_at(operating_point, chosen.card, chosen.name)
    default = float(chosen.card.get("threshold", 0.5))
    return chosen, default if threshold is None else threshold


def _given(**options: Any) -> dict[str, Any]:
    """The options that are not None."""
    return {name: value for name, value in options.items() if value is not None}
