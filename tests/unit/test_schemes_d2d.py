"""D2D: derivatives of the outer level against finite differences, labels against the annotator, switches."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from infraspot.annotators import annotate
from infraspot.annotators.diffusion_field import DiffusionParameters
from infraspot.blocks.diffusion import HeatDiffusion
from infraspot.core.errors import DataError, UsageError
from infraspot.core.sample import Sample
from infraspot.losses import LOSSES, Batch, DeepSupervision
from infraspot.networks import SegmentationNetwork, SegOutput
from infraspot.schemes import D2D, LabelStore, proxy
from infraspot.schemes.base import TrainingError
from infraspot.schemes.d2d import theta_objective
from infraspot.schemes.dynamics import FEATURES, Memory, MetaClassifier, describe, hardness_of
from infraspot.schemes.heat import SIDE, HeatLabels
from infraspot.schemes.hypergradient import Slopes, gradient, parameters_of, scaled, step_sizes

RATE = 0.5


class _Net(SegmentationNetwork):
    """Smooth, with an auxiliary map and statistics of normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3)
        self.head, self.coarse = nn.Conv2d(3, 1, 3, padding=1), nn.Conv2d(3, 1, 1)

    def segment(self, image: Tensor) -> SegOutput:
        x = torch.tanh(self.norm(self.first(image)))
        return SegOutput(self.head(x), (self.coarse(x),))


def _frames(count: int, seed: int = 0, side: int = 48) -> list[Sample]:
    rng = np.random.default_rng(seed)
    ys, xs = np.ogrid[:side, :side]
    samples = []
    for k in range(count):
        y, x = rng.integers(3, side - 3, 2)
        bump = np.exp(-((ys - y) ** 2 + (xs - x) ** 2) / rng.uniform(2, 8))
        image = 0.2 + 0.5 * bump + 0.01 * rng.standard_normal((side, side))
        samples.append(Sample(f"f{k}", image.astype(np.float32), points=np.array([[y, x]], float)))
    return samples


def _run(module: nn.Module, **others: Any) -> Any:
    loss = DeepSupervision(LOSSES["dice"](), 0.5)
    optimiser = torch.optim.SGD(module.parameters(), lr=RATE)
    return SimpleNamespace(
        module=module,
        network=module,
        loss=loss,
        optimiser=optimiser,
        device=torch.device("cpu"),
        labels=LabelStore(),
        val_labels=LabelStore(),
        average=lambda value: value,
        gather=lambda rows: rows,
        seed=3,
        epochs=20,
        **others,
    )


def _batch(seed: int, count: int = 4) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(count, 1, 10, 12, generator=generator)
    labels = (torch.rand(count, 1, 10, 12, generator=generator) > 0.7).float()
    return Batch(tuple(f"f{k}" for k in range(count)), images, labels)


def _after_a_step(module: nn.Module, run: Any, batch: Batch, weights: Tensor, val: Batch) -> float:
    """L_val after a real step of the optimiser, on a copy of the network."""
    import copy

    own = copy.deepcopy(module)
    optimiser = torch.optim.SGD(own.parameters(), lr=run.optimiser.param_groups[0]["lr"])
    (weights * run.loss(own(batch.images), batch)).mean().backward()
    optimiser.step()
    with torch.no_grad():
        return float(run.loss(own(val.images), val).mean())


def _differences(f: Callable[[Tensor], float], at: Tensor, step: float) -> Tensor:
    """Central differences in each number."""
    slopes = []
    for k in range(at.numel()):
        shift = torch.zeros_like(at)
        shift.view(-1)[k] = step
        slopes.append((f(at + shift) - f(at - shift)) / (2 * step))
    return torch.tensor(slopes)


def test_the_derivative_by_sample_weights_is_that_of_finite_differences() -> None:
    torch.manual_seed(0)
    module = _Net().train()
    run, batch, val = _run(module), _batch(1), _batch(2, 3)
    weights = torch.tensor([0.5, 1.5, 1.0, 1.0])
    before = parameters_of(module)
    wanted = _differences(lambda w: _after_a_step(module, run, batch, w, val), weights, 0.05)

    (weights * run.loss(module(batch.images), batch)).mean().backward()
    run.optimiser.step()
    _, slope = gradient(module, parameters_of(module), run.loss, val)
    direction = scaled(step_sizes(run.optimiser, module), slope)
    found = -Slopes(module, before, direction, batch.images)(run.loss, batch) / len(batch)
    assert wanted.abs().max() > 1e-4
    torch.testing.assert_close(found.detach(), wanted, rtol=0.02, atol=2e-5)


