"""Weights of published programs: names, folded biases, folded inputs, and what is refused."""

import struct

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from infraspot.core.errors import DataError, InputError
from infraspot.networks.acm import ACM
from infraspot.networks.alcnet import patch_contrast
from infraspot.networks.convert import InputScaling, convert_state
from infraspot.networks.mshnet import MSHNet
from infraspot.networks.mxnet_params import is_mxnet_params, read_mxnet_params


def _published_acm(channels: int) -> dict[str, torch.Tensor]:
    """The first layers of the ported ACM with the names of its program, the rest of ours under our names."""
    torch.manual_seed(0)
    ours = ACM(depth=3, reduced=True)
    state = {key: value for key, value in ours.state_dict().items() if not key.startswith("stem.")}
    stem = nn.Sequential(
        nn.BatchNorm2d(channels), nn.Conv2d(channels, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16),
    )  # fmt: skip
    for layer in stem:
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.running_var, 0.5, 1.5)
            nn.init.normal_(layer.running_mean)
    state |= {f"stem.{key}": value for key, value in stem.state_dict().items()}
    return state


def _apply(state: dict[str, torch.Tensor], frame: torch.Tensor) -> torch.Tensor:
    """The program's first norm, convolution and norm, written out."""
    x = F.batch_norm(
        frame, *(state[f"stem.0.{k}"] for k in ("running_mean", "running_var", "weight", "bias"))
    )
    x = F.conv2d(x, state["stem.1.weight"], stride=2, padding=1)
    return F.batch_norm(x, *(state[f"stem.2.{k}"] for k in ("running_mean", "running_var", "weight", "bias")))


@pytest.mark.parametrize(("channels", "scaling"), [(1, None), (1, InputScaling((0.4,), (0.2,))), (3, None)])
def test_three_scaled_channels_become_one_grey_channel(channels, scaling):
    state = _published_acm(channels)
    ours = ACM(depth=3, reduced=True).eval()
    ours.load_state_dict(convert_state(state, "acm-port", ours, scaling))
    grey = torch.rand(1, 1, 32, 32)
    slope, offset = (
        (torch.ones(channels), torch.zeros(channels))
        if channels == 1 and scaling is None
        else (scaling or InputScaling()).for_channels(channels)
    )
    scaled = grey * slope.float()[:, None, None] + offset.float()[:, None, None]
    with torch.no_grad():
        expected = F.relu(_apply(state, scaled))
        got = ours.stem[1](ours.stem[0](grey))
    torch.testing.assert_close(got[..., 1:, 1:], expected[..., 1:, 1:], rtol=1e-4, atol=1e-4)


def test_a_bias_before_a_norm_goes_into_its_running_mean():
    ours = ACM(depth=3, reduced=True)
    state = ours.state_dict() | {"fuse1.merge.0.bias": torch.full((16,), 3.0)}
    state = {key.replace("fuse1.merge.", "fuse1.post."): value for key, value in state.items()}
    state = {key: value for key, value in state.items() if not key.startswith("stem.")}
    state |= {key: value for key, value in _published_acm(1).items() if key.startswith("stem.")}
    converted = convert_state(state, "acm-port", ours)
    assert torch.equal(converted["fuse1.merge.1.running_mean"], torch.full((16,), -3.0))


def test_all_keys_that_do_not_fit_are_named_at_once():
    ours = MSHNet()
    with pytest.raises(DataError, match=r"not the weights of mshnet.*surprise.*missing keys: stem\.weight"):
        convert_state({"surprise.weight": torch.zeros(1)}, "mshnet", ours)


def test_a_network_without_a_key_map_is_refused():
    with pytest.raises(DataError, match="no key map for 'compact'"):
        convert_state({}, "compact", MSHNet())


def _mxnet_bytes(name: str, values: np.ndarray) -> bytes:
    array = struct.pack("<IiI", 0xF993FAC9, 0, values.ndim) + struct.pack(f"<{values.ndim}q", *values.shape)
    array += struct.pack("<iii", 1, 0, 0) + values.astype("<f4").tobytes()
    return struct.pack("<QQQ", 0x112, 0, 1) + array + struct.pack("<QQ", 1, len(name)) + name.encode()


def test_arrays_of_mxnet_come_back_by_name(tmp_path):
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    path = tmp_path / "weights.params"
    path.write_bytes(_mxnet_bytes("stem.1.weight", values))
    assert is_mxnet_params(path)
    read = read_mxnet_params(path)
    assert list(read) == ["stem.1.weight"]
    np.testing.assert_array_equal(read["stem.1.weight"].numpy(), values)


@pytest.mark.parametrize("kept", [9, 30, 60])
def test_a_cut_file_of_mxnet_is_refused_with_a_sentence(tmp_path, kept):
    path = tmp_path / "weights.params"
    path.write_bytes(_mxnet_bytes("stem.1.weight", np.zeros((2, 3)))[:kept])
    with pytest.raises(InputError, match="reading failed"):
        read_mxnet_params(path)


def test_patch_contrast_is_high_for_a_point_and_zero_on_an_edge():
    frame = torch.zeros(1, 1, 64, 64)
    frame[..., 32, 32] = 2.0
    edge = torch.zeros(1, 1, 64, 64)
    edge[..., 20:44] = 1.0
    assert patch_contrast(frame)[0, 0, 32, 32] == 4.0
    assert patch_contrast(edge)[0, 0, 32, 21] == 0.0
