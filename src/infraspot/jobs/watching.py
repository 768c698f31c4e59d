"""How a job tells its caller what happens while it runs."""

import sys
from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

from infraspot.core.errors import InfraspotError

T = TypeVar("T")

Tell = Callable[[InfraspotError | str], None]
"""Hears, as they come, the error of each input that could not be used, and remarks as plain sentences; those
that are a :class:`infraspot.core.errors.Caution` want a second look."""


class Progress(Protocol):
    """Passes ``items`` through while it shows how many of ``total`` are done, as a progress bar does.

    ``total`` is 0 where it is not known.
    """

    def __call__(self, items: Iterable[T], total: int, what: str) -> Iterable[T]: ...


def no_progress(items: Iterable[T], total: int, what: str) -> Iterable[T]:
    """Show nothing."""
    return items


def show_progress(items: Iterable[T], total: int, what: str) -> Iterable[T]:
    """Pass ``items`` through, with a bar and the time left on standard error when a person looks on."""
    if "ipykernel" not in sys.modules and (not sys.stderr.isatty() or total == 1):
        yield from items
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield from bar.track(items, total=total or None)


def tell_nobody(said: InfraspotError | str) -> None:
    """Say nothing; the errors are in the job's result as well."""
