"""Choosing the level at which ``profile`` draws the boundary."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from infraspot.annotators import flood
from infraspot.annotators.profile.features import frame_features, level_features, rim_share
from infraspot.annotators.profile.learning import Convention, measures
from infraspot.annotators.profile.level_file import read_level
from infraspot.annotators.profile.scorer import Scorer
from infraspot.annotators.surroundings import LEVELS, Surroundings
from infraspot.core.errors import UsageError, unknown_name
from infraspot.core.options import shown

PRESETS = Path(__file__).parent / "presets"
_PREFIX = "preset:"

_LARGEST_SHARE = 0.35
"""Share of the window that a component may fill; a larger one has spread into clutter."""
_RIM_SHARE = 0.1
_JUMP, _JUMP_LEVELS, _JUMP_AREA, _JUMP_FLOOR = 3.0, 3, 100, 4
"""A component of that many pixels or more that grew that many times over so many levels has taken in what is
not the target; areas below the floor count as the floor."""


@dataclass(frozen=True, eq=False)
class Choice:
    """The level of a target, and its mask (h, w) where that is not the component at the level."""

    level: float
    mask: NDArray[np.bool_] | None = None


Chooser = Callable[[Surroundings], Choice]


def make_chooser(
    level: str | float | Convention, image: NDArray[np.float32], clicks: int, *, guarded: bool = True
) -> Chooser:
    """The rule that gives a target its level, from what the user wrote.

    Parameters
    ----------
    level
        ``"auto"``; a number between 0 (background) and 1 (peak); ``"preset:NAME"``; the path of a file made
        by ``infraspot calibrate``; a :class:`Convention`.
    image
        (H, W) float32 in [0, 1]; scorers look at the frame as a whole too.
    clicks
        How many clicks the frame has.
    guarded
        Whether a number is raised to where the component has not yet jumped onto something else.

    Raises
    ------
    UsageError
        If the level is none of these.
    InputError
        If the file cannot be read.
    """
    if not isinstance(level, Convention):
        number = number_of(level)
        if number is not None:
            return lambda target: Choice(_lift(target, number, guarded))
    loaded = level if isinstance(level, Convention) else load_level(str(level))
    scorer, convention = (loaded, Convention()) if isinstance(loaded, Scorer) else (automatic(), loaded)
    frame = frame_features(image, clicks)
    return lambda target: _choose(target, scorer, convention, frame)


def load_level(name: str) -> Scorer | Convention:
    """The level of ``auto``, a preset or a file; a file is read again when it has changed."""
    if name == "auto":
        return automatic()
    if name.startswith(_PREFIX):
        return _preset(name.removeprefix(_PREFIX))
    if not _is_file(name):
        raise UsageError(
            f"level must be auto, a number in (0, 1), preset:NAME or a file, and {shown(name)} came"
        )
    at = Path(name).stat()
    return _file(name, (at.st_ino, at.st_mtime_ns, at.st_size))


@lru_cache(maxsize=8)
def _preset(key: str) -> Scorer | Convention:
    known = {path.stem: path for path in PRESETS.glob("*.json")}
    if key not in known:
        raise unknown_name("level preset", key, known)
    return read_level(known[key])


@lru_cache(maxsize=8)
def _file(name: str, _state: tuple[int, int, int]) -> Scorer | Convention:
    return read_level(name)


def automatic() -> Scorer:
    """The scorer behind ``auto``, fitted to two conventions at once."""
    scorer = load_level(f"{_PREFIX}auto")
    assert isinstance(scorer, Scorer)
    return scorer


def _is_file(name: str) -> bool:
    try:
        return Path(name).is_file()
    except (OSError, ValueError):  # too long for a name, or a null byte in it
        return False


def plausible(target: Surroundings) -> NDArray[np.bool_]:
    """(L,) the levels whose component has not run out of the window or into another structure.

    The highest level always counts as plausible.
    """
    area = target.table[:, flood.AREA]
    small = area <= _LARGEST_SHARE * target.reach.size
    fine: NDArray[np.bool_] = small & (rim_share(target) <= _RIM_SHARE) & ~jumped(area)
    fine[0] = True
    return fine


def jumped(area: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(L,) from the level on at which the area (L,) has jumped, all lower levels.

    The jump is measured over a few levels, so that one that takes two steps is seen as well.
    """
    before = np.concatenate([np.repeat(area[:1], _JUMP_LEVELS), area[:-_JUMP_LEVELS]])
    jumps = (area >= _JUMP_AREA) & (area >= _JUMP * np.maximum(before, _JUMP_FLOOR))
    past: NDArray[np.bool_] = np.maximum.accumulate(jumps)
    return past


def lowest_level(target: Surroundings) -> float:
    """The lowest level before a jump."""
    return float(LEVELS[~jumped(target.table[:, flood.AREA])].min())


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


def _lift(target: Surroundings, level: float, guarded: bool) -> float:
    """The level itself, or above it the lowest one before a jump, or the lowest plausible one."""
    if guarded:
        level = max(level, lowest_level(target))
    if target.component(level).sum() <= _LARGEST_SHARE * target.reach.size:
        return level
    return max(level, float(LEVELS[plausible(target)].min()))


def _choose(
    target: Surroundings, scorer: Scorer, convention: Convention, frame: NDArray[np.float64]
) -> Choice:
    features = level_features(target, frame)
    score = scorer.score(features) - convention.pull(*measures(target))
    score = np.where(plausible(target), score, -np.inf)
    level = float(LEVELS[score.argmax()])
    if scorer.pixels is None:
        return Choice(level)
    return Choice(level, scorer.pixels.mask(target, features[0], lowest_level(target), score))
