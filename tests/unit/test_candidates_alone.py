"""Candidates that broken elements of a sensor make, told from points of light by the blur of a lens."""

import numpy as np
import pytest

from infraspot.inference.candidates import _stand_alone


def frame(spot: np.ndarray) -> np.ndarray:
    image = 0.3 + np.random.default_rng(0).normal(0, 0.002, (31, 31)).astype(np.float32)
    image[11:20, 11:20] += spot.astype(np.float32)
    return image


@pytest.mark.parametrize("beside", [(0, 0), (0, 1), (-1, 0), (1, 1), (1, -1)])
def test_a_single_pixel_and_a_pair_stand_alone(beside) -> None:
    spot = np.zeros((9, 9))
    spot[4, 4] = 0.5
    spot[4 + beside[0], 4 + beside[1]] = 0.45
    assert _stand_alone(frame(spot), np.array([[15.0, 15.0]])).all()


@pytest.mark.parametrize("fraction", [(0, 0), (0, 0.5), (0.5, 0.5), (0.25, -0.4)])
def test_a_blurred_point_of_light_does_not_wherever_it_falls_between_pixels(fraction) -> None:
    y, x = np.mgrid[-4:5, -4:5]
    spot = 0.5 * np.exp(-((y - fraction[0]) ** 2 + (x - fraction[1]) ** 2) / (2 * 0.6**2))
    assert not _stand_alone(frame(spot), 15 + np.array([fraction])).any()
