"""Strided 1x1 convolutions: the same result as torch's, and a gradient that does not break the process."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from infraspot.blocks.conv import ConvNormAct, StridedPointwise
from infraspot.networks import NETWORKS
from infraspot.weights.pruning import choose, find_groups, shrink

# Torch's own kernel corrupts the heap here: few channels, channels last, odd batch, even side, two threads.
TRAIN = """
import torch
from infraspot.blocks.residual import ResidualBlock
torch.set_num_threads(max(2, torch.get_num_threads()))
for channels in (1, 4, 8, 15):
    block = ResidualBlock(channels, 16, stride=2).to(memory_format=torch.channels_last)
    for batch in (3, 7):
        for _ in range(20):
            x = torch.rand(batch, channels, 32, 32).to(memory_format=torch.channels_last).requires_grad_()
            block(x).square().mean().backward()
print("trained")
"""


def test_training_through_a_narrow_strided_skip_does_not_break_the_process():
    done = subprocess.run([sys.executable, "-c", TRAIN], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "trained\n"), done.stderr[-500:]


@pytest.mark.parametrize(("stride", "size"), [(2, (32, 32)), (2, (31, 18)), (3, (32, 17)), (4, (5, 3))])
def test_a_strided_1x1_convolution_gives_what_torch_gives(stride, size):
    torch.manual_seed(0)
    ours, theirs = StridedPointwise(5, 7, stride), nn.Conv2d(5, 7, 1, stride)
    theirs.load_state_dict(ours.state_dict())
    frames = torch.randn(3, 5, *size)
    torch.testing.assert_close(ours(frames), theirs(frames), rtol=0, atol=1e-6)


def test_parameters_keep_their_names():
    assert next(iter(ConvNormAct(4, 8, 1, stride=2, act=False).state_dict())) == "0.weight"


@pytest.mark.parametrize("name", NETWORKS)
def test_no_network_has_a_strided_1x1_convolution_of_torch(name):
    with torch.device("meta"):
        network = NETWORKS[name]()
    assert not [key for key, layer in network.named_modules() if _is_torchs_strided_pointwise(layer)]


def test_what_pruning_leaves_has_none_either():
    torch.manual_seed(0)
    network = NETWORKS["compact"]()
    plan = choose(network, find_groups(network, torch.zeros(1, 1, 64, 64)), keep=0.3)
    small = shrink(network, plan)
    strided = [layer for layer in small.modules() if isinstance(layer, nn.Conv2d) and layer.stride == (2, 2)]
    assert any(isinstance(layer, StridedPointwise) for layer in strided)
    assert not any(_is_torchs_strided_pointwise(layer) for layer in strided)


def _is_torchs_strided_pointwise(layer: nn.Module) -> bool:
    is_convolution = isinstance(layer, nn.Conv2d) and not isinstance(layer, StridedPointwise)
    return is_convolution and layer.kernel_size == (1, 1) and layer.stride != (1, 1)
