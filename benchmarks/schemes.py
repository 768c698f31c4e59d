"""What a scheme costs beside full supervision: CPU seconds of an epoch, in pairs, and of labelling anew.

``python benchmarks/schemes.py [--schemes d2d,taught] [--network compact] [--side 128] [--repeats 3]`` on
SIRST-v1 within INFRASPOT_DATA. An epoch of every scheme is timed in turn, well within its outer level. What
it does between epochs (labels, theta) counts as in a run of 400 epochs. Ratios are those of one turn; medians
and ranges are printed.
"""

import argparse
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from infraspot.blocks.diffusion import HeatDiffusion
from infraspot.schemes.heat import HeatLabels
from infraspot.training import Run, build_run, load_recipe
from infraspot.training.build import begin_run
from infraspot.training.fit import train_batch

EPOCHS = 400
# The first epoch of an update of labels, and how far apart these are.
AT, EVERY = 100, 20


def main() -> None:
    options = _options()
    torch.set_num_threads(1)
    names = ["full", *options.schemes.split(",")]
    with TemporaryDirectory() as folder:
        runs = {name: _run(name, options, Path(folder) / name) for name in names}
        seconds: dict[str, list[float]] = {name: [] for name in names}
        between: dict[str, list[float]] = {name: [] for name in names}
        for turn in range(options.repeats + 1):
            for name, run in runs.items():
                update, epoch = _epoch(run)
                if turn:  # the first one warms up
                    between[name].append(update)
                    seconds[name].append(epoch + update / EVERY)
        for name in names:
            ratios = [own / full for own, full in zip(seconds[name], seconds["full"], strict=True)]
            print(
                f"{name:10} epoch {_spread(seconds[name])} CPU s   ratio {_spread(ratios)}"
                f"   update between epochs {_spread(between[name])} CPU s"
            )
        samples = list(runs[names[1]].samples)
        labels = HeatLabels(samples)
        print(
            f"labelling {len(samples)} frames anew by diffusion:"
            f" {_spread(_relabel(labels, options.repeats))} CPU s"
        )


def _run(name: str, options: argparse.Namespace, folder: Path) -> Run:
    changes = [f"network.name={options.network}", f"augment.0.size={options.side}", f"train.epochs={EPOCHS}"]
    run = build_run(load_recipe(f"d2d/{name}", [*changes, "train.select_on=val", "train.threads=1"]), folder)
    begin_run(run)
    return run


def _epoch(run: Run) -> tuple[float, float]:
    """CPU seconds of what comes before an epoch, and of its steps."""
    run.at.epoch, run.at.batch = AT, 0
    start = time.process_time()
    run.scheme.begin_epoch(run)
    begun = time.process_time()
    for batch in run.loader.epoch(AT):
        train_batch(run, batch)
    return begun - start, time.process_time() - begun


def _relabel(labels: HeatLabels, repeats: int) -> list[float]:
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        labels.masks(HeatDiffusion())
        seconds.append(time.process_time() - start)
    return seconds


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} [{min(values):.2f}, {max(values):.2f}]"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--schemes", default="d2d")
    parser.add_argument("--network", default="compact")
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    main()
