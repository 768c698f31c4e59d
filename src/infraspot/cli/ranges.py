"""Ranges as options give them: 1-3, or 5 for a range of one value."""

from infraspot.core.errors import UsageError


def counts(option: str, text: str) -> tuple[int, int]:
    """The least and the most of an option in whole numbers; a UsageError if it is none."""
    low, _, high = text.partition("-")
    if not (low.isdecimal() and (high or low).isdecimal()):
        raise UsageError(f"{option} must look like 1-3 or 5, in whole numbers, and {text!r} came")
    return int(low), int(high or low)
