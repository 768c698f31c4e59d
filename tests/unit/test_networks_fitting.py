"""Layers that are fitted to labelled frames, in a network."""

import pytest
import torch
from torch import Tensor

from infraspot.blocks.fitted import patches_at
from infraspot.core.errors import InputError
from infraspot.networks.fitting import fit_layers
from infraspot.networks.unet import UNet


def labelled_frames(count: int = 6, side: int = 45) -> tuple[Tensor, Tensor]:
    """Rows of clutter, and a bright square of 3 pixels in each frame."""
    generator = torch.Generator().manual_seed(4)
    images = 0.3 + 0.1 * torch.rand(count, 1, side, 1, generator=generator).expand(-1, -1, -1, side)
    images = images + 0.01 * torch.rand(count, 1, side, side, generator=generator)
    labels = torch.zeros_like(images)
    for index in range(count):
        row, column = torch.randint(5, side - 8, (2,), generator=generator).tolist()
        labels[index, :, row : row + 3, column : column + 3] = 1
    return images + 0.4 * labels, labels


def tcr_network() -> UNet:
    torch.manual_seed(0)
    return UNet(widths=(8, 16), stem="otc", local="otc", context="none", fusion="add")


def test_layers_are_fitted_in_the_order_in_which_they_run_and_once() -> None:
    network = tcr_network()
    names = fit_layers(network, *labelled_frames())
    assert names == ["encoder.stem", "encoder.levels.0.0", "encoder.levels.1.0"]
    assert network.training
    fitted = {name: buffer.clone() for name, buffer in network.named_buffers()}
    assert fit_layers(network, *labelled_frames()) == []
    assert all(torch.equal(buffer, fitted[name]) for name, buffer in network.named_buffers())
    again = tcr_network()
    again.load_state_dict(network.state_dict())
    assert fit_layers(again, *labelled_frames()) == []


def test_the_first_filter_answers_to_targets_more_than_to_clutter() -> None:
    network, (images, labels) = tcr_network(), labelled_frames()
    fit_layers(network, images, labels)
    strongest = network.encoder.stem.filters[:1]
    energy = torch.nn.functional.conv2d(images, strongest, padding=3).square()[..., 3:-3, 3:-3]
    on_target = labels[..., 3:-3, 3:-3] > 0
    assert energy[on_target].mean() > 100 * energy[~on_target].median()


def test_a_step_of_the_optimiser_leaves_fitted_filters_alone() -> None:
    network, (images, labels) = tcr_network(), labelled_frames()
    fit_layers(network, images, labels)
    before = network.encoder.stem.filters.clone()
    optimiser = torch.optim.AdamW(network.parameters(), lr=0.1, weight_decay=0.1)
    network(images).logits.square().mean().backward()
    optimiser.step()
    assert torch.equal(network.encoder.stem.filters, before)


def test_frames_without_a_target_are_refused() -> None:
    images, labels = labelled_frames()
    with pytest.raises(InputError, match="the frames hold no target"):
        fit_layers(tcr_network(), images, torch.zeros_like(labels))
    with pytest.raises(InputError, match="no place away from targets"):
        fit_layers(tcr_network(), images, torch.ones_like(labels))


def test_a_network_without_such_layers_does_not_run() -> None:
    network = UNet(widths=(8, 16))
    network.segment = None  # type: ignore[method-assign, assignment]
    assert fit_layers(network, *labelled_frames()) == []


def test_patches_are_cut_around_places_with_zeros_outside() -> None:
    x = torch.arange(24.0).reshape(2, 1, 3, 4)
    patches = patches_at(x, torch.tensor([[1, 1, 1], [0, 0, 0]]), 3)
    assert patches.shape == (2, 1, 3, 3)
    assert torch.equal(patches[0, 0], x[1, 0, :, :3])
    assert patches[1, 0].tolist() == [[0, 0, 0], [0, 0, 1], [0, 4, 5]]
