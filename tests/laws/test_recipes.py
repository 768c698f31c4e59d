"""What every packaged recipe must hold."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from infraspot.data.public_sets import PUBLIC_SETS
from infraspot.detection import DETECTORS, Detector
from infraspot.detection.transformers_detr import SetDetector
from infraspot.inference.engines import packaged_models
from infraspot.losses import Batch
from infraspot.training.parts import build_loss, network_of
from infraspot.training.recipe import PACKAGED, load_recipe

RECIPES = sorted(PACKAGED.glob("**/*.toml"))
OF_BOXES = sorted(PACKAGED.glob("detectors/*.toml"))
ALL = pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
OF_MASKS = [path for path in RECIPES if path not in OF_BOXES]


@pytest.mark.parametrize("path", OF_MASKS, ids=lambda path: path.stem)
def test_its_loss_fits_its_network_and_reaches_the_weights(path: Path) -> None:
    recipe = load_recipe(path)
    torch.manual_seed(0)
    network, loss = network_of(recipe.network).train(), build_loss(recipe.loss)
    loss.begin(network)
    images, labels = torch.rand(2, network.frames, 64, 64), torch.zeros(2, 1, 64, 64)
    labels[0, 0, 20:24, 30:33] = 1
    for epoch in (0, 9):  # within a warm-up and after it
        network.zero_grad()
        loss.begin_epoch(epoch)
        value = loss(network(images), Batch(("a", "b"), images, labels))
        assert value.shape == (2,)
        assert value.isfinite().all()
        value.mean().backward()
    gradients = {name: p.grad for name, p in network.named_parameters()}
    assert all(gradient is None or gradient.isfinite().all() for gradient in gradients.values())
    assert [name for name, gradient in gradients.items() if gradient is None] == []


@ALL
def test_it_names_no_folder_and_only_sets_that_anybody_can_have(path: Path) -> None:
    recipe = load_recipe(path)
    assert recipe.network.start in (None, *packaged_models())
    for part in (recipe.data, recipe.negatives, recipe.unlabelled):
        if part is not None:
            assert part.path is None
            assert part.set is None or part.set in PUBLIC_SETS
    if recipe.second_look is not None:
        assert set(recipe.second_look.sets) <= set(PUBLIC_SETS)
    assert not [
        text for text in strings_in(recipe.model_dump(exclude={"about"})) if re.search(r"[/\\~]", text)
    ]


@pytest.mark.parametrize("path", OF_BOXES, ids=lambda path: path.stem)
def test_its_detector_is_built_and_taught_by_boxes(path: Path) -> None:
    recipe = load_recipe(path)
    assert recipe.scheme.name == "boxes"
    assert recipe.train.select == "ap"
    if issubclass(DETECTORS[recipe.network.name], SetDetector):
        pytest.importorskip("transformers")
    with torch.device("meta"):
        assert isinstance(network_of(recipe.network), Detector)


def strings_in(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from strings_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from strings_in(item)
