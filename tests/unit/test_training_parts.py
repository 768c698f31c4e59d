"""Batches, cached frames, the running mean and the schedule."""

import math
from dataclasses import dataclass, fields

import numpy as np
import pytest
import torch
from torch import nn
from training_fakes import TinyNet, make_samples

from infraspot.augment.transforms import Compose, CopyPaste, Crop
from infraspot.core.errors import DataError, UsageError
from infraspot.core.sample import Sample
from infraspot.schemes import LabelStore
from infraspot.training.batching import Further, Loader
from infraspot.training.ema import EMA
from infraspot.training.frames import CachedFrames, LabelledFrames, WithoutTruth
from infraspot.training.schedule import rate_factor
from infraspot.training.settings import SchedulePart
from infraspot.training.stacking import stack


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
        ({"name": "restarts", "cycle": 20.0}, 50.0, 0.5),
        ({"name": "restarts", "cycle": 20.0, "floor": 0.2}, 40.0, 1.0),
        ({"name": "restarts", "cycle": 10.0, "lengthen": 2.0}, 20.0, 0.5),
        ({"name": "restarts", "cycle": 10.0, "lengthen": 2.0}, 30.0, 1.0),
        ({"name": "steps", "milestones": [0.5, 0.75], "gamma": 0.1}, 80.0, 0.01),
        ({"name": "constant", "warm_up": 2.0}, 0.0, 0.05),
        ({"name": "constant", "warm_up": 2.0}, 0.9, 0.5),
        ({"name": "constant", "warm_up": 2.0}, 5.0, 1.0),
    ],
)
def test_the_schedule_follows_its_formula(options: dict, done: float, expected: float) -> None:
    assert rate_factor(SchedulePart(**options), done, 100, 0.1) == pytest.approx(expected)


@dataclass(frozen=True, eq=False)
class Timed(Sample):
    """A sample with a field that the package does not know."""

    time: float = 0.0


def test_cached_frames_keep_every_field() -> None:
    image = np.arange(12, dtype=np.float32).reshape(3, 4) / 255
    rows = {"points": np.ones((2, 2)), "boxes": np.array([[0, 0, 2, 2.0]]), "tracks": np.array([3])}
    layers = {"mask": image > 0.02, "label": image * 4, "sky": np.ones((3, 4), np.uint8)}
    sample = Timed("a", image, bit_depth=8, classes=np.array([1]), time=2.5, **rows, **layers)
    kept = CachedFrames([sample], math.inf)[0]
    assert type(kept) is Timed
    for part in fields(Timed):
        assert getattr(sample, part.name) is not None
        np.testing.assert_array_equal(getattr(kept, part.name), getattr(sample, part.name))


@pytest.mark.parametrize("name", ["mask", "points", "boxes", "sky", "label", "tracks", "classes"])
def test_the_fingerprint_sees_every_field(name: str) -> None:
    sample = Sample("a", np.zeros((3, 4), np.float32), boxes=np.zeros((1, 4)), points=np.zeros((1, 2)))
    values = {
        "points": np.ones((1, 2)),
        "boxes": np.ones((1, 4)),
        "tracks": np.ones(1),
        "classes": np.ones(1),
    }
    changed = sample.replace(**{name: values.get(name, np.ones((3, 4)))})
    assert CachedFrames([sample], 0).fingerprint != CachedFrames([changed], 0).fingerprint


def test_frames_of_one_id_are_refused() -> None:
    samples = [*make_samples(3), make_samples(1, seed=5)[0]]
    with pytest.raises(DataError, match=r"1 of 3 ids come more than once: frame0; rename"):
        CachedFrames(samples, math.inf)


def test_a_scheme_sees_no_truth_unless_it_needs_it() -> None:
    frames = WithoutTruth(make_samples(2))
    assert [frame.mask for frame in frames] == [None, None]
    labels = LabelStore()
    labels["frame0"] = np.ones(frames[0].shape, bool)
    shown = LabelledFrames(make_samples(1), labels)[0]
    assert shown.mask is None
    assert shown.label.all()


def test_deep_frames_are_stretched_for_the_network_as_they_are_in_detection() -> None:
    ramp = np.linspace(0.2, 0.21, 1000, dtype=np.float32).reshape(25, 40)
    labels = LabelStore()
    labels["deep"] = labels["plain"] = np.zeros((25, 40), bool)
    deep, plain = (
        LabelledFrames([Sample(id, ramp, bit_depth=bits)], labels)[0].image
        for id, bits in (("deep", 16), ("plain", 8))
    )
    # The 0.5th and the 99.5th percentile go to 0.1 and 0.7.
    np.testing.assert_allclose(np.percentile(deep, (0.5, 99.5)), (0.1, 0.7), atol=1e-3)
    np.testing.assert_array_equal(plain, ramp)


