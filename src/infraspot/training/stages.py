"""What follows the last epoch, where the recipe asks for it. Each stage writes its card into the weights."""

from collections.abc import Callable, Iterable
from typing import Any

from infraspot.inference.engines import locate
from infraspot.training.peaks import part_clusters
from infraspot.training.run import Run
from infraspot.training.second_look import look_twice
from infraspot.weights.files import read_card

Stage = Callable[[Run, Callable[[Iterable[Any], int, str], Iterable[Any]]], dict[str, Any]]

STAGES: dict[str, Stage] = {"second_look": look_twice, "peaks": part_clusters}
"""By the part of the recipe that asks for them."""

WRITTEN = {"second_look": "second_look_trained", "peaks": "parted"}
"""Of each stage, the entry of the card that only it writes."""


def run_stages(run: Run, progress: Callable[[Iterable[Any], int, str], Iterable[Any]]) -> dict[str, Any]:
    """Run the stages of a finished run: those that were done stay, and one that was stopped is done again.

    Returns
    -------
    The card of the weights after each stage, by its part of the recipe.
    """
    cards = {}
    for name, stage in STAGES.items():
        if getattr(run.recipe, name) is None:
            continue
        card = read_card(locate(str(run.folder), "torch"))
        cards[name] = card if WRITTEN[name] in card else stage(run, progress)
    return cards
