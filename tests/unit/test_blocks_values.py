"""Blocks against numbers by hand and against plainer implementations."""

import pytest
import torch
import torch.nn.functional as F

from infraspot.blocks.attention import ATTENTION, Gate, NonLocalAttention, attend
from infraspot.blocks.context.regions import AGCB
from infraspot.blocks.conv import ConvNormAct, central_difference
from infraspot.blocks.deformable import DeformableConv2d
from infraspot.blocks.fusion.one_way import SBAM
from infraspot.blocks.gradient import gradient_magnitude, haar_bands
from infraspot.blocks.local.attentive import converse_contrast, shift_groups
from infraspot.blocks.local.clutter import OTC
from infraspot.blocks.pooling import _shares, region_maxima
from infraspot.blocks.pyramid import FeaturePyramid
from infraspot.blocks.state_space import linear_recurrence
from infraspot.blocks.transformer import AxialAttention, WindowAttention, from_windows, to_windows


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(3)


@pytest.mark.parametrize("name", [key for key, make in ATTENTION.items() if isinstance(make(8), Gate)])
def test_a_gate_multiplies_by_weights_between_0_and_1(name: str) -> None:
    gate, x = ATTENTION[name](8), torch.randn(2, 8, 9, 7)
    assert isinstance(gate, Gate)
    weights = gate.weights(x)
    assert 0 < weights.min() <= weights.max() < 1
    assert torch.equal(gate(x), x * weights)


def test_attend_folds_leading_axes() -> None:
    query, key, value = torch.randn(3, 2, 3, 4, 5, 6).unbind(0)
    expected = torch.softmax(query @ key.transpose(-1, -2) / 6**0.5, dim=-1) @ value
    torch.testing.assert_close(attend(query, key, value), expected)


def test_non_local_attention_starts_as_nothing() -> None:
    x = torch.randn(1, 8, 5, 4)
    assert torch.equal(NonLocalAttention(8)(x), x)


def test_an_untrained_deformable_convolution_is_half_a_convolution() -> None:
    layer, x = DeformableConv2d(3, 4, (1, 3)), torch.randn(2, 3, 6, 7)
    torch.testing.assert_close(layer(x), F.conv2d(x, layer.weight, padding=(0, 1)) / 2, rtol=1e-4, atol=1e-5)


def test_deformable_taps_move_by_pixels_down_and_right() -> None:
    layer, x = DeformableConv2d(2, 3, 3), torch.randn(1, 2, 8, 9)
    with torch.no_grad():
        layer.move.bias[0:18:2] = 1  # y
        layer.move.bias[1:18:2] = -0.5  # x
        layer.move.bias[18:] = 30  # masks of 1
    moved = (x[..., 1:, :-1] + x[..., 1:, 1:]) / 2
    expected = F.conv2d(moved, layer.weight)
    torch.testing.assert_close(layer(x)[..., 1:6, 2:8], expected, rtol=1e-4, atol=1e-5)


def test_a_recurrence_looped_and_in_chunks() -> None:
    exponent, drive = -torch.rand(601, 3), torch.randn(601, 3)
    state, states = torch.zeros(3), []
    for exponent_now, drive_now in zip(exponent, drive, strict=True):
        state = exponent_now.exp() * state + drive_now
        states.append(state)
    torch.testing.assert_close(linear_recurrence(exponent, drive), torch.stack(states))
    exported = torch.export.export(_Recurrence(), (exponent, drive)).module()
    torch.testing.assert_close(exported(exponent, drive), torch.stack(states))


class _Recurrence(torch.nn.Module):
    def forward(self, exponent: torch.Tensor, drive: torch.Tensor) -> torch.Tensor:
        return linear_recurrence(exponent, drive)


def test_haar_bands_by_hand() -> None:
    x = torch.tensor([[1.0, 2.0], [4.0, 8.0]]).reshape(1, 1, 2, 2)
    decimated = torch.cat([band.flatten() for band in haar_bands(x, step=2)])
    assert decimated.tolist() == [7.5, -4.5, -2.5, 1.5]
    same = torch.stack([band[0, 0, 1, 1] for band in haar_bands(x)])
    assert same.tolist() == [7.5, -4.5, -2.5, 1.5]
    assert haar_bands(x)[0][0, 0, 0, 0].item() == 0.5


