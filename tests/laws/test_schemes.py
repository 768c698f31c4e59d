"""What every scheme must hold."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from infraspot.core.errors import DataError
from infraspot.core.prediction import Prediction
from infraspot.core.sample import Sample
from infraspot.losses import LOSSES, Loss
from infraspot.networks import SegmentationNetwork, SegOutput
from infraspot.networks.compared import Compared
from infraspot.schemes import SCHEMES, Batch, LabelStore, Prototypes, Scheme
from infraspot.training.stacking import stack


class _Net(SegmentationNetwork):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(1, 1, 3, padding=1)

    def segment(self, image: Tensor) -> SegOutput:
        return SegOutput(self.head(image))


@dataclass
class _Run:
    """The least that a scheme sees of a run."""

    samples: Sequence[Sample]
    val: Sequence[Sample] = ()
    network: nn.Module = field(default_factory=_Net)
    loss: Loss = field(default_factory=LOSSES["bce"])
    labels: LabelStore = field(default_factory=LabelStore)
    val_labels: LabelStore = field(default_factory=LabelStore)
    unlabelled: Sequence[Sample] = ()
    epoch: int = 0
    epochs: int = 20
    seed: int = 0

    @property
    def module(self) -> nn.Module:
        return self.network

    @property
    def optimiser(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.network.parameters())

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    def val_batch(self, frames: int) -> Batch:
        return stack([sample.replace(label=self.val_labels[sample.id]) for sample in self.val[:frames]])

    def gather(self, rows: list) -> list:
        return rows

    def average(self, value: Tensor) -> Tensor:
        return value

    def predict(self, frames: Sequence[Sample]) -> Iterator[Prediction]:
        return (Prediction(sample.id, np.full(sample.shape, 0.3, np.float32)) for sample in frames)


def _samples() -> list[Sample]:
    rng, samples = np.random.default_rng(3), []
    for k in range(3):
        mask = np.zeros((12, 16), bool)
        mask[4 : 6 + k, 7:9] = True
        image = (rng.random((12, 16)) * 0.3 + 0.6 * mask).astype(np.float32)
        samples.append(Sample(f"frame{k}", image, mask, np.array([[4.5, 7.5]])))
    return samples


def _seen(make: type[Scheme]) -> list[Sample]:
    """The frames as the scheme sees them in a run."""
    return [sample if make.needs_truth else sample.without_truth() for sample in _samples()]


def _run(make: type[Scheme]) -> _Run:
    """A run for a scheme: with prototypes, or with frames of two cameras, where it needs them."""
    samples = _seen(make)
    if make is SCHEMES["sdaistd"]:
        samples[2] = samples[2].replace(id="other/frame2")
    network = Compared("test_schemes:_Net") if issubclass(make, Prototypes) else _Net()
    return _Run(samples, samples, network, unlabelled=[Sample("new", samples[0].image)])


def _batch(run: _Run, scheme: Scheme) -> Batch:
    frames = [sample.replace(label=run.labels[sample.id]) for sample in run.samples]
    return stack(frames, unlabelled=run.unlabelled, parts=scheme.reads)


# Detectors of boxes have laws of their own.
MASKS = {name: make for name, make in SCHEMES.items() if name != "boxes"}
ALL = pytest.mark.parametrize("make", MASKS.values(), ids=MASKS)


@ALL
def test_every_frame_gets_a_label_in_the_unit_interval(make: type[Scheme]) -> None:
    run = _run(make)
    make().begin(run)
    assert set(run.labels) == {sample.id for sample in run.samples}
    assert set(run.labels.active) <= set(run.labels)
    for sample in run.samples:
        label = run.labels[sample.id].astype(float)
        assert label.shape == sample.shape
        assert label.min() >= 0
        assert label.max() <= 1


@ALL
def test_the_loss_is_a_finite_scalar_that_reaches_every_parameter_that_learns(make: type[Scheme]) -> None:
    run, scheme = _run(make), make()
    scheme.begin(run)
    scheme.begin_epoch(run)
    batch = _batch(run, scheme)
    with run.labels.frozen(), run.val_labels.frozen():
        loss = scheme.loss(run, batch)
        assert loss.shape == ()
        loss.backward()
        scheme.after_step(run, batch)
    scheme.end_epoch(run, float(loss.detach()))
    learning = [p for p in run.network.parameters() if p.requires_grad]
    assert learning
    assert all(p.grad is not None and p.grad.isfinite().all() for p in learning)


@ALL
def test_the_state_brings_a_fresh_scheme_to_the_same_point(make: type[Scheme], tmp_path) -> None:
    run, scheme = _run(make), make()
    scheme.begin(run)
    scheme.begin_epoch(run)
    torch.save({"scheme": scheme.state_dict(), "labels": run.labels.state_dict()}, tmp_path / "state.pt")
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    other, fresh = replace(_run(make), network=run.network), make()
    other.labels.load_state_dict(state["labels"])
    fresh.load_state_dict(state["scheme"])
    assert other.labels.active == run.labels.active
    for id in run.labels:
        assert np.array_equal(other.labels[id], run.labels[id])
    losses = []
    for one, place in ((fresh, other), (scheme, run)):
        torch.manual_seed(0)  # checkpoints keep torch's generator
        losses.append(one.loss(place, _batch(place, one)))
    assert torch.equal(*losses)


def test_full_supervision_names_the_frames_without_a_mask() -> None:
    samples = _samples()
    samples[1] = samples[1].replace(mask=None)
    with pytest.raises(DataError, match=r"every frame, and 1 of 3 frames have none: frame1; add them"):
        SCHEMES["full"]().begin(_Run(samples))


def test_full_supervision_is_the_mean_of_the_loss() -> None:
    run = _Run(_samples())
    scheme = SCHEMES["full"]()
    scheme.begin(run)
    batch = _batch(run, scheme)
    each = run.loss(run.network(batch.images), batch)
    assert scheme.loss(run, batch).item() == pytest.approx(sum(each.tolist()) / 3, rel=1e-6)
