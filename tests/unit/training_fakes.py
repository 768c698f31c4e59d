"""A made-up data set, a small network with dropout, and a scheme with a memory, for the tests of training."""

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from infraspot.core.sample import Sample
from infraspot.data import write_dataset
from infraspot.losses import Batch
from infraspot.networks import SegmentationNetwork, SegOutput
from infraspot.schemes import Full, Trainee
from infraspot.training import Row, Run
from infraspot.training.recipe import parse_recipe
from infraspot.training.settings import Recipe

TINY, REMEMBERING = "training_fakes:TinyNet", "training_fakes:Remembering"


class TinyNet(SegmentationNetwork):
    """Draws from torch's generator at each step, and has statistics of normalisation."""

    stride = 2

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(1, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU())
        self.drop = nn.Dropout2d(0.3)
        self.coarse = nn.Conv2d(width, 1, 3, stride=2, padding=1)
        self.head = nn.Conv2d(width, 1, 3, padding=1)

    def segment(self, image: Tensor) -> SegOutput:
        x = self.drop(self.first(image))
        return SegOutput(self.head(x), (self.coarse(x),))


class Remembering(Full):
    """Weights the loss by a number of its own that each step changes, shrinks the pool once, and logs."""

    def __init__(self, rate: float = 0.1) -> None:
        self.rate, self.weight, self.calls = rate, torch.ones(()), [0, 0]

    def begin_epoch(self, run: Trainee) -> dict[str, float]:
        self.calls[0] += 1
        run.val_labels[run.val[0].id] = np.full(run.val[0].shape, 0.5 / (run.epoch + 1), np.float32)
        if run.epoch == 1:
            run.labels.active = run.labels.active[:-1]
            first = run.labels.active[0]
            run.labels[first] = np.full(run.labels[first].shape, 0.25, np.float32)
        return {"pool": len(run.labels.active)}

    def loss(self, run: Trainee, batch: Batch) -> Tensor:
        return super().loss(run, batch) * self.weight

    def after_step(self, run: Trainee, batch: Batch) -> dict[str, float]:
        self.weight = self.weight * (1 + self.rate * torch.rand(()))
        return {"weight": float(self.weight)}

    def end_epoch(self, run: Trainee, mean_loss: float) -> None:
        self.calls[1] += 1

    def state_dict(self) -> dict[str, Any]:
        return {"weight": self.weight, "calls": list(self.calls)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.weight, self.calls = state["weight"], list(state["calls"])


class Stopper:
    """Presses Ctrl-C after some steps."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def step(self, run: Run, loss: float) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGINT)

    def epoch(self, run: Run, row: Row) -> None: ...


def make_samples(count: int, seed: int = 0) -> list[Sample]:
    """Noise with a bright target of 3x3 pixels in each frame; sizes differ."""
    rng = np.random.default_rng(seed)
    samples = []
    for k in range(count):
        height, width = 24 + k % 3, 30 - k % 2
        image, mask = rng.integers(0, 90, (height, width)), np.zeros((height, width), bool)
        y, x = rng.integers(2, height - 5), rng.integers(2, width - 5)
        mask[y : y + 3, x : x + 3] = True
        image[mask] += 120
        samples.append(Sample(f"frame{k}", (image / np.float32(255)).astype(np.float32), mask))
    return samples


def write_data(folder: Path) -> Path:
    """Seven frames to train on and three to validate and test."""
    names = [f"frame{k}" for k in range(10)]
    splits = {"train": names[:7], "val": names[7:], "test": names[7:]}
    write_dataset(folder, make_samples(10), splits=splits)
    return folder


def table(data: Path, /, **parts: dict[str, Any]) -> dict[str, Any]:
    """A recipe of three epochs of four steps; ``parts`` are merged into its tables."""
    recipe: dict[str, Any] = {
        "network": {"name": TINY},
        "data": {"path": str(data)},
        "augment": [
            {"name": "crop", "size": 16, "zoom": [0.8, 1.25]},
            {"name": "flip"},
            {"name": "gain"},
            {"name": "noise"},
        ],
        "loss": {"terms": {"soft_iou_batch": 1, "bce": 5}, "aux_weights": [1, 0.5]},
        "optimiser": {"name": "adamw", "lr": 0.01, "weight_decay": 0.01, "clip": 5.0},
        "schedule": {"warm_up": 1},
        "scheme": {"name": REMEMBERING},
        "train": {
            "epochs": 3,
            "batch": 2,
            "ema": 0.9,
            "device": "cpu",
            "save_seconds": 1e9,
            "evaluate_every": 2,
        },
    }
    for name, options in parts.items():
        recipe[name] = recipe.get(name, {}) | options
    return recipe


def make_recipe(data: Path, /, **parts: dict[str, Any]) -> Recipe:
    return parse_recipe(table(data, **parts), "the test")


def everything(state: dict[str, Any]) -> dict[str, Any]:
    """A checkpoint's state flattened to paths, without what may differ: seconds of work."""
    flat: dict[str, Any] = {}

    def visit(path: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                visit(f"{path}.{key}", item)
        elif isinstance(value, list):
            for key, item in enumerate(value):
                visit(f"{path}.{key}", item)
        elif not path.endswith("position.seconds"):
            flat[path] = value

    visit("", state)
    return flat


def assert_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Bit by bit."""
    first, second = everything(one), everything(other)
    assert first.keys() == second.keys()
    for path, value in first.items():
        same = torch.equal(value, second[path]) if isinstance(value, Tensor) else value == second[path]
        assert same, path
