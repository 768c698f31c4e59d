"""Finding a network, loss, annotator or detector by its name.

A family is one literal dict from a name to an object. A name with a colon, such as ``"mypkg.nets:Mine"``, is
imported, so that other packages join in without registering anything. Recipes and code may use such names.
Files that came from somewhere else may not: whoever loads one has to name what it may import.
"""

from collections.abc import Collection, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import TypeVar

from infraspot.core.errors import InputError, UsageError, unknown_name

T = TypeVar("T")


def find(kind: str, name: str, family: Mapping[str, T | str]) -> T:
    """Look ``name`` up in ``family``, or import it when it has the form ``"module:attribute"``.

    A member that the family holds as such a string is imported as well.

    Raises
    ------
    UsageError
        If the name is unknown (the nearest one is suggested) or cannot be imported.
    """
    if ":" not in name:
        if name not in family:
            raise unknown_name(kind, name, family)
        member = family[name]
        if not isinstance(member, str):
            return member
        name = member
    module, _, attribute = name.partition(":")
    try:
        found: T = getattr(import_module(module), attribute)
    except Exception as error:  # a module may raise anything while it is imported
        raise UsageError(
            f"cannot import the {kind} {name!r}: {error}; expected 'module:attribute'"
        ) from error
    return found


def find_file(kind: str, name: str | Path, packaged: Mapping[str, Path]) -> Path:
    """The TOML file that ``name`` means: a path, else one of the package by its name.

    The folder of its kind, such as ``recipes/``, may stand before the name, and ``.toml`` after it.

    Raises
    ------
    UsageError
        If there is neither; the nearest packaged name is suggested.
    """
    path = Path(name)
    if path.is_file():
        return path
    place = path.as_posix().removeprefix(f"{kind}s/").removesuffix(".toml")
    if place not in packaged:
        raise unknown_name(kind, str(name), packaged)
    return packaged[place]


def imported_names(value: object) -> Iterator[str]:
    """The strings in nested lists and dicts that :func:`find` would import."""
    if isinstance(value, str):
        if ":" in value:
            yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from imported_names(key)
            yield from imported_names(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from imported_names(item)


def require_trust(value: object, trust: Collection[str] | str, source: object) -> None:
    """Refuse what a file names and would be imported, unless ``trust`` names exactly that.

    Parameters
    ----------
    value
        What the file says: strings, lists and dicts.
    trust
        Names of the form ``"module:attribute"`` that may be imported.
    source
        The file, for the message.

    Raises
    ------
    InputError
        If a name is not trusted; nothing has been imported.
    """
    trusted = {trust} if isinstance(trust, str) else set(trust)
    for name in imported_names(value):
        if name not in trusted:
            raise InputError(
                f"{source}: this file wants to import {name[:200]!r}, which is code outside infraspot; if you"
                f" know that code, allow it with --trust {name[:200]} (in Python: trust={name[:200]!r})"
            )
