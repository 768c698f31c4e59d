"""Finding a network, loss, annotator or detector by its name.

A family is one literal dict from a name to an object; names with a colon, such as ``"mypkg.nets:Mine"``, are
imported, so that other packages join in without registering anything.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import TypeVar

from infraspot.core.errors import UsageError, unknown_name

T = TypeVar("T")


def find(kind: str, name: str, family: Mapping[str, T]) -> T:
    """Look ``name`` up in ``family``, or import it when it has the form ``"module:attribute"``.

    Raises
    ------
    UsageError
        If the name is unknown (the nearest one is suggested) or cannot be imported.
    """
    if ":" not in name:
        if name not in family:
            raise unknown_name(kind, name, family)
        return family[name]
    module, _, attribute = name.partition(":")
    try:
        found: T = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UsageError(
            f"cannot import the {kind} {name!r}: {error}; expected 'module:attribute'"
        ) from error
    return found
