"""Training under each scheme, killed twenty times at random moments, ends as the run that was never killed.

The work is done in forks of one process that has imported everything, so that a moment costs milliseconds.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from infraspot.schemes import SCHEMES
from infraspot.schemes.adaptation import Adaptation

TESTS = Path(__file__).parent.parent / "unit"
sys.path.insert(0, str(TESTS))

KILLS = 20
COMPARED = {"name": "compared", "base": "training_fakes:TinyNet"}
NETWORKS: dict[str, dict[str, Any]] = {
    "boxes": {"name": "fcos", "backbone": "resnet10", "strides": [2, 4], "width": 8, "depth": 1},
    **dict.fromkeys(["prototypes", "cosine_head", "incremental_prototypes"], COMPARED),
}
"""Networks of the schemes that do not train every network."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork"),
]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_twenty_kills_at_random_moments_change_nothing(scheme: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, __file__, scheme, str(tmp_path)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert outcome["killed"] == KILLS, outcome
    assert outcome["files"][0] == outcome["files"][1]


def train_in_fork(recipe: Any, folder: Path) -> int:
    """Begin or go on with the run; gives the id of the fork."""
    from infraspot.training import train

    child = os.fork()
    if child == 0:
        try:
            train(recipe, folder)
        except BaseException as error:
            sys.stderr.write(f"{error!r}\n")
            os._exit(1)
        os._exit(0)
    return child


def kill_once(recipe: Any, folder: Path, draw: random.Random) -> bool:
    """Kill the run a moment after it has begun, or after it has saved again; was it still at work?"""
    before, child = saved_at(folder), train_in_fork(recipe, folder)
    if draw.random() < 0.8:
        while saved_at(folder) == before and os.waitpid(child, os.WNOHANG) == (0, 0):
            time.sleep(0.0005)
    time.sleep(draw.uniform(0, 0.03))
    os.kill(child, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def saved_at(folder: Path) -> int:
    state = folder / "state.pt"
    return state.stat().st_mtime_ns if state.exists() else 0


def main(scheme: str, place: Path) -> None:
    import torch
    from training_fakes import assert_same, table, write_data

    from infraspot.training import read_state
    from infraspot.training.recipe import parse_recipe

    torch.set_num_threads(1)
    train = {"epochs": 40, "save_seconds": 0, "evaluate_every": 8, "threads": 1}
    data = write_data(place / "data")
    whole_recipe = table(data, scheme={"name": scheme}, train=train)
    if issubclass(SCHEMES[scheme], Adaptation):
        crop = {"name": "crop", "size": 16}
        whole_recipe["unlabelled"] = {"path": str(data), "split": "val", "per_batch": 2, "augment": [crop]}
    if scheme == "sdaistd":
        whole_recipe["data"]["sets"] = [str(data)]  # trains on two cameras
    if scheme in NETWORKS:
        whole_recipe["network"] = NETWORKS[scheme]
    if scheme == "boxes":
        whole_recipe["train"] |= {"select": "ap", "epochs": 12}
        del whole_recipe["loss"]
    recipe = parse_recipe(whole_recipe, "the test")
    whole, killed = place / "whole", place / "killed"
    assert os.waitpid(train_in_fork(recipe, whole), 0)[1] == 0
    draw = random.Random(f"{scheme}")
    count = sum(kill_once(recipe, killed, draw) for _ in range(KILLS))
    assert os.waitpid(train_in_fork(recipe, killed), 0)[1] == 0
    assert_same(read_state(killed), read_state(whole))
    assert (killed / "log.csv").read_text() == (whole / "log.csv").read_text()
    files = [sorted(path.name for path in folder.iterdir()) for folder in (whole, killed)]
    sys.stdout.write(json.dumps({"killed": count, "files": files}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
