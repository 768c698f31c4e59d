"""What every loss must hold."""

import pytest
import torch

from infraspot.core.errors import UsageError
from infraspot.losses import LOSSES, Batch, DeepSupervision, Loss, Weighted
from infraspot.networks import SegOutput

PER_MAP = [name for name in LOSSES if LOSSES[name]().per_map]
WHOLE = [name for name in LOSSES if name not in PER_MAP]


def _losses() -> list[tuple[str, Loss]]:
    losses: list[tuple[str, Loss]] = [(name, LOSSES[name]()) for name in PER_MAP]
    located = LOSSES["sls"]()
    located.begin_epoch(9)
    return [*losses, ("sls after its warm-up", located)]


ALL = pytest.mark.parametrize("loss", [loss for _, loss in _losses()], ids=[name for name, _ in _losses()])


def _targets() -> torch.Tensor:
    """One target, an empty frame and a frame that is all target."""
    target = torch.zeros(3, 1, 12, 16)
    target[0, 0, 4:7, 9:12] = 1
    target[2] = 1
    return target


def _batch(labels: torch.Tensor | None = None) -> Batch:
    labels = _targets() if labels is None else labels
    return Batch(tuple(f"frame{k}" for k in range(len(labels))), 0.3 + 0.5 * labels, labels)


def _logits(seed: int = 0, scale: float = 3.0) -> torch.Tensor:
    return scale * torch.randn(3, 1, 12, 16, generator=torch.Generator().manual_seed(seed))


@ALL
def test_one_value_a_sample(loss: Loss) -> None:
    value = loss(_logits(), _batch())
    assert value.shape == (3,)
    assert value.dtype == torch.float32


@ALL
@pytest.mark.parametrize("scale", [0.0, 1.0, 30.0, 1e4])
def test_values_and_gradients_are_finite(loss: Loss, scale: float) -> None:
    logits = _logits(scale=scale).requires_grad_()
    value = loss(logits, _batch())
    value.sum().backward()
    assert value.isfinite().all()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@ALL
def test_gradient_reaches_the_logits(loss: Loss) -> None:
    logits = _logits().requires_grad_()
    loss(logits, _batch()).sum().backward()
    assert logits.grad is not None
    assert logits.grad[0].abs().sum() > 0


@ALL
def test_the_truth_costs_next_to_nothing_and_less_than_anything_else(loss: Loss) -> None:
    target, batch = _targets(), _batch()
    perfect = loss((target * 2 - 1) * 20, batch)
    assert (perfect < 1e-2).all()
    for wrong in (_logits(), torch.zeros_like(target), (1 - target * 2) * 20):
        assert perfect.sum() < loss(wrong, batch).sum()


@ALL
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_agrees_with_single(loss: Loss, dtype: torch.dtype) -> None:
    logits = _logits().to(dtype)
    assert torch.equal(loss(logits, _batch()), loss(logits.float(), _batch()))


@ALL
def test_soft_labels_are_welcome(loss: Loss) -> None:
    soft = torch.rand(3, 1, 12, 16, generator=torch.Generator().manual_seed(5))
    assert loss(_logits(), _batch(soft)).isfinite().all()


@ALL
def test_a_network_output_counts_as_its_logits(loss: Loss) -> None:
    logits = _logits()
    assert torch.equal(loss(SegOutput(logits), _batch()), loss(logits, _batch()))


@pytest.mark.parametrize("name", [name for name in PER_MAP if name != "soft_iou_batch"])
def test_the_value_of_a_sample_does_not_depend_on_its_neighbours(name: str) -> None:
    loss, logits, target = LOSSES[name](), _logits(), _targets()
    alone = torch.cat([loss(logits[k : k + 1], _batch(target[k : k + 1])) for k in range(3)])
    torch.testing.assert_close(loss(logits, _batch()), alone)


@ALL
def test_sums_and_deep_supervision_keep_the_law(loss: Loss) -> None:
    output = SegOutput(_logits(), (_logits(1)[..., ::2, ::2], _logits(2)[..., ::4, ::4]))
    for size in ("pool", "upsample"):
        deep = DeepSupervision(Weighted([(2.0, loss)]), [1, 0.5, 0.25], size=size)
        assert deep(output, _batch()).shape == (3,)


def _whole_output(*, dtype: torch.dtype = torch.float32, scale: float = 1.0) -> SegOutput:
    """An output with every part that a loss may read, all of them leaves."""
    generator = torch.Generator().manual_seed(3)
    maps = [scale * torch.randn(3, 1, 12, 16, generator=generator) for _ in range(3)]
    features = [scale * torch.randn(3, 4, 6, 8, generator=generator) for _ in range(2)]
    logits, edge, background, f, g = (part.to(dtype).requires_grad_() for part in (*maps, *features))
    return SegOutput(logits, (), edge, background, ((f, g),))


def _network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.Conv2d(4, 1, 3))


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("scale", [0.0, 1.0, 1e3])
def test_losses_of_other_parts_give_one_finite_value_a_sample_and_finite_gradients(name, scale) -> None:
    loss, network, output = LOSSES[name](), _network(), _whole_output(scale=scale)
    loss.begin(network)
    value = loss(output, _batch())
    assert value.shape == (3,)
    assert value.dtype == torch.float32
    assert value.isfinite().all()
    value.sum().backward()
    ((f, g),) = output.streams
    leaves = [output.logits, output.background, f, g, *network.parameters()]
    gradients = [leaf.grad for leaf in leaves if leaf is not None and leaf.grad is not None]
    assert gradients
    assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("name", WHOLE)
def test_losses_of_other_parts_do_not_mind_half_precision(name: str) -> None:
    loss = LOSSES[name]()
    loss.begin(_network())
    half = _whole_output(dtype=torch.bfloat16)
    single = SegOutput(
        half.logits.float(),
        background=half.background.float(),
        streams=tuple((f.float(), g.float()) for f, g in half.streams),
    )
    torch.testing.assert_close(loss(half, _batch()), loss(single, _batch()))


@pytest.mark.parametrize("name", WHOLE)
def test_losses_of_other_parts_say_what_they_miss(name: str) -> None:
    with pytest.raises(UsageError, match="network"):
        LOSSES[name]()(_logits(), _batch())
