"""Time of suppression and of RoIAlign, in CPU milliseconds on one thread.

    python benchmarks/boxes.py --count 1000

Boxes are of two kinds: proposals in clusters, as a detector makes them, and boxes that hardly overlap, which
is the most work.
"""

import argparse
import time
from collections.abc import Callable
from statistics import median

import torch

from infraspot.detection.roi import roi_align
from infraspot.detection.suppression import suppress


def clustered(count: int, generator: torch.Generator) -> torch.Tensor:
    """Proposals around 60 targets of 3 to 5 pixels."""
    targets = torch.rand(60, 2, generator=generator) * 500
    chosen = targets[torch.randint(60, (count,), generator=generator)]
    middle = chosen + torch.randn(count, 2, generator=generator)
    half = 1.5 + torch.rand(count, 2, generator=generator)
    return torch.cat([middle - half, middle + half], 1)


def scattered(count: int, generator: torch.Generator) -> torch.Tensor:
    """Boxes anywhere in a frame of 512x512."""
    low = torch.rand(count, 2, generator=generator) * 500
    return torch.cat([low, low + 2 + 4 * torch.rand(count, 2, generator=generator)], 1)


def milliseconds(work: Callable[[], object], repeats: int) -> tuple[float, float, float]:
    """Median, least and largest CPU time of a call."""
    work()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(1e3 * (time.process_time() - start))
    return median(times), min(times), max(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=50)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    scores = torch.rand(arguments.count, generator=generator)
    features = torch.rand(1, 64, 128, 128, generator=generator)
    works: dict[str, Callable[[], object]] = {}
    for make in (clustered, scattered):
        boxes = make(arguments.count, generator)
        kept = len(suppress(boxes, scores))
        works[f"suppress {arguments.count} {make.__name__} ({kept} kept)"] = lambda b=boxes: suppress(
            b, scores
        )
    regions = [scattered(arguments.count, generator)]
    works[f"roi_align {arguments.count} x 64 x 7 x 7"] = lambda: roi_align(features, regions, stride=4)
    for name, work in works.items():
        middle, least, largest = milliseconds(work, arguments.repeats)
        print(f"{name:45} {middle:7.2f} ms  ({least:.2f} to {largest:.2f})")


if __name__ == "__main__":
    main()
