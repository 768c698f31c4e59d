"""Schemes that learn from frames alone: what is drawn, what is hidden, and which frames are read."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from training_fakes import TINY, assert_same, table

from infraspot.cli.main import main
from infraspot.core.errors import DataError, UsageError
from infraspot.networks import SegmentationNetwork, SegOutput
from infraspot.schemes.inpaint import Inpaint, _error
from infraspot.schemes.paste import Pasting
from infraspot.training import build_run, fit, read_state, train
from infraspot.training.recipe import parse_recipe
from infraspot.training.settings import DataPart
from infraspot.training.sources import open_unannotated

FLAT = np.full((64, 64), 0.4, np.float32)


def test_a_drawn_target_adds_the_wanted_contrast_where_its_label_is() -> None:
    pasting = Pasting(targets=1, empty=0.0, diameter=(3.0, 3.0), scr=(10.0, 10.0), blur=(0.8, 0.8))
    for seed in range(5):
        image, label = pasting(FLAT.copy(), np.random.default_rng(seed))
        assert set(np.unique(label)) == {0.0, 1.0}
        added = (image - FLAT)[label > 0].mean()
        # Ten deviations of a place without any, which counts as 1.5 grey values of 255.
        assert added == pytest.approx(10 * 1.5 / 255, rel=1e-4)
        assert (image >= FLAT).all()


def test_dark_targets_are_darker_and_empty_frames_stay_as_they_are() -> None:
    dark, label = Pasting(empty=0.0, dark=1.0)(FLAT.copy(), np.random.default_rng(0))
    assert label.any()
    assert (dark[label > 0] < 0.4).all()
    same, nothing = Pasting(empty=1.0)(FLAT.copy(), np.random.default_rng(0))
    assert np.array_equal(same, FLAT)
    assert not nothing.any()


def test_a_target_without_room_on_the_grey_scale_is_not_drawn() -> None:
    white = np.ones((32, 32), np.float32)
    image, label = Pasting(empty=0.0)(white.copy(), np.random.default_rng(1))
    assert not label.any()
    assert np.array_equal(image, white)


@pytest.mark.parametrize(
    "options",
    [{"targets": 0}, {"empty": 1.5}, {"scr": (5.0, 2.0)}, {"diameter": (0.0, 2.0)}, {"blur": (1.0,)}],
)
def test_what_cannot_be_drawn_is_refused(options: dict) -> None:
    with pytest.raises(UsageError):
        Pasting(**options)


def test_hidden_blocks_cover_about_their_share_and_every_frame_has_one() -> None:
    scheme, images = Inpaint(share=0.2, block=4), torch.zeros(8, 1, 62, 67)
    hidden = scheme._hidden(images, np.random.default_rng(0))
    assert hidden.shape == images.shape
    assert float(hidden.float().mean()) == pytest.approx(0.2, abs=0.03)
    rare = Inpaint(share=1e-9, block=8)._hidden(images, np.random.default_rng(0))
    assert rare.flatten(1).any(1).all()


def test_the_error_of_inpainting_counts_hidden_pixels_alone() -> None:
    wanted, hidden = torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)
    hidden[..., :2, :2] = 1
    answer = torch.full((1, 1, 4, 4), 5.0)
    answer[..., :2, :2] = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert float(_error(answer, wanted, hidden)) == pytest.approx(2.5)
    assert float(_error(torch.full((1, 1, 2, 2), -3.0), wanted, hidden)) == pytest.approx(3.0)


class Learner(SegmentationNetwork):
    """Sees 5x5 pixels around each: enough to tell a drawn target from flat noise."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.Conv2d(6, 1, 3, padding=1))

    def segment(self, image: Tensor) -> SegOutput:
        return SegOutput(self.layers((image - 0.3) * 10))


def _frames(folder: Path, count: int = 4) -> Path:
    """Noise without targets, without masks, in a folder and a subfolder."""
    rng = np.random.default_rng(0)
    for k in range(count):
        place = folder if k % 2 else folder / "inner"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(60, 80, (48, 56)).astype(np.uint8)).save(place / f"f{k}.png")
    return folder


def _recipe(frames: Path, scheme: str, **parts: dict) -> dict:
    recipe = table(frames, scheme={"name": scheme}, **parts)
    recipe["data"] = {"path": str(frames), "split": "all"}
    return recipe


