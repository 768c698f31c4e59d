"""UNet by names, and what networks A promise beyond the laws of all networks."""

from itertools import pairwise

import pytest
import torch

from infraspot.blocks.context import CONTEXT
from infraspot.blocks.encoder import ENCODER
from infraspot.blocks.fusion import FUSION
from infraspot.blocks.local import LOCAL
from infraspot.core.errors import UsageError
from infraspot.networks.fddbanet import FDDBANet, SpectralSplit
from infraspot.networks.rpcanet import RPCANet
from infraspot.networks.unet import UNet

BLOCKS = [("local", name) for name in LOCAL]
BLOCKS += [("context", name) for name in CONTEXT]
BLOCKS += [("fusion", name) for name in FUSION]
BLOCKS += [("encoder", name) for name in ENCODER]
BLOCKS += [("decoder", "mrcb"), ("attention", "cbam"), ("stem", "otc")]


@pytest.mark.parametrize(("part", "name"), BLOCKS)
def test_every_block_is_exchanged_by_name(part: str, name: str) -> None:
    network = UNet(widths=(8, 16, 16), **{part: name})
    output = network(torch.rand(2, 1, 30, 21))
    assert output.logits.shape == (2, 1, 30, 21)
    assert output.logits.isfinite().all()


def test_coarser_maps_come_finest_first() -> None:
    sizes = [map_.shape[-1] for map_ in UNet(widths=(8, 8, 8, 8))(torch.rand(2, 1, 32, 32)).aux]
    assert sizes == [16, 8, 4]


@pytest.mark.parametrize("part", ["encoder", "stem", "local", "context", "fusion", "decoder", "attention"])
def test_an_unknown_block_is_refused_with_the_nearest_name(part: str) -> None:
    with pytest.raises(UsageError, match="Known:"):
        UNet(**{part: "nothing-like-it"})
    with pytest.raises(UsageError, match="did you mean 'acm'"):
        UNet(fusion="acn")


@pytest.mark.parametrize("widths", [(16,), (), (0, 8), (-4, 8), (8, 1_000_000), (8, 2.5), "ab"])
def test_widths_that_make_no_unet_are_refused(widths: object) -> None:
    with pytest.raises(UsageError, match="two or more widths"):
        UNet(widths=widths)


def test_the_spectral_parts_start_complementary_and_the_background_is_smooth() -> None:
    image = torch.rand(2, 1, 32, 24)
    targets, background = SpectralSplit()(image)
    torch.testing.assert_close(targets + background, image)

    def roughness(map_: torch.Tensor) -> float:
        return map_.diff(dim=-1).square().mean().item()

    assert roughness(background) < roughness(targets)


def test_each_spectral_mask_is_learnt_by_itself() -> None:
    split, image = SpectralSplit(), torch.rand(1, 1, 16, 16)
    with torch.no_grad():
        split.masks[:, 0] = -30.0  # shuts every frequency of the targets
    targets, background = split(image)
    assert targets.abs().max() < 1e-5
    low_pass = SpectralSplit()(image)[1]
    torch.testing.assert_close(background, low_pass)


def test_fddbanet_gives_the_streams_that_contrast_learning_compares_in_training_only() -> None:
    network, image = FDDBANet(widths=(8, 16)), torch.rand(2, 1, 15, 16)
    shapes = [(tuple(f.shape), tuple(g.shape)) for f, g in network(image).streams]
    assert shapes == [((2, 8, 15, 16),) * 2, ((2, 16, 8, 8),) * 2]
    assert network.eval()(image).streams == ()


def test_the_background_and_the_targets_of_rpcanet_make_its_reconstruction() -> None:
    network, image = RPCANet(stages=2, channels=4).eval(), torch.rand(1, 1, 9, 8)
    output = network(image)
    reconstruction, targets = image, torch.zeros_like(image)
    for stage in network.stages:
        reconstruction, targets = stage(reconstruction, targets)
    torch.testing.assert_close(output.background + output.logits, reconstruction)


def test_widths_set_the_levels() -> None:
    network = UNet(widths=(8, 12, 20))
    assert network.stride == 4
    assert [head.in_channels for head in network.heads] == [8, 12, 20]
    assert all(low < high for low, high in pairwise([8, 12, 20]))
