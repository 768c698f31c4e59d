"""The second part of adaptation: the second look learns the clutter and the targets of the new camera."""

import copy
from collections.abc import Sequence

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch.nn import functional as F

from infraspot.core.sample import Sample
from infraspot.inference.second_look import windows_of
from infraspot.training.adapting.clock import Clock
from infraspot.training.adapting.model import Model
from infraspot.training.adapting.tuning import Known
from infraspot.training.candidates import Examples, Remembering, examples_in, find_pasted
from infraspot.training.ema import EMA
from infraspot.training.second_look import SMOOTHING, augmented
from infraspot.training.settings import SecondLookPart
from infraspot.weights.second_look import SecondLookNetwork

STEPS, BATCH, RATE, KEPT = 60, 32, 1e-3, 0.9
OLD_SHARE = 0.4  # of a batch, where there are old candidates
PASTED_INTO = 8  # frames that targets of the shots are pasted into


def tuned_look(model: Model, known: Known, old: Examples | None, clock: Clock, seed: int = 0) -> Model:
    """The model with a second look that knows the candidates of the new camera.

    It goes on from the look of ``model`` with candidates of the shots and of frames without targets, with
    targets of the shots pasted into frames, and with candidates of old frames.

    Returns
    -------
    The same model where it has no second look, or where there is nothing to learn from.
    """
    if model.look is None:
        return model
    part, rng = model.part, np.random.default_rng(seed)
    engine = Remembering(model.engine, part.level)
    seen = examples_in(engine, [*known.shots, *map(_without_targets, known.empties)], part)
    if not len(seen.true):
        return model
    places = [*known.empties, *known.shots]
    chosen = [places[int(k)] for k in rng.permutation(len(places))[:PASTED_INTO]]
    fresh = (
        seen + find_pasted(engine, map(_with_mask, chosen), known.shots, part, rng) if known.shots else seen
    )
    return model.with_look(_go_on(model.look, fresh, old, part, rng, clock))


def old_candidates(model: Model, frames: Sequence[Sample]) -> Examples | None:
    """The candidates of old frames with masks; None where the model has no second look."""
    return (
        None
        if model.look is None
        else examples_in(Remembering(model.engine, model.part.level), frames, model.part)
    )


def _go_on(
    look: SecondLookNetwork,
    fresh: Examples,
    old: Examples | None,
    part: SecondLookPart,
    rng: Generator,
    clock: Clock,
) -> SecondLookNetwork:
    """Train on: half of a batch true, half false; of each half a share from old frames."""
    torch.manual_seed(int(rng.integers(2**31)))
    network = copy.deepcopy(look).train().requires_grad_(True)
    mean = EMA(network, KEPT)
    optimiser = torch.optim.AdamW(network.parameters(), RATE, weight_decay=0.0)
    for step in range(STEPS):
        if clock.left <= 0:
            break
        for group in optimiser.param_groups:
            group["lr"] = RATE * (1 + np.cos(np.pi * step / STEPS)) / 2
        patches, true = _batch(fresh, old, rng)
        near, wide = windows_of(augmented(torch.from_numpy(patches), part, rng).numpy())
        labels = torch.from_numpy(true.astype(np.float32))
        logits = network(torch.from_numpy(near), torch.from_numpy(wide))
        smooth = labels * (1 - 2 * SMOOTHING) + SMOOTHING
        optimiser.zero_grad()
        F.binary_cross_entropy_with_logits(logits, smooth).backward()
        optimiser.step()
        mean.update(network)
    return mean.network.half().float().eval()


def _batch(
    fresh: Examples, old: Examples | None, rng: Generator
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    patches, true = [], []
    for kind in (True, False):
        known = [one for one in (fresh, old) if one is not None and (one.true == kind).any()]
        shares = [1 - OLD_SHARE, OLD_SHARE] if len(known) > 1 else [1.0]
        for one, share in zip(known, shares, strict=False):
            drawn = rng.choice(np.flatnonzero(one.true == kind), round(BATCH / 2 * share))
            patches.append(one.patches[drawn].astype(np.float32))
            true.append(one.true[drawn])
    return np.concatenate(patches), np.concatenate(true)


def _without_targets(sample: Sample) -> Sample:
    return sample.replace(mask=np.zeros(sample.shape, bool), label=None)


def _with_mask(sample: Sample) -> Sample:
    return sample if sample.mask is not None else _without_targets(sample)