def test_a_batch_holds_the_parts_that_are_read() -> None:
    rows = {"points": np.array([[1.0, 2.0]]), "boxes": np.array([[1.0, 1.0, 4.0, 3.0]])}
    layers = {"label": np.eye(4, dtype=bool), "sky": np.ones((4, 4), np.uint8)}
    frames = [Sample(id, np.zeros((4, 4), np.float32), **rows, **layers) for id in "ab"]
    batch = stack(frames[:1], frames[1:], frames, parts=("boxes", "points", "sky"))
    assert batch.ids == ("a", "b")
    assert batch.negative.tolist() == [False, True]
    assert batch.labels.shape == batch.sky.shape == batch.unlabelled.shape == (2, 1, 4, 4)
    assert [boxes.tolist() for boxes in batch.boxes] == 2 * [[[1, 1, 4, 3]]]
    assert [points.tolist() for points in batch.points] == 2 * [[[1, 2]]]
    assert stack(frames).boxes is None


@pytest.mark.parametrize("part", ["boxes", "points", "sky"])
def test_a_part_that_some_frames_lack_is_a_sentence(part: str) -> None:
    label, image = np.eye(4, dtype=bool), np.zeros((4, 4), np.float32)
    whole = {"boxes": np.empty((0, 4)), "points": np.empty((0, 2)), "sky": np.ones((4, 4), np.uint8)}
    frames = [Sample("has", image, label=label, **whole), Sample("lacks", image, label=label)]
    with pytest.raises(DataError, match=rf"1 of the 2 frames of a batch have no {part}.*: lacks; annotate"):
        stack(frames, parts=(part,))


def test_processes_share_the_frames_of_each_batch() -> None:
    empty = [s.replace(id=f"clear {s.id}", label=np.zeros(s.shape, bool)) for s in make_samples(5, seed=9)]
    further = {
        "negatives": Further(CachedFrames(empty, math.inf), Compose([Crop(size=16)]), 2),
        "unlabelled": Further(CachedFrames(make_samples(4), math.inf), Compose([Crop(size=16)]), 2),
    }
    crop = Compose([Crop(size=16)])
    whole = list(_loader(crop, batch=4, count=8, **further).epoch(1))
    shares = [list(_loader(crop, batch=4, count=8, rank=k, world=2, **further).epoch(1)) for k in (0, 1)]
    for batch, one, other in zip(whole, *shares, strict=True):
        for k, share in enumerate((one, other)):
            own = [*range(k, 4, 2), 4 + k]
            assert share.ids == tuple(batch.ids[index] for index in own)
            assert torch.equal(share.images, batch.images[own])
            assert torch.equal(share.unlabelled, batch.unlabelled[k::2])


def test_fewer_frames_than_devices_is_a_sentence() -> None:
    with pytest.raises(UsageError, match=r"train.batch is 1, and 2 devices share it"):
        _loader(Compose([]), batch=1, world=2)
    with pytest.raises(DataError, match="left 1 frame to train on"):
        list(_loader(Compose([]), batch=2, count=1, world=2).epoch(0))


def one_target(side=5, contrast=0.3, size=60):
    image = np.full((size, size), 0.4, np.float32)
    mask = np.zeros((size, size), bool)
    mask[20 : 20 + side, 20 : 20 + side] = True
    image[mask] += contrast
    return Sample("donor", image, mask)


def pasted(rng, **options):
    """What one pasted target adds to flat noise of deviation 0.02, and its shape."""
    image = (0.4 + 0.02 * rng.standard_normal((300, 300))).astype(np.float32)
    empty = Sample("f", image, np.zeros((300, 300), bool))
    result = CopyPaste(donors=[one_target()], count=(1, 1), p=1.0, **options)(empty, rng)
    return (result.image - image)[result.mask], result.mask


@pytest.mark.parametrize(("scr", "mean"), [(4, 0.08), (8, 0.16), (1000, 0.6)])
def test_a_pasted_target_has_the_wanted_contrast_to_its_place(scr, mean, rng):
    added, mask = pasted(rng, scr=(scr, scr))
    assert mask.sum() == 25
    assert added.mean() == pytest.approx(mean, rel=0.15)


def test_a_pasted_target_has_the_wanted_size(rng):
    for factor in (0.5, 1.0, 2.0):
        _, mask = pasted(rng, scr=(10, 10), zoom=(factor, factor))
        assert mask.sum() == pytest.approx(25 * factor**2, rel=0.5)
