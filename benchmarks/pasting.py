"""Can a network tell pasted targets from real ones? A blind test of the ways to paste.

For each way, targets of the training frames are pasted into training frames. A small network learns to tell
windows around them from windows around real targets, and is asked about those of the validation frames, which
it has not seen. The area under its ROC curve is .5 where it cannot tell, and 1 where it always can.

    python benchmarks/pasting.py --data SIRST_V1 [--data FURTHER] [--seeds 3]
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from infraspot.augment import TRANSFORMS
from infraspot.core.geometry import find_components
from infraspot.core.sample import Sample
from infraspot.data import open_dataset

WAYS: dict[str, dict[str, object]] = {
    "plain": {"form": "plain"},
    "context": {"form": "context"},
    "excess": {"form": "excess"},
    "Gaussian": {"form": "gaussian"},
    "excess, alike": {"form": "excess", "place": "alike"},
    "Gaussian, alike": {"form": "gaussian", "place": "alike"},
}
REACH = 24  # pixels from the middle of a window to its edge
PASTES = 3  # of each frame
EPOCHS, BATCH, RATE = 40, 64, 2e-3
DRAWS = 1000

Windows = NDArray[np.float32]


def windows_at(image: NDArray[np.floating], points: NDArray[np.floating]) -> Windows:
    """(N, 49, 49) around points (y, x), the border of the frame repeated."""
    framed = np.pad(image, REACH, mode="edge")
    corners = np.rint(points).astype(int).tolist()
    side = 2 * REACH + 1
    found = [framed[y : y + side, x : x + side] for y, x in corners]
    return np.array(found, np.float32).reshape(-1, side, side)


def real_windows(samples: Sequence[Sample]) -> Windows:
    """Around every target."""
    places = [(one.image, find_components(one.mask).centroids) for one in samples]
    return np.concatenate([windows_at(image, points) for image, points in places])


def pasted_windows(samples: Sequence[Sample], options: dict[str, object], seed: int) -> Windows:
    """Around targets pasted one at a time into frames that keep their own."""
    paste = TRANSFORMS["copy-paste"](donors=samples, count=(1, 1), gain=(1.0, 1.0), p=1.0, **options)
    rng, found = np.random.default_rng(seed), []
    for _ in range(PASTES):
        for sample in samples:
            made = paste(sample, rng)
            new = find_components(made.mask & ~sample.mask)
            if len(new):
                largest = int(new.areas.argmax())
                found.append(windows_at(made.image, new.centroids[[largest]]))
    return np.concatenate(found)


class Judge(nn.Sequential):
    """Five convolutions, then mean and peak of their maps."""

    def __init__(self) -> None:
        super().__init__()
        widths = (2, 16, 24, 32, 48, 48)
        for k, stride in enumerate((1, 2, 1, 2, 1)):
            self.append(nn.Conv2d(widths[k], widths[k + 1], 3, stride, 1, bias=False))
            self.append(nn.BatchNorm2d(widths[k + 1]))
            self.append(nn.ReLU())
        self.head = nn.Linear(96, 1)

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        spread = windows.std((1, 2), keepdim=True) + 0.003
        x = torch.stack([windows * 4 - 2, (windows - windows.mean((1, 2), keepdim=True)) / spread], 1)
        for layer in list(self)[:-1]:
            x = layer(x)
        seen = torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1)
        logits: torch.Tensor = self.head(F.dropout(seen, 0.2, self.training))
        return logits[:, 0]


def fit_judge(real: Windows, pasted: Windows, seed: int) -> Judge:
    """Train on as many real as pasted windows in each batch, turned and mirrored, brighter or darker."""
    torch.manual_seed(seed)
    rng, judge = np.random.default_rng(seed), Judge().train()
    steps = EPOCHS * (2 * len(real)) // BATCH
    optimiser = torch.optim.AdamW(judge.parameters(), RATE, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    labels = torch.cat([torch.ones(BATCH // 2), torch.zeros(BATCH // 2)])
    for _ in range(steps):
        drawn = [kind[rng.integers(len(kind), size=BATCH // 2)] for kind in (real, pasted)]
        batch = torch.from_numpy(np.rot90(np.concatenate(drawn), int(rng.integers(4)), (1, 2)).copy())
        batch = batch.flip(2) if rng.random() < 0.5 else batch
        batch = batch * torch.from_numpy(rng.uniform(0.8, 1.2, (BATCH, 1, 1)).astype(np.float32))
        loss = F.binary_cross_entropy_with_logits(judge(batch), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return judge.eval()


@torch.inference_mode()
def answers(judge: Judge, windows: Windows) -> NDArray[np.float32]:
    return judge(torch.from_numpy(windows)).numpy()


def area_under_curve(real: NDArray[np.float32], pasted: NDArray[np.float32]) -> float:
    """Chance that a real target scores above a pasted one; ties count half."""
    gaps = real[:, None] - pasted[None, :]
    return float(((gaps > 0) + 0.5 * (gaps == 0)).mean())


def interval(real: NDArray[np.float32], pasted: NDArray[np.float32]) -> tuple[float, float]:
    """95 % of resampled windows."""
    rng = np.random.default_rng(0)
    found = [
        area_under_curve(rng.choice(real, len(real)), rng.choice(pasted, len(pasted))) for _ in range(DRAWS)
    ]
    low, high = np.percentile(found, [2.5, 97.5])
    return float(low), float(high)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, action="append", required=True)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    splits = [
        [one for data in options.data for one in open_dataset(data, split=name) if one.mask is not None]
        for name in ("train", "val")
    ]
    real = [real_windows(samples) for samples in splits]
    print(f"real targets: {len(real[0])} to learn from, {len(real[1])} to judge")
    print(f"{'way':18} {'pasted':>6}  AUC [95 %] of the mean answer; of each seed")
    for name, way in WAYS.items():
        started = time.process_time()
        pasted = [pasted_windows(samples, way, seed) for seed, samples in enumerate(splits)]
        judges = [fit_judge(real[0], pasted[0], seed) for seed in range(options.seeds)]
        said = [[answers(judge, kind) for judge in judges] for kind in (real[1], pasted[1])]
        each = [area_under_curve(ours, theirs) for ours, theirs in zip(*said, strict=True)]
        mean = [np.mean(one, axis=0) for one in said]
        low, high = interval(*mean)
        shown = " ".join(f"{one:.3f}" for one in each)
        print(
            f"{name:18} {len(pasted[1]):6}  {area_under_curve(*mean):.3f} [{low:.3f}, {high:.3f}]  {shown}"
            f"  ({time.process_time() - started:.0f} s)",
            flush=True,
        )


if __name__ == "__main__":
    main()
