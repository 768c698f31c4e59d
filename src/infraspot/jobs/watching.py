"""How a job tells its caller what happens while it runs."""

from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

from infraspot.core.errors import InfraspotError

T = TypeVar("T")

Tell = Callable[[InfraspotError | str], None]
"""Hears, as they come, the error of each input that could not be used, and remarks as plain sentences."""


class Progress(Protocol):
    """Passes ``items`` through while it shows how many of ``total`` are done, as a progress bar does."""

    def __call__(self, items: Iterable[T], total: int, what: str) -> Iterable[T]: ...


def no_progress(items: Iterable[T], total: int, what: str) -> Iterable[T]:
    """Show nothing."""
    return items


def tell_nobody(said: InfraspotError | str) -> None:
    """Say nothing; the errors are in the job's result as well."""
