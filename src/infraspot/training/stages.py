"""What follows the last epoch, where the recipe asks for it. Each stage writes its card into the weights."""

from collections.abc import Callable, Iterable
from typing import Any

from infraspot.training.peaks import part_clusters
from infraspot.training.run import Run
from infraspot.training.second_look import look_twice

Stage = Callable[[Run, Callable[[Iterable[Any], int, str], Iterable[Any]]], dict[str, Any]]

STAGES: dict[str, Stage] = {"second_look": look_twice, "peaks": part_clusters}
"""By the part of the recipe that asks for them."""


def run_stages(run: Run, progress: Callable[[Iterable[Any], int, str], Iterable[Any]]) -> dict[str, Any]:
    """Run the stages of a finished run; one that was stopped is done again when the run goes on.

    Returns
    -------
    The new card of the weights after each stage, by its part of the recipe.
    """
    asked = {name: stage for name, stage in STAGES.items() if getattr(run.recipe, name) is not None}
    return {name: stage(run, progress) for name, stage in asked.items()}
