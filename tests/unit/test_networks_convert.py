"""Weights of published programs: names, folded biases, folded inputs, and what is refused."""

import re
import struct

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from infraspot.cli.main import main
from infraspot.core.errors import DataError, InputError
from infraspot.inference.export import export_onnx
from infraspot.inference.onnx_engines import OnnxEngine
from infraspot.networks import NETWORKS
from infraspot.networks.acm import ACM
from infraspot.networks.alcnet import patch_contrast
from infraspot.networks.mshnet import MSHNet
from infraspot.networks.rpcanet import RPCANet
from infraspot.weights.convert import IMAGENET, UNSCALED, convert_state
from infraspot.weights.files import build_network, load_network, save_weights
from infraspot.weights.key_maps import KEY_MAPS, Table
from infraspot.weights.mxnet_params import is_mxnet_params, read_mxnet_params


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


@pytest.mark.parametrize(("channels", "scaling"), [(1, IMAGENET), (3, IMAGENET), (3, UNSCALED)])
def test_three_scaled_channels_become_one_grey_channel(channels, scaling):
    state = _published_acm(channels)
    ours = ACM(depth=3, reduced=True).eval()
    ours.load_state_dict(convert_state(state, "acm-port", ours, scaling))
    grey = torch.rand(1, 1, 32, 32)
    slope, offset = (torch.ones(1), torch.zeros(1)) if channels == 1 else scaling.slopes()
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


class _PublishedStage(nn.Module):
    """A stage of RPCANet with the names of its program, whose convolutions have biases before their norms."""

    def __init__(self):
        super().__init__()
        self.lowrank, self.sparse, self.merge = nn.Module(), nn.Module(), nn.Module()
        self.lowrank.convs = self._normed()
        self.sparse.convs = self._layers(nn.Identity)
        self.sparse.epsilon = nn.Parameter(torch.tensor([0.3]))
        self.merge.mapping = self._normed()

    def _normed(self) -> nn.Sequential:
        layers = self._layers(lambda: nn.BatchNorm2d(4))
        for layer in layers:
            if isinstance(layer, nn.BatchNorm2d):
                nn.init.uniform_(layer.running_var, 0.5, 1.5)
                nn.init.normal_(layer.running_mean)
        return layers

    def _layers(self, norm) -> nn.Sequential:
        convolutions = [nn.Conv2d(1 if k == 0 else 4, 4, 3, padding=1) for k in range(4)]
        layers = [part for layer in convolutions for part in (layer, norm(), nn.ReLU())]
        kept = [part for part in layers if not isinstance(part, nn.Identity)]
        return nn.Sequential(*kept, nn.Conv2d(4, 1, 3, padding=1))

    def forward(self, image, targets):
        rest = image - targets
        background = rest + self.lowrank.convs(rest)
        rest = targets + image - background
        targets = rest - self.sparse.epsilon * self.sparse.convs(rest)
        return self.merge.mapping(background + targets), targets


def test_weights_of_the_unfolding_program_give_its_answers():
    torch.manual_seed(0)
    published = nn.Module()
    published.decos = nn.ModuleList(_PublishedStage() for _ in range(2))
    published.eval()
    ours = RPCANet(2, 4, background_layers=3, target_layers=3, merge_layers=3).eval()
    ours.load_state_dict(convert_state(published.state_dict(), "rpcanet", ours))
    frame = torch.rand(1, 1, 16, 16)
    image, targets = frame, torch.zeros_like(frame)
    with torch.no_grad():
        for stage in published.decos:
            image, targets = stage(image, targets)
        torch.testing.assert_close(ours(frame).logits, targets, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", KEY_MAPS)
def test_a_network_that_scales_its_image_answers_as_on_the_scaled_image(name, tmp_path):
    spec = {"name": name, "options": dict(KEY_MAPS[name].options)}
    torch.manual_seed(0)
    plain = build_network(spec).eval()
    card = {"network": spec | {"input": {"mean": 0.3, "std": 0.2}}}
    save_weights(tmp_path / "w.safetensors", plain.state_dict(), card)
    scaling, _ = load_network(tmp_path / "w.safetensors")
    frame = torch.rand(1, 1, 33, 47)
    with torch.no_grad():
        torch.testing.assert_close(
            scaling(frame).logits, plain((frame - 0.3) / 0.2).logits, rtol=0, atol=1e-6
        )


@pytest.mark.parametrize("name", KEY_MAPS)
def test_every_key_map_converts_its_file_with_and_without_a_scaling(name, tmp_path, monkeypatch):
    """The file is ours under our own names, which are told to be the program's."""
    key_map = KEY_MAPS[name]
    monkeypatch.setitem(KEY_MAPS, name, key_map._replace(tables=(), dropped=()))
    monkeypatch.setattr("infraspot.weights.convert._ARRANGE", {})
    torch.manual_seed(0)
    network = build_network({"name": name, "options": dict(key_map.options)}).eval()
    torch.save(network.state_dict(), tmp_path / "theirs.pth")
    frame = torch.rand(1, 1, 32, 48)
    for given, image in (([], frame), (["--input-mean", "0.4", "--input-std", "0.2"], (frame - 0.4) / 0.2)):
        out = tmp_path / "ours.safetensors"
        arguments = [str(tmp_path / "theirs.pth"), "--network", name, "--out", str(out)]
        assert main(["convert-weights", *arguments, *given]) == 0
        converted, card = load_network(out)
        assert card["network"]["options"] == dict(key_map.options)
        with torch.no_grad():
            expected, got = network(image).logits, converted(frame).logits
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-6)


