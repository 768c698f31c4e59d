import numpy as np
import pytest
import torch
from torch import nn

from infraspot import detect
from infraspot.core.errors import InfraspotError, InputError, UsageError
from infraspot.data import Frame
from infraspot.inference import DEFAULT_MODEL, packaged_models
from infraspot.inference.engines import ClassicalEngine, TorchEngine, open_engine
from infraspot.inference.export import export_onnx
from infraspot.inference.onnx_engines import OnnxEngine
from infraspot.networks import SegmentationNetwork, SegOutput
from infraspot.weights.files import load_network, read_card, save_weights


class Tiny(SegmentationNetwork):
    """Two convolutions with a stride, so that padding matters."""

    stride = 4

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.down = nn.Conv2d(1, width, 4, stride=4)
        self.up = nn.ConvTranspose2d(width, 1, 4, stride=4)

    def segment(self, image):
        return SegOutput(self.up(torch.relu(self.down(image))))


OURS = f"{__name__}:Tiny"
CARD = {"network": {"name": OURS, "options": {"width": 6}}, "threshold": 0.4}


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Tiny(6).eval()


def test_weights_carry_all_that_is_needed_to_load_them(network, tmp_path):
    path = tmp_path / "weights.safetensors"
    save_weights(path, network.state_dict(), CARD)
    loaded, card = load_network(path, trust=OURS)
    assert card == CARD
    image = torch.rand(1, 1, 9, 14)
    torch.testing.assert_close(loaded(image).logits, network(image).logits)


def test_a_file_that_is_not_weights_is_named(tmp_path):
    path = tmp_path / "weights.safetensors"
    path.write_text("not weights")
    with pytest.raises(InputError, match=r"weights\.safetensors: expected weights written by infraspot"):
        read_card(path)
    with pytest.raises(InputError, match="there is no such weight file"):
        read_card(tmp_path / "absent.safetensors")


def test_weights_of_another_network_are_refused(network, tmp_path):
    path = tmp_path / "weights.safetensors"
    save_weights(path, network.state_dict(), {"network": {"name": OURS}})
    with pytest.raises(InputError, match="do not fit the network"):
        load_network(path, trust=OURS)


def test_the_exported_model_gives_the_same_scores_at_every_size(network, tmp_path, rng):
    path = tmp_path / "tiny.onnx"
    assert export_onnx(network, CARD, path) < 1e-4
    onnx, reference = OnnxEngine(path, threads=1, trust=OURS), TorchEngine(network, CARD, "tiny")
    assert onnx.card["threshold"] == 0.4
    for shape in [(1, 1), (4, 8), (33, 47)]:
        image = rng.random(shape, np.float32)
        np.testing.assert_allclose(onnx.score(image), reference.score(image), atol=1e-5)


def test_an_export_that_differs_is_not_kept(network, tmp_path, monkeypatch):
    monkeypatch.setattr("infraspot.inference.export_check.TOLERANCE", -1.0)
    with pytest.raises(InfraspotError, match="differs from torch"):
        export_onnx(network, CARD, tmp_path / "tiny.onnx")
    assert not list(tmp_path.iterdir())


def test_a_model_that_does_not_exist_is_named_with_those_that_do(tmp_path):
    with pytest.raises(UsageError, match="no model 'compact-sirst7'"):
        open_engine("compact-sirst7")
    with pytest.raises(UsageError, match=r"expected a run folder with best\.safetensors"):
        open_engine(str(tmp_path))
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"x" * 100)
    with pytest.raises(InputError, match=r"broken\.onnx: expected an ONNX model"):
        open_engine(str(broken))


def test_a_classical_method_scores_targets_above_one_half(rng):
    image = (0.3 + 0.01 * rng.standard_normal((64, 64))).astype(np.float32)
    image[30:32, 40:42] = 0.6
    for options in ({}, {"sigmas": 8.0}, {"fa_per_mpx": 1.0}):
        scores = ClassicalEngine("tophat", **options).score(image)
        assert scores[30, 40] > 0.5
        assert (scores > 0.5).mean() < 0.02


def test_one_call_finds_the_targets_of_an_array_of_any_type(rng):
    image = 0.3 + 0.004 * rng.standard_normal((48, 64))
    image[10:12, 20:22] = 0.8
    engine = ClassicalEngine("tophat", sigmas=5)
    for array in (image, (image * 255).astype(np.uint8), (image * 65535).astype(np.uint16)):
        first = detect(array, model=engine)[0]
        assert (round(first.x), round(first.y)) in {(20, 10), (21, 11), (20, 11), (21, 10)}
    assert detect(Frame(image.astype(np.float32), 8), model=engine)[0].scr > 50
    for wrong in (image[None], image * 255, np.zeros((0, 4)), image.astype(int)):
        with pytest.raises(InputError, match="expected"):
            detect(wrong, model=engine)


def test_the_packaged_model_is_the_same_in_both_engines_and_carries_its_calibration(rng):
    image = rng.random((50, 70), np.float32)
    onnx, network = open_engine(threads=1), open_engine(engine="torch")
    np.testing.assert_allclose(onnx.score(image), network.score(image), atol=1e-4)
    assert onnx.card["false_alarms"]["targets"] > 0
    assert DEFAULT_MODEL in packaged_models()
