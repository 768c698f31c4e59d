"""What the compact network promises beyond the laws of all networks."""

import torch
import torch.nn.functional as F

from infraspot.networks.compact import Compact, RingContrast


def frame(height: int = 224, width: int = 224) -> torch.Tensor:
    return torch.rand(1, 1, height, width, generator=torch.Generator().manual_seed(0))


def test_local_contrast_has_unit_spread_whatever_the_gain():
    for gain in (0.2, 1.0):
        contrast = RingContrast()(0.4 + gain * (frame() - 0.5))[:, 1]
        assert abs(contrast.mean()) < 0.02
        assert abs(contrast.std() - 1) < 0.02


def test_a_flat_frame_has_no_local_contrast():
    contrast = RingContrast()(torch.full((1, 1, 64, 64), 0.7))[:, 1]
    assert contrast.abs().max() < 1e-3


def test_the_middle_of_a_tile_is_as_in_the_frame():
    torch.manual_seed(0)
    network = Compact().eval()
    for parameter in network.context.expand.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    with torch.no_grad():
        whole = network(frame(640, 672)).logits
        tile = network(frame(640, 672)[..., 32:608, 48:624]).logits
    torch.testing.assert_close(whole[..., 304:336, 320:352], tile[..., 272:304, 272:304], atol=1e-4, rtol=0)


def test_at_first_the_fine_answer_is_the_coarse_one_interpolated():
    network = Compact().eval()
    with torch.no_grad():
        output = network(frame(64, 64))
    coarse = F.interpolate(output.aux[0], scale_factor=2.0, mode="bilinear", align_corners=False)
    torch.testing.assert_close(output.logits, coarse)


def test_it_keeps_to_its_budget():
    assert sum(parameter.numel() for parameter in Compact().parameters()) <= 500_000
