"""The compiled kernels where numba works, and None where it does not; numba is imported at the first use."""

from collections.abc import Callable
from functools import cache
from importlib import import_module
from threading import Timer
from types import ModuleType

import numpy as np

PATIENCE = 2.0
PREPARING = "preparing, once: the counting loops are being compiled, which takes some seconds"


@cache
def kernels() -> ModuleType | None:
    """The module of compiled kernels, or None: then numpy does the same work, some ten times slower."""
    try:
        import_module("numba")
    except ImportError:
        return None
    return import_module("infraspot.metrics.kernels")


def warm_up(measure: Callable[..., object], say: Callable[[str], object]) -> None:
    """Compile what ``Evaluation.measure`` needs, or load it where that was done before.

    ``say`` hears a sentence when it takes more than two seconds. That happens once an installation, or once a
    process where numba has no folder to keep its code in.
    """
    notice = Timer(PATIENCE, say, [PREPARING])
    notice.daemon = True
    notice.start()
    try:
        target = np.zeros((8, 8), np.bool_)
        target[2:4, 2:4] = True
        measure(target.astype(np.float32), target, id="warm-up")
    finally:
        notice.cancel()
