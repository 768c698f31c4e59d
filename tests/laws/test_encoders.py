"""Laws of every encoder: a frame becomes levels."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from infraspot.blocks.encoder import ENCODER, Encoder, low_rank_background
from infraspot.blocks.residual import ResidualBlock
from infraspot.networks.unet import UNet

WIDTHS = (8, 12, 16)

every_encoder = pytest.mark.parametrize("name", ENCODER)


def build(name: str) -> Encoder:
    torch.manual_seed(7)
    return ENCODER[name](WIDTHS, ResidualBlock)


def frames(count: int, height: int = 24, width: int = 32) -> Tensor:
    return torch.rand(count, 1, height, width, generator=torch.Generator().manual_seed(1))


@every_encoder
def test_levels_halve_and_have_the_widths_that_the_encoder_names(name: str) -> None:
    encoder = build(name)
    levels = encoder(frames(2))
    expected = [(2, width, 24 >> k, 32 >> k) for k, width in enumerate(encoder.widths)]
    assert [tuple(level.shape) for level in levels] == expected
    assert encoder.widths[-1] == WIDTHS[-1]


@every_encoder
def test_every_parameter_gets_a_gradient(name: str) -> None:
    encoder = build(name)
    sum((level * torch.randn_like(level)).sum() for level in encoder(frames(4))).backward()
    without = [key for key, p in encoder.named_parameters() if p.grad is None or not p.grad.any()]
    assert not without


@every_encoder
def test_in_evaluation_a_frame_does_not_see_its_batch(name: str) -> None:
    encoder, images = build(name).eval(), frames(3)
    with torch.no_grad():
        for together, alone in zip(encoder(images), encoder(images[1:2]), strict=True):
            torch.testing.assert_close(together[1:2], alone, rtol=1e-4, atol=1e-5)


@every_encoder
def test_levels_are_finite_for_a_flat_frame_and_in_half_precision(name: str) -> None:
    encoder = build(name)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        for images in (frames(2), torch.zeros(2, 1, 24, 32), torch.ones(2, 1, 24, 32)):
            assert all(level.isfinite().all() for level in encoder(images))


@every_encoder
@pytest.mark.slow
def test_a_network_with_the_encoder_exports_at_every_size(name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    from infraspot.inference.export import export_onnx

    torch.manual_seed(7)
    network = UNet((8, 12, 16), encoder=name, local="residual", context="none", fusion="concat").eval()
    assert export_onnx(network, {"network": {"name": "unet"}}, tmp_path / "network.onnx") < 1e-4


def test_a_low_rank_background_leaves_the_target() -> None:
    down, across = torch.linspace(0, 1, 48), torch.linspace(0, 1, 64)
    background = 0.2 + 0.5 * torch.outer(down, 1 - across)
    frame = background.clone()
    frame[30:33, 20:23] += 0.4
    rest = frame - low_rank_background(frame[None, None])[0, 0]
    assert rest[30:33, 20:23].min() > 0.35
    rest[30:33, 20:23] = 0
    assert rest.abs().max() < 0.05
