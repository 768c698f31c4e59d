"""A limit of time, and what is planned to fit into it."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

SHARE = 0.6  # of the time that may go into tuning; the rest judges
PLANS = ((5, 120), (4, 120), (3, 120), (3, 90), (3, 60), (2, 60), (2, 30))
"""Trials and steps, the best plan first."""
LEAST_STEPS = 10


@dataclass
class Clock:
    """Seconds since it was made, and what is left of them.

    Parameters
    ----------
    seconds
        The limit.
    now
        What measures them: wall time by default.
    """

    seconds: float
    now: Callable[[], float] = time.monotonic
    began: float = field(init=False)

    def __post_init__(self) -> None:
        self.began = self.now()

    @property
    def spent(self) -> float:
        return self.now() - self.began

    @property
    def left(self) -> float:
        return self.seconds - self.spent


class Plan(NamedTuple):
    """How many trials with held-out shots, and how many steps each and the last tuning takes."""

    trials: int
    steps: int


def plan(step_seconds: float, seconds: float, shots: int) -> Plan:
    """The best plan that fits into the time; no trial for one shot, and no step where not even ten fit."""
    affordable = SHARE * seconds / max(step_seconds, 1e-9)
    for trials, steps in PLANS:
        if 1 < trials <= shots and (trials + 1) * steps <= affordable:
            return Plan(trials, steps)
    steps = min(int(affordable), 60)
    return Plan(0, steps if steps >= LEAST_STEPS else 0)
