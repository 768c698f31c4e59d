"""Is a small trained network better at finding the sky than the method without labels?

A U-Net learns on the training frames of DenseSIRST, shrunk to 128x128 pixels, for so many seconds of CPU
time. It sees the frame, its activity (the mean step between neighbours, at full size) and the row. IoU with
the masks of val at full size; intervals and the paired difference from resampled images.

    python benchmarks/sky_network.py DENSESIRST [--seconds 60]
"""

import argparse
import time
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from infraspot.classical.sky import find_sky
from infraspot.core.sample import BoolArray, FloatArray
from infraspot.data import open_dataset

SIDE, BATCH, RATE, WARM_UP, DRAWS = 128, 16, 3e-3, 20, 1000
WIDTHS = (8, 16, 24, 32, 32)


class Example(NamedTuple):
    """A shrunk frame (3, 128, 128), its sky (1, 128, 128), and both at full size."""

    seen: Tensor
    wanted: Tensor
    image: FloatArray
    sky: BoolArray


class SkyNetwork(nn.Module):
    """Five halvings and back; the mean over the frame weighs the coarsest channels."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.ModuleList(_block(i, o, 2) for i, o in pairwise((3, *WIDTHS)))
        self.weigh = nn.Linear(WIDTHS[-1], WIDTHS[-1])
        self.up = nn.ModuleList(_block(low + high, high) for high, low in pairwise(WIDTHS))
        self.head = nn.Conv2d(WIDTHS[0], 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        levels = []
        for layer in self.down:
            x = layer(x)
            levels.append(x)
        x = levels.pop()
        x = 2 * x * torch.sigmoid(self.weigh(x.mean((2, 3))))[..., None, None]
        for layer, level in zip(reversed(self.up), reversed(levels), strict=True):
            x = layer(torch.cat([F.interpolate(x, scale_factor=2.0), level], 1))
        return F.interpolate(self.head(x), scale_factor=2.0, mode="bilinear")


def _block(read: int, write: int, stride: int = 1) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width, step in ((read, stride), (write, 1)):
        layers += [nn.Conv2d(width, write, 3, step, 1, bias=False), nn.BatchNorm2d(write), nn.ReLU()]
    return nn.Sequential(*layers)


def read_split(data: str, split: str) -> list[Example]:
    rows = torch.linspace(-1, 1, SIDE)[:, None].expand(SIDE, SIDE)[None, None]
    found = []
    for sample in open_dataset(data, split=split):
        assert sample.sky is not None
        image, sky = torch.from_numpy(sample.image)[None, None], sample.sky > 0
        down, right = image.diff(dim=2)[..., :-1].abs(), image.diff(dim=3)[..., :-1, :].abs()
        small, steps = (F.adaptive_avg_pool2d(layer, SIDE) for layer in (image, down + right))
        wanted = F.adaptive_avg_pool2d(torch.from_numpy(sky.astype(np.float32))[None], SIDE)
        seen = torch.cat([4 * small - 2, 0.25 * (steps + 1 / 255).log() + 0.75, rows], 1)[0]
        found.append(Example(seen, wanted, sample.image, sky))
    return found


def train_network(examples: list[Example], seconds: float) -> SkyNetwork:
    torch.manual_seed(0)
    network, rng, started = SkyNetwork(), np.random.default_rng(0), time.process_time()
    optimiser = torch.optim.AdamW(network.parameters(), RATE, weight_decay=0.05)
    seen, wanted = (torch.stack([one[k] for one in examples]) for k in (0, 1))
    steps = 0
    while (spent := (time.process_time() - started) / seconds) < 1:
        for group in optimiser.param_groups:
            group["lr"] = RATE * min(1, steps / WARM_UP) * 0.5 * (1 + np.cos(np.pi * spent))
        drawn = rng.integers(len(seen), size=BATCH)
        x, y = seen[drawn], wanted[drawn]
        if rng.random() < 0.5:
            x, y = x.flip(3), y.flip(3)
        gain, bias = (rng.uniform(*bounds, (BATCH, 1, 1)) for bounds in ((0.7, 1.3), (-0.4, 0.4)))
        grey = x[:, 0] * torch.from_numpy(gain).float() + torch.from_numpy(bias).float()
        loss = F.binary_cross_entropy_with_logits(network(torch.cat([grey[:, None], x[:, 1:]], 1)), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        steps += 1
    print(f"{sum(p.numel() for p in network.parameters())} parameters, {steps} steps")
    return network.eval()


def overlap(found: BoolArray, sky: BoolArray) -> float:
    union = np.count_nonzero(found | sky)
    return np.count_nonzero(found & sky) / union if union else 1.0


def interval(values: NDArray[np.float64]) -> str:
    drawn = np.random.default_rng(0).choice(values, (DRAWS, len(values))).mean(axis=1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return f"{values.mean():.3f} [{low:.3f}, {high:.3f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    network, ours, theirs = train_network(read_split(options.data, "train"), options.seconds), [], []
    for one in read_split(options.data, "val"):
        with torch.inference_mode():
            logits = F.interpolate(network(one.seen[None]), one.sky.shape, mode="bilinear")[0, 0]
        ours.append(overlap((logits > 0).numpy(), one.sky))
        theirs.append(overlap(find_sky(one.image) > 0, one.sky))
    trained, plain = np.array(ours), np.array(theirs)
    print(f"trained        {interval(trained)}")
    print(f"without labels {interval(plain)}")
    print(f"difference     {interval(trained - plain)}")


if __name__ == "__main__":
    main()
