"""What holds for every network of :data:`infraspot.networks.NETWORKS` and for every reading of the survey."""

import copy
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor

from infraspot.inference.engines import TorchEngine
from infraspot.inference.prepared import prepare_for_inference
from infraspot.networks import NETWORKS, SegmentationNetwork, SegOutput
from infraspot.networks.readings import survey_readings
from infraspot.networks.sheet import Sheet
from infraspot.weights.cost import cost

ODD = (33, 47)
READINGS = survey_readings()


@pytest.fixture(scope="module", params=[*sorted(NETWORKS), *READINGS])
def name(request):
    return request.param


def _build(name: str) -> SegmentationNetwork:
    return READINGS[name].build() if name in READINGS else NETWORKS[name]()


@pytest.fixture(scope="module")
def network(name) -> SegmentationNetwork:
    torch.manual_seed(0)
    built = _build(name)
    _wake(built)
    _settle(built)
    return built.eval()


def _wake(network: SegmentationNetwork) -> None:
    """Give parameters that start at zero (learnt gates) a value, so that what they hold back can be seen."""
    for parameter in network.parameters():
        if not parameter.detach().any():
            torch.nn.init.normal_(parameter, std=0.1)


def _settle(network: SegmentationNetwork) -> None:
    """Give the batch norms statistics of real activations, so that an untrained network stays in range."""
    with torch.no_grad():
        for _ in range(3):
            network.train()(_frames(2, 64, 64, seed=9))


def _frames(count: int, height: int, width: int, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 1, height, width, generator=generator)


def _maps(output: SegOutput) -> list[Tensor]:
    return [map_ for map_ in (output.logits, *output.aux, output.edge, output.background) if map_ is not None]


def test_answers_have_the_size_of_a_frame_of_any_size(network):
    with torch.no_grad():
        output = network(_frames(1, *ODD))
    assert isinstance(output, SegOutput)
    assert output.logits.shape == (1, 1, *ODD)
    for map_ in (output.edge, output.background):
        assert map_ is None or map_.shape == (1, 1, *ODD)
    for map_ in output.aux:
        assert map_.shape[:2] == (1, 1)
        assert map_.shape[2] <= ODD[0]
        assert map_.shape[3] <= ODD[1]


def test_answers_are_logits_and_not_probabilities(network):
    steep = copy.deepcopy(network)
    with torch.no_grad():
        for layer in steep.modules():
            if isinstance(layer, torch.nn.Conv2d) and layer.out_channels == 1:
                layer.weight.mul_(1e3)
        logits = steep(_frames(1, *ODD)).logits
    assert logits.min() < 0 or logits.max() > 1


def test_every_parameter_gets_a_gradient(name):
    without = None
    for seed in range(4):  # a ReLU may be closed by chance: another start
        missing = _without_gradient(name, seed)
        without = missing if without is None else without & missing
        if not without:
            return
    assert not without


def _without_gradient(name: str, seed: int) -> set[str]:
    torch.manual_seed(seed)
    network = _build(name).train()
    _wake(network)
    output = network(_frames(2, network.training_side, network.training_side, seed))
    torch.stack([(map_ - 0.3).square().mean() for map_ in _maps(output)]).sum().backward()
    return {key for key, p in network.named_parameters() if p.grad is None or not p.grad.any()}


def test_a_frame_does_not_change_the_answer_for_its_neighbour(network):
    frames = _frames(2, *ODD)
    with torch.no_grad():
        together = network(frames).logits
        alone = network(frames[:1]).logits
    torch.testing.assert_close(together[:1], alone, rtol=1e-4, atol=1e-4)


def test_the_same_frame_gives_the_same_answer(network):
    frames = _frames(1, *ODD)
    with torch.no_grad():
        assert torch.equal(network(frames).logits, network(frames).logits)


def test_a_state_dict_carries_the_whole_network(name, network):
    other = _build(name).eval()
    other.load_state_dict(network.state_dict(), strict=True)
    frames = _frames(1, *ODD)
    with torch.no_grad():
        torch.testing.assert_close(other(frames).logits, network(frames).logits)


def test_bfloat16_stays_finite(network):
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        output = network(_frames(1, *ODD))
    assert all(map_.isfinite().all() for map_ in _maps(output))


def test_channels_last_gives_the_same_answer(network):
    frames = _frames(1, *ODD)
    last = copy.deepcopy(network).to(memory_format=torch.channels_last)
    with torch.no_grad():
        expected = network(frames).logits
        got = last(frames.to(memory_format=torch.channels_last)).logits
    scale = expected.abs().max().clamp(min=1)
    assert ((got - expected).abs().max() / scale) < 1e-4


def test_folded_norms_and_channels_last_give_the_same_answer(network):
    frames = _frames(1, *ODD)
    prepared = prepare_for_inference(network)
    with torch.no_grad():
        expected = network(frames).logits
        got = prepared(frames).logits
    assert ((got - expected).abs().max() / expected.abs().max().clamp(min=1)) < 1e-4


def test_cost_agrees_with_the_published_figures_or_the_sheet_says_why(name):
    sheet, counted = _sheet(name), cost(partial(_build, name))
    assert counted.params == sum(p.numel() for p in _build(name).parameters())
    assert counted.flops >= counted.macs > 0
    pairs = ((sheet.paper_params, counted.params), (sheet.paper_flops, counted.flops))
    differs = [ours for paper, ours in pairs if paper is not None and abs(ours / paper - 1) > 0.02]
    assert not differs or sheet.note


def _sheet(name: str) -> Sheet:
    return READINGS[name].sheet if name in READINGS else NETWORKS[name].sheet


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(NETWORKS), indirect=True)
def test_torch_compile_captures_one_whole_graph_with_the_same_answer(network):
    torch.compiler.reset()
    captured = torch.compile(network, backend="eager", fullgraph=True, dynamic=False)
    frames = _frames(1, *ODD)
    with torch.no_grad():
        expected, got = network(frames).logits, captured(frames).logits
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_export_to_onnx_gives_the_same_answer_at_every_size(network, tmp_path):
    pytest.importorskip("onnxruntime")
    from infraspot.inference.export import export_onnx

    spread = _Spread(network)
    scores = TorchEngine(spread, {}, "torch").score(np.random.default_rng(0).random((97, 131), np.float32))
    assert scores.std() > 0.02, "scores that hardly differ would hide a wrong graph"
    assert export_onnx(spread, {"network": {"name": "law"}}, tmp_path / "network.onnx") < 1e-4


class _Spread(SegmentationNetwork):
    """A network whose norms hold the statistics of noise, its logits brought to a median of 0 and a median
    deviation of 1/8: so the scores of an untrained network tell places apart, whatever a few outliers do."""

    def __init__(self, network: SegmentationNetwork):
        super().__init__()
        self.stride, self.network = network.stride, copy.deepcopy(network)
        for module in self.network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = None  # the mean over what it sees from here on
                module.reset_running_stats()
        torch.manual_seed(0)  # dropout
        contrasts = torch.linspace(0.5, 1, 8).reshape(-1, 1, 1, 1)  # equal means would have no variance
        with torch.no_grad():
            self.network.train()(contrasts * _frames(8, 64, 64, seed=9))
            logits = self.network.eval()(_frames(1, 97, 131)).logits
        self.middle = logits.median().item()
        self.scale = 0.125 / (logits - self.middle).abs().median().item()

    def segment(self, image: Tensor) -> SegOutput:
        return SegOutput((self.network.segment(image).logits - self.middle) * self.scale)