def test_the_derivative_by_theta_is_that_of_finite_differences() -> None:
    torch.manual_seed(1)
    module = _Net().train()
    run = _run(module)
    run.optimiser.param_groups[0]["lr"] = 30.0
    train, val = HeatLabels(_frames(3)), HeatLabels(_frames(2, seed=5))
    for frames, store in ((_frames(3), run.labels), (_frames(2, seed=5), run.val_labels)):
        for sample in frames:
            store[sample.id] = np.zeros(sample.shape, bool)
    start = DiffusionParameters(steps=40)
    crops = train.crops(range(3), run.labels, run.device), val.crops(range(2), run.val_labels, run.device)

    def heat(theta: Tensor) -> HeatDiffusion:
        made = HeatDiffusion(start)
        with torch.no_grad():
            for parameter, shift in zip(made.parameters(), theta, strict=True):
                parameter += shift
        return made

    def outer(theta: Tensor) -> float:
        with torch.no_grad():
            batch, val_batch = (part.batch(heat(theta)) for part in crops)
        return _after_a_step(module, run, batch, torch.ones(3), val_batch)

    wanted = _differences(outer, torch.zeros(4), 0.02)
    diffusion = heat(torch.zeros(4))
    theta_objective(run, *(part.batch(diffusion) for part in crops)).backward()
    found = torch.stack([p.grad if p.grad is not None else torch.zeros(()) for p in diffusion.parameters()])
    assert wanted.abs().max() > 1e-4
    torch.testing.assert_close(found, wanted, rtol=0.05, atol=2e-5)
    # The step itself matters: without it the derivative is another one.
    run.optimiser.param_groups[0]["lr"] = 0.0
    still = heat(torch.zeros(4))
    theta_objective(run, *(part.batch(still) for part in crops)).backward()
    direct = torch.stack([p.grad if p.grad is not None else torch.zeros(()) for p in still.parameters()])
    assert (direct - wanted).abs().max() > 3 * (found - wanted).abs().max()


def test_the_step_of_adam_is_the_one_that_it_takes() -> None:
    """A small change of the gradient moves the parameter by P times it, once Adam's scale is settled."""
    parameter = nn.Parameter(torch.zeros(3))
    module = nn.ParameterDict({"p": parameter})
    optimiser = torch.optim.Adam([parameter], lr=0.1, betas=(0.0, 0.999))
    for _ in range(5):
        parameter.grad = torch.tensor([1.0, 2.0, 4.0])
        optimiser.step()
    size = step_sizes(optimiser, module)["p"]
    assert isinstance(size, Tensor)
    torch.testing.assert_close(size, 0.1 / torch.tensor([1.0, 2.0, 4.0]))


def test_diffusion_masks_are_those_of_the_annotator_also_at_borders() -> None:
    samples = _frames(12, side=40)
    for theta in (DiffusionParameters(), DiffusionParameters(rho=0.9, beta=8.0)):
        found = HeatLabels(samples).masks(HeatDiffusion(theta))
        for sample in samples:
            wanted = annotate(sample.image, sample.points, "diffusion", theta=theta).mask
            assert np.count_nonzero(found[sample.id] != wanted) <= 1


def test_relaxed_labels_cross_one_half_where_the_mask_has_its_border() -> None:
    samples = _frames(4)
    labels, diffusion = HeatLabels(samples), HeatDiffusion()
    masks, store = labels.masks(diffusion), LabelStore()
    for id, mask in masks.items():
        store[id] = mask
    batch = labels.crops(range(4), store, torch.device("cpu")).batch(diffusion)
    assert batch.images.shape == (4, 1, SIDE, SIDE)
    for k, sample in enumerate(samples):
        hard = (batch.labels[k, 0] >= 0.5).sum().item()
        assert hard == pytest.approx(np.count_nonzero(masks[sample.id]), abs=3)


