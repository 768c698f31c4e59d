"""The compiled kernels where numba works, and None where it does not; numba is imported at the first use."""

from functools import cache
from importlib import import_module
from types import ModuleType


@cache
def kernels() -> ModuleType | None:
    """The module of compiled kernels, or None: then numpy does the same work, some ten times slower."""
    try:
        return import_module("infraspot.metrics.kernels")
    except (ImportError, RuntimeError):  # RuntimeError: numba finds no folder to keep its cache in
        return None