def test_gradient_magnitude_by_hand() -> None:
    x = torch.zeros(1, 1, 3, 3)
    x[0, 0, 1, 2], x[0, 0, 2, 1] = 3, 4
    assert gradient_magnitude(x)[0, 0, 1, 1].item() == pytest.approx(5)
    assert gradient_magnitude(x, scale=0.5)[0, 0, 1, 1].item() == pytest.approx(2.5)


def test_a_central_difference_ignores_flat_features() -> None:
    weight = torch.randn(4, 1, 3, 3)
    assert central_difference(torch.full((1, 4, 5, 5), 3.0), weight).abs().max() < 1e-5
    x = torch.randn(1, 4, 5, 5)
    plain = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), weight, groups=4)
    torch.testing.assert_close(central_difference(x, weight, share=0.0), plain)


def test_converse_contrast_is_high_where_both_sides_are_lower() -> None:
    peak, edge = torch.zeros(1, 1, 9, 9), torch.zeros(1, 1, 9, 9)
    peak[0, 0, 4, 4] = 1
    edge[..., 4:] = 1
    assert converse_contrast(peak, 2)[0, 0, 4, 4].item() == 1
    assert converse_contrast(edge, 2)[0, 0, 4, 4].item() == 0


def test_groups_of_channels_shift_to_their_neighbours() -> None:
    x = torch.arange(9.0).reshape(1, 1, 3, 3).repeat(1, 5, 1, 1)
    centres = shift_groups(x)[0, :, 1, 1]
    assert centres.tolist() == [1, 7, 3, 5, 4]


def test_windows_and_back() -> None:
    x = torch.randn(2, 3, 8, 12)
    windows = to_windows(x, 4)
    assert windows.shape == (12, 3, 4, 4)
    assert torch.equal(windows[1], x[0, :, :4, 4:8])
    assert torch.equal(from_windows(windows, x.shape), x)


def test_a_window_sees_itself_only() -> None:
    layer, x = WindowAttention(4, side=4, shift=2), torch.randn(1, 4, 10, 10)
    changed = x.clone()
    changed[..., 3, 3] += 1
    moved = (layer(x) != layer(changed)).any(1)[0]
    assert moved[2:6, 2:6].all()
    moved[2:6, 2:6] = False
    assert not moved.any()


@pytest.mark.parametrize("axis", [2, 3])
def test_axial_attention_sees_its_line_only(axis: int) -> None:
    layer, x = AxialAttention(4, axis=axis), torch.randn(1, 4, 6, 5)
    changed = x.clone()
    changed[..., 3, 2] += 1
    moved = (layer(x) != layer(changed)).any(1)[0]
    expected = torch.zeros(6, 5, dtype=torch.bool)
    expected[(slice(None), 2) if axis == 2 else (3, slice(None))] = True
    assert torch.equal(moved, expected)


@pytest.mark.parametrize("size", [(16, 16), (13, 18), (5, 7)])
@pytest.mark.parametrize("side", [1, 3, 5])
def test_region_maxima_are_adaptive_max_pooling(size: tuple[int, int], side: int) -> None:
    x = torch.randn(2, 3, *size)
    assert torch.equal(region_maxima(x, side), F.adaptive_max_pool2d(x, side))


@pytest.mark.parametrize("size", [(16, 16), (13, 18), (5, 7)])
@pytest.mark.parametrize("side", [1, 3, 6])
def test_products_with_shares_are_adaptive_average_pooling(size: tuple[int, int], side: int) -> None:
    x, (down, across) = (
        torch.randn(2, 3, *size),
        (_shares(length, side, torch.device("cpu")) for length in size),
    )
    torch.testing.assert_close(down @ x @ across.T, F.adaptive_avg_pool2d(x, side))


