"""Errors that a person can act on.

Every message says what was expected, what came, which item, and what to do. The command line prints the
message alone, without a traceback, and exits with ``exit_code``.
"""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


class InfraspotError(Exception):
    """Something went wrong that the message explains and the user can mend."""

    exit_code = 1


class InputError(InfraspotError):
    """One input (an image, a mask, a points file) cannot be used; others may still be."""


class DataError(InfraspotError):
    """A folder or a data set is not what it should be."""


class UsageError(InfraspotError):
    """An option or an argument is wrong; nothing was done."""

    exit_code = 2


class Caution(str):
    """A remark on something that was done, but perhaps not as the user means it.

    The command line prints it as a warning, and other remarks as they are.
    """


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """Error for a name that is not in a family, with the nearest known name.

    >>> str(unknown_name("network", "dnant", ["acm", "dnanet"]))
    "unknown network 'dnant': did you mean 'dnanet'? Known: acm, dnanet"
    """
    known = sorted(known)
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return UsageError(f"unknown {kind} {name!r}: {hint}Known: {', '.join(known)}")


def named(names: Sequence[str], most: int = 5) -> str:
    """The first names of many, each cut after 100 characters, for a message.

    >>> named(["a.png", "b.png", "c.png"], most=2)
    'a.png, b.png and 1 more'
    """
    first = ", ".join(name[:100] for name in names[:most])
    return f"{first} and {len(names) - most} more" if len(names) > most else first


def counted(count: int, one: str, many: str | None = None) -> str:
    """A number with its noun, or with its noun and verb.

    >>> counted(1, "frame"), counted(1000, "frame"), counted(2, "shot has", "shots have")
    ('1 frame', '1000 frames', '2 shots have')
    """
    return f"{count} {one if count == 1 else many or one + 's'}"
