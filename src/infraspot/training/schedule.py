"""How the learning rate changes: a pure function of how far the run is, so that resuming needs no state."""

import math

from infraspot.training.settings import SchedulePart


def rate_factor(part: SchedulePart, done: float, epochs: int, step: float) -> float:
    """What the learning rate is multiplied by, between 0 and 1.

    Parameters
    ----------
    done
        Epochs behind, with the share of the present one.
    epochs
        Length of the run.
    step
        Length of one step, in epochs; the first step of a warm-up has this much of it.
    """
    share = done / epochs
    if part.name == "cosine":
        shape = (1 + math.cos(math.pi * share)) / 2
    elif part.name == "restarts":
        shape = (1 + math.cos(math.pi * _share_of_cycle(part, done))) / 2
    elif part.name == "poly":
        shape = (1 - share) ** part.power
    elif part.name == "steps":
        shape = part.gamma ** sum(share >= milestone for milestone in part.milestones)
    else:
        shape = 1.0
    rise = min(1.0, (done + step) / part.warm_up) if part.warm_up else 1.0
    return rise * (part.floor + (1 - part.floor) * shape)


def _share_of_cycle(part: SchedulePart, done: float) -> float:
    """How much of the present cycle is behind."""
    length = part.cycle
    if part.lengthen == 1:
        return done % length / length
    while done >= length:
        done, length = done - length, length * part.lengthen
    return done / length
