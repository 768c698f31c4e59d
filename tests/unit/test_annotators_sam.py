"""Segment Anything as an annotator, on tiny models of random weights."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from infraspot.annotators import annotate
from infraspot.cli.main import main
from infraspot.core.errors import InputError, UsageError
from infraspot.inference import sam

transformers = pytest.importorskip("transformers")

PROMPT = {"hidden_size": 16, "image_size": 64, "patch_size": 16, "mask_input_channels": 4}
DECODER = {
    "hidden_size": 16, "mlp_dim": 16, "num_attention_heads": 2, "num_hidden_layers": 1,
    "iou_head_hidden_dim": 16,
}  # fmt: skip
VISION = {
    "hidden_size": 16, "output_channels": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
    "image_size": 64, "patch_size": 16, "window_size": 2, "global_attn_indexes": [0], "num_pos_feats": 8,
    "mlp_dim": 16,
}  # fmt: skip
HIERA = {
    "model_type": "sam2_hiera_det_model", "hidden_size": 8, "image_size": [64, 64],
    "blocks_per_stage": [1, 1, 1, 1], "embed_dim_per_stage": [8, 16, 32, 64],
    "num_attention_heads_per_stage": [1, 1, 2, 2], "window_size_per_stage": [4, 2, 2, 2],
    "global_attention_blocks": [], "window_positional_embedding_background_size": [2, 2],
}  # fmt: skip
PYRAMID = {
    "model_type": "sam2_vision_model", "backbone_config": HIERA, "backbone_channel_list": [64, 32, 16, 8],
    "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]], "fpn_hidden_size": 16,
}  # fmt: skip

CLICKS = np.array([[10.0, 12.0], [30.0, 50.0], [2.0, 71.0]])


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Folders of a tiny model of either kind."""
    torch.manual_seed(1)
    parts = {"prompt_encoder_config": PROMPT, "mask_decoder_config": DECODER}
    models = {
        "sam": transformers.SamModel(transformers.SamConfig(vision_config=VISION, **parts)),
        "sam2": transformers.Sam2Model(transformers.Sam2Config(vision_config=PYRAMID, **parts)),
    }
    folders = {}
    for kind, model in models.items():
        folders[kind] = str(tmp_path_factory.mktemp(kind))
        model.save_pretrained(folders[kind])
    return folders


def frame() -> np.ndarray:
    return np.random.default_rng(0).random((40, 72)).astype(np.float32)


@pytest.mark.parametrize("kind", ["sam", "sam2"])
def test_every_click_gets_a_record_and_the_mask_the_frames_shape(kind: str, weights: dict[str, str]) -> None:
    found = annotate(frame(), CLICKS, kind, weights=weights[kind])
    assert found.mask.shape == found.soft.shape == (40, 72)
    assert (found.mask == (found.soft >= 0.5)).all()
    assert len(found.clicks) == 3
    for click in found.clicks:
        assert (click.area == 0) or found.mask[int(click.y), int(click.x)]
    assert found.provenance["options"]["weights"] == weights[kind]
    again = annotate(frame(), CLICKS, kind, weights=weights[kind])
    assert (again.mask == found.mask).all()


@pytest.mark.parametrize("kind", ["sam", "sam2"])
def test_clicks_are_decoded_each_on_its_own(kind: str, weights: dict[str, str], monkeypatch) -> None:
    monkeypatch.setattr(sam, "_CLICKS_AT_ONCE", 2)
    together = sam.annotate_sam if kind == "sam" else sam.annotate_sam2
    regions = together(frame(), CLICKS, weights=weights[kind])
    for click, region in zip(CLICKS, regions, strict=True):
        alone = together(frame(), click[None], weights=weights[kind])[0]
        assert np.allclose(alone.soft, region.soft, atol=1e-5)


