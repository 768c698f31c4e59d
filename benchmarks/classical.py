"""Classical detectors: accuracy on a data set, and the speed of the low-rank ones against a plain form.

``--data DIR --split val`` prints the table of all methods, each at its own k (``SIGMAS``, tuned on train)
and at a wanted false-alarm rate; ``--sigmas`` tries several k (use train). Without ``--data``, made scenes
time the low-rank methods against the same algorithm with a full singular value decomposition in each step and
patches collected one by one, in turns in one run. Lines ``name=value`` come last.
"""

# ruff: noqa: E402 - the libraries read their number of threads when they are imported

import os

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import argparse
import time
from importlib import import_module
from unittest.mock import patch

import numpy as np

from infraspot.classical import CLASSICAL, SIGMAS
from infraspot.classical.patches import PatchGrid
from infraspot.classical.threshold import cfar, k_sigma, score_map
from infraspot.data import open_dataset
from infraspot.metrics import Evaluation
from infraspot.synth import SceneRanges, generate

nram_module = import_module("infraspot.classical.nram")
LOW_RANK = ("ipi", "nram", "nolc", "ript", "pstnn")
TRIED = (2, 3, 5, 8, 12, 20, 30)
FA_PER_MPX = 10.0


class PlainThreshold:
    """Singular value thresholding by the full decomposition, the yardstick."""

    def __init__(self, rng: np.random.Generator) -> None:
        del rng

    def __call__(self, matrix: np.ndarray, threshold: float) -> np.ndarray:
        left, values, right = np.linalg.svd(matrix, full_matrices=False)
        return (left * np.maximum(values - threshold, 0)) @ right


def plain_wide(matrix: np.ndarray, threshold: float) -> np.ndarray:
    return PlainThreshold(np.random.default_rng(0))(matrix, threshold)


def plain_surrogate(matrix: np.ndarray, mu: float, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The step of NRAM for its background by a full decomposition."""
    gamma = nram_module._GAMMA
    left, before, right = np.linalg.svd(matrix, full_matrices=False)
    values = start
    for _ in range(nram_module._ROUNDS):
        last, values = values, np.maximum(before - (1 + gamma) * gamma / (gamma + values) ** 2 / mu, 0)
        if np.sum((values - last) ** 2) < nram_module._SETTLED:
            break
    return ((left * values) @ right).astype(np.float32), values


def plain_slices(X: np.ndarray, threshold: float, kept: int) -> np.ndarray:
    """Every Fourier slice by its own full decomposition, the mirrored half too."""
    slices = np.fft.fft(X, axis=0)
    for k in range(len(slices)):
        left, values, right = np.linalg.svd(slices[k], full_matrices=False)
        values[kept:] = np.maximum(values[kept:] - threshold, 0)
        slices[k] = (left * values) @ right
    return np.fft.ifft(slices, axis=0).real.astype(np.float32)


def plain_split(grid: PatchGrid, frame: np.ndarray) -> np.ndarray:
    below, right = (big - small for big, small in zip(grid.padded, frame.shape, strict=True))
    padded = np.pad(frame, ((0, below), (0, right)), mode="symmetric")
    corners = [(y * grid.step, x * grid.step) for y in range(grid.rows) for x in range(grid.columns)]
    return np.stack([padded[y : y + grid.size, x : x + grid.size] for y, x in corners])


def plain(method: str, image: np.ndarray) -> np.ndarray:
    module = import_module(f"infraspot.classical.{method}")
    plain_parts = {
        "SingularValueThreshold": PlainThreshold,
        "threshold_by_gram": plain_wide,
        "_lower_slices": plain_slices,
        "lower_by_surrogate": plain_surrogate,
    }
    present = {name: part for name, part in plain_parts.items() if hasattr(module, name)}
    with patch.multiple(module, **present), patch.object(PatchGrid, "split", plain_split):
        return CLASSICAL[method](image)


def seconds(call, *arguments) -> tuple[float, np.ndarray]:
    start = time.process_time()
    answer = call(*arguments)
    return time.process_time() - start, answer


def time_low_rank(frames: int) -> list[str]:
    images = [scene.frames[0].image for scene in generate(frames, 0, SceneRanges(size=(256, 256)))]
    lines = []
    for method in LOW_RANK:
        ratios, ours, gaps = [], [], []
        for image in images:
            fast, answer = seconds(CLASSICAL[method], image)
            slow, reference = seconds(plain, method, image)
            ours.append(fast)
            ratios.append(slow / fast)
            gaps.append(float(np.abs(answer - reference).max()))
        lines += [
            f"{method}_ms={1e3 * np.median(ours):.1f}",
            f"{method}_ratio={np.median(ratios):.2f}",
            f"{method}_difference={max(gaps):.1e}",
        ]
    return lines


def score(folder: str, split: str, every: int, sigmas: tuple[float, ...]) -> list[str]:
    samples = open_dataset(folder, split=split)
    chosen = [samples[index] for index in range(0, len(samples), every)]
    print(f"{len(chosen)} frames of {split}, protocol basicirstd, Fa in 1e-6")
    print(f"{'method':10} {'rule':14} {'IoU':>6} {'nIoU':>6} {'Pd':>6} {'Fa':>8} {'ms':>7}")
    lines = []
    for method, detector in CLASSICAL.items():
        timed = [seconds(detector, sample.image) for sample in chosen]
        ms = 1e3 * float(np.median([one[0] for one in timed]))
        rules = {f"k={k:g}": (k_sigma, k) for k in sigmas or (SIGMAS[method],)}
        rules[f"{FA_PER_MPX:g} a Mpx"] = (cfar, FA_PER_MPX)
        best = -1.0
        for name, (rule, value) in rules.items():
            evaluation = Evaluation("basicirstd", thresholds=None)
            for sample, (_, response) in zip(chosen, timed, strict=True):
                evaluation.update(score_map(response, rule(response, value)), sample, id=sample.id)
            got = evaluation.compute()
            print(
                f"{method:10} {name:14} {got['iou']:6.3f} {got['niou']:6.3f} {got['pd']:6.3f} "
                f"{1e6 * got['fa_area']:8.1f} {ms:7.1f}"
            )
            if rule is k_sigma and got["iou"] > best:
                best, best_k = got["iou"], value
        lines += [f"{method}_iou={best:.4f}", f"{method}_k={best_k:g}", f"{method}_ms={ms:.1f}"]
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", help="a data set with masks; without it, speed is measured")
    parser.add_argument("--split", default="val")
    parser.add_argument("--every", type=int, default=1, help="take every n-th frame")
    parser.add_argument("--sigmas", action="store_true", help="try several k instead of the tuned one")
    parser.add_argument("--frames", type=int, default=5, help="frames of the speed measurement")
    options = parser.parse_args()
    if options.data:
        lines = score(options.data, options.split, options.every, TRIED if options.sigmas else ())
    else:
        lines = time_low_rank(options.frames)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
