"""Scoring speed against pyirstdmetrics: made data in memory, one thread, both programs in the same run.

Workload A: frames of 256x256; workload B: frames of 1024x1280. Both programs count the same things, and the
benchmark stops if the counts differ: at one threshold, pooled and per-image IoU with Pd and Fa by the
distance rule; at 101 thresholds, pixel curves with Pd and Fa. The two take turns frame by frame. Printed are
the medians of the frames in milliseconds of CPU time and of wall time on one thread, and the median of the
frames' CPU ratios with its 10th and 90th percentile.

Crowded frames follow: infraspot alone, at three sizes of one density, so that linear time shows. Lines
``name=value`` come last.
"""

# ruff: noqa: E402 - the libraries read their number of threads when they are imported

import os

for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(variable, "1")

import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import py_irstd_metrics as peer
from scipy.ndimage import gaussian_filter

from infraspot.metrics import Evaluation
from infraspot.metrics.frame import prepare, score_frame
from infraspot.metrics.protocols import PROTOCOLS
from infraspot.metrics.sweep import sweep_frame

PROTOCOL = PROTOCOLS["basicirstd"]
THRESHOLDS = np.linspace(0, 1, 101, endpoint=False)
WORKLOADS = {"A": (256, 256, 200, 24), "B": (1024, 1280, 16, 4)}

Frame = tuple[np.ndarray, np.ndarray]


def make_frame(height: int, width: int, rng: np.random.Generator) -> Frame:
    """A float32 score map as a network gives it (targets, clutter, a quiet floor) and its truth."""
    truth = np.zeros((height, width), bool)
    logits = gaussian_filter(rng.normal(size=(height, width)), 3.0)
    logits = -9.0 + 1.5 * logits / logits.std()
    for _ in range(int(rng.integers(1, 7))):
        y, x, reach = rng.integers(6, height - 6), rng.integers(6, width - 6), rng.integers(1, 4)
        truth[y - reach : y + reach + 1, x - reach : x + reach + 1] = True
        dy, dx = rng.integers(-1, 2, size=2)
        logits[y + dy - reach : y + dy + reach + 1, x + dx - reach : x + dx + reach + 1] = rng.normal(4, 3)
    for _ in range(int(rng.integers(0, 7))):
        y, x = rng.integers(6, height - 6), rng.integers(6, width - 6)
        logits[y : y + 3, x : x + 3] = rng.normal(0, 2)
    return (1 / (1 + np.exp(-gaussian_filter(logits, 0.6)))).astype(np.float32), truth


def ours_at_one(scores: np.ndarray, truth: np.ndarray) -> tuple[int, int, int, int]:
    record = score_frame(scores, truth, PROTOCOL)
    union = record.true_pixels + record.predicted_pixels - record.common_pixels
    return record.common_pixels, union, int(record.hit.sum()), record.false_area


def peer_at_one(scores: np.ndarray, truth: np.ndarray) -> tuple[int, int, int, int]:
    handlers = {
        "iou": peer.IoUHandler(with_dynamic=False, with_binary=True, sample_based=False),
        "niou": peer.IoUHandler(with_dynamic=False, with_binary=True, sample_based=True),
    }
    pixels = peer.CMMetrics(num_bins=10, threshold=0.5, metric_handlers=handlers)
    targets = peer.ProbabilityDetectionAndFalseAlarmRate(num_bins=1, distance_threshold=3)
    pixels.update(scores, truth)
    targets.update(scores, truth)
    counts = handlers["iou"].binary_results
    union = counts["tp"] + counts["fp"] + counts["fn"]
    return int(counts["tp"]), int(union), int(targets.tp_objs[0]), int(targets.fp_area[0])


def ours_at_many(scores: np.ndarray, truth: np.ndarray) -> list[tuple[int, int]]:
    counts = sweep_frame(*prepare(scores, truth, PROTOCOL), PROTOCOL, THRESHOLDS)
    return list(zip(counts.column("hits").tolist(), counts.column("false_area").tolist(), strict=True))


def peer_at_many(scores: np.ndarray, truth: np.ndarray) -> list[tuple[int, int]]:
    handlers = {
        name: handler(with_dynamic=True, with_binary=False, sample_based=False)
        for name, handler in {
            "precision": peer.PrecisionHandler,
            "recall": peer.RecallHandler,
            "tpr": peer.TPRHandler,
            "fpr": peer.FPRHandler,
        }.items()
    }
    pixels = peer.CMMetrics(num_bins=len(THRESHOLDS), threshold=0.5, metric_handlers=handlers)
    targets = peer.ProbabilityDetectionAndFalseAlarmRate(num_bins=len(THRESHOLDS), distance_threshold=3)
    pixels.update(scores, truth)
    targets.update(scores, truth)
    return list(zip(targets.tp_objs.tolist(), targets.fp_area.tolist(), strict=True))


