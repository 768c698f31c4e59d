"""When something is due, for schedules that papers write for 400 epochs and runs that may be shorter."""

from infraspot.core.errors import UsageError
from infraspot.schemes.base import Trainee


def epochs_of(run: Trainee, share: float) -> int:
    """A share of the run in whole epochs."""
    return round(share * run.epochs)


def is_due(run: Trainee, every: float, start: float = 0.0) -> bool:
    """Whether an event falls on the epoch: at the share ``start`` of the run, then each ``every`` of it.

    Two events are one epoch apart or more.
    """
    since = run.epoch - epochs_of(run, start)
    return since >= 0 and since % max(1, epochs_of(run, every)) == 0


def require_shares(**shares: float) -> None:
    """Check options that are shares of a run.

    Raises
    ------
    UsageError
        If one is not a number in [0, 1].
    """
    wrong = {name: value for name, value in shares.items() if not 0 <= value <= 1}
    if wrong:
        listed = ", ".join(f"{name} is {value!r}" for name, value in wrong.items())
        raise UsageError(f"shares of a run lie in [0, 1], and {listed}")
