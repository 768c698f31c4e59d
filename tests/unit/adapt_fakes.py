"""A tiny model with a second look, and the frames of a camera, for the tests of adapting."""

from pathlib import Path

import numpy as np
import torch

from infraspot.core.sample import Sample
from infraspot.data import write_dataset
from infraspot.weights.building import build_network
from infraspot.weights.files import save_weights
from infraspot.weights.second_look import SecondLookNetwork, with_second_look

SPEC = {"name": "compact", "options": {"widths": [4, 4, 4, 4], "depths": [1, 1, 1, 1], "full_width": 4}}
LOOK = {
    "widths": [2, 2, 2],
    "level": 0.05,
    "outline": 0.5,
    "outlines": "map",
    "look": 0.5,
    "peak": 0.5,
    "crowd": -0.5,
    "offset": 0.0,
}


def write_model(path: Path) -> Path:
    """Random weights whose answers lie around one half, so that there are candidates."""
    torch.manual_seed(0)
    network = build_network(SPEC)
    torch.nn.init.normal_(network.head.weight, std=0.5)
    torch.nn.init.constant_(network.aux_heads[0].bias, -0.5)
    card = {"network": SPEC, "threshold": 0.5, "second_look": LOOK, "note": "kept"}
    points = {"quiet": 0.1, "balanced": 0.4, "keen": 1.0}
    card |= {"operating_points": {n: {"threshold": 0.5, "fa_per_mpx": rate} for n, rate in points.items()}}
    look = SecondLookNetwork([2, 2, 2])
    save_weights(path, with_second_look(network.state_dict(), look), card)
    return path


def frames(
    count: int, *, targets: bool = True, seed: int = 0, size: tuple[int, int] = (48, 64)
) -> list[Sample]:
    """Noise, with a bright target of 3x3 pixels in each frame unless ``targets`` is False."""
    rng = np.random.default_rng(seed)
    made = []
    for k in range(count):
        image, mask = rng.integers(60, 80, size), np.zeros(size, bool)
        y, x = rng.integers(8, size[0] - 12), rng.integers(8, size[1] - 12)
        if targets:
            mask[y : y + 3, x : x + 3] = True
            image[mask] += 120
        made.append(Sample(f"s{seed}f{k}", (image / np.float32(255)).astype(np.float32), mask))
    return made


def write_camera(folder: Path, shots: int = 3) -> dict[str, Path]:
    """Model, frames, shots and empty frames of one camera."""
    places = {
        "to": frames(5, seed=1),
        "shots": frames(shots, seed=2),
        "empty": frames(3, targets=False, seed=3),
    }
    for name, samples in places.items():
        write_dataset(folder / name, samples)
    found = {name: folder / name for name in places}
    found["frames"] = folder / "to" / "images"
    return found | {"model": write_model(folder / "start.safetensors")}
