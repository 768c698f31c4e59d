"""BAG-CP: where targets land, how they look, and what is written about them."""

from typing import Any

import numpy as np
import pytest

from infraspot.augment import TRANSFORMS
from infraspot.core.errors import DataError
from infraspot.core.geometry import find_components
from infraspot.core.sample import Sample

VARIANTS = ("paper", "official")


def frame(id: str = "a", *, side: int = 96, sky: str = "upper", targets: int = 6, size: int = 4) -> Sample:
    """A dim frame with bright square targets in its lower half; its sky is the upper half, all or nothing."""
    image = np.random.default_rng(0).uniform(0.2, 0.3, (side, side)).astype(np.float32)
    mask = np.zeros((side, side), bool)
    for k in range(targets):
        mask[side - 12 : side - 12 + size, 4 + k * 14 : 4 + k * 14 + size] = True
    image[mask] = 0.6
    heaven = np.zeros((side, side), np.uint8)
    heaven[: {"upper": side // 2, "all": side, "none": 0}[sky]] = 1
    parts = find_components(mask)
    return Sample(id, image, mask=mask, sky=heaven, boxes=parts.boxes + 0.25, points=parts.centroids)


def paste(sample: Sample, seed: int = 0, **options: Any) -> Sample:
    return TRANSFORMS["bag-cp"](**{"p": 1.0, **options})(sample, np.random.default_rng(seed))


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("seed", range(5))
def test_pasted_targets_lie_in_the_sky_a_pixel_apart(variant: str, seed: int) -> None:
    sample = frame()
    made = paste(sample, seed, variant=variant, donors=[frame("b")])
    new = made.mask & ~sample.mask
    assert not (new & (sample.sky == 0)).any()
    assert len(made.boxes) == len(made.points) == len(find_components(made.mask))


@pytest.mark.parametrize("variant", VARIANTS)
def test_boxes_that_were_there_stay_as_they_are_and_new_ones_fit_the_new_mask(variant: str) -> None:
    sample = frame()
    made = paste(sample, 3, variant=variant)
    old = len(sample.boxes)
    assert np.array_equal(made.boxes[:old], sample.boxes)
    fresh = find_components(made.mask & ~sample.mask).boxes.tolist()
    assert sorted(made.boxes[old:].tolist()) == sorted(fresh)
    assert len(fresh) > 0


def test_the_paper_fills_areas_and_the_official_program_pastes_at_most_what_the_donor_has() -> None:
    sample = frame(sky="all")
    counts = {
        variant: [
            len(paste(sample, seed, variant=variant, areas=(1, 1)).boxes) - len(sample.boxes)
            for seed in range(20)
        ]
        for variant in VARIANTS
    }
    assert all(5 <= count <= 12 for count in counts["paper"])
    assert set(counts["official"]) <= set(range(7))
    assert len(set(counts["official"])) > 3


def test_targets_of_an_area_stand_within_20_pixels_and_others_anywhere() -> None:
    def reach(**options: Any) -> int:
        sample = frame(sky="all", targets=1)
        points = paste(sample, 1, areas=(1, 1), **options).points[1:]
        return int(np.ptp(points, axis=0).max())

    assert reach() <= 19
    assert reach(clustered=False) > 40


def test_gaussian_targets_add_to_the_place_and_plain_ones_replace_it() -> None:
    sample = frame(sky="all")
    plain = paste(sample, 2, gaussian=False)
    new = plain.mask & ~sample.mask
    assert np.allclose(plain.image[new], 0.6)
    added = paste(sample, 2).image - sample.image
    assert added.min() >= 0
    assert 0.2 < added.max() <= 0.6


def test_the_official_label_is_the_whole_rectangle_and_large_targets_become_7x7() -> None:
    sample = frame(sky="all", targets=3, size=11)
    new = [paste(sample, seed, variant="official").boxes[len(sample.boxes) :] for seed in range(6)]
    sides = np.concatenate(new)
    assert len(sides)
    assert {tuple(box) for box in (sides[:, 2:] - sides[:, :2]).tolist()} == {(7.0, 7.0)}


def test_targets_of_the_paper_shrink_to_5_pixels_and_keep_their_proportions() -> None:
    sample = frame(sky="all", targets=2, size=11)
    sample = sample.replace(mask=sample.mask & (np.arange(96)[:, None] < 96 - 12 + 5))
    made = paste(sample.replace(boxes=None, points=None), 1, gaussian=False)
    boxes = find_components(made.mask & ~sample.mask).boxes
    assert {tuple(box) for box in (boxes[:, 2:] - boxes[:, :2]).tolist()} == {(5, 2)}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(
    "sample",
    [
        frame(sky="none"),
        frame(targets=0),
        frame(sky="all").replace(mask=None),
        Sample(
            "s", np.full((6, 6), 0.5, np.float32), mask=np.ones((6, 6), bool), sky=np.ones((6, 6), np.uint8)
        ),
    ],
    ids=["no sky", "no targets", "no mask", "full"],
)
def test_frames_without_room_or_without_targets_stay_as_they_are(variant: str, sample: Sample) -> None:
    made = paste(sample, variant=variant)
    assert np.array_equal(made.image, sample.image)


def test_a_frame_whose_sky_is_not_known_is_an_error_unless_the_sky_does_not_matter() -> None:
    unknown = frame().replace(sky=None)
    with pytest.raises(DataError, match=r"a: BAG-CP pastes into the sky, .*infraspot sky"):
        paste(unknown)
    assert len(paste(unknown, sky=False).boxes) > len(unknown.boxes)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"variant": "ours"}, "variant must be one of paper, official"),
        ({"patches": "sky"}, "patches must be one of targets, background"),
        ({"areas": (3, 1)}, "areas must go from 1"),
        ({"gap": 0}, "gap is 1 pixel or more"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        TRANSFORMS["bag-cp"](**options)
