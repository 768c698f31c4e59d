"""Folders and cards of foundation models that are damaged, hostile or of another kind."""

import json
import shutil
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent / "unit"
sys.path.insert(0, str(TESTS))

transformers = pytest.importorskip("transformers")

import torch  # noqa: E402
from test_annotators_sam import DECODER, PROMPT, VISION  # noqa: E402

from infraspot.cli.main import main  # noqa: E402
from infraspot.core.errors import InputError  # noqa: E402
from infraspot.weights.files import load_network, save_weights  # noqa: E402
from infraspot.weights.foundation import tuned_from_folder  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    config = transformers.SamConfig(
        vision_config=VISION, prompt_encoder_config=PROMPT, mask_decoder_config=DECODER
    )
    folder = tmp_path_factory.mktemp("sam")
    transformers.SamModel(config).save_pretrained(folder)
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "folder"))


def _convert(folder: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> str:
    status = main(["convert-weights", str(folder), "--network", "sam", "--out", str(out)])
    said = capsys.readouterr().err
    assert status in (1, 2), said
    assert "error: " in said
    assert "Traceback" not in said
    assert not out.exists()
    return said


@pytest.mark.parametrize(
    "change",
    [
        {"vision_config": {**VISION, "num_hidden_layers": 10**9}},
        {"vision_config": {**VISION, "hidden_size": 10**9}},
        {"vision_config": {**VISION, "hidden_size": -8}},
        {"vision_config": {**VISION, "hidden_size": 24}},
        {"vision_config": "nothing"},
        {"model_type": "sam2"},
        {"model_type": ["sam"]},
        {"auto_map": {"AutoModel": "evil--code.Model"}, "model_type": "unheard-of"},
    ],
    ids=["layers", "width", "negative", "other-width", "word", "other-kind", "list", "code"],
)
def test_a_config_that_does_not_fit_is_a_sentence(
    change: dict, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = json.loads((folder / "config.json").read_text()) | change
    (folder / "config.json").write_text(json.dumps(config))
    _convert(folder, tmp_path / "out.safetensors", capsys)


@pytest.mark.parametrize("damage", ["cut", "absent", "not-json", "deep-json", "half"])
def test_a_damaged_folder_is_a_sentence(
    damage: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights, config = folder / "model.safetensors", folder / "config.json"
    if damage == "cut":
        weights.write_bytes(weights.read_bytes()[:1000])
    elif damage == "absent":
        weights.unlink()
    elif damage == "not-json":
        config.write_bytes(b"\xff\xfe{")
    elif damage == "deep-json":
        config.write_text("[" * 100_000)
    else:
        from safetensors.torch import load_file, save_file

        tensors = load_file(weights)
        save_file({name: tensors[name] for name in list(tensors)[::2]}, weights, metadata={"format": "pt"})
    _convert(folder, tmp_path / "out.safetensors", capsys)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("vision_config.hidden_act", "os.system"),
        ("vision_config.attn_implementation", "somebody/kernel"),
        ("vision_config.num_hidden_layers", 4000),
        ("vision_config.mlp_dim", 4096),
        ("vision_config.window_size", 0.5),
    ],
)
def test_a_card_with_odd_settings_is_refused_before_its_weights_are_used(
    name: str, value: object, whole: Path, tmp_path: Path
) -> None:
    network, spec = tuned_from_folder(whole, {"tile": 32})
    spec["options"]["config"] |= {name: value}
    save_weights(tmp_path / "odd.safetensors", network.state_dict(), {"network": spec, "threshold": 0.5})
    with pytest.raises(InputError):
        load_network(tmp_path / "odd.safetensors")
