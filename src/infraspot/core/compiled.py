"""Functions as machine code where numba is installed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

Function = TypeVar("Function", bound=Callable[..., Any])

COMPILING = "preparing, once: loops are being compiled, which takes some seconds"
_listeners: list[Callable[[str], object]] = []


@contextmanager
def announcing(say: Callable[[str], object]) -> Iterator[None]:
    """Let ``say`` hear a sentence at the first function that is compiled within; loading one is silent."""
    _listeners[:] = [say]
    try:
        yield
    finally:
        _listeners.clear()


def compiled(function: Function) -> Function:
    """The function as machine code where numba is installed, and the function itself elsewhere.

    The code is made at the first call and kept on disk for later processes. A cache folder that cannot be
    read or written costs time, never the result.

    Every new combination of argument types compiles the function again, which takes tenths of a second. So
    callers pass one type only: C-contiguous, writable arrays of one dtype.
    """
    try:
        import numba
    except ImportError:  # pragma: no cover - numba is a dependency, and some platforms lack it
        return function
    dispatcher: Any = numba.njit(nogil=True)(function)
    try:
        dispatcher.enable_caching()
    except RuntimeError:  # no folder for the cache
        return cast(Function, dispatcher)
    dispatcher._cache = _ForgivingCache(dispatcher._cache)
    return cast(Function, dispatcher)


class _ForgivingCache:
    """numba's cache of one function, where a damaged file or a full disk counts as nothing kept."""

    def __init__(self, cache: Any) -> None:
        self._cache = cache

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cache, name)

    def load_overload(self, *arguments: Any) -> Any:
        try:
            kept = self._cache.load_overload(*arguments)
        except Exception:  # a damaged pickle can raise anything
            kept = None
        while kept is None and _listeners:
            _listeners.pop()(COMPILING)
        return kept

    def save_overload(self, *arguments: Any) -> None:
        try:
            self._cache.save_overload(*arguments)
        except Exception:  # reading the index again, or writing
            self._start_over(*arguments)

    def _start_over(self, *arguments: Any) -> None:
        """Replace a damaged index; where that fails too, this process keeps its code to itself."""
        try:
            self._cache.flush()
            self._cache.save_overload(*arguments)
        except OSError:
            pass
