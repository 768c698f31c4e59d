"""Figures of docs/tracking.md: detectors of sequences against single frames, on faint generated targets.

    python benchmarks/sequences.py --seed 32 --scenes 10

CPU time of this process on one thread (set OMP_NUM_THREADS=1), medians.
"""

import argparse
import time
from collections import defaultdict

import numpy as np

from infraspot.classical.sequences import SEQUENCES
from infraspot.core.geometry import find_components
from infraspot.inference import open_engine
from infraspot.inference.frames import segment_frame
from infraspot.synth import SceneRanges, generate
from infraspot.tracking import Registrar
from infraspot.tracking.stacking import Stack

RATES = (1, 2, 5, 20)
LEAST = 1e-3
LEAST_RESPONSE = {"stt": 0.02}
USUAL_RESPONSE = 3.0
FRAMES = 10
GATE = 3.0


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seed", type=int, default=32)
    options.add_argument("--scenes", type=int, default=10)
    given = options.parse_args()
    single, clip = open_engine(threads=1), open_engine("compact-clip", threads=1)
    found, cost = defaultdict(list), defaultdict(list)
    targets = pixels = 0

    def note(name, began, scores, points):
        cost[name].append(time.process_time() - began)
        found[name] += ranked(scores, points)

    ranges = SceneRanges(size=(256, 256), scr=(1.0, 3.0), frames=16)
    for scene in generate(given.scenes, given.seed, ranges):
        registrar, stack = Registrar(), Stack(FRAMES)
        for frame in scene.frames:
            targets, pixels = targets + len(frame.points), pixels + frame.image.size
            began = time.process_time()
            scores = segment_frame(single, frame.image)
            note("segmentation", began, scores, frame.points)
            note("second look", began, single.second_look.rescore(frame.image, scores), frame.points)
            began = time.process_time()
            registered = stack.push(frame.image, registrar.step(frame.image))
            note("compact-clip", began, segment_frame(clip, registered), frame.points)
            for name, method in SEQUENCES.items():
                began = time.process_time()
                response = method(registered)
                least = LEAST_RESPONSE.get(name, USUAL_RESPONSE)
                note(name, began, np.where(response > least, response, 0), frame.points)
    print(f"{targets} targets in {pixels / 1e6:.1f} Mpx")
    for name, rows in found.items():
        print(name, f"{1000 * np.median(cost[name]):.1f} ms", *at_rates(rows, targets, pixels / 1e6))


def ranked(scores, points):
    """(score, whether it hits a target that no better one hits) of each component."""
    parts = find_components(scores > LEAST)
    peaks = np.zeros(len(parts))
    inside = parts.labels > 0
    np.maximum.at(peaks, parts.labels[inside] - 1, scores[inside])
    free, rows = set(range(len(points))), []
    for place in np.argsort(-peaks):
        apart = {k: np.hypot(*(points[k] - parts.centroids[place])) for k in free}
        near = min(apart, key=apart.get, default=None)
        hit = near is not None and apart[near] < GATE
        free -= {near} if hit else set()
        rows.append((peaks[place], hit))
    return rows


def at_rates(rows, targets, megapixels):
    """Pd at each of the rates of false alarms a megapixel."""
    hits = np.array([hit for _, hit in sorted(rows, key=lambda row: -row[0])], bool)
    pd, false = np.cumsum(hits) / targets, np.cumsum(~hits) / megapixels
    return [f"{pd[false <= rate].max(initial=0):.3f}" for rate in RATES]


if __name__ == "__main__":
    main()
