"""What the commands show: results on standard output, everything else on standard error."""

import sys
from collections.abc import Collection, Iterable, Sequence

import click

from infraspot.core.errors import Caution, InfraspotError
from infraspot.jobs.watching import show_progress as progress

__all__ = ["fail", "hear", "note", "progress", "say", "table", "warn"]


def say(text: str = "") -> None:
    """One line of result; never wrapped, so that other programs can read it."""
    click.echo(_shown(text))


def warn(text: str) -> None:
    """One line about something that is not as it should be, on standard error."""
    click.echo(f"warning: {_shown(text)}", err=True)


def note(text: str) -> None:
    """One line about how it goes, on standard error."""
    click.echo(_shown(text), err=True)


def fail(text: str) -> None:
    """One line about something that could not be done, on standard error."""
    click.echo(f"error: {_shown(text)}", err=True)


def hear(said: InfraspotError | str) -> None:
    """Show what a job tells: an error of one of its inputs, a warning, or how it goes."""
    if isinstance(said, InfraspotError):
        fail(str(said))
    elif isinstance(said, Caution):
        warn(said)
    else:
        note(said)


def _shown(text: str) -> str:
    """The text with control characters and broken bytes of file names spelt out, as a terminal obeys them."""
    if text.isprintable():
        return text
    return "".join(mark if mark.isprintable() or mark in "\n\t" else ascii(mark)[1:-1] for mark in text)


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    title: str | None = None,
    text: Collection[str] = (),
) -> None:
    """A table of results; the first column is text, as are those in ``text``, and the others are numbers."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(width=None if sys.stdout.isatty() else 200)
    grid = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        words = index == 0 or column in text
        grid.add_column(column, justify="left" if words else "right", no_wrap=column not in text)
    for row in rows:
        # As it is: brackets in a name are no markup.
        grid.add_row(*(Text("" if cell is None else _shown(str(cell))) for cell in row))
    console.print(grid)