def test_weights_are_equal_at_first_positive_and_of_mean_one() -> None:
    classifier = MetaClassifier(FEATURES)
    classifier.begin(4)
    features = torch.randn(8, FEATURES)
    assert torch.allclose(classifier(features), torch.ones(8))
    with torch.no_grad():
        classifier.last.weight.normal_()
    weights = classifier(features)
    assert weights.min() > 0
    assert weights.mean().item() == pytest.approx(1)
    assert weights.std() > 0.1


def test_features_are_standardised_and_memory_is_a_running_mean() -> None:
    batch = _batch(1)
    losses, memory = torch.tensor([1.0, 2.0, 3.0, 4.0]), Memory()
    memory.update(zip(batch.ids, losses.tolist(), [1.0] * 4, strict=True))
    memory.update([(batch.ids[0], 2.0, 3.0)])
    assert memory.losses(batch.ids, losses).tolist() == pytest.approx([1.1, 2, 3, 4])
    assert memory.weights()["f0"] == pytest.approx(1.2)
    features = describe(torch.randn(4, 1, 10, 12), batch, losses, losses, torch.zeros(4))
    assert features.shape == (4, FEATURES)
    assert features.mean(0).abs().max() < 1e-5
    assert torch.equal(features[:, -1], torch.zeros(4))


def test_fainter_targets_are_harder() -> None:
    samples = _frames(3)
    faint = samples[0].replace(id="faint", image=(0.2 + 0.2 * (samples[0].image - 0.2)).astype(np.float32))
    noise = 0.02 * np.random.default_rng(1).standard_normal(faint.shape).astype(np.float32)
    empty = samples[1].replace(id="empty", points=np.zeros((0, 2)))
    hardness = hardness_of([samples[0], samples[2], faint.replace(image=faint.image + noise), empty])
    assert hardness["faint"] == max(hardness.values())
    assert hardness["empty"] == 0


def test_the_proxy_rewards_frames_whose_residual_points_as_that_of_val() -> None:
    logits, batch = torch.zeros(2, 1, 4, 4), _batch(0, 2)
    val_batch = Batch(("v",), torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 4))
    batch = Batch(
        ("a", "b"), torch.zeros(2, 1, 4, 4), torch.stack([torch.ones(1, 4, 4), torch.zeros(1, 4, 4)])
    )
    aligned = proxy.alignment(logits, batch, torch.zeros(1, 1, 4, 4), val_batch)
    assert aligned.tolist() == [[0.25, 1.0, 1.0], [-0.25, -1.0, 0.0]]
    weights = torch.ones(2, requires_grad=True)
    proxy.reward(weights, aligned).backward()
    assert weights.grad is not None
    assert weights.grad[0] < 0 < weights.grad[1]


def test_the_programs_diffusion_stays_within_its_ranges_and_takes_gradients() -> None:
    surrogate = proxy.Surrogate()
    assert surrogate.numbers() == pytest.approx((3.2, 6.0, 0.84, 0.6))
    surrogate(torch.rand(2, 1, 16, 16)).square().mean().backward()
    assert surrogate.free.grad is not None
    assert (surrogate.free.grad != 0).all()
    with torch.no_grad():
        surrogate.free += 100
    assert surrogate.numbers() == pytest.approx((3.2 * 1.3, 6 * 1.3, 0.89, 0.65))


@pytest.mark.parametrize("source", ["both", "heat", "superpixel", "point"])
def test_labels_come_from_what_the_ablation_says(source: str) -> None:
    samples = _frames(3)
    run = _run(_Net(), samples=samples, val=samples, epoch=0)
    scheme = D2D(labels=source)  # type: ignore[arg-type]
    scheme.begin(run)
    rho = {"both": DiffusionParameters().rho, "heat": 1.0, "superpixel": 0.0}.get(source)
    for sample in samples:
        label = run.labels[sample.id]
        if rho is None:
            assert label.sum() == 1
            continue
        wanted = annotate(sample.image, sample.points, "diffusion", theta=DiffusionParameters(rho=rho)).mask
        assert np.count_nonzero(label != wanted) <= 1
        assert np.array_equal(run.val_labels[sample.id], label)


