"""Laws of detectors of sequences: a still scene is empty, what moves stands out, polarity turns the stack."""

import warnings

import numpy as np
import pytest
from scipy import ndimage

from infraspot.classical.sequences import FRAMES, SEQUENCES
from infraspot.classical.threshold import cfar
from infraspot.core.errors import InputError, UsageError
from infraspot.inference.sequences import ClassicalSequence, Streaming

END = (30, 50)


@pytest.fixture(params=list(SEQUENCES))
def name(request):
    return request.param


def moving(count: int = FRAMES, seed: int = 0, shape: tuple[int, int] = (72, 88), noise: float = 0.004):
    """A faint target before a texture that is far brighter than it; it ends at (30, 50)."""
    rng = np.random.default_rng(seed)
    ground = 0.4 + 0.5 * ndimage.gaussian_filter(rng.normal(size=shape), 2)
    y, x = np.mgrid[: shape[0], : shape[1]]
    frames = []
    for back in reversed(range(count)):
        spot = 0.05 * np.exp(-((y - END[0] + back) ** 2 + (x - END[1] + 2 * back) ** 2) / 2)
        frames.append(ground + spot + rng.normal(0, noise, shape))
    return np.clip(frames, 0, 1).astype(np.float32)


def test_a_faint_target_that_moves_before_bright_structures_answers_most(name):
    response = SEQUENCES[name](moving())
    y, x = np.unravel_index(response.argmax(), response.shape)
    assert np.hypot(y - END[0], x - END[1]) <= 3


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 1, 7), (FRAMES, 5, 4), (2, 41, 50)])
@pytest.mark.parametrize("level", [0.0, 0.3, 1.0])
def test_a_constant_stack_of_any_size_has_no_target_and_raises_no_warning(name, shape, level):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        response = SEQUENCES[name](np.full(shape, level, np.float32), polarity="both")
    assert response.shape == shape[1:]
    assert response.dtype == np.float32
    assert (response >= 0).all()
    assert response.max() < 0.5


def test_a_dark_target_is_the_bright_one_of_the_turned_stack(name):
    stack = moving()
    np.testing.assert_allclose(
        SEQUENCES[name](1 - stack, polarity="dark"), SEQUENCES[name](1 - (1 - stack)), atol=1e-6
    )


def test_both_polarities_take_the_larger_response(name):
    stack = moving()
    both = SEQUENCES[name](stack, polarity="both")
    parts = [SEQUENCES[name](stack, polarity=one) for one in ("bright", "dark")]
    np.testing.assert_array_equal(both, np.maximum(*parts))


def test_the_stack_is_left_as_it_was(name):
    stack = moving()
    before = stack.copy()
    SEQUENCES[name](stack)
    np.testing.assert_array_equal(stack, before)


def test_what_is_no_stack_is_refused(name):
    with pytest.raises(InputError, match=r"\(T, H, W\)"):
        SEQUENCES[name](np.zeros((5, 5), np.float32))
    with pytest.raises(InputError):
        SEQUENCES[name](np.full((3, 5, 5), np.nan, np.float32))
    with pytest.raises(UsageError, match="polarity"):
        SEQUENCES[name](np.zeros((3, 5, 5), np.float32), polarity="grey")


def test_frames_after_the_last_one_shown_change_nothing(name):
    engine, again = (Streaming(ClassicalSequence(name)) for _ in range(2))
    frames = moving(6)
    first = [engine.score(frame) for frame in frames]
    second = [again.score(frame) for frame in frames[:4]]
    np.testing.assert_array_equal(first[:4], second)


def test_a_new_sequence_begins_without_a_past(name):
    frames = moving(5)
    fresh, used = Streaming(ClassicalSequence(name)), Streaming(ClassicalSequence(name))
    for frame in moving(5, seed=3):
        used.enter("one")
        used.score(frame)
    used.enter("other")
    np.testing.assert_array_equal(fresh.score(frames[0]), used.score(frames[0]))
    assert not (fresh.score(frames[0]) > 0.5).any()


def test_false_alarms_of_noise_come_about_as_asked(name):
    rng = np.random.default_rng(1)
    found = pixels = 0
    for _ in range(6):
        stack = np.clip(0.4 + rng.normal(0, 0.01, (FRAMES, 96, 96)), 0, 1).astype(np.float32)
        response = SEQUENCES[name](stack)
        found += ndimage.label(response > max(cfar(response, 200.0), 1e-6))[1]
        pixels += response.size
    assert found / pixels * 1e6 < 200 * 3
