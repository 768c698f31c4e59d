"""What holds for every network of :data:`infraspot.networks.SEQUENCE_NETWORKS`."""

import numpy as np
import pytest
import torch

from infraspot.inference.engines import TorchEngine
from infraspot.inference.prepared import prepare_for_inference
from infraspot.networks import SEQUENCE_NETWORKS, SegOutput
from infraspot.weights.building import build_network, sketch
from infraspot.weights.files import load_network, save_weights

ODD = (33, 47)
SMALL = {"compact-clip": {"frames": 4}, "deeppro": {"frames": 6}, "dtum": {"frames": 3}, "rfr": {"frames": 3}}


@pytest.fixture(scope="module", params=sorted(SEQUENCE_NETWORKS))
def name(request):
    return request.param


def built(name, seed=0):
    torch.manual_seed(seed)
    network = build_network({"name": name, "options": SMALL[name]})
    for parameter in network.parameters():
        if not parameter.detach().any():
            torch.nn.init.normal_(parameter, std=0.1)
    return network


@pytest.fixture(scope="module")
def network(name):
    made = built(name)
    with torch.no_grad():
        for _ in range(2):
            made.train()(clips(made, 2, (64, 64), seed=9))
    return made.eval()


def clips(network, count, size, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, network.frames, *size, generator=generator)


@torch.no_grad()
def test_one_map_answers_a_clip_of_any_size(network):
    output = network(clips(network, 1, ODD))
    assert isinstance(output, SegOutput)
    assert output.logits.shape == (1, 1, *ODD)


def test_every_parameter_gets_a_gradient(name):
    without = None
    for seed in range(4):
        network = built(name, seed).train()
        side = network.training_side
        output = network(clips(network, 2, (side, side), seed))
        maps = (output.logits, *output.aux)
        torch.stack([(map_ - 0.3).square().mean() for map_ in maps]).sum().backward()
        missing = {key for key, p in network.named_parameters() if p.grad is None or not p.grad.any()}
        without = missing if without is None else without & missing
        if not without:
            return
    assert not without


@torch.no_grad()
def test_the_past_changes_the_answer(network):
    clip = clips(network, 1, (48, 48))
    other = clip.clone()
    other[:, -2] = 1 - other[:, -2]
    assert not torch.allclose(network(clip).logits, network(other).logits, rtol=0, atol=1e-6)


