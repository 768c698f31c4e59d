"""Made clusters beside the released DenseSIRST: counts, areas, contrast, brightness and speed.

    python benchmarks/dense.py --base SIRST_V1 --released DENSESIRST --count 300

Clusters are pasted into ``--base``. Only frames that ``--released`` and ``--base`` share are compared:
what the released frames add to their base is known of them alone. ``--repeats`` times the generator at
320x240.
"""

import argparse
import json
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ks_2samp

from infraspot.core.contrast import signal_to_clutter
from infraspot.core.geometry import find_components
from infraspot.core.sample import Sample
from infraspot.data import open_dataset, write_dataset
from infraspot.jobs.dense import write_dense

PERCENTILES = 5, 25, 50, 75, 95
LEVEL = 255


def pasted(bare: Sample, dense: Sample) -> dict[str, list[float]] | None:
    """Figures of the targets that ``dense`` alone has; None where the frames differ at large."""
    if bare.shape != dense.shape or bare.mask is None or dense.mask is None:
        return None
    added = np.rint((dense.image - bare.image) * LEVEL)
    if (added < 0).any() or np.count_nonzero(added) > 3000:
        return None
    parts = find_components(dense.mask)
    own = [number for number in range(len(parts)) if not bare.mask[parts.labels == number + 1].any()]
    grey = dense.image * LEVEL
    inside = [parts.labels == number + 1 for number in own]
    ratios = signal_to_clutter(grey, parts)
    return {
        "targets of a frame": [float(len(own))],
        "area": [float(parts.areas[number]) for number in own],
        "peak added": [float(added[mask].max()) for mask in inside],
        "mean added / peak": [float(added[mask].mean() / max(added[mask].max(), 1)) for mask in inside],
        "brightest level": [float(grey[mask].max()) for mask in inside],
        "SCR": [float(ratios[number]) for number in own],
    }


def gather(pairs: Iterable[tuple[Sample, Sample]]) -> dict[str, NDArray[np.float64]]:
    found: dict[str, list[float]] = {}
    for bare, dense in pairs:
        for name, values in (pasted(bare, dense) or {}).items():
            found.setdefault(name, []).extend(values)
    return {name: np.array(values) for name, values in found.items()}


def show(released: dict[str, NDArray[np.float64]], made: dict[str, NDArray[np.float64]]) -> None:
    print(f"{'percentiles 5 25 50 75 95':26} {'released':>34} {'made':>34} distance")
    for name, ours in made.items():
        theirs = released[name]
        sides = [
            " ".join(f"{value:6.2f}" for value in np.percentile(side, PERCENTILES)) for side in (theirs, ours)
        ]
        print(f"{name:26} {sides[0]:>34} {sides[1]:>34} {ks_2samp(theirs, ours).statistic:.3f}")
    print(f"{'means':26} {_means(released):>34} {_means(made):>34}")
    shares = [
        np.bincount(side["area"].astype(int), minlength=26)[:26] / len(side["area"])
        for side in (released, made)
    ]
    print("area  " + " ".join(f"{area:4d}" for area in range(1, 26)))
    for name, share in zip(("given", "made"), shares, strict=True):
        print(f"{name:5} " + " ".join(f"{value:4.2f}" for value in share[1:]))
    print(f"total variation of areas {np.abs(shares[0] - shares[1]).sum() / 2:.3f}")


def _means(side: dict[str, NDArray[np.float64]]) -> str:
    return f"targets {side['targets of a frame'].mean():.2f} area {side['area'].mean():.2f}"


def compare(bases: Sequence[Path], released: Path, count: int, seed: int) -> None:
    sets = [open_dataset(path) for path in bases]
    place = {name: (reader, index) for reader in sets for index, name in enumerate(reader.ids)}
    skied = open_dataset(released, split="train")

    def bare(name: str) -> Sample:
        reader, index = place[name]
        return reader[index]

    listed = [name for name in skied.ids if name in place][:count]
    shared = [sample.id for sample in skied.select(listed) if sample.shape == bare(sample.id).shape]
    theirs = gather((bare(sample.id), sample) for sample in skied.select(shared))
    with TemporaryDirectory() as folder:
        base = Path(folder, "base")
        write_dataset(base, (bare(sample.id).replace(sky=sample.sky) for sample in skied.select(shared)))
        for patches in ("background", "targets"):
            out = Path(folder, patches)
            write_dense(base, out, count, seed, patches=patches)
            records = json.loads((out / "dense.json").read_text())["frames"]
            origin = {one["id"]: one["base"] for one in records}
            print(f"\npatches: {patches}")
            show(theirs, gather((bare(origin[s.id]), s) for s in open_dataset(out)))


def speed(repeats: int, frames: int = 64) -> None:
    """CPU time of a frame of 320x240 with known sky, in one process, everything read and written."""
    rng = np.random.default_rng(0)
    with TemporaryDirectory() as folder:
        base = Path(folder, "base")
        write_dataset(base, (plain_frame(f"f{number}", rng) for number in range(16)))
        for layout in ("infraspot", "densesirst"):
            times = []
            for repeat in range(repeats):
                start = time.process_time()
                write_dense(base, Path(folder, f"{layout}{repeat}"), frames, repeat, layout=layout)
                times.append((time.process_time() - start) / frames * 1000)
            low, middle, high = min(times), float(np.median(times)), max(times)
            print(
                f"{layout:11} {middle:.1f} [{low:.1f}, {high:.1f}] ms of CPU a frame, "
                f"{2000 / middle:.0f} a second on two cores"
            )


def plain_frame(name: str, rng: np.random.Generator) -> Sample:
    """Clouds over a ground, with one target."""
    rows = np.linspace(0, 1, 240)[:, None]
    image = (0.3 + 0.2 * rows + 0.02 * rng.standard_normal((240, 320))).astype(np.float32)
    mask = np.zeros((240, 320), bool)
    mask[40:43, 60:63] = True
    sky = np.broadcast_to(rows < 0.7, (240, 320)).astype(np.uint8)
    return Sample(name, (image + 0.3 * mask).clip(0, 1), mask=mask, sky=sky)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base", type=Path, action="append", default=[])
    parser.add_argument("--released", type=Path)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    if options.base and options.released:
        compare(options.base, options.released, options.count, options.seed)
    speed(options.repeats)
