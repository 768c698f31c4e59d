"""Laws that every annotator keeps."""

import numpy as np
import pytest

from infraspot.annotators import ANNOTATORS, annotate
from infraspot.core.errors import InputError

METHODS = sorted(ANNOTATORS)
PLAIN = [name for name in METHODS if name not in ("mclc", "diffusion-mc")]


def scene(height: int = 64, width: int = 72) -> np.ndarray:
    """Three blobs of eight bits on a mild slope."""
    rng = np.random.default_rng(0)
    ys, xs = np.mgrid[:height, :width]
    frame = 40 + 0.1 * xs + rng.normal(0, 1, (height, width))
    for y, x, spread in ((16, 18, 1.5), (40, 50, 2.0), (50, 14, 1.2)):
        frame += 120 * np.exp(-((ys - y) ** 2 + (xs - x) ** 2) / (2 * spread**2))
    return np.clip(np.rint(frame), 0, 255).astype(np.uint8)


CLICKS = np.array([[16, 18], [40, 50], [50, 14]])


@pytest.mark.parametrize("method", METHODS)
def test_mask_and_soft_agree_and_have_the_frames_shape(method: str) -> None:
    found = annotate(scene(), CLICKS, method)
    assert found.mask.shape == found.soft.shape == scene().shape
    assert found.mask.dtype == bool
    assert found.soft.dtype == np.float32
    assert found.soft.min() >= 0
    assert found.soft.max() <= 1
    assert (found.mask == (found.soft >= 0.5)).all()
    assert len(found.clicks) == len(CLICKS)
    assert found.provenance["method"] == method
    assert found.provenance["size_prior"] == "none"


@pytest.mark.parametrize("method", [name for name in METHODS if name != "level-set"])
def test_click_is_inside_its_mask(method: str) -> None:
    mask = annotate(scene(), CLICKS, method).mask
    assert mask[tuple(CLICKS.T)].all()


@pytest.mark.parametrize("method", METHODS)
def test_no_clicks_give_an_empty_mask(method: str) -> None:
    found = annotate(scene(), [], method)
    assert not found.mask.any()
    assert found.clicks == ()


@pytest.mark.parametrize("method", METHODS)
def test_eight_bits_and_the_same_scaled_to_sixteen_give_the_same_mask(method: str) -> None:
    deep = scene().astype(np.uint16) * 257
    assert (annotate(scene(), CLICKS, method).mask == annotate(deep, CLICKS, method).mask).all()


@pytest.mark.parametrize("method", PLAIN)
def test_order_of_the_clicks_does_not_matter(method: str) -> None:
    assert (annotate(scene(), CLICKS, method).mask == annotate(scene(), CLICKS[::-1], method).mask).all()


@pytest.mark.parametrize("method", [name for name in PLAIN if name != "level-set"])
def test_mask_moves_with_the_scene(method: str) -> None:
    moved = np.roll(scene(96, 96), (5, 3), axis=(0, 1))
    here = annotate(scene(96, 96), [(40, 50)], method).mask
    there = annotate(moved, [(45, 53)], method).mask
    assert (np.roll(here, (5, 3), axis=(0, 1)) == there).all()


@pytest.mark.parametrize("method", METHODS)
def test_same_seed_gives_the_same_mask(method: str) -> None:
    assert (annotate(scene(), CLICKS, method).mask == annotate(scene(), CLICKS, method).mask).all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (3, 2), (20, 20)])
def test_constant_frames_of_any_size_are_no_trouble(method: str, shape: tuple[int, int]) -> None:
    found = annotate(np.full(shape, 0.5, np.float32), [(0, 0)], method)
    assert found.mask.shape == shape
    assert found.clicks[0].confidence < 0.1


@pytest.mark.parametrize("method", METHODS)
def test_every_wrong_click_is_named(method: str) -> None:
    with pytest.raises(InputError, match=r"72x64 pixels: 1 \(x=80, y=3\), 2 \(x=nan, y=4\)"):
        annotate(scene(), [(5, 5), (3, 80), (4, np.nan)], method)