def test_agcb_attends_region_by_region() -> None:
    """As in AGPCNet: equal regions, the last row and column larger, and each attends to itself."""
    block, x = AGCB(8, 3, 2).eval(), torch.randn(2, 8, 13, 11)
    with torch.no_grad():
        block.gamma.fill_(0.5)
        block.local.gamma.fill_(0.7)
        block.guide.gamma.fill_(0.3)
        guide = torch.sigmoid(block.guide(F.adaptive_max_pool2d(x, 3)))
        context = torch.empty_like(x)
        for row, rows in enumerate((slice(0, 4), slice(4, 8), slice(8, 13))):
            for column, columns in enumerate((slice(0, 3), slice(3, 6), slice(6, 11))):
                weight = guide[..., row : row + 1, column : column + 1]
                context[..., rows, columns] = block.local(x[..., rows, columns]) * weight
        expected = F.relu(0.5 * block.merge(context) + x)
        torch.testing.assert_close(block(x), expected)


def test_a_projection_before_the_resize_equals_one_after_it() -> None:
    fusion = SBAM(8, 16, 8).eval()
    low, high = torch.randn(1, 8, 12, 10), torch.randn(1, 16, 6, 5)
    project = fusion.project_high
    assert isinstance(project, ConvNormAct)
    with torch.no_grad():
        large = F.interpolate(high, size=(12, 10), mode="bilinear")
        expected = fusion.fuse(low, F.relu(project(large)))
        torch.testing.assert_close(fusion(low, high), expected, rtol=1e-4, atol=1e-5)


def test_a_feature_pyramid_adds_from_the_coarsest_up() -> None:
    pyramid = FeaturePyramid([2, 3], 4)
    fine, coarse = torch.randn(1, 2, 7, 9), torch.randn(1, 3, 4, 5)
    lateral = pyramid.lateral[1](coarse)
    merged = pyramid.lateral[0](fine) + F.interpolate(lateral, size=(7, 9), mode="bilinear")
    first, second = pyramid([fine, coarse])
    torch.testing.assert_close(first, pyramid.smooth[0](merged))
    torch.testing.assert_close(second, pyramid.smooth[1](lateral))


def test_filters_fitted_to_targets_over_clutter_beat_random_ones() -> None:
    layer = OTC(1, 4, filters=3, kernel_size=5)
    y, x = torch.meshgrid(torch.arange(-2.0, 3), torch.arange(-2.0, 3), indexing="ij")
    blob = torch.exp(-(y.square() + x.square()))
    targets = blob * (1 + torch.rand(200, 1, 1, 1)) + 0.1 * torch.randn(200, 1, 5, 5)
    clutter = (y + x) * torch.randn(200, 1, 1, 1) + 0.1 * torch.randn(200, 1, 5, 5)
    random = layer.filters.clone()
    ratios = layer.fit(targets, clutter, ridge=1e-6)

    def ratio(filters: torch.Tensor) -> torch.Tensor:
        def energy(patches: torch.Tensor) -> torch.Tensor:
            centred = patches - patches.mean((1, 2, 3), keepdim=True)
            return torch.einsum("fckl,mckl->mf", filters, centred).square().mean(0)

        return energy(targets) / energy(clutter)

    fitted = ratio(layer.filters)
    assert fitted[0] > 10 * ratio(random).max()
    torch.testing.assert_close(fitted[0], ratios[0].float(), rtol=0.05, atol=0)
    assert list(ratios) == sorted(ratios, reverse=True)
    assert layer.fitted


def test_patches_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected clutter of shape \(M, 1, 7, 7\), got \(3, 1, 5, 5\)"):
        OTC(1, 4).fit(torch.zeros(3, 1, 7, 7), torch.zeros(3, 1, 5, 5))


def test_flat_ground_has_the_gradient_of_the_floor() -> None:
    flat = torch.full((1, 1, 5, 5), 0.5)
    assert gradient_magnitude(flat, floor=1e-6)[0, 0, 2, 2].item() == pytest.approx(1e-3)
    assert gradient_magnitude(flat)[0, 0, 2, 2].item() == pytest.approx(1e-6)
