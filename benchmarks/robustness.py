"""Pd and false targets of a model when frames get worse: the robustness table of its card.

    python benchmarks/robustness.py --data SIRST_V1 --data SIRST_V2 --model compact-sirst1

Each row changes the frames of a split in one way, with a fixed seed, and scores them at the model's default
threshold. ``--every 3`` takes every third frame, for a quick look.
"""

import argparse
from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

from infraspot.core.sample import Sample
from infraspot.data import open_dataset
from infraspot.inference import open_engine, predict
from infraspot.metrics import Evaluation

Image = NDArray[np.float32]
Change = Callable[[Image, Generator], Image]


def gain(factor: float, bias: float = 0.0) -> Change:
    """Contrast times ``factor`` about the frame's mean."""
    return lambda image, rng: (image - image.mean()) * factor + image.mean() + bias


def noise(sigma: float) -> Change:
    return lambda image, rng: image + sigma * rng.standard_normal(image.shape, np.float32)


def blur(sigma: float) -> Change:
    return lambda image, rng: ndimage.gaussian_filter(image, sigma)


def stripes(sigma: float) -> Change:
    """Fixed-pattern noise: an offset for each column."""
    return lambda image, rng: image + sigma * rng.standard_normal((1, image.shape[1]), np.float32)


def dead(share: float) -> Change:
    """Pixels stuck at black or white."""

    def change(image: Image, rng: Generator) -> Image:
        stuck = rng.random(image.shape) < share
        return np.where(stuck, rng.integers(0, 2, image.shape), image).astype(np.float32)

    return change


def depth(bits: int) -> Change:
    return lambda image, rng: np.rint(image * (2**bits - 1)) / (2**bits - 1)


CHANGES: dict[str, Change] = {
    "as they are": lambda image, rng: image,
    "contrast x 0.5": gain(0.5),
    "contrast x 0.2": gain(0.2),
    "content in 5 % of the range": lambda image, rng: 0.45 + 0.05 * image,
    "brighter by 0.2": gain(1.0, 0.2),
    "noise 0.01": noise(0.01),
    "noise 0.03": noise(0.03),
    "blur 0.7 px": blur(0.7),
    "blur 1.5 px": blur(1.5),
    "stripes 0.01": stripes(0.01),
    "stripes 0.03": stripes(0.03),
    "dead pixels 1e-4": dead(1e-4),
    "dead pixels 1e-3": dead(1e-3),
    "6 bits": depth(6),
    "4 bits": depth(4),
    "upside down": lambda image, rng: 1 - image,
}
SIZES = {"size x 0.5": 0.5, "size x 2": 2.0}


def resized(sample: Sample, factor: float) -> Sample:
    """The frame and its mask at another size."""
    assert sample.mask is not None
    image = ndimage.zoom(sample.image, factor, order=1).clip(0, 1)
    mask = ndimage.zoom(sample.mask.astype(np.float32), factor, order=1) > 0.3
    return Sample(sample.id, image, mask, bit_depth=sample.bit_depth)


def changed(sample: Sample, change: Change, seed: int) -> Sample:
    image = change(sample.image, np.random.default_rng(seed)).clip(0, 1).astype(np.float32)
    return Sample(sample.id, image, sample.mask, bit_depth=sample.bit_depth)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--data", action="append", required=True)
    parser.add_argument("--split", default="val")
    parser.add_argument("--model", default="compact-sirst1")
    parser.add_argument("--polarity", default="bright", choices=("bright", "dark", "both"))
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--rows", nargs="*", help="only rows whose names begin so")
    given = parser.parse_args()
    engine = open_engine(given.model, threads=1)
    engine.polarity = given.polarity  # type: ignore[attr-defined]
    threshold = float(engine.card.get("threshold", 0.5))
    sets = {folder: open_dataset(folder, split=given.split) for folder in given.data}
    print(f"| frames ({engine.name}, threshold {threshold:g}) |" + "".join(f" {name} |" for name in sets))
    print("|---|" + "---|" * len(sets))
    for row in [*CHANGES, *SIZES]:
        if given.rows and not row.startswith(tuple(given.rows)):
            continue
        cells = []
        for reader in sets.values():
            evaluation = Evaluation("infraspot", threshold=threshold, thresholds=None)
            for number in range(0, len(reader), given.every):
                sample = reader[number]
                if row in SIZES:
                    sample = resized(sample, SIZES[row])
                else:
                    sample = changed(sample, CHANGES[row], number)
                evaluation.update(predict(engine, sample), sample)
            numbers = evaluation.compute()
            cells.append(f" {numbers['pd']:.3f}, {numbers['false_alarms_per_image']:.2f} |")
        print(f"| {row} |" + "".join(cells), flush=True)


if __name__ == "__main__":
    main()
