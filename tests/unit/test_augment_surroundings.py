"""Places that look alike: what a description tells apart, and where targets go by it."""

import numpy as np
import pytest

from infraspot.augment import TRANSFORMS
from infraspot.augment.surroundings import describe_place, most_alike
from infraspot.core.sample import Sample


def two_scenes(seed: int = 0) -> np.ndarray:
    """Smooth dark sky above, bright rough ground below."""
    rng = np.random.default_rng(seed)
    image = np.full((160, 160), 0.2) + rng.normal(0, 0.002, (160, 160))
    image[80:] = 0.6 + rng.normal(0, 0.08, (80, 160))
    return np.clip(image, 0, 1).astype(np.float32)


def test_a_description_is_level_spread_and_steps_of_two_windows() -> None:
    image = np.full((60, 60), 0.5, np.float32)
    image[:, ::2] = 0.3
    found = describe_place(image, 30, 30)
    spread, step = np.log(0.2 + 1 / 255) / np.log(2), np.log(0.1 + 1 / 255) / np.log(2)
    # Nine of 17 columns are dark, and 25 of 49: the median is dark; half of the steps are nought.
    assert found == pytest.approx([3, spread, step] * 2, abs=1e-5)


def test_pixels_of_targets_do_not_count() -> None:
    image, target = np.full((60, 60), 0.5, np.float32), np.zeros((60, 60), bool)
    target[29:32, 29:32] = True
    plain = describe_place(image, 30, 30)
    image[target] = 1.0
    seen, unseen = describe_place(image, 30, 30), describe_place(image, 30, 30, target)
    assert np.abs(seen - plain).max() > 0.1
    # The step onto a target counts from its far side only.
    assert np.abs(unseen - plain).max() < np.abs(seen - plain).max()


def test_places_at_corners_and_frames_of_one_pixel_can_be_described() -> None:
    assert np.isfinite(describe_place(two_scenes(), 0, 159)).all()
    assert np.isfinite(describe_place(np.full((1, 1), 0.5, np.float32), 0, 0)).all()


def test_places_are_ordered_by_how_alike_they_look() -> None:
    image = two_scenes()
    sky = describe_place(image, 20, 20)
    assert most_alike(image, [(130, 40), (30, 120)], sky).tolist() == [1, 0]


@pytest.mark.parametrize(("row", "where"), [(30, "sky"), (130, "ground")])
def test_targets_go_to_places_like_the_one_that_they_came_from(row: int, where: str) -> None:
    image, mask = two_scenes(1), np.zeros((160, 160), bool)
    mask[row : row + 3, 40:43] = True
    image[mask] = 0.95
    donor = Sample("donor", image, mask=mask)
    frame = Sample("frame", two_scenes(2), mask=np.zeros((160, 160), bool))
    paste = TRANSFORMS["copy-paste"](
        donors=[donor], form="plain", place="alike", count=(1, 1), gain=(1.0, 1.0), p=1.0
    )
    rows = [np.nonzero(paste(frame, np.random.default_rng(seed)).mask)[0].mean() for seed in range(10)]
    assert sum((found < 80) == (where == "sky") for found in rows) == 10


def test_an_unknown_place_is_refused() -> None:
    with pytest.raises(ValueError, match="place must be one of anywhere, alike"):
        TRANSFORMS["copy-paste"](place="sea")
