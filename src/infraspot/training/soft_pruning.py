"""Pruning while a network trains: filters are set to 0, and may come back."""

import torch

from infraspot.training.run import Run
from infraspot.weights.pruning import Group, choose, find_groups, soften


class SoftPruning:
    """Before each epoch, sets the least important filters to 0 (IRPruneDet, AAAI 2024).

    The filters that would leave if the network were pruned now lose their weights and go on training, so that
    one that is needed can recover within the epoch. Where a norm and a ReLU follow, that takes a norm with a
    positive bias: with any other the ReLU passes no gradient. What stays at 0 costs nothing when
    `infraspot prune` takes it out.

    Raises
    ------
    UsageError
        If no channel of the network can be pruned.
    """

    def __init__(self, run: Run) -> None:
        self._groups: list[Group] = []
        if run.recipe.prune is not None:
            side = max(64, 2 * run.module.stride)
            self._groups = find_groups(run.module, torch.zeros(1, 1, side, side, device=run.device))

    def begin_epoch(self, run: Run) -> None:
        """Set the filters to 0 that are least important now; nothing without ``[prune]``."""
        if run.recipe.prune is not None:
            soften(run.module, choose(run.module, self._groups, keep=run.recipe.prune.keep))
