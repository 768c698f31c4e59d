"""The compiled kernels where numba works, and None where it does not; numba is imported at the first use."""

from functools import cache
from importlib import import_module
from types import ModuleType


@cache
def kernels() -> ModuleType | None:
    """The module of compiled kernels, or None: then numpy does the same work, some ten times slower."""
    try:
        import_module("numba")
    except ImportError:
        return None
    return import_module("infraspot.metrics.kernels")