@pytest.mark.parametrize("options", [{}, {"level": 0.7}])
def test_labels_of_the_profile_stay_as_they_are_grown(options: dict[str, float]) -> None:
    samples = _frames(3)
    run = _run(_Net(), samples=samples, val=samples, epoch=4)
    scheme = D2D(labels="profile", options=options)
    scheme.begin(run)
    assert not scheme.relabel
    for sample in samples:
        wanted = annotate(sample.image, sample.points, "profile", **options).mask
        assert np.array_equal(run.labels[sample.id], wanted)
        assert np.array_equal(run.val_labels[sample.id], wanted)


def test_options_without_labels_of_the_profile_are_refused() -> None:
    with pytest.raises(UsageError, match=r"scheme\.labels"):
        D2D(labels="heat", options={"level": 0.7})


@pytest.mark.parametrize("variant", ["paper", "program"])
@pytest.mark.parametrize("joint", [False, True])
def test_an_outer_step_moves_the_classifier_and_theta(variant: str, joint: bool) -> None:
    torch.manual_seed(0)
    samples = _frames(4, side=32)
    run = _run(_Net(), samples=samples, val=samples, epoch=4)
    scheme = D2D(variant=variant, joint=joint, outer_steps=1, theta_lr=0.2)  # type: ignore[arg-type]
    scheme.begin(run)

    def batch() -> Batch:
        images = torch.stack([torch.from_numpy(s.image)[None] for s in samples])
        labels = torch.stack([torch.from_numpy(run.labels[s.id].astype(np.float32))[None] for s in samples])
        return Batch(tuple(s.id for s in samples), images, labels)

    run.val_batch = lambda frames: Batch(
        *(part[:frames] for part in (batch().ids, batch().images, batch().labels))
    )
    first = scheme.begin_epoch(run)
    for _ in range(3):
        run.optimiser.zero_grad()
        scheme.loss(run, batch()).backward()
        run.optimiser.step()
        numbers = scheme.after_step(run, batch())
    assert numbers is not None
    assert numbers["weight_spread"] > 0
    assert set(scheme.worth()) == {sample.id for sample in samples}
    run.epoch = 5
    assert first != scheme.begin_epoch(run)
    assert scheme.steps == 3


def test_an_outer_step_that_is_not_finite_ends_the_run_before_theta_moves() -> None:
    samples = _frames(4, side=32)
    run = _run(_Net(), samples=samples, val=samples, epoch=3)
    scheme = D2D(theta_lr=0.2)
    scheme.begin(run)
    before = scheme.begin_epoch(run)
    with torch.no_grad():
        run.module.head.weight.fill_(float("nan"))
    run.epoch = 4
    with pytest.raises(
        TrainingError, match="outer level of d2d is not finite in epoch 5; the last checkpoint"
    ):
        scheme.begin_epoch(run)
    run.epoch = 3
    assert scheme.begin_epoch(run) == before


def test_without_balance_all_weights_are_one_and_without_beta_val_is_not_learned() -> None:
    torch.manual_seed(0)
    samples = _frames(4, side=32)
    run = _run(_Net(), samples=samples, val=samples, epoch=4)
    run.val_batch = lambda frames: _batch(3, frames)
    for options in ({"balance": False, "beta": 0.0}, {"outer": 1.0}):
        scheme = D2D(outer_steps=1, **options)  # type: ignore[arg-type]
        batch = _batch(1)
        losses = run.loss(run.network(batch.images), batch)
        assert scheme.loss(run, batch).item() == pytest.approx(losses.mean().item(), rel=1e-5)
    both = D2D(outer_steps=1, balance=False, beta=2.0).loss(run, batch).item()
    val = run.loss(run.network(_batch(3, 2).images), _batch(3, 2)).mean().item()
    assert both == pytest.approx(losses.mean().item() + 2 * val, rel=1e-5)


def test_val_needs_clicks_and_options_are_checked() -> None:
    samples = _frames(2)
    run = _run(_Net(), samples=samples, val=[samples[0].replace(points=None)], epoch=0)
    with pytest.raises(DataError, match=r"on val, needs the clicks .*, and 1 of 1 frame has none: f0"):
        D2D().begin(run)
    with pytest.raises(UsageError, match="variant is 'best'"):
        D2D(variant="best")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="outer"):
        D2D(outer=80)