def seconds(function: Callable[..., Any], frame: Frame, repeats: int) -> tuple[np.ndarray, Any]:
    """Medians of CPU and wall time over ``repeats`` calls, and what the function said."""
    times = []
    for _ in range(repeats):
        start = np.array([time.thread_time(), time.perf_counter()])
        answer = function(*frame)
        times.append(np.array([time.thread_time(), time.perf_counter()]) - start)
    return np.median(times, axis=0), answer


def compare(
    name: str,
    ours: Callable[..., Any],
    theirs: Callable[..., Any],
    frames: list[Frame],
    repeats: int,
    their_repeats: int,
) -> float:
    """Median ratio over the frames; stops when the two programs disagree."""
    times = []
    for frame in frames:
        mine, answer = seconds(ours, frame, repeats)
        other, expected = seconds(theirs, frame, their_repeats)
        if answer != expected:
            raise SystemExit(f"{name}: infraspot says {answer}, pyirstdmetrics says {expected}")
        times.append((mine, other))
    mine, other = np.median(times, axis=0) * 1e3
    low, ratio, high = np.percentile([b[0] / a[0] for a, b in times], [10, 50, 90])
    print(
        f"{name:16} CPU (wall) ms: infraspot {mine[0]:7.3f} ({mine[1]:7.3f})"
        f"   pyirstdmetrics {other[0]:7.2f} ({other[1]:7.2f})   ratio {ratio:6.1f} [{low:.1f}, {high:.1f}]"
    )
    return float(ratio)


def make_crowd(across: int, rng: np.random.Generator) -> Frame:
    """``across`` x ``across`` targets of 2x2 pixels, 11 pixels apart, each found up to a pixel away."""
    side = 11 * across
    scores, truth = np.zeros((side, side), np.float32), np.zeros((side, side), bool)
    for y in range(2, side, 11):
        for x in range(2, side, 11):
            truth[y : y + 2, x : x + 2] = True
            down, right = rng.integers(-1, 2, 2)
            scores[y + down : y + down + 2, x + right : x + right + 2] = rng.uniform(0.3, 0.99)
    return scores, truth


def measure_crowd(across: int, rng: np.random.Generator) -> dict[str, float]:
    """CPU milliseconds of the sweep, of one threshold and of ``compute``, and its peak of memory in MB."""
    frame = make_crowd(across, rng)
    evaluation = Evaluation(thresholds=None)
    evaluation.update(*frame)
    work = {"sweep": ours_at_many, "one threshold": ours_at_one, "compute": lambda *_: evaluation.compute()}
    numbers = {name: 1e3 * seconds(function, frame, 5)[0][0] for name, function in work.items()}
    tracemalloc.start()
    evaluation.compute()
    numbers["compute, MB"] = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    print(f"{across * across:6} targets   " + "   ".join(f"{k} {v:.2f}" for k, v in numbers.items()))
    return numbers


def main() -> None:
    rng = np.random.default_rng(2026)
    ours_at_one(*make_frame(32, 32, rng))
    ours_at_many(*make_frame(32, 32, rng))
    one, many = {}, {}
    for name, (height, width, count, curve_count) in WORKLOADS.items():
        frames = [make_frame(height, width, rng) for _ in range(count)]
        one[name] = compare(f"{name} one threshold", ours_at_one, peer_at_one, frames, 5, 3)
        many[name] = compare(f"{name} 101 thresholds", ours_at_many, peer_at_many, frames[:curve_count], 5, 1)
    crowds = [measure_crowd(across, rng) for across in (22, 45, 90)]
    for name in WORKLOADS:
        print(f"one_threshold_ratio_{name}={one[name]:.1f}")
        print(f"curve_ratio_{name}={many[name]:.1f}")
    print(f"one_threshold_ratio={min(one.values()):.1f}")
    print(f"curve_ratio={min(many.values()):.1f}")
    print(f"crowd_compute_ms={crowds[1]['compute']:.1f}")
    print(f"crowd_sweep_ms={crowds[1]['sweep']:.1f}")


if __name__ == "__main__":
    main()
