"""Functions as machine code where numba is installed."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """The function as machine code where numba is installed, itself elsewhere."""
    try:
        import numba
    except ImportError:  # pragma: no cover - numba is a dependency, and some platforms lack it
        return function
    return cast(Function, numba.njit(cache=True, nogil=True)(function))