def test_frames_are_enlarged_standardised_and_padded() -> None:
    """By hand: a 2x4 frame on a square of 8 is enlarged to 4x8 and padded below."""
    image = np.array([[0.2, 0.2, 0.2, 0.2], [0.7, 0.7, 0.7, 0.7]], np.float32)
    size = sam._fit_longer_side((2, 4), 8)
    pixels = sam._prepare(image, size, 8)
    assert size == (4, 8)
    assert pixels.shape == (1, 3, 8, 8)
    assert pixels[0, 0, 0, 0] == pytest.approx((0 - 0.485) / 0.229, abs=1e-5)
    assert pixels[0, 2, 3, 7] == pytest.approx((1 - 0.406) / 0.225, abs=1e-5)
    assert (pixels[:, :, 4:] == 0).all()
    assert sam._scaled(np.array([[1.0, 3.0]]), (2, 4), size).tolist() == [[6.5, 2.5]]


def test_padding_is_cut_off_before_the_mask_returns_to_the_frame() -> None:
    low = torch.full((16, 16), -1.0)
    low[:8] = 1.0
    assert (sam._at_native_size(low, 64, (30, 64), (15, 32)) > 0).all()


def test_component_under_the_click_is_kept_and_the_others_are_not() -> None:
    logits = np.full((20, 20), -3.0, np.float32)
    logits[3:6, 3:6] = logits[12:16, 10:14] = 2.0
    region = sam._region(logits, (4, 4))
    assert (region.soft >= 0.5).sum() == 9
    assert (region.top, region.left) == (1, 1)
    assert not (sam._region(logits, (9, 9)).soft >= 0.5).any()


@pytest.mark.parametrize("kind", ["sam", "sam2"])
def test_what_is_missing_is_said_in_a_sentence(
    kind: str, weights: dict[str, str], tmp_path: Path, monkeypatch
) -> None:
    other = {"sam": "sam2", "sam2": "sam"}[kind]
    with pytest.raises(UsageError, match=f"{kind} needs weights"):
        annotate(frame(), CLICKS, kind)
    with pytest.raises(InputError, match="not a folder with a config"):
        annotate(frame(), CLICKS, kind, weights=str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match=f"of kind '{other}'"):
        annotate(frame(), CLICKS, kind, weights=weights[other])
    (tmp_path / "config.json").write_text((Path(weights[kind]) / "config.json").read_text())
    with pytest.raises(InputError, match="cannot read the weights"):
        annotate(frame(), CLICKS, kind, weights=str(tmp_path))
    whole = load_file(Path(weights[kind]) / "model.safetensors")
    left_out = next(name for name in whole if "iou_token" in name)
    del whole[left_out]
    save_file(whole, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match=left_out):
        annotate(frame(), CLICKS, kind, weights=str(tmp_path))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InputError, match="cannot read the weights"):
        annotate(frame(), CLICKS, kind, weights=str(tmp_path))
    sam.load_model.cache_clear()
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UsageError, match=r"pip install 'infraspot\[sam\]'"):
        annotate(frame(), CLICKS, kind, weights=weights[kind])


def test_pseudo_labels_with_weights_and_refuses_without(
    weights: dict[str, str], tmp_path: Path, capsys
) -> None:
    from PIL import Image

    (tmp_path / "set").mkdir()
    Image.fromarray((frame() * 255).astype(np.uint8)).save(tmp_path / "set" / "f0.png")
    (tmp_path / "points.json").write_text('{"f0": [[12, 10], [50, 30]]}')
    base = ["pseudo", str(tmp_path / "set"), "--points", str(tmp_path / "points.json")]
    base += ["--out", str(tmp_path / "out")]
    assert main([*base, "--method", "sam", "--weights", weights["sam"]]) == 0
    assert (tmp_path / "out" / "f0.png").is_file()
    capsys.readouterr()
    assert main([*base, "--method", "sam"]) == 2
    assert "sam needs --weights" in capsys.readouterr().err
    assert main([*base, "--weights", weights["sam"]]) == 2
    assert main([*base, "--method", "sam,sam2", "--weights", weights["sam"]]) == 2
    assert main([*base, "--method", "sam", "--weights", str(tmp_path)]) == 1