def test_mtunet_is_built_as_its_program_builds_it():
    """Patches of pixels that lie far apart; the dense form was 1.65e-2 off."""
    assert (
        build_network({"name": "mtunet", "options": dict(KEY_MAPS["mtunet"].options)}).transformers[0].sparse
    )


def test_the_scaling_of_the_image_is_exported_too(tmp_path, rng):
    torch.manual_seed(0)
    spec = {"name": "compact", "options": {"widths": [4, 4, 4, 4]}}
    plain, scaling = (build_network(spec | more) for more in ({}, {"input": {"mean": 0.3, "std": 0.2}}))
    scaling.load_state_dict(plain.state_dict())
    export_onnx(scaling, {"network": spec | {"input": {"mean": 0.3, "std": 0.2}}}, tmp_path / "m.onnx")
    image = rng.random((32, 48), np.float32)
    with torch.no_grad():
        expected = plain.eval()((torch.from_numpy(image)[None, None] - 0.3) / 0.2).logits.sigmoid()[0, 0]
    np.testing.assert_allclose(OnnxEngine(tmp_path / "m.onnx").score(image), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "theirs", "ours"),
    [
        ("mlclnet", "stage.layer1.3.weight", "encoder.stem.1.0.weight"),
        ("mlclnet", "stage.resnet2_1.layer1.4.weight", "encoder.levels.1.0.body.2.0.weight"),
        ("mlclnet", "mlcl3.layer2.2.bias", "contrast.2.branches.1.layers.2.bias"),
        ("mlclnet", "conv2.0.weight", "lateral.1.weight"),
        ("alclnet", "sbam4.hl_layer.2.weight", "fusion.3.project_high.1.weight"),
        ("alclnet", "lcl5.layer1.2.weight", "contrast.4.layers.2.weight"),
        ("gglnet", "stage.resnet4_3.SEAttention.fc.2.weight", "levels.3.2.body.1.layers.2.weight"),
        ("gglnet", "stage.Res1.layer2.4.weight", "guides.0.join.2.0.weight"),
        ("gglnet", "sbam1.ll_layer.conv.bias", "fusion.0.spatial.conv.bias"),
        ("msdanet", "stage.resnet2_3.branch0.0.conv.weight", "blocks.1.1.body.0.branches.0.0.weight"),
        ("msdanet", "stage.resnet2_3.branch3.1.bn.weight", "blocks.1.1.body.0.branches.3.1.1.weight"),
        ("msdanet", "stage.layer3_4.2.weight", "summaries.2.1.weight"),
        ("isnet", "TTOA_low.dcn_row.conv_offset_mask.weight", "fusion2.row.move.weight"),
        ("isnet", "myb2.gate._gate_conv.3.weight", "taylor.1.gate.weights.3.weight"),
        ("isnet", "uplayer1.3.body.4.running_var", "up1.3.body.2.1.running_var"),
    ],
)
def test_a_name_of_a_program_finds_its_place(name, theirs, ours):
    for table in KEY_MAPS[name].tables:
        theirs = _first_replacement(table, theirs)
    assert theirs == ours
    assert ours in NETWORKS[name]().state_dict()


def _first_replacement(table: Table, key: str) -> str:
    replaced = (re.sub(pattern, ours, key, count=1) for pattern, ours in table)
    return next((new for new in replaced if new != key), key)


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
