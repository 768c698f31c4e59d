"""Segment Anything as a network that is tuned, on tiny models of random weights."""

import copy
from pathlib import Path

import pytest
import torch
from test_annotators_sam import DECODER, HIERA, PROMPT, PYRAMID, VISION, transformers
from torch import Tensor
from training_fakes import table, write_data

from infraspot.cli.main import main
from infraspot.core.errors import InputError, UsageError
from infraspot.networks.sam import TunedSAM
from infraspot.networks.settings import settings_of
from infraspot.training import build_run, fit
from infraspot.training.recipe import parse_recipe, started_recipe
from infraspot.weights.building import build_network, sketch
from infraspot.weights.files import load_network
from infraspot.weights.foundation import tuned_from_folder

TILE = 32
KIND = pytest.mark.parametrize("kind", ["sam", "sam2"])
TUNE = pytest.mark.parametrize("tune", ["decoder", "adapter", "lora", "full"])


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    torch.manual_seed(3)
    parts = {"prompt_encoder_config": PROMPT, "mask_decoder_config": DECODER}
    models = {
        "sam": transformers.SamModel(transformers.SamConfig(vision_config=VISION, **parts)),
        "sam2": transformers.Sam2Model(transformers.Sam2Config(vision_config=PYRAMID, **parts)),
    }
    found = {}
    for kind, model in models.items():
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.05 * torch.randn_like(parameter))
        found[kind] = tmp_path_factory.mktemp(kind)
        model.save_pretrained(found[kind])
    return found


def _tuned(folder: Path, **options: object) -> TunedSAM:
    return tuned_from_folder(folder, {"tile": TILE, **options})[0].eval()


def _frame(height: int = 40, width: int = 70) -> Tensor:
    return torch.rand(1, 1, height, width, generator=torch.Generator().manual_seed(1))


@KIND
@torch.no_grad()
def test_new_parts_change_no_bit_of_the_answer_before_training(kind: str, folders: dict[str, Path]) -> None:
    for tune in ("adapter", "lora"):
        network = _tuned(folders[kind], tune=tune)
        with_new = network(_frame()).logits
        assert with_new.shape == (1, 1, 40, 70)
        assert with_new.std() > 0
        wrapped = [
            (parent, name, child)
            for parent in network.modules()
            for name, child in parent.named_children()
            if hasattr(child, "inner")
        ]
        assert len(wrapped) >= 2
        for parent, name, child in wrapped:
            setattr(parent, name, child.inner)
        assert torch.equal(network(_frame()).logits, with_new), tune
    network = _tuned(folders[kind], tune="prompts", prompter=True)
    prompted = network(_frame())
    assert prompted.aux[0].shape == (1, 1, 40, 70)
    network.prompter = None
    assert torch.equal(network(_frame()).logits, prompted.logits)


@torch.no_grad()
def test_a_frozen_encoder_is_rounded_to_half_precision(folders: dict[str, Path]) -> None:
    whole, frozen = (_tuned(folders["sam"], tune=tune)(_frame()).logits for tune in ("full", "decoder"))
    assert not torch.equal(whole, frozen)
    torch.testing.assert_close(frozen, whole, rtol=0.02, atol=0.02)


@KIND
@torch.no_grad()
def test_a_tile_is_answered_as_the_model_answers_it_without_prompts(
    kind: str, folders: dict[str, Path]
) -> None:
    tile = _frame(TILE, TILE)
    family = transformers.SamModel if kind == "sam" else transformers.Sam2Model
    model = family.from_pretrained(folders[kind], attn_implementation="eager").eval()
    if kind == "sam2":
        model.mask_decoder.dynamic_multimask_via_stability = False
    large = torch.nn.functional.interpolate(tile, (64, 64), mode="bilinear")
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    pixels = (large.expand(1, 3, 64, 64) - mean.view(1, 3, 1, 1)) / deviation.view(1, 3, 1, 1)
    embeddings = model.get_image_embeddings(pixels)
    coarsest = embeddings if kind == "sam" else embeddings[-1]
    dense = model.prompt_encoder.no_mask_embed.weight.reshape(1, -1, 1, 1).expand_as(coarsest)
    given = {} if kind == "sam" else {"high_resolution_features": embeddings[:2]}
    low = model.mask_decoder(
        image_embeddings=coarsest,
        image_positional_embeddings=model.get_image_wide_positional_embeddings(),
        sparse_prompt_embeddings=None if kind == "sam" else torch.zeros(1, 1, 0, 16),
        dense_prompt_embeddings=dense,
        multimask_output=False,
        **given,
    )[0][:, 0]
    expected = torch.nn.functional.interpolate(low, (TILE, TILE), mode="bilinear")
    torch.testing.assert_close(
        _tuned(folders[kind], tune="full")(tile).logits, expected, rtol=1e-4, atol=1e-5
    )


