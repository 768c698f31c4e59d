"""Compiled functions: no trouble with the cache folder stops them, and none is compiled twice."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba")

KERNEL = """
from infraspot.core.compiled import compiled

@compiled
def triangle(n):
    return n * (n + 1) // 2
"""

SUM = """
import sys
from pathlib import Path
Path(sys.argv[1]).mkdir(exist_ok=True)
sys.path.insert(0, sys.argv[2])
from kernel import triangle
print(triangle(4))
"""


@pytest.fixture
def kernel(tmp_path: Path):
    """Runs a tiny kernel in a new process with its own cache folder; gives what it printed."""
    (tmp_path / "kernel.py").write_text(KERNEL)
    cache = tmp_path / "cache"

    def run(before: str = "") -> str:
        environment = os.environ | {"NUMBA_CACHE_DIR": str(cache)}
        command = [sys.executable, "-c", before + SUM, str(cache), str(tmp_path)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    run.cache = cache  # type: ignore[attr-defined]
    return run


def test_a_kernel_is_kept_for_the_next_process(kernel) -> None:
    assert kernel() == "10"
    kept = {path: path.stat().st_mtime_ns for path in kernel.cache.rglob("*.nb?")}
    assert len(kept) == 2
    assert kernel() == "10"
    assert kept == {path: path.stat().st_mtime_ns for path in kernel.cache.rglob("*.nb?")}


@pytest.mark.parametrize("damage", [b"", b"not a pickle", b"\x80\x04K\x01."])
@pytest.mark.parametrize("suffix", ["nbi", "nbc"])
def test_a_damaged_cache_is_replaced(kernel, damage: bytes, suffix: str) -> None:
    kernel()
    for path in kernel.cache.rglob(f"*.{suffix}"):
        path.write_bytes(damage)
    assert kernel() == "10"
    assert all(path.read_bytes() != damage for path in kernel.cache.rglob(f"*.{suffix}"))


def test_a_cache_that_cannot_be_written_stops_nothing(kernel) -> None:
    full = """
import numba.core.caching as caching
def refuse(*_):
    raise OSError(28, "No space left on device")
caching.IndexDataCacheFile._open_for_write = refuse
"""
    assert kernel(full) == "10"


def test_no_folder_for_the_cache_stops_nothing(kernel) -> None:
    nowhere = """
import numba.core.caching as caching
def refuse(self, function):
    raise RuntimeError("cannot cache function: no locator available")
caching.FunctionCache.__init__ = refuse
"""
    assert kernel(nowhere) == "10"


def test_annotators_compile_each_kernel_for_one_type_of_arguments() -> None:
    from infraspot.annotators import ANNOTATORS, annotate, flood, superpixels

    rng = np.random.default_rng(0)
    grey = rng.integers(0, 255, (60, 70))
    read_only = (grey / 255).astype(np.float32)
    read_only.setflags(write=False)
    turned = read_only.T.copy().T
    frames = [grey.astype(np.uint8), (grey * 257).astype(np.uint16), grey / 255, read_only, turned]
    clicks = np.asfortranarray([[30, 30], [0, 69], [58, 2]])
    for method in ANNOTATORS:
        for frame in frames if method in ("profile", "diffusion") else frames[:1]:
            annotate(frame, clicks, method)
            annotate(frame, [(2, 2)], method)
    annotate(read_only, clicks, level="preset:sirst-v1")
    from infraspot.annotators.profile import features

    kernels = {
        name: part
        for module in (flood, superpixels, features)
        for name, part in vars(module).items()
        if hasattr(part, "signatures")
    }
    assert {"flood", "describe", "cluster"} <= kernels.keys()
    assert [name for name, part in kernels.items() if len(part.signatures) > 1] == []


def test_the_first_compilation_is_announced_and_loading_is_silent(kernel):
    before = "from infraspot.core.compiled import announcing\nheard = announcing(print)\nheard.__enter__()\n"
    first, second = kernel(before).split(), kernel(before).split()
    assert (first[0], first[-1]) == ("preparing,", "10")
    assert second == ["10"]


def test_nobody_hears_of_compiling_once_the_command_has_ended(kernel):
    before = "from infraspot.core.compiled import announcing\nwith announcing(print):\n    pass\n"
    assert kernel(before).split() == ["10"]
