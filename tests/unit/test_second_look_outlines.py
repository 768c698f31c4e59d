"""Where the second look draws outlines: which candidates get one, and that none is lost."""

import numpy as np
from numpy.typing import NDArray

from infraspot.core.geometry import find_components
from infraspot.inference.second_look import SecondLook

CARD = {
    "level": 0.2,
    "outline": 0.5,
    "outlines": "levels",
    "look": 1.0,
    "peak": 0.0,
    "crowd": 0.0,
    "offset": 0.0,
}


def _look(logit: float, **changes: object) -> SecondLook:
    return SecondLook(CARD | changes, lambda near, wide: np.full(len(near), logit, np.float32), "given")


def _frame(*places: tuple[int, int]) -> NDArray[np.float32]:
    """Noise around 0.2 with squares of 5 x 5 pixels that fall off at their rim."""
    image = np.random.default_rng(1).normal(0.2, 0.01, (80, 80))
    for y, x in places:
        image[y - 3 : y + 4, x - 3 : x + 4] += 0.1
        image[y - 2 : y + 3, x - 2 : x + 3] += 0.5
    return image.astype(np.float32)


def _map(*places: tuple[int, int], half: int = 1) -> NDArray[np.float32]:
    scores = np.zeros((80, 80), np.float32)
    for y, x in places:
        scores[y - half : y + half + 1, x - half : x + half + 1] = 0.9
    return scores


def test_a_target_gets_the_outline_that_the_frame_shows() -> None:
    place = (30, 40)
    scores = _look(2.0).rescore(_frame(place), _map(place))
    expected = np.zeros((80, 80), bool)
    expected[28:33, 38:43] = True
    np.testing.assert_array_equal(scores > 0.5, expected)
    assert len(np.unique(scores)) == 2


def test_with_outlines_of_the_map_it_keeps_its_pixels() -> None:
    place = (30, 40)
    scores = _look(2.0, outlines="map").rescore(_frame(place), _map(place))
    np.testing.assert_array_equal(scores > 0.5, _map(place) > 0.5)


def test_a_candidate_that_nobody_will_see_keeps_its_pixels() -> None:
    place = (30, 40)
    scores = _look(-6.0).rescore(_frame(place), _map(place))
    np.testing.assert_array_equal(scores > 0, _map(place) > 0)


def test_an_outline_leaves_the_pixels_of_its_neighbours_alone() -> None:
    places = (30, 40), (30, 45)
    scores = _look(2.0).rescore(_frame(*places), _map(*places))
    for _, x in places:
        assert (scores[29:32, x - 1 : x + 2] > 0.5).all()


def test_no_candidate_is_lost_whatever_the_frame_holds() -> None:
    rng = np.random.default_rng(5)
    for _ in range(20):
        image = rng.random((40, 40)).astype(np.float32) ** 3
        scores = np.where(rng.random((40, 40)) > 0.97, 0.9, 0.0).astype(np.float32)
        found = find_components(scores > 0.2)
        looked = _look(2.0).rescore(image, scores)
        touched = [looked[found.labels == number + 1].any() for number in range(len(found))]
        assert all(touched)
