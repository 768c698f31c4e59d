"""Words: ranking, maps and learnt prompts, on tiny models of random weights."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from training_fakes import table, write_data

from infraspot.cli.main import main
from infraspot.core.errors import InputError, UsageError
from infraspot.inference.words import AGAINST, TEMPLATES, Words, open_words
from infraspot.jobs.rank import rank_frames
from infraspot.networks.clip import PromptedCLIP
from infraspot.training import build_run, fit
from infraspot.training.recipe import parse_recipe, started_recipe
from infraspot.weights.files import load_network
from infraspot.weights.foundation import tuned_from_folder

transformers = pytest.importorskip("transformers")

LETTERS = "abcdefghijklmnopqrstuvwxyz,"
VOCABULARY = [*LETTERS, *(f"{letter}</w>" for letter in LETTERS), "<|startoftext|>", "<|endoftext|>"]
SIZES = {"hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
TEXT = {
    **SIZES, "vocab_size": len(VOCABULARY), "max_position_embeddings": 77,
    "bos_token_id": len(VOCABULARY) - 2, "eos_token_id": len(VOCABULARY) - 1,
}  # fmt: skip
VISION = {**SIZES, "image_size": 24, "patch_size": 8}


def _folder(folder: Path, model: object) -> Path:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps({word: k for k, word in enumerate(VOCABULARY)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    names = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77}
    (folder / "tokenizer_config.json").write_text(json.dumps(names))
    return folder


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    config = transformers.CLIPConfig(text_config=TEXT, vision_config=VISION, projection_dim=8)
    return _folder(tmp_path_factory.mktemp("clip"), transformers.CLIPModel(config))


@pytest.fixture(scope="module")
def clipseg(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    config = transformers.CLIPSegConfig(
        text_config=TEXT, vision_config=VISION, projection_dim=8, extract_layers=[0, 1], reduce_dim=8,
        decoder_num_attention_heads=2, decoder_intermediate_size=8,
    )  # fmt: skip
    return _folder(tmp_path_factory.mktemp("clipseg"), transformers.CLIPSegForImageSegmentation(config))


def _frame(height: int = 30, width: int = 50, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((height, width)).astype(np.float32)


def _frames(folder: Path, count: int = 3) -> Path:
    folder.mkdir()
    for k in range(count):
        frame = 0.2 * _frame(seed=k)
        frame[10:12, 20 + k : 22 + k] = 1.0
        Image.fromarray((255 * frame).astype(np.uint8)).save(folder / f"f{k}.png")
    return folder


def test_the_chances_of_wanted_and_other_words_add_up(clip: Path) -> None:
    crops = [_frame(), _frame(9, 7, 1)]
    one = open_words(clip, ["a target"], ["a cloud", "sky"])
    other = open_words(clip, ["a cloud", "sky"], ["a target"])
    assert one.texts.shape == (3, 8)
    torch.testing.assert_close(one.texts.norm(dim=1), torch.ones(3))
    assert np.allclose(one.chances(crops) + other.chances(crops), 1, atol=1e-5)
    assert one.chances([]).shape == (0,)


def test_a_chance_is_that_of_the_library_itself(clip: Path) -> None:
    words = open_words(clip, ["target"], ["cloud"])
    model, tokenizer = words.model, words.tokenizer
    crop = _frame(24, 24)
    grey = torch.from_numpy((crop - crop.min()) / (crop.max() - crop.min()))
    mean, deviation = (
        torch.tensor([0.48145466, 0.4578275, 0.40821073]),
        torch.tensor([0.26862954, 0.26130258, 0.27577711]),
    )
    pixels = (grey.expand(1, 3, 24, 24) - mean.view(1, 3, 1, 1)) / deviation.view(1, 3, 1, 1)
    logits = []
    with torch.no_grad():
        for word in ("target", "cloud"):
            given = tokenizer([t.format(word) for t in TEMPLATES], padding=True, return_tensors="pt")
            told = model(pixel_values=pixels, **given)
            mean_text = told.text_embeds.mean(0)
            logits.append(model.logit_scale.exp() * told.image_embeds[0] @ (mean_text / mean_text.norm()))
    expected = torch.stack(logits).softmax(0)[0]
    assert float(words.chances([crop])[0]) == pytest.approx(float(expected), abs=1e-5)


def test_a_cell_has_the_harmonic_mean_of_its_windows(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = open_words(clip, ["target"])
    # By hand: the whole tile 0.5; the four windows of 2x2 cells of 3x3 cells 0.1, 0.2, 0.4 and 0.8.
    given = iter([torch.tensor([0.5]), torch.tensor([0.1, 0.2, 0.4, 0.8])])
    monkeypatch.setattr(words, "_chance", lambda embedded: next(given))
    with torch.inference_mode():
        cells = words._windowed(torch.zeros(1, 3, 24, 24), (2,))
    assert cells.shape == (3, 3)
    assert float(cells[0, 0]) == pytest.approx(2 / (1 / 0.5 + 1 / 0.1))
    middle = (1 / 0.1 + 1 / 0.2 + 1 / 0.4 + 1 / 0.8) / 4
    assert float(cells[1, 1]) == pytest.approx(2 / (1 / 0.5 + middle))
    assert float(cells[2, 1]) == pytest.approx(2 / (1 / 0.5 + (1 / 0.4 + 1 / 0.8) / 2))


def test_maps_have_the_size_of_the_frame_and_lie_in_the_unit_interval(clip: Path, clipseg: Path) -> None:
    for folder in (clip, clipseg):
        score = open_words(folder, ["a target"]).map_of(_frame(), tile=16)
        assert score.shape == (30, 50)
        assert score.dtype == np.float32
        assert (score >= 0).all()
        assert (score <= 1).all()
        assert score.std() > 0


def test_crops_around_a_place_stay_within_the_frame(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words, seen = open_words(clip, ["target"]), []
    monkeypatch.setattr(words, "chances", lambda crops: seen.extend(crops) or np.full(len(crops), 0.25))
    image = np.arange(30 * 50, dtype=np.float32).reshape(30, 50)
    assert words.around(image, 49.0, 0.0) == 0.25
    assert [crop.shape for crop in seen] == [(16, 16), (30, 32), (30, 50)]
    assert seen[0][0, 0] == 34
    assert seen[1][0, 0] == 18


@pytest.mark.parametrize("by", ["frames", "candidates", "map"])
def test_rows_come_best_first_and_the_file_holds_them_all(clip: Path, tmp_path: Path, by: str) -> None:
    out = tmp_path / "ranking.csv"
    frames = _frames(tmp_path / "frames")
    options = {"method": "tophat", "threshold": 0.5} if by == "candidates" else {}
    ranking = rank_frames(frames, "a small target", clip, by=by, out=out, **options)
    scores = [row["score"] for row in ranking.rows]
    assert scores == sorted(scores, reverse=True)
    assert [row["rank"] for row in ranking.rows] == list(range(1, len(scores) + 1))
    assert {row["frame"] for row in ranking.rows} == {"f0", "f1", "f2"}
    if by == "candidates":
        assert all(row["detector"] >= 0.5 for row in ranking.rows)
        assert {(row["frame"], row["x"], row["y"]) for row in ranking.rows} == {
            (f"f{k}", 20.5 + k, 10.5) for k in range(3)
        }
    written = list(csv.DictReader(out.open()))
    assert [row["frame"] for row in written] == [row["frame"] for row in ranking.rows]
    assert [float(row["score"]) for row in written] == pytest.approx(scores, abs=1e-6)


def test_the_command_ranks_and_goes_on_past_a_damaged_frame(
    clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = _frames(tmp_path / "frames")
    (frames / "broken.png").write_bytes(b"nothing")
    line = [
        "rank",
        str(frames),
        "--text",
        "a target",
        "--weights",
        str(clip),
        "--out",
        str(tmp_path / "r.csv"),
    ]
    assert main(line) == 1
    shown = capsys.readouterr()
    assert "3 rows" in shown.out
    assert "broken.png" in shown.err


def test_what_cannot_be_ranked_is_a_sentence(clip: Path, clipseg: Path, tmp_path: Path) -> None:
    frames = _frames(tmp_path / "frames", 1)
    with pytest.raises(UsageError, match="ranked by CLIP, and the weights are those of clipseg"):
        rank_frames(frames, "target", clipseg)
    with pytest.raises(UsageError, match="none may be empty"):
        rank_frames(frames, " ", clip)
    with pytest.raises(UsageError, match=r"ends in \.csv"):
        rank_frames(frames, "target", clip, out=tmp_path / "frames" / "f0.png")
    with pytest.raises(UsageError, match="belong to by = candidates"):
        rank_frames(frames, "target", clip, threshold=0.4)
    with pytest.raises(InputError, match=r"expected a folder with config\.json"):
        rank_frames(frames, "target", tmp_path)
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("config.json", "model.safetensors"):
        (bare / name).write_bytes((clip / name).read_bytes())
    with pytest.raises(InputError, match=r"holds no tokenizer; expected tokenizer\.json"):
        open_words(bare, ["target"])
    (bare / "vocab.json").write_text('{"<|startoftext|>": 0, "<|endoftext|>": 1}')
    (bare / "merges.txt").write_text("#version: 0.2\n")
    (bare / "tokenizer_config.json").write_bytes((clip / "tokenizer_config.json").read_bytes())
    with pytest.raises(InputError, match="knows 2 words, and the model 56"):
        open_words(bare, ["target"])


def test_learnt_prompts_are_trained_and_the_model_is_not(clip: Path, tmp_path: Path) -> None:
    network, spec = tuned_from_folder(clip, {"tile": 16, "words": 3}, "clip")
    assert isinstance(network, PromptedCLIP)
    assert spec["name"] == "clip"
    frame = torch.from_numpy(_frame())[None, None]
    with torch.no_grad():
        assert network.eval()(frame).logits.shape == (1, 1, 30, 50)
    trained = {name for name, p in network.named_parameters() if p.requires_grad}
    assert not any(name.startswith("model.") for name in trained)
    optimiser = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], 0.1)
    for _ in range(2):
        optimiser.zero_grad()
        (network(frame).logits - 1).square().mean().backward()
        assert all(p.grad is not None for name, p in network.named_parameters() if name in trained)
        optimiser.step()
    out = tmp_path / "clip.safetensors"
    line = ["convert-weights", str(clip), "--network", "clip", "--out", str(out), "--option", "tile=16"]
    assert main(line) == 0
    recipe = table(write_data(tmp_path / "data"), scheme={"name": "full"}, train={"epochs": 1})
    recipe["network"], recipe["loss"] = {"name": "compact"}, {"terms": {"bce": 1.0}}
    run = build_run(started_recipe(parse_recipe(recipe, "the test"), str(out)), tmp_path / "run")
    assert fit(run)
    before, after = load_network(out)[0], load_network(tmp_path / "run" / "last.safetensors")[0]
    assert torch.equal(before.model.logit_scale, after.model.logit_scale)
    assert not torch.equal(before.words, after.words)


def test_each_learnt_word_sees_those_before_it_alone(clip: Path) -> None:
    network, _ = tuned_from_folder(clip, {"tile": 16, "words": 2, "dynamic": False}, "clip")
    text, seen = network.model.text_model, []
    hook = text.encoder.register_forward_hook(lambda layer, given, told: seen.append(told.last_hidden_state))
    with torch.no_grad():
        network._sentences(torch.zeros(1, 8))
        network.words[:, 1] += 1.0
        network._sentences(torch.zeros(1, 8))
    hook.remove()
    assert torch.equal(seen[0][:, :2], seen[1][:, :2])
    assert not torch.allclose(seen[0][:, 2:], seen[1][:, 2:])


def test_words_that_are_not_given_are_clutter(clip: Path) -> None:
    assert isinstance(open_words(clip, ["x"]), Words)
    assert open_words(clip, ["x"]).against == AGAINST
