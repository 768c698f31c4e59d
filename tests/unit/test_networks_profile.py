"""The counts of a network's cost, by hand."""

import pytest
import torch
from torch import nn

from infraspot.inference.prepared import prepare_for_inference
from infraspot.weights.cost import cost, measure


def test_a_convolution_counts_its_taps_and_a_norm_four_a_value():
    counted = cost(lambda: nn.Sequential(nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)), 16)
    assert counted.params == 8 * 9 + 16
    assert counted.macs == 16 * 16 * 8 * 9
    assert counted.flops == counted.macs + 4 * 16 * 16 * 8


def test_a_transposed_convolution_counts_taps_at_its_input_and_the_table_at_its_output():
    counted = cost(lambda: nn.ConvTranspose2d(1, 4, 2, stride=2), 16)
    assert counted.macs == 16 * 16 * 4 * 4
    assert counted.flops == 32 * 32 * 4 * 4


def test_a_functional_convolution_and_attention_are_seen():
    class Bare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(2, 1, 3, 3))

        def forward(self, x):
            y = nn.functional.conv2d(x, self.weight, padding=1).flatten(2)
            return y @ y.transpose(1, 2)

    assert cost(Bare, 8).macs == 64 * 2 * 9 + 2 * 64 * 2


def test_measuring_gives_milliseconds_and_the_bytes_of_the_largest_moment():
    measured = measure(nn.Conv2d(1, 4, 1), 32, repeats=2)
    assert measured.milliseconds > 0
    assert measured.peak_bytes >= 32 * 32 * 4 * 4


@pytest.mark.parametrize("layer", [nn.Conv2d(1, 4, 3), nn.ConvTranspose2d(1, 4, 3)])
def test_the_inference_copy_holds_no_norm_and_answers_the_same(layer):
    network = nn.Sequential(layer, nn.BatchNorm2d(4), nn.ReLU())
    network(torch.rand(4, 1, 16, 16))
    network.eval()
    prepared = prepare_for_inference(network)
    frame = torch.rand(1, 1, 16, 16)
    torch.testing.assert_close(prepared(frame), network(frame), rtol=1e-5, atol=1e-5)
    assert not any(isinstance(part, nn.BatchNorm2d) for part in prepared.modules())
    assert any(isinstance(part, nn.BatchNorm2d) for part in network.modules())
