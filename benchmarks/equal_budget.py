"""Train networks under one budget and score them on val in one table, with intervals and the spread of seeds.

``python benchmarks/equal_budget.py RUNS [--networks acm-port,compact] [--seeds 3] [--set train.epochs=100]``
runs the recipe ``equal_budget`` for each network and seed in a folder of its own within RUNS. Finished runs
are kept, and stopped ones go on, so that the same command can be given again, also with more networks.
``--table`` prints the table of what is finished and trains nothing.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from infraspot.networks import NETWORKS
from infraspot.training import has_state, read_state
from infraspot.weights.cost import cost

SCORES = "scores.json"
NUMBERS = {"iou": 1.0, "niou": 1.0, "pd": 1.0, "fa_area": 1e6}


def main() -> None:
    options = _options()
    names = options.networks.split(",") if options.networks else list(NETWORKS)
    if not options.table:
        for seed in range(options.seeds):
            for name in names:
                _train(options.runs / f"{name}-{seed}", name, options, seed)
    _print_table(options.runs, names, options.seeds)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", type=Path)
    parser.add_argument("--networks", default="", help="names with commas between; all if left out")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], metavar="PART.OPTION=VALUE")
    parser.add_argument("--data", help="folder of the data set; else sirst-v1 within $INFRASPOT_DATA")
    parser.add_argument("--table", action="store_true", help="print what is finished, train nothing")
    return parser.parse_args()


def _train(folder: Path, name: str, options: argparse.Namespace, seed: int) -> None:
    """One run, from wherever it is, to its scores."""
    if (folder / SCORES).exists():
        return
    data = options.data or str(Path(os.environ.get("INFRASPOT_DATA", ".")) / "sirst-v1")
    changes = [f"network.name={name}", f"train.seed={seed}", *options.set]
    told = [word for change in changes for word in ("--set", change)]
    resume = ["--resume"] if has_state(folder) else []
    _infraspot("train", "equal_budget", *told, *resume, "--data", data, "--out", str(folder))
    scored = ["--split", "val", "--protocol", "basicirstd", "--no-curves", "--json", str(folder / SCORES)]
    _infraspot("evaluate", str(folder / "last.safetensors"), "--data", data, *scored)


def _infraspot(*words: str) -> None:
    status = subprocess.call([sys.executable, "-m", "infraspot", *words])
    if status:
        raise SystemExit(status)


def _print_table(runs: Path, names: list[str], seeds: int) -> None:
    """A row a network: the first seed with its interval by image, then the mean and spread over seeds."""
    print("| network | params M | FLOPs G | minutes | seeds | IoU | nIoU | Pd | Fa of components, 1e-6 |")
    print("|---" * 9 + "|")
    rows = []
    for name in names:
        folders = [runs / f"{name}-{seed}" for seed in range(seeds)]
        scores = [json.loads((f / SCORES).read_text()) for f in folders if (f / SCORES).exists()]
        if scores:
            rows.append((statistics.fmean(score["iou"] for score in scores), name, folders[0], scores))
    for _, name, folder, scores in sorted(rows, reverse=True):
        counted = cost(NETWORKS[name])
        minutes = read_state(folder)["position"]["seconds"] / 60
        cells = [
            f"{counted.params / 1e6:.3f}",
            f"{counted.flops / 1e9:.2f}",
            f"{minutes:.0f}",
            str(len(scores)),
        ]
        cells += [_cell(scores, number, unit) for number, unit in NUMBERS.items()]
        print(f"| {name} | " + " | ".join(cells) + " |")


def _cell(scores: list[dict[str, Any]], number: str, unit: float) -> str:
    """Mean over seeds, the 95 % interval by image of the first, and the standard deviation over seeds."""
    values = [unit * score[number] for score in scores]
    low, high = (unit * bound for bound in scores[0]["intervals"][number])
    digits = 3 if unit == 1 else 1
    spread = f", sd {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]{spread}"


if __name__ == "__main__":
    main()
