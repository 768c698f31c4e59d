"""Training: recipes, the loop, runs that stop and go on bit by bit."""

from infraspot.core.lock import locked
from infraspot.schemes.base import TrainingError
from infraspot.training.build import build_run
from infraspot.training.checkpoint import has_state, read_state, recipe_of, restore_run, save_run
from infraspot.training.fit import Watcher, fit
from infraspot.training.opening import open_run, train
from infraspot.training.recipe import as_toml, changed_recipe, find_recipe, load_recipe, started_recipe
from infraspot.training.repeats import spread_of, write_repeats
from infraspot.training.run import Row, Run
from infraspot.training.settings import Recipe
from infraspot.training.stages import run_stages

__all__ = [
    "Recipe",
    "Row",
    "Run",
    "TrainingError",
    "Watcher",
    "as_toml",
    "build_run",
    "changed_recipe",
    "find_recipe",
    "fit",
    "has_state",
    "load_recipe",
    "locked",
    "open_run",
    "read_state",
    "recipe_of",
    "restore_run",
    "run_stages",
    "save_run",
    "spread_of",
    "started_recipe",
    "train",
    "write_repeats",
]
