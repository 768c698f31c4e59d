"""Fixtures of the attacks."""

import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from infraspot.data import write_grey

HUNG_SECONDS = 60


@pytest.fixture
def never_hangs() -> Iterator[None]:
    """Something that hangs fails its own test, and does not hold up the others."""

    def stop(*_: object) -> None:
        pytest.fail(f"it ran for more than {HUNG_SECONDS} s")

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(HUNG_SECONDS)
    yield
    signal.alarm(0)


@pytest.fixture
def frame(tmp_path: Path, rng: np.random.Generator) -> Path:
    """A frame to detect in."""
    write_grey(tmp_path / "frame.png", rng.random((40, 50)))
    return tmp_path / "frame.png"
