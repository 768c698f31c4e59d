"""What the compact network promises beyond the laws of all networks."""

import torch

from infraspot.networks.compact import Compact, LocalContrast


def frame(height: int = 224, width: int = 224) -> torch.Tensor:
    return torch.rand(1, 1, height, width, generator=torch.Generator().manual_seed(0))


def test_local_contrast_has_unit_spread_whatever_the_gain():
    for gain in (0.2, 1.0):
        contrast = LocalContrast()(0.4 + gain * (frame() - 0.5))[:, 1]
        assert abs(contrast.mean()) < 0.02
        assert abs(contrast.std() - 1) < 0.02


def test_a_flat_frame_has_no_local_contrast():
    contrast = LocalContrast()(torch.full((1, 1, 64, 64), 0.7))[:, 1]
    assert contrast.abs().max() < 1e-3


def test_the_middle_of_a_tile_is_as_in_the_frame():
    network = Compact().eval()
    with torch.no_grad():
        whole = network(frame(480, 480)).logits
        tile = network(frame(480, 480)[..., 32:448, 48:464]).logits
    middle = slice(192, 224)
    torch.testing.assert_close(whole[..., 224:256, 240:272], tile[..., middle, middle], atol=1e-4, rtol=0)


def test_it_keeps_to_its_budget():
    assert sum(parameter.numel() for parameter in Compact().parameters()) <= 500_000
