"""What the attacks on files share: mutated bytes, and a watch over each reader."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from infraspot.core.errors import InfraspotError

LIMIT = 10.0
"""Seconds that a reader may take over one small file."""


@contextmanager
def watched(what: str) -> Iterator[None]:
    """Fail if the block takes longer than :data:`LIMIT` seconds (where the system has alarms)."""
    if not hasattr(signal, "setitimer"):
        yield
        return

    def stop(*_: object) -> None:
        raise AssertionError(f"{what} hangs for more than {LIMIT:g} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, LIMIT)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def answer(read: Callable[[Path], object], path: Path) -> str | None:
    """None if a file is read, the sentence if it is refused; anything else is raised."""
    with watched(path.name):
        try:
            read(path)
        except InfraspotError as error:
            sentence = str(error)
            assert sentence
            assert "\n" not in sentence
            return sentence
    return None


def mutated(data: bytes, rng: np.random.Generator, alphabet: bytes = bytes(range(256))) -> bytes:
    """Replace, overwrite, cut, insert, repeat or blank some of the bytes; half of the changes hit the header.

    New bytes come from ``alphabet``, so that text can stay text.
    """
    values = bytearray(data)
    for _ in range(int(rng.integers(1, 6))):
        if not values:
            break
        reach = min(len(values), 64) if rng.random() < 0.5 else len(values)
        at, length = int(rng.integers(reach)), int(rng.integers(1, 16))
        fresh = bytes(rng.choice(list(alphabet), length))
        kind = rng.integers(7)
        if kind == 0:
            values[at : at + 1] = fresh[:1]
        elif kind == 1:
            values[at : at + length] = fresh
        elif kind == 2:
            del values[at : None if rng.random() < 0.3 else at + length]
        elif kind == 3:
            values[at:at] = fresh
        elif kind == 4:
            values[at:at] = values[at : at + length]
        elif kind == 5:
            values[at : at + 4] = bytes([max(alphabet)] * 3 + [max(alphabet) // 2])
        else:
            values[at : at + length] = bytes([min(alphabet)] * len(values[at : at + length]))
    return bytes(values)
