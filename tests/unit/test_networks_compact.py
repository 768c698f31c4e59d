"""What the compact network promises beyond the laws of all networks."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from infraspot.networks.compact import Compact, RingContrast
from infraspot.networks.compact_half import at_half, from_pixels, interpolation, to_phases


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


@pytest.mark.parametrize("bias", [True, False])
def test_a_convolution_at_half_resolution_does_the_same_to_the_phases_of_its_pixels(bias):
    torch.manual_seed(0)
    convolution = nn.Conv2d(3, 5, 3, padding=1, bias=bias)
    x = torch.randn(2, 3, 10, 14)
    found = F.pixel_shuffle(at_half(convolution)(F.pixel_unshuffle(x, 2)), 2)
    torch.testing.assert_close(found, convolution(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("bias", [True, False])
def test_phases_come_straight_from_pixels(bias):
    torch.manual_seed(0)
    x = torch.randn(2, 3, 10, 14)
    convolution = nn.Conv2d(3, 5, 3, padding=1, bias=bias)
    found = F.pixel_shuffle(to_phases(convolution)(x), 2)
    torch.testing.assert_close(found, convolution(x), atol=1e-5, rtol=1e-5)
    convolution = nn.Conv2d(12, 5, 3, padding=1, bias=bias)
    found = from_pixels(convolution)(x)
    torch.testing.assert_close(found, convolution(F.pixel_unshuffle(x, 2)), atol=1e-5, rtol=1e-5)


def test_a_map_is_interpolated_by_a_convolution():
    x = torch.randn(2, 1, 5, 7, generator=torch.Generator().manual_seed(0))
    found = F.pixel_shuffle(interpolation()(F.pad(x, (1, 1, 1, 1), mode="replicate")), 2)
    wanted = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
    torch.testing.assert_close(found, wanted)


def test_the_network_as_it_is_deployed_answers_as_it_was_trained():
    torch.manual_seed(0)
    network = Compact().eval()
    for parameter in network.head.parameters():
        torch.nn.init.normal_(parameter)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    image = torch.rand(2, 1, 32, 48)
    with torch.no_grad():
        wanted = network.segment(image).logits
        found = network.deployed().segment(image).logits
        again = network.segment(image).logits
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(again, wanted)
