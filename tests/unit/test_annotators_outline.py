"""Outlines of what a detector found."""

import numpy as np
from numpy.typing import NDArray

from infraspot.annotators.profile.outline import Outliner
from infraspot.core.geometry import find_components


def _disc(size: int, y: float, x: float, radius: float) -> NDArray[np.bool_]:
    rows, columns = np.mgrid[:size, :size]
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


def _frame(*discs: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Noise around 0.2 with discs of 0.8, whose edge is two pixels wide."""
    image = np.random.default_rng(0).normal(0.2, 0.01, discs[0].shape)
    for disc in discs:
        soft = sum(np.roll(disc, (dy, dx), (0, 1)) for dy in (-1, 0, 1) for dx in (-1, 0, 1)) / 9
        image += 0.6 * soft
    return np.clip(image, 0, 1).astype(np.float32)


def _outlined(image: NDArray[np.float32], belief: NDArray[np.float32]) -> NDArray[np.bool_]:
    found, mask = find_components(belief > 0.5), np.zeros(image.shape, bool)
    outliner = Outliner(image, belief)
    for number, (x0, y0, x1, y1) in enumerate(found.boxes.astype(int)):
        answer = outliner.outline(found.mask(number), (slice(y0, y1), slice(x0, x1)))
        assert answer is not None
        window, outline = answer
        mask[window] |= outline
    return mask


def _iou(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float((one & other).sum() / (one | other).sum())


def test_a_map_that_is_too_wide_or_too_narrow_gets_the_outline_of_the_target() -> None:
    disc = _disc(64, 30, 33, 3.2)
    image = _frame(disc)
    for radius in (1.5, 5.0):
        rough = _disc(64, 30, 33, radius)
        outline = _outlined(image, np.where(rough, 0.9, 0.0).astype(np.float32))
        assert _iou(outline, disc) > max(0.7, _iou(rough, disc))


def test_each_of_two_targets_gets_its_own_outline() -> None:
    discs = _disc(64, 20, 20, 2), _disc(64, 44, 40, 3)
    belief = np.where(discs[0] | discs[1], 0.9, 0.0).astype(np.float32)
    outlined = find_components(_outlined(_frame(*discs), belief))
    assert len(outlined) == 2
    assert _iou(outlined.labels > 0, discs[0] | discs[1]) > 0.7


def test_a_target_in_the_corner_of_the_frame_has_an_outline() -> None:
    disc = _disc(48, 0, 0, 3)
    outline = _outlined(_frame(disc), np.where(disc, 0.9, 0.0).astype(np.float32))
    assert outline[0, 0]
    assert outline.sum() < 40


def test_the_brightest_pixel_of_what_was_found_stays_in_it() -> None:
    noise = np.random.default_rng(3).normal(0.3, 0.02, (48, 48)).astype(np.float32)
    belief = np.zeros((48, 48), np.float32)
    belief[20:23, 30:34] = 0.8
    brightest = np.unravel_index(np.where(belief > 0, noise, 0).argmax(), noise.shape)
    outline = _outlined(noise, belief)
    near = outline[brightest[0] - 4 : brightest[0] + 5, brightest[1] - 4 : brightest[1] + 5]
    assert near.any()  # a click may climb a few pixels to its peak


def test_what_is_larger_than_the_window_keeps_its_own_pixels() -> None:
    image = np.full((80, 80), 0.5, np.float32)
    found = np.ones((50, 20), bool)
    outliner = Outliner(image, np.ones((80, 80), np.float32))
    assert outliner.outline(found, (slice(5, 55), slice(10, 30))) is None