@KIND
@TUNE
def test_only_what_is_named_is_trained(kind: str, tune: str, folders: dict[str, Path]) -> None:
    network = _tuned(folders[kind], tune=tune).train()
    before = copy.deepcopy(network.state_dict())
    optimiser = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], 0.1)
    for _ in range(2):  # what begins at zero lets nothing through in the first step
        optimiser.zero_grad()
        network(_frame()).logits.square().mean().backward()
        optimiser.step()
    after = network.state_dict()
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    new = {key for key in before if "adapter" in key or key.endswith(("down.weight", "up.weight"))}
    assert any("mask_decoder" in key for key in changed)
    encoder = {key for key in changed if "vision_encoder" in key}
    if tune == "full":
        assert encoder
    else:
        assert encoder == {key for key in encoder if key in new}
        assert bool(encoder) == (tune != "decoder")
    assert not any("prompt_encoder" in key for key in changed)


def test_a_tile_that_comes_again_is_not_encoded_again(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    network = _tuned(folders["sam"]).train()
    asked, encode = [], network._encode
    monkeypatch.setattr(network, "_encode", lambda tiles: asked.append(len(tiles)) or encode(tiles))
    frame = _frame(32, 96)
    first = network(frame).logits
    assert torch.equal(network(frame.flip(0)).logits, first)
    assert asked == [3]
    network(torch.cat([frame[..., :32], _frame(32, 32) / 2], -1))
    assert asked == [3, 1]
    assert torch.equal(network.eval()(frame).logits, first)
    assert copy.deepcopy(network)._kept.maps == {}


def test_memory_for_tiles_is_bounded(folders: dict[str, Path]) -> None:
    network = _tuned(folders["sam"], cache_gb=2000 / 2**30).train()
    for k in range(4):
        network(_frame(32, 32) * (k + 1) / 4)
    # A tile is 16 channels of 4 x 4 cells of 2 bytes.
    assert network._kept.size == 3 * 512
    assert len(network._kept.maps) == 3


@KIND
def test_a_folder_becomes_a_file_that_trains_resumes_and_detects(
    kind: str, folders: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "sam.safetensors"
    options = ["--option", "tune=adapter", "--option", "prompter=true", "--option", f"tile={TILE}"]
    assert main(["convert-weights", str(folders[kind]), "--network", "sam", "--out", str(out), *options]) == 0
    assert "are trained with" in capsys.readouterr().out
    network, card = load_network(out)
    assert card["network"]["options"]["kind"] == kind
    assert isinstance(sketch(card["network"], build_network), TunedSAM)
    recipe = table(write_data(tmp_path / "data"), scheme={"name": "full"}, train={"epochs": 1})
    recipe["network"] = {"name": "compact"}
    recipe["augment"][0]["size"] = 32
    run = build_run(started_recipe(parse_recipe(recipe, "the test"), str(out)), tmp_path / "run")
    assert fit(run)
    trained, _ = load_network(tmp_path / "run" / "last.safetensors")
    assert isinstance(trained, TunedSAM)
    assert not torch.equal(trained(_frame()).logits, network(_frame()).logits)


def test_what_cannot_be_a_tuned_sam_is_a_sentence(folders: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="made from a folder of weights"):
        TunedSAM()
    with pytest.raises(UsageError, match="there is no prompter to train"):
        _tuned(folders["sam"], tune="prompts")
    with pytest.raises(UsageError, match="tunes one of decoder, adapter"):
        _tuned(folders["sam"], tune="everything")
    with pytest.raises(UsageError, match="surprise"):
        _tuned(folders["sam"], surprise=1)
    with pytest.raises(InputError, match=r"expected a folder with config\.json"):
        tuned_from_folder(tmp_path, {})
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(InputError, match=r"kind sam or sam2, and its config\.json names 'bert'"):
        tuned_from_folder(tmp_path, {})


def test_settings_of_a_card_hold_numbers_and_activations_alone() -> None:
    config = transformers.Sam2Config(vision_config=PYRAMID)
    config._name_or_path = "somewhere/else"
    settings = settings_of(config)
    assert settings["vision_config.backbone_config.embed_dim_per_stage"] == HIERA["embed_dim_per_stage"]
    assert not any(isinstance(v, str) and not k.endswith("hidden_act") for k, v in settings.items())
    assert len(settings) <= 64
    with pytest.raises(UsageError, match="is a number or an activation"):
        build_network(
            {"name": "sam", "options": {"config": settings | {"vision_config.model": "other/code"}}}
        )