def test_pasting_teaches_a_network_to_find_targets_without_a_label(tmp_path: Path) -> None:
    frames = _frames(tmp_path / "frames" / "inner")
    parts = {"network": {"name": "test_schemes_alone:Learner"}, "train": {"epochs": 40, "ema": 0.0}}
    recipe = _recipe(frames, "paste", **parts, optimiser={"lr": 0.02})
    recipe["loss"] = {"terms": {"bce": 1.0}}
    recipe["scheme"] |= {"scr": [8.0, 12.0], "diameter": [2.0, 4.0], "empty": 0.0}
    run = build_run(parse_recipe(recipe, "the test"), tmp_path / "run")
    assert fit(run)
    image, label = Pasting(empty=0.0, scr=(8, 12), diameter=(2, 4))(
        np.random.default_rng(5).integers(60, 80, (48, 56)).astype(np.float32) / 255, np.random.default_rng(6)
    )
    with torch.no_grad():
        logits = run.module.eval()(torch.from_numpy(image)[None, None]).logits[0, 0].numpy()
    assert logits[label > 0].mean() > logits[label == 0].mean() + 2


def test_frames_of_any_kind_are_read_and_masks_of_a_set_are_not(tmp_path: Path) -> None:
    plain = open_unannotated(DataPart(path=str(_frames(tmp_path / "nested" / "inner")), split="all"))
    assert [frame.id for frame in plain] == ["f1", "f3"]
    tree = open_unannotated(DataPart(path=str(tmp_path / "nested"), split="all"))
    assert sorted(frame.id for frame in tree) == ["inner/f1", "inner/f3", "inner/inner/f0", "inner/inner/f2"]
    stack = tmp_path / "stack.npy"
    np.save(stack, np.zeros((3, 20, 24), np.uint8))
    pages = open_unannotated(DataPart(path=str(stack), split="all"))
    assert [frame.id for frame in pages] == ["stack-0001", "stack-0002", "stack-0003"]
    assert all(frame.mask is None and frame.points is None for frame in pages)
    for part in ("images", "masks"):
        (tmp_path / "set" / part).mkdir(parents=True)
        Image.fromarray(np.zeros((16, 16), np.uint8)).save(tmp_path / "set" / part / "a.png")
    (only,) = open_unannotated(DataPart(path=str(tmp_path / "set"), split="all"))
    assert only.id == "a"
    assert only.mask is None


def test_a_folder_without_frames_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no image, stack or video"):
        open_unannotated(DataPart(path=str(tmp_path), split="all"))


def test_weights_that_predict_grey_values_are_a_start_and_no_detector(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = _frames(tmp_path / "frames" / "inner")
    for method in ("inpaint", "paste"):
        out = tmp_path / method
        assert fit(build_run(parse_recipe(_recipe(frames, method), "the test"), out))
        line = ["detect", str(frames), "--model", str(out), "--trust", TINY, "--out", str(tmp_path / "found")]
        status = main(line)
        assert status == (1 if method == "inpaint" else 0)
        assert ("no score of targets; train from them" in capsys.readouterr().err) == (method == "inpaint")
    begun = _recipe(frames, "paste", network={"start": str(tmp_path / "inpaint")})
    assert fit(build_run(parse_recipe(begun, "the test"), tmp_path / "next"))


def test_the_command_pretrains_resumes_and_its_result_starts_a_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames, out = _frames(tmp_path / "frames" / "inner"), tmp_path / "out"
    small = ["--network", TINY, "--set", "augment.0.size=32", "--set", "train.tensorboard=false"]
    small += ["--set", "loss.aux_weights=[1.0, 0.5]", "--batch", "2"]
    assert main(["pretrain", str(frames), "--out", str(out), "--epochs", "2", *small]) == 0
    shown = capsys.readouterr().out
    assert "2 frames to train on   2 epochs" in shown
    assert f"--set network.start={out}" in shown
    assert not (out / "best.safetensors").exists()
    assert main(["pretrain", str(frames), "--out", str(out), "--epochs", "2", *small]) == 2
    assert main(["pretrain", "--out", str(out), "--resume", "--trust", TINY]) == 0
    assert main(["pretrain", "--out", str(tmp_path / "none")]) == 2
    state = read_state(out)
    changed = table(tmp_path / "set", network={"name": TINY, "start": str(out)}, scheme={"name": "paste"})
    changed["data"] = {"path": str(frames), "split": "all"}
    changed["train"] |= {"epochs": 0}
    run = train(parse_recipe(changed, "the test"), tmp_path / "next")
    begun = {name: value for name, value in run.module.state_dict().items() if value.is_floating_point()}
    kept = (
        {name: state["ema"]["network"][name] for name in begun} if "network" in state["ema"] else state["ema"]
    )
    assert_same({"all": begun}, {"all": {name: kept[name] for name in begun}})
