"""When a track is believed and when it is given up."""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.core.errors import UsageError

_RULE = re.compile(r"(\d{1,2})/(\d{1,2})", re.ASCII)
_LONGEST = 32


@dataclass(frozen=True)
class Likelihood:
    """Sequential test of the likelihood ratio between "a target" and "false alarms that happen to line up".

    A hit adds log(p_detect N(distance) / density of false alarms), and more for a score above the threshold
    for new tracks than below it; a miss adds log(1 - p_detect). The track is confirmed above
    log((1 - lost) / false) and given up below log(lost / (1 - false)) (Wald).

    Attributes
    ----------
    false, lost
        Accepted chances of confirming a false track and of giving up a true one; they set the two limits.
    p_detect
        Chance that the detector sees a target in a frame.
    strong
        Share of a target's detections that score above the threshold for new tracks. Of false alarms,
        ``1 - strong`` do.
    """

    false: float = 1e-5
    lost: float = 0.02
    p_detect: float = 0.7
    strong: float = 0.7

    def hit(
        self, distances: NDArray[Any], variances: NDArray[Any], density: float, strong: NDArray[Any]
    ) -> Any:
        """(N,) what a detection adds; ``distances`` in pixels, ``density`` in false alarms a pixel."""
        match = np.exp(-0.5 * distances**2 / variances) / (2 * np.pi * variances)
        odds = np.where(strong, self.strong / (1 - self.strong), (1 - self.strong) / self.strong)
        return np.log(self.p_detect * np.maximum(match, 1e-12) * odds / density)

    def miss(self) -> float:
        """What a frame without a detection adds."""
        return float(np.log(1 - self.p_detect))

    def confirmed(self, tracks: NDArray[Any]) -> Any:
        """(N,) bool: which tracks are believed."""
        return (tracks["evidence"] >= np.log((1 - self.lost) / self.false)) & (tracks["hits"] >= 2)

    def given_up(self, tracks: NDArray[Any]) -> Any:
        """(N,) bool: which tracks, not yet confirmed, end."""
        return tracks["evidence"] < np.log(self.lost / (1 - self.false))


@dataclass(frozen=True)
class OfLast:
    """``hits`` in the last ``frames`` frames confirm a track; it is given up when that is out of reach."""

    hits: int
    frames: int

    def hit(
        self, distances: NDArray[Any], variances: NDArray[Any], density: float, strong: NDArray[Any]
    ) -> Any:
        """Nothing: only hits are counted."""
        return np.zeros(len(distances))

    def miss(self) -> float:
        """Nothing."""
        return 0.0

    def _recent(self, tracks: NDArray[Any]) -> Any:
        recent = tracks["seen"] & np.uint64((1 << self.frames) - 1)
        bits = np.unpackbits(np.ascontiguousarray(recent).view(np.uint8))
        return bits.reshape(len(tracks), 64).sum(axis=1, dtype=np.int64)

    def confirmed(self, tracks: NDArray[Any]) -> Any:
        """(N,) bool: which tracks are believed."""
        return self._recent(tracks) >= self.hits

    def given_up(self, tracks: NDArray[Any]) -> Any:
        """(N,) bool: too many misses in the window."""
        age = np.minimum(tracks["last"] - tracks["born"] + 1, self.frames)
        return age - self._recent(tracks) > self.frames - self.hits


def parse_rule(text: str) -> Likelihood | OfLast:
    """The rule that a name stands for: ``likelihood``, or M of N as ``3/5``.

    Raises
    ------
    UsageError
        If the text is something else.
    """
    if text == "likelihood":
        return Likelihood()
    match = _RULE.fullmatch(text)
    if match and 1 <= int(match[1]) <= int(match[2]) <= _LONGEST:
        return OfLast(int(match[1]), int(match[2]))
    raise UsageError(
        f"cannot understand the rule {text!r:.40}; expected likelihood, or M/N such as 3/5 with M up to N and"
        f" N up to {_LONGEST}"
    )
