"""The compiled kernels where numba works, and None where it does not; numba is imported at the first use."""

from functools import cache
from types import ModuleType


@cache
def kernels() -> ModuleType | None:
    """The module of compiled kernels, or None: then numpy does the same work, some ten times slower."""
    try:
        from infraspot.metrics import kernels as compiled
    except (
        ImportError,
        RuntimeError,
    ):  # numba refuses with RuntimeError where it finds no folder to cache in
        return None
    return compiled
