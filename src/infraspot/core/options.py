"""Checks of the options that a caller passes by name."""

from typing import Any

import numpy as np

from infraspot.core.errors import UsageError


def require_whole(least: int, most: int, **options: Any) -> None:
    """Check that every option is a whole number from ``least`` to ``most``.

    Raises
    ------
    UsageError
        Naming every option that is not.
    """
    wrong = {
        name: value
        for name, value in options.items()
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or not least <= value <= most
    }
    _refuse(wrong, f"a whole number from {least} to {most}")


def require_number(least: float, most: float, **options: Any) -> None:
    """Check that every option is a number from ``least`` to ``most``, and finite.

    Raises
    ------
    UsageError
        Naming every option that is not.
    """
    wrong = {
        name: value
        for name, value in options.items()
        if not isinstance(value, int | float | np.integer | np.floating)
        or isinstance(value, bool)
        or not least <= value <= most
    }
    _refuse(wrong, f"a number from {least:g} to {most:g}")


def require_text(**options: Any) -> None:
    """Check that every option is a string that is not empty.

    Raises
    ------
    UsageError
        Naming every option that is not.
    """
    wrong = {name: value for name, value in options.items() if not isinstance(value, str) or not value}
    _refuse(wrong, "a name")


def _refuse(wrong: dict[str, Any], expected: str) -> None:
    if wrong:
        came = ", ".join(f"{name}={shown(value)}" for name, value in wrong.items())
        raise UsageError(f"expected {expected}, and {came} came")


def shown(value: Any) -> str:
    """What a caller passed, short enough for a sentence."""
    try:
        return repr(value)[:80]
    except Exception:  # a whole number of thousands of digits, or an object of the caller's
        return f"something of type {type(value).__name__}"
