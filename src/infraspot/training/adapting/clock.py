"""A limit of time, what is planned to fit into it, and how much of that is done."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

SHARE = 0.8  # of the time that may go into tuning; the rest judges
PLANS = ((5, 160), (4, 160), (3, 160), (2, 160), (2, 120), (2, 60), (2, 30))
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
    progress
        Passes the numbers of the planned steps through, and may show them or stop by an error (see
        :mod:`infraspot.jobs.watching`).
    """

    seconds: float
    now: Callable[[], float] = time.monotonic
    progress: Callable[[Iterable[int], int, str], Iterable[int]] = lambda items, total, what: items
    began: float = field(init=False)
    _steps: Iterator[int] = field(init=False, default_factory=lambda: iter(()))

    def __post_init__(self) -> None:
        self.began = self.now()

    @property
    def spent(self) -> float:
        return self.now() - self.began

    @property
    def left(self) -> float:
        return self.seconds - self.spent

    def expect(self, steps: int) -> None:
        """From here on so many steps are planned; more or fewer may come."""
        self._steps = iter(self.progress(range(steps), steps, "adapting"))

    def step(self) -> None:
        """One step is done."""
        next(self._steps, None)

    def end(self) -> None:
        """Nothing more is planned: what shows the steps goes away."""
        for _ in self._steps:
            pass


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
