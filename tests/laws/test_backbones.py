"""Laws over every backbone of the detectors."""

import pytest
import torch

from infraspot.detection import BACKBONES

# The others have the same layers, more of them.
SMALL = ("resnet10", "compact", "cspnext-tiny", "darknet53", "efficientnet-b0", "pvt-tiny", "vgg16")


@pytest.mark.parametrize("name", BACKBONES)
def test_levels_have_the_strides_and_channels_that_it_names(name: str) -> None:
    with torch.device("meta"):
        backbone = BACKBONES[name]().eval()
        side = 3 * backbone.strides[-1]
        levels = backbone(torch.empty(1, 1, side, 2 * side))
    assert [tuple(level.shape) for level in levels] == [
        (1, wide, side // stride, 2 * side // stride)
        for wide, stride in zip(backbone.channels, backbone.strides, strict=True)
    ]


@pytest.mark.parametrize("name", SMALL)
def test_every_parameter_gets_a_gradient(name: str) -> None:
    torch.manual_seed(0)
    backbone = BACKBONES[name]()
    side = 2 * backbone.strides[-1]
    sum(level.square().mean() for level in backbone(torch.rand(1, 1, side, side))).backward()
    assert [key for key, p in backbone.named_parameters() if p.grad is None] == []
    assert all(p.grad.isfinite().all() for p in backbone.parameters())
