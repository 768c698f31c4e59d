"""Batches, cached frames, the running mean and the schedule."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from training_fakes import TinyNet, make_samples

from infraspot.augment.transforms import Compose, CopyPaste, Crop
from infraspot.core.errors import DataError
from infraspot.core.sample import Sample
from infraspot.schemes import LabelStore
from infraspot.training.batching import Further, Loader
from infraspot.training.ema import EMA
from infraspot.training.frames import CachedFrames, LabelledFrames
from infraspot.training.schedule import rate_factor
from infraspot.training.settings import SchedulePart


def _loader(transform: Compose, batch: int = 3, count: int = 7, **options: object) -> Loader:
    samples, labels = make_samples(count), LabelStore()
    for sample in samples:
        assert sample.mask is not None
        labels[sample.id] = sample.mask
    labels.active = labels
    return Loader(samples, labels, transform, batch, seed=4, **options)


def test_an_epoch_shows_every_active_frame_once() -> None:
    loader = _loader(Compose([Crop(size=16)]))
    loader.labels.active = (id for id in loader.labels if id != "frame3")
    ids = [id for batch in loader.epoch(0) for id in batch.ids]
    assert sorted(ids) == ["frame0", "frame1", "frame2", "frame4", "frame5", "frame6"]


def test_a_batch_does_not_depend_on_those_before_it() -> None:
    loader = _loader(Compose([Crop(size=16, zoom=(0.8, 1.2))]))
    whole, rest = list(loader.epoch(2)), list(loader.epoch(2, start=1))
    assert len(whole) == len(rest) + 1 == 2
    for one, other in zip(whole[1:], rest, strict=True):
        assert one.ids == other.ids
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.labels, other.labels)


def test_epochs_differ() -> None:
    loader = _loader(Compose([Crop(size=16)]))
    first, second = next(loader.epoch(0)), next(loader.epoch(1))
    assert not torch.equal(first.images, second.images)


@pytest.mark.parametrize(("drop_last", "sizes"), [(False, [3, 3, 2]), (True, [3, 3])])
def test_a_last_batch_that_is_not_full_is_kept_unless_told(drop_last: bool, sizes: list[int]) -> None:
    loader = _loader(Compose([Crop(size=16)]), count=8, drop_last=drop_last)
    assert [len(batch.ids) for batch in loader.epoch(0)] == sizes
    assert len(loader) == len(sizes)


@pytest.mark.parametrize("drop_last", [False, True])
def test_a_frame_that_would_be_alone_joins_the_batch_before(drop_last: bool) -> None:
    loader = _loader(Compose([Crop(size=16)]), drop_last=drop_last)
    assert [len(batch.ids) for batch in loader.epoch(0)] == ([3, 3] if drop_last else [3, 4])
    assert [len(batch.ids) for batch in _loader(Compose([]), count=1).epoch(0)] == [1]
    assert [len(batch.ids) for batch in _loader(Compose([]), batch=1).epoch(0)] == 7 * [1]


def test_negatives_join_each_batch() -> None:
    empty = [s.replace(id=f"clear {s.id}", label=np.zeros(s.shape, bool)) for s in make_samples(2, seed=9)]
    negatives = Further(CachedFrames(empty, math.inf), Compose([Crop(size=16)]), 2)
    loader = _loader(Compose([Crop(size=16, on_target=1.0)]), negatives=negatives)
    for batch in loader.epoch(0):
        assert all(id.startswith("clear") for id in batch.ids[-2:])
        assert batch.negative.tolist() == [False] * (len(batch) - 2) + [True] * 2
        assert batch.labels[-2:].sum() == 0
        assert (batch.labels[:-2].flatten(1).sum(dim=1) > 0).all()


def test_pasted_targets_come_from_the_labels_in_force() -> None:
    loader = _loader(Compose([]))
    donors = LabelledFrames(loader.samples, loader.labels)
    paste = CopyPaste(donors=donors, p=1.0)
    bare = loader.samples[0].replace(mask=np.zeros(loader.samples[0].shape, bool))
    assert any(paste(bare, np.random.default_rng(k)).mask.any() for k in range(9))
    for sample in loader.samples:
        loader.labels[sample.id] = np.zeros(sample.shape, bool)
    assert not any(paste(bare, np.random.default_rng(k)).mask.any() for k in range(9))


def test_frames_of_different_sizes_without_a_crop_are_a_sentence() -> None:
    with pytest.raises(DataError, match=r"add a crop to \[\[augment\]\]"):
        list(_loader(Compose()).epoch(0))


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_cached_frames_are_exact_and_small(bits: int, rng: np.random.Generator) -> None:
    scale = np.float32((1 << bits) - 1)
    image = rng.integers(0, 1 << bits, (9, 11)).astype(np.float32) / scale
    frames = CachedFrames([Sample("a", image, image > 0.5, bit_depth=bits)], math.inf)
    assert np.array_equal(frames[0].image, image)
    assert frames._kept[0] is not None
    assert frames._kept[0].code.dtype == (np.uint8 if bits == 8 else np.uint16)


def test_images_that_are_no_whole_numbers_stay_as_they_are(rng: np.random.Generator) -> None:
    image = rng.random((9, 11), dtype=np.float32)
    assert np.array_equal(CachedFrames([Sample("a", image)], math.inf)[0].image, image)


def test_frames_beyond_the_limit_are_read_again() -> None:
    samples = make_samples(3)
    frames = CachedFrames(samples, 0)
    assert frames[1] is samples[1]


def test_the_fingerprint_sees_every_pixel() -> None:
    samples = make_samples(3)
    before = CachedFrames(samples, math.inf).fingerprint
    assert CachedFrames(make_samples(3), 0).fingerprint == before
    mask = samples[2].mask
    assert mask is not None
    mask[0, 0] = ~mask[0, 0]
    assert CachedFrames(samples, math.inf).fingerprint != before


def test_the_running_mean_follows_its_formula() -> None:
    network = TinyNet()
    nn.init.zeros_(network.head.weight)
    mean = EMA(network, 0.15)
    nn.init.ones_(network.head.weight)
    mean.update(network)  # decay 1 / 10
    assert mean.network.head.weight.flatten()[0].item() == pytest.approx(0.9)
    mean.update(network)  # decay min(0.15, 2 / 11)
    assert mean.network.head.weight.flatten()[0].item() == pytest.approx(1 - 0.1 * 0.15)
    assert not mean.network.training
    assert not any(p.requires_grad for p in mean.network.parameters())


@pytest.mark.parametrize(
    ("options", "done", "expected"),
    [
        ({"name": "cosine"}, 50.0, 0.5),
        ({"name": "cosine", "floor": 0.1}, 100.0, 0.1),
        ({"name": "poly", "power": 2.0}, 50.0, 0.25),
        ({"name": "constant"}, 99.0, 1.0),
        ({"name": "steps", "milestones": [0.5, 0.75], "gamma": 0.1}, 80.0, 0.01),
        ({"name": "constant", "warm_up": 2.0}, 0.0, 0.05),
        ({"name": "constant", "warm_up": 2.0}, 0.9, 0.5),
        ({"name": "constant", "warm_up": 2.0}, 5.0, 1.0),
    ],
)
def test_the_schedule_follows_its_formula(options: dict, done: float, expected: float) -> None:
    assert rate_factor(SchedulePart(**options), done, 100, 0.1) == pytest.approx(expected)
