"""Choosing the level at which ``profile`` draws the boundary."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from infraspot.annotators import flood
from infraspot.annotators.profile.features import FEATURES, frame_features, level_features, rim_share
from infraspot.annotators.profile.scorer import Scorer
from infraspot.annotators.surroundings import LEVELS, Surroundings
from infraspot.core.errors import InputError, UsageError, unknown_name
from infraspot.core.options import shown

PRESETS = Path(__file__).parent / "presets"
_PREFIX = "preset:"

_LARGEST_SHARE = 0.35
"""Share of the window that a component may fill; a larger one has spread into clutter."""
_RIM_SHARE = 0.1
_AUTO_LEVEL, _AUTO_SPREAD = 0.05, 0.3
_CLEAR_OF_NOISE, _NOISE_SPREAD = np.log(18.0), 1.2
_USUAL_SIZE, _SIZE_SPREAD = np.log(22.0), 3.0
_NOISE_FLOOR = 0.004

Chooser = Callable[[Surroundings], float]


def make_chooser(level: str | float, image: NDArray[np.float32], clicks: int) -> Chooser:
    """The rule that gives a target its level, from what the user wrote.

    Parameters
    ----------
    level
        ``"auto"``; a number between 0 (background) and 1 (peak); ``"preset:NAME"``; the path of a file made
        by ``infraspot calibrate``.
    image
        (H, W) float32 in [0, 1]; presets look at the frame as a whole too.
    clicks
        How many clicks the frame has.

    Raises
    ------
    UsageError
        If the level is none of these.
    InputError
        If the file cannot be read.
    """
    if isinstance(level, str) and level == "auto":
        return _choose_auto
    number = number_of(level)
    if number is not None:
        return lambda target: _lift(target, number)
    scorer = load_level(str(level))
    frame = frame_features(image, clicks)
    return lambda target: _choose_scored(target, scorer, frame)


@lru_cache(maxsize=8)
def load_level(name: str) -> Scorer:
    """The scorer of a preset or a file."""
    if not name.startswith(_PREFIX):
        if not _is_file(name):
            raise UsageError(
                f"level must be auto, a number in (0, 1), preset:NAME or a file, and {shown(name)} came"
            )
        scorer = Scorer.load(name)
        if len(scorer.mean) != FEATURES:
            raise InputError(
                f"{name} reads {len(scorer.mean)} features of a target and this version has {FEATURES}; make"
                f" it again with `infraspot calibrate`"
            )
        return scorer
    known = {path.stem: path for path in PRESETS.glob("*.json")}
    key = name.removeprefix(_PREFIX)
    if key not in known:
        raise unknown_name("level preset", key, known)
    return Scorer.load(known[key])


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except (OSError, ValueError):  # too long for a name, or a null byte in it
        return False


def plausible(target: Surroundings) -> NDArray[np.bool_]:
    """(L,) the levels whose component has not run out of the window or into a large structure.

    The highest level always counts as plausible.
    """
    area = target.table[:, flood.AREA]
    fine: NDArray[np.bool_] = (area <= _LARGEST_SHARE * target.reach.size) & (rim_share(target) <= _RIM_SHARE)
    fine[0] = True
    return fine


def number_of(level: str | float) -> float | None:
    """The level as a number; None where it is the name of a preset, of a file, or ``"auto"``.

    Raises
    ------
    UsageError
        If it is neither a number in (0, 1) nor text.
    """
    if isinstance(level, bool) or not isinstance(level, str | int | float | np.integer | np.floating):
        raise UsageError(f"level must be auto, a number, preset:NAME or a file, and {shown(level)} came")
    try:
        number = float(level)
    except ValueError:
        return None
    except OverflowError:
        number = float("inf")
    if not 0 < number < 1:
        raise UsageError(f"a level lies between 0 (background) and 1 (peak), and {shown(level)} came")
    return number


def _lift(target: Surroundings, level: float) -> float:
    """The level itself, or the lowest plausible one above it."""
    if target.component(level).sum() <= _LARGEST_SHARE * target.reach.size:
        return level
    return max(level, float(LEVELS[plausible(target)].min()))


def _choose_auto(target: Surroundings) -> float:
    """As low as the surroundings allow: well clear of their noise, and not far from the usual size.

    Nothing in it depends on the unit of the grey values.
    """
    noise = max(target.noise / target.contrast, _NOISE_FLOOR)
    size = np.log(np.maximum(target.table[:, flood.AREA], 1))
    shortfall = np.minimum(np.log(LEVELS / noise) - _CLEAR_OF_NOISE, 0)
    score = (
        -(((LEVELS - _AUTO_LEVEL) / _AUTO_SPREAD) ** 2)
        - ((size - _USUAL_SIZE) / _SIZE_SPREAD) ** 2
        - (shortfall / _NOISE_SPREAD) ** 2
    )
    return _best(target, score)


def _choose_scored(target: Surroundings, scorer: Scorer, frame: NDArray[np.float64]) -> float:
    return _best(target, scorer.score(level_features(target, frame)))


def _best(target: Surroundings, score: NDArray[np.floating]) -> float:
    return float(LEVELS[np.where(plausible(target), score, -np.inf).argmax()])
