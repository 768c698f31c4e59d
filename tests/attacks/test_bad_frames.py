"""Frames that hold nothing, or nothing but the sensor's faults: no crash, and no flood of targets."""

import numpy as np
import pytest

import infraspot

pytestmark = pytest.mark.slow

SHAPE = (240, 320)
MOST = 2  # false targets in 0.077 megapixels


def quiet(rng, level=0.4, noise=0.01):
    return level + noise * rng.standard_normal(SHAPE)


FRAMES = {
    "black": lambda rng: np.zeros(SHAPE),
    "white": lambda rng: np.ones(SHAPE),
    "grey": lambda rng: np.full(SHAPE, 0.5),
    "even noise": lambda rng: rng.random(SHAPE),
    "faint noise": quiet,
    "strong noise": lambda rng: quiet(rng, 0.5, 0.1),
    "columns": lambda rng: quiet(rng) + 0.05 * rng.standard_normal((1, SHAPE[1])),
    "rows": lambda rng: quiet(rng) + 0.05 * rng.standard_normal((SHAPE[0], 1)),
    "chequers": lambda rng: np.indices(SHAPE).sum(axis=0) % 2,
    "dead pixels": lambda rng: np.where(rng.random(SHAPE) < 1e-3, rng.integers(0, 2, SHAPE), quiet(rng)),
    "a twentieth of the range": lambda rng: 0.45 + 0.05 * quiet(rng),
}


@pytest.fixture(scope="module")
def detectors():
    return {polarity: infraspot.load(polarity=polarity, threads=1) for polarity in ("bright", "both")}


@pytest.mark.parametrize("name", FRAMES)
@pytest.mark.parametrize("depth", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("polarity", ["bright", "both"])
def test_a_frame_without_anything_is_no_flood(name, depth, polarity, detectors, rng):
    frame = np.clip(FRAMES[name](rng), 0, 1)
    if depth is not np.float32:
        frame = np.rint(frame * np.iinfo(depth).max)
    assert len(detectors[polarity](frame.astype(depth))) <= MOST


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (3, 4), (17, 23)])
def test_the_smallest_frames_hold_nothing(shape, detectors):
    assert not len(detectors["both"](np.full(shape, 0.3, np.float32)))


def dark_spot():
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    noise = 0.01 * np.random.default_rng(0).standard_normal(SHAPE)
    spot = 0.35 * np.exp(-((y - 90) ** 2 + (x - 130) ** 2) / 4)
    return (0.5 + noise - spot).clip(0, 1).astype(np.float32)


@pytest.mark.parametrize("frame", [dark_spot(), (1 - dark_spot())])
def test_a_spot_upside_down_is_found_by_both(frame, detectors):
    (target,) = detectors["both"](frame)
    assert np.hypot(target.x - 130, target.y - 90) < 2


def test_a_dark_spot_is_no_bright_target(detectors):
    assert not len(detectors["bright"](dark_spot()))