@torch.no_grad()
def test_a_clip_does_not_change_the_answer_for_its_neighbour(network):
    both = clips(network, 2, ODD)
    torch.testing.assert_close(network(both).logits[:1], network(both[:1]).logits, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_folded_norms_and_channels_last_give_the_same_answer(network):
    clip = clips(network, 1, ODD)
    expected, got = network(clip).logits, prepare_for_inference(network)(clip).logits
    assert (got - expected).abs().max() / expected.abs().max().clamp(min=1) < 1e-4


def test_a_weight_file_carries_the_whole_network(name, network, tmp_path):
    spec = {"name": name, "options": SMALL[name]}
    save_weights(tmp_path / "w.safetensors", network.state_dict(), {"network": spec})
    loaded, _ = load_network(tmp_path / "w.safetensors")
    clip = clips(network, 1, ODD)
    with torch.no_grad():
        torch.testing.assert_close(loaded(clip).logits, network(clip).logits)
    assert sketch(spec, build_network).frames == network.frames


def test_an_engine_takes_a_stack_and_a_frame_without_a_past(network):
    from infraspot.inference.frames import segment_frame

    engine = TorchEngine(network, {}, "law")
    stack = clips(network, 1, ODD)[0].numpy()
    assert engine.score(stack).shape == ODD
    repeated = np.repeat(stack[-1:], network.frames, axis=0)
    np.testing.assert_allclose(segment_frame(engine, stack[-1]), engine.score(repeated), atol=1e-6)


@pytest.mark.slow
def test_export_to_onnx_gives_the_same_answer_at_every_size(name, network, tmp_path):
    from infraspot.inference.export import export_onnx

    card = {"network": {"name": name, "options": SMALL[name]}}
    assert export_onnx(network, card, tmp_path / "network.onnx") < 1e-4


def test_rfr_frame_by_frame_equals_its_clip():
    network = built("rfr").eval()
    clip = clips(network, 1, (48, 64))
    state = None
    with torch.no_grad():
        for number in range(network.frames):
            output, state = network.step(clip[:, number : number + 1], state)
        torch.testing.assert_close(output.logits, network(clip).logits)


def test_rfr_begins_as_the_network_that_it_stands_around():
    torch.manual_seed(0)
    network = build_network({"name": "rfr", "options": {"frames": 3}}).eval()
    clip = clips(network, 1, (48, 64))
    with torch.no_grad():
        torch.testing.assert_close(network(clip).logits, network.network(clip[:, -1:]).logits)


def test_dtum_learns_at_all_levels_unless_they_are_cut_off():
    def deep(detached):
        torch.manual_seed(0)
        network = build_network({"name": "dtum", "options": {"frames": 3, "detached": detached}}).train()
        network(clips(network, 2, (64, 64))).logits.square().mean().backward()
        return network.first[0].weight.grad.clone()

    assert not torch.equal(deep(False), deep(True))


def test_compact_clip_on_one_frame_repeated_sees_no_change():
    network = built("compact-clip").eval()
    frame = torch.rand(1, 1, 64, 64)
    channels = network.contrast(frame.repeat(1, network.frames, 1, 1))
    assert channels.shape[1] == network.frames + 2
    torch.testing.assert_close(channels[:, 2:], torch.zeros_like(channels[:, 2:]), atol=1e-5, rtol=0)


def stateful_file(tmp_path):
    from infraspot.inference.stateful_export import export_stateful

    network = built("rfr").eval()
    card = {"network": {"name": "rfr", "options": SMALL["rfr"]}}
    assert export_stateful(network, card, tmp_path / "rfr.onnx") < 1e-4
    return tmp_path / "rfr.onnx"


@pytest.mark.slow
def test_a_stateful_file_goes_along_a_sequence_and_begins_anew(tmp_path):
    from infraspot.inference import open_engine
    from infraspot.inference.sequences import FrameByFrame

    path = stateful_file(tmp_path)
    engine = open_engine(str(path), threads=1)
    assert isinstance(engine, FrameByFrame)
    frames = np.random.default_rng(2).random((4, 50, 64), np.float32)
    engine.enter("a")
    first = [engine.score(frame) for frame in frames]
    again = open_engine(str(path), threads=1)
    again.enter("a")
    for number, frame in enumerate(frames):
        if number == 2:  # another process goes on from the state
            kept = again.state()
            again = open_engine(str(path), threads=1)
            again.restore(kept)
        np.testing.assert_allclose(again.score(frame), first[number], atol=1e-6)
    engine.enter("b")
    np.testing.assert_allclose(engine.score(frames[0]), first[0], atol=1e-6)


@pytest.mark.slow
def test_the_command_writes_a_stateful_file_that_answers_as_torch_does(tmp_path, capsys):
    from infraspot.cli.main import main
    from infraspot.inference import open_engine
    from infraspot.weights.files import save_weights

    torch.manual_seed(3)
    network = built("rfr").eval()
    torch.nn.init.normal_(network.known.weight, std=0.1)  # so that the state is heard
    card = {"network": {"name": "rfr", "options": SMALL["rfr"]}, "threshold": 0.5}
    save_weights(tmp_path / "rfr.safetensors", network.state_dict(), card)
    line = ["export", str(tmp_path / "rfr.safetensors"), "--stateful", "--out", str(tmp_path / "rfr.onnx")]
    assert main([*line, "--int8", "--data", "none"]) == 2
    assert main([*line, "--threshold", "0.3"]) == 0
    assert "takes a frame and a state, and agrees with torch to" in capsys.readouterr().out
    engine = open_engine(str(tmp_path / "rfr.onnx"), threads=1)
    assert engine.card["threshold"] == 0.3
    engine.enter("a")
    state, seen = None, []
    for frame in np.random.default_rng(4).random((5, 48, 64), np.float32):
        with torch.no_grad():
            output, state = network.step(torch.from_numpy(frame)[None, None], state)
            alone, _ = network.step(torch.from_numpy(frame)[None, None])
        np.testing.assert_allclose(engine.score(frame), output.logits.sigmoid()[0, 0].numpy(), atol=1e-4)
        seen.append(float((output.logits - alone.logits).abs().max()))
    assert seen[0] == 0
    assert min(seen[1:]) > 1e-3


def test_a_network_without_a_state_is_not_exported_with_one(tmp_path, capsys):
    from infraspot.cli.main import main

    assert main(["export", "compact-sirst1", "--stateful", "--out", str(tmp_path / "a.onnx")]) == 2
    assert "carries no state from frame to frame" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
