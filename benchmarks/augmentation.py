"""Augmentation: what each transform costs, and how well pasted targets hide among real ones.

    python benchmarks/augmentation.py SIRST_V1 [--seams] [--costs]

Seams: around each target, the mean gradient at 1 to 12 pixels from its mask, over that at 14 to 20 pixels. A
linear discriminant of these twelve numbers' logarithms tells pasted targets from real ones; its area under
the ROC curve, over five folds of frames, is 0.5 where it cannot. ``rise`` is the median over targets of the
largest of the numbers from 3 pixels on: the step that a rectangle leaves, or the halo of a real target.
Costs: process CPU time for one frame of 256 x 256 pixels with a label, each transform happening always;
medians and ranges over blocks of frames.
Without an option, both. Lines ``name=value`` come last.
"""

import argparse
import os
import time
from collections.abc import Sequence
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from infraspot.augment import TRANSFORMS, Transform
from infraspot.augment.copy_paste import CopyPaste
from infraspot.augment.transforms import Crop
from infraspot.core.geometry import find_components
from infraspot.core.sample import Sample
from infraspot.data import open_dataset

FORMS = ("excess", "plain", "context", "gaussian")
NEAR, FAR, LAST = 12, 14, 20  # pixels from a mask
FOLDS, BLOCKS, FRAMES = 5, 9, 24

ALWAYS: dict[str, dict[str, Any]] = {
    **{name: {"p": 1.0} for name in ("transpose", "flecks", "blur", "noise", "gamma", "gain")},
    "crop": {"size": 256},
    "flip": {"p": 0.5},
    "rotate-target": {"p": 1.0},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--seams", action="store_true")
    parser.add_argument("--costs", action="store_true")
    given = parser.parse_args()
    data = open_dataset(given.data, split="train")
    frames = [data[k] for k in range(len(data))]
    lines: list[str] = []
    if given.seams or not given.costs:
        lines += measure_seams(frames)
    if given.costs or not given.seams:
        lines += measure_costs(frames)
    print("\n".join(lines))


def measure_seams(frames: Sequence[Sample]) -> list[str]:
    real = [(k, row) for k, frame in enumerate(frames) for row in profiles(frame, frame.mask)]
    lines = [f"real.targets={len(real)}", f"real.rise={rise(real):.2f}"]
    for form in FORMS:
        paste = CopyPaste(donors=frames, form=form, count=(1, 1), gain=(1.0, 1.0), p=1.0)
        pasted = []
        for k, frame in enumerate(frames):
            changed = paste(frame, np.random.default_rng(k))
            assert changed.mask is not None
            assert frame.mask is not None
            pasted += [(k, row) for row in profiles(changed, changed.mask & ~frame.mask)]
        lines.append(f"{form}.targets={len(pasted)}")
        lines.append(f"{form}.rise={rise(pasted):.2f}")
        lines.append(f"{form}.told_apart={told_apart(real, pasted):.3f}")
    return lines


def profiles(frame: Sample, mask: NDArray[np.bool_] | None) -> list[NDArray[np.float64]]:
    """(12,) a target that has its surroundings within the frame: gradients by distance, as logarithms."""
    if mask is None or frame.mask is None:
        return []
    gradient = np.hypot(*np.gradient(frame.image.astype(np.float64)))
    found, rows = find_components(mask), []
    for k, (x0, y0, x1, y1) in enumerate(found.boxes.tolist()):
        place = np.s_[y0 - LAST : y1 + LAST, x0 - LAST : x1 + LAST]
        whole = min(y0, x0) >= LAST and y1 + LAST <= mask.shape[0] and x1 + LAST <= mask.shape[1]
        own = found.labels[place] == k + 1
        if not whole or (frame.mask[place] & ~own).any():
            continue
        distance = ndimage.distance_transform_cdt(~own, metric="chessboard")
        values = gradient[place] + 0.1 / 255
        ground = values[(distance >= FAR) & (distance <= LAST)].mean()
        rows.append(np.log([values[distance == d].mean() / ground for d in range(1, NEAR + 1)]))
    return rows


def rise(found: Sequence[tuple[int, NDArray[np.float64]]]) -> float:
    return float(np.exp(np.median([row[2:].max() for _, row in found])))


def told_apart(
    real: Sequence[tuple[int, NDArray[np.float64]]], pasted: Sequence[tuple[int, NDArray[np.float64]]]
) -> float:
    """Area under the ROC curve of a linear discriminant, over folds of frames."""
    rows = np.array([row for _, row in (*real, *pasted)])
    fold = np.array([k % FOLDS for k, _ in (*real, *pasted)])
    truth = np.arange(len(rows)) >= len(real)
    areas = []
    for k in range(FOLDS):
        train, held = fold != k, fold == k
        means = [rows[train & (truth == kind)].mean(axis=0) for kind in (False, True)]
        spread = np.cov((rows[train] - np.where(truth[train, None], means[1], means[0])).T)
        scores = rows[held] @ np.linalg.solve(spread + 1e-3 * np.eye(NEAR), means[1] - means[0])
        yes, no = scores[truth[held]], scores[~truth[held]]
        areas.append((yes[:, None] > no).mean() + 0.5 * (yes[:, None] == no).mean())
    return float(np.mean(areas))


def measure_costs(frames: Sequence[Sample]) -> list[str]:
    rng = np.random.default_rng(0)
    frames = [frame.replace(mask=None, label=frame.mask) for frame in frames[: 2 * FRAMES]]
    crops = [Crop(size=256)(frame, rng) for frame in frames]
    cases: dict[str, Transform] = {
        name: TRANSFORMS[name](**ALWAYS.get(name, {}))
        for name in TRANSFORMS
        if name not in ("copy-paste", "noise-library")
    }
    for form in FORMS:
        cases[f"copy-paste.{form}"] = CopyPaste(donors=crops, form=form, count=(1, 1), p=1.0)
    for variant in ("residual", "program"):
        cases[f"noise-library.{variant}"] = TRANSFORMS["noise-library"](donors=crops, variant=variant, p=1.0)
    lines = []
    for name, transform in cases.items():
        inputs = frames if name == "crop" else crops
        times = sorted(1e3 * seconds(transform, inputs[:FRAMES], block) / FRAMES for block in range(BLOCKS))
        lines.append(f"{name}.ms={times[BLOCKS // 2]:.2f} [{times[0]:.2f}, {times[-1]:.2f}]")
    return lines


def seconds(transform: Transform, frames: Sequence[Sample], seed: int) -> float:
    rng, start = np.random.default_rng(seed), time.process_time()
    for frame in frames:
        transform(frame, rng)
    return time.process_time() - start


if __name__ == "__main__":
    main()
