"""What the card of a run's weights says."""

import math
import platform
from pathlib import Path
from typing import Any

import numpy as np
import torch

from infraspot.core.version import VERSION
from infraspot.detection import Detector
from infraspot.training.run import Row, Run
from infraspot.training.settings import DataPart
from infraspot.weights import PREPROCESSING

# Where things lay on one machine is of no use on another.
PLACES: Any = {
    "network": {"start"},
    "data": {"path": True, "merge": True, "points": True, "choice": {"weights"}},
    "negatives": {"path"},
    "unlabelled": {"path"},
    "second_look": {"sets"},
    "scheme": {"teacher"},
}


def describe_run(run: Run, validation: Row | None = None) -> dict[str, Any]:
    """All that a reader, or a program that loads the weights, must know."""
    data, train, start = run.recipe.data, run.recipe.train, run.recipe.network.start
    card: dict[str, Any] = {
        "network": run.recipe.network.spec,
        "threshold": 0.5,
        "preprocessing": PREPROCESSING,
        "trained_on": {
            "set": _name_of(data),
            "split": data.split,
            "frames": len(run.frames),
            "fingerprint": run.fingerprint,
            "labels": run.labels.fingerprint(),
        },
        "selected_on": train.select_on,
        "protocol": train.protocol,
        "seed": train.seed,
        "epochs": run.epoch,
        "recipe": run.recipe.model_dump(mode="json", exclude=PLACES),
        "versions": versions(),
    }
    if isinstance(run.module, Detector):
        card |= {"kind": "detector", "suppression": run.module.suppression}
        if validation is not None:
            card["threshold"] = round(validation["threshold"], 4)
    if not run.scheme.detects:
        card["start_only"] = True
    if start is not None:
        # What a reader recognises: a packaged name, or the last two parts of a path.
        card["started_from"] = "/".join(Path(start).parts[-2:])
    if validation is not None:
        card["validation"] = {
            name: value if math.isfinite(value) else None for name, value in validation.items()
        }
    return card


def _name_of(data: DataPart) -> str | None:
    """What the set is called, without the place where it lies."""
    if data.path:
        return Path(data.path).name
    return data.set or " + ".join(Path(name).name for name in data.merge) or None


def versions() -> dict[str, str]:
    """Of everything that numbers may depend on."""
    return {
        "infraspot": VERSION,
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
