"""The stage after a run: a second look at the candidates of the trained network.

The candidates are found once. What follows is seeded and takes a few minutes of one CPU thread: a stage
that was stopped is simply done again.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from infraspot.core.catalog import imported_names
from infraspot.core.errors import UsageError
from infraspot.core.sample import Sample
from infraspot.data import open_dataset
from infraspot.inference import Engine
from infraspot.inference.engines import locate, open_engine, torch_look
from infraspot.inference.operating_points import (
    DEFAULT_POINT,
    choose_points,
    compare_asked,
    count_sets,
    in_halves,
    measure_at,
)
from infraspot.inference.predictor import TargetEngine
from infraspot.inference.second_look import FORMS, evidence_of, mirrored, windows_of
from infraspot.training.calibration import calibrate, calibration_of_strangers, describe_calibration
from infraspot.training.candidates import (
    Examples,
    Progress,
    Remembering,
    Sets,
    begins,
    examples_to_learn,
    find_examples,
    stream,
)
from infraspot.training.ema import EMA
from infraspot.training.run import Run
from infraspot.training.settings import SecondLookPart
from infraspot.training.sources import locate_set, name_of_set
from infraspot.weights.files import load_network, save_weights
from infraspot.weights.second_look import SecondLookNetwork, with_second_look

SMOOTHING = 0.02


def fit_network(
    examples: Examples, part: SecondLookPart, seed: int, progress: Progress[int]
) -> SecondLookNetwork:
    """Train the network on as many candidates with a target as without, in every batch."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = SecondLookNetwork(part.widths, norms=True).train()
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    mean = EMA(network, part.ema)
    optimiser = torch.optim.AdamW(network.parameters(), part.lr, weight_decay=part.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, part.steps)
    for _ in progress(range(part.steps), part.steps, "second look"):
        chosen = _draw(examples, part, rng)
        patches = torch.from_numpy(examples.patches[chosen].astype(np.float32))
        near, wide = windows_of(augmented(patches, part, rng).numpy())
        labels = torch.from_numpy(examples.true[chosen].astype(np.float32))
        logits = network(torch.from_numpy(near), torch.from_numpy(wide))
        smooth = labels * (1 - 2 * SMOOTHING) + SMOOTHING
        optimiser.zero_grad()
        F.binary_cross_entropy_with_logits(logits, smooth).backward()
        optimiser.step()
        schedule.step()
        mean.update(network)
    return mean.network.folded()


def _draw(examples: Examples, part: SecondLookPart, rng: np.random.Generator) -> NDArray[np.intp]:
    """The places of one batch: half false, and of the true ones a share that was pasted, if any was."""
    pasted = examples.donors != ""
    kinds = [examples.true & pasted, examples.true & ~pasted, ~examples.true]
    true = part.batch // 2
    share = round(true * part.pasted_share) if kinds[0].any() else 0
    counts = (share, true - share, part.batch - true)
    drawn = [rng.choice(np.flatnonzero(kind), n) for kind, n in zip(kinds, counts, strict=True) if n]
    return np.concatenate(drawn)


def augmented(whole: Tensor, part: SecondLookPart, rng: np.random.Generator) -> Tensor:
    """Surroundings (N, H, H) at other sizes and brightness, with noise, mirrored and transposed."""
    count = len(whole)
    size, power, strength = (
        torch.from_numpy(values.astype(np.float32))
        for values in (
            part.zoom ** rng.uniform(-1, 1, count),
            part.gamma ** rng.uniform(-1, 1, (count, 1, 1)),
            part.noise * rng.random((count, 1, 1)),
        )
    )
    moved = torch.zeros(count, 2, 3)
    moved[:, 0, 0] = moved[:, 1, 1] = 1 / size
    grid = F.affine_grid(moved, [count, 1, *whole.shape[1:]], align_corners=False)
    whole = F.grid_sample(whole[:, None], grid, padding_mode="border", align_corners=False)[:, 0]
    whole = whole.clamp(1e-4, 1) ** power
    noise = torch.from_numpy(rng.standard_normal(whole.shape, np.float32))
    whole = whole + strength * whole.std((1, 2), keepdim=True) * noise
    mirrored = [axis for axis in (1, 2) if rng.random() < 0.5]
    whole = whole.flip(mirrored) if mirrored else whole
    return (whole.transpose(1, 2) if rng.random() < 0.5 else whole).contiguous()


def answers_of(
    network: SecondLookNetwork, examples: Examples, *, all_forms: bool = False
) -> NDArray[np.float32]:
    """(N,) logits of the candidates as they are, or means over their mirrored and transposed forms."""
    answers = []
    with torch.inference_mode():
        for first in range(0, len(examples.true), 64):
            windows = windows_of(examples.patches[first : first + 64].astype(np.float32))
            if all_forms:
                windows = (mirrored(windows[0]), mirrored(windows[1]))
            logits = network(*map(torch.from_numpy, windows)).numpy()
            answers.append(logits.reshape(FORMS if all_forms else 1, -1).mean(0))
    return np.concatenate(answers)


def evidence_in(
    network: SecondLookNetwork, examples: Examples, *, all_forms: bool = False
) -> NDArray[np.float64]:
    """(N, 3) what is known of each candidate (see :func:`infraspot.inference.second_look.evidence_of`)."""
    answers = answers_of(network, examples, all_forms=all_forms)
    return evidence_of(answers, examples.peaks, examples.counts)


class _LookedTwice:
    """An engine with a second look that is not in a file yet."""

    def __init__(self, first: Engine, card: dict[str, Any], judge: SecondLookNetwork) -> None:
        self.name, self.card, self.score = first.name, first.card, first.score
        self.second_look = torch_look(card, judge, first.name)


def look_twice(run: Run, progress: Progress[Any]) -> dict[str, Any]:
    """Train, calibrate and measure the second look that the recipe asks for.

    It joins the weights that the run folder stands for: the best, or the last of a run without epochs.

    Returns
    -------
    The new card of these weights.

    Raises
    ------
    DataError
        If a set is absent, or the candidates are all true or all false.
    """
    part, start = run.recipe.second_look, run.recipe.network.start
    assert part is not None
    trust = [*imported_names(run.recipe.network.spec)]
    file = locate(str(run.folder), "torch")
    # Weights that were not trained here keep their card, and run in their fastest engine.
    source = start if start is not None and run.epochs == 0 else str(file)
    network, card = load_network(locate(source, "torch"), trust=trust)
    opened = open_engine(source, threads=run.recipe.train.threads, trust=trust)
    if isinstance(opened, TargetEngine):
        raise UsageError(f"{source} takes a camera's pixels; a second look is trained on plain weights")
    engine = Remembering(opened, part.level)
    learnt_from, held_out = _open_sets(run, part)
    learnt = examples_to_learn(engine, learnt_from, part, run.seed, progress)
    held = find_examples(engine, stream(held_out, progress, "held out"), part)
    judge, described = _fit(learnt, held, part, run.seed, progress)
    looking = _LookedTwice(engine, described["second_look"], judge)
    counted = count_sets(looking, _streams(held_out, progress))
    points, false_alarms = choose_points(counted, part.points)
    measures = [measure_at(counted, points)]
    one, other = in_halves(counted)
    asked = [compare_asked([(one, other), (other, one)], "held out, one half by the other")]
    if part.left_out:
        apart = _leave_out(engine, (learnt, held), (learnt_from, held_out), part, run.seed, progress)
        measures, asked = [*measures, apart["measured"]], [*asked, apart["asked"]]
        described["calibration"]["left_out"] = apart["calibration"]
    named = {
        name: {**point, "measured": [row for rows in measures for row in rows[name]]}
        for name, point in points.items()
    }
    threshold = points[DEFAULT_POINT]["threshold"] if DEFAULT_POINT in points else 0.5
    described |= {"operating_points": named, "asked_against_given": asked, "threshold": threshold}
    new = {**card, **described, **({"false_alarms": false_alarms} if false_alarms else {})}
    save_weights(file, with_second_look(network.state_dict(), judge), new)
    return new


def _leave_out(
    engine: Engine,
    examples: tuple[Examples, Examples],
    sets: tuple[Sets, Sets],
    part: SecondLookPart,
    seed: int,
    progress: Progress[Any],
) -> dict[str, Any]:
    """What a sibling gives on the frames that it, its calibration and its thresholds never saw."""
    unknown = [one.touch(part.left_out) for one in examples]
    learnt, held = (one[~apart] for one, apart in zip(examples, unknown, strict=True))
    judge, card = _fit(learnt, held, part, seed, progress)
    looking = _LookedTwice(engine, card["second_look"], judge)
    name = ", ".join(f"{prefix}*" for prefix in part.left_out) + ", left out"
    known = {
        data: (sample for sample in frames if not begins(sample.id, part.left_out))
        for data, frames in _streams(sets[1], progress).items()
    }
    counted = count_sets(looking, known)
    points, _ = choose_points(counted, part.points)
    whole = stream(sets[0] | sets[1], progress, "left out")
    strangers = count_sets(looking, {name: (sample for sample in whole if begins(sample.id, part.left_out))})
    real = [one.donors == "" for one in examples]
    seen = [one[apart & own] for one, apart, own in zip(examples, unknown, real, strict=True)]
    judged = seen[0] + seen[1]
    return {
        "measured": measure_at(strangers, points),
        "asked": compare_asked([(counted, strangers)], name),
        "calibration": calibration_of_strangers(
            evidence_in(judge, judged, all_forms=part.mirrored), judged.true, card["second_look"]
        ),
    }


def _open_sets(run: Run, part: SecondLookPart) -> tuple[Sets, Sets]:
    """The frames to learn from and those held out, by the names of their sets."""
    data = run.recipe.data
    own = name_of_set(data.path or data.set or "scenes")
    further = tuple(f"{name_of_set(name)}/" for name in data.sets)
    learnt: Sets = {
        f"{own} {data.split}": [frame for frame in run.frames if not frame.id.startswith(further)]
    }
    held: Sets = {f"{own} {data.val_split}": run.val_frames}
    for name in dict.fromkeys([*data.sets, *part.sets]):
        folder = locate_set(name)
        for sets, split in ((learnt, data.split), (held, data.val_split)):
            sets[f"{name_of_set(folder)} {split}"] = open_dataset(folder, split=split)
    return learnt, held


def _streams(sets: Sets, progress: Progress[Any]) -> Mapping[str, Iterable[Sample]]:
    return {name: stream({name: frames}, progress, name) for name, frames in sets.items()}


def _fit(
    learnt: Examples, held: Examples, part: SecondLookPart, seed: int, progress: Progress[Any]
) -> tuple[SecondLookNetwork, dict[str, Any]]:
    """A network, and what the card says about it: its calibration on candidates that it did not see."""
    network = fit_network(learnt, part, seed, progress)
    evidence = evidence_in(network, held, all_forms=part.mirrored)
    card = {
        "widths": list(part.widths),
        "level": part.level,
        "outline": part.outline,
        "outlines": part.outlines,
        "mirrored": part.mirrored,
        "wide": part.wide,
        **calibrate(evidence, held.true),
    }
    trained = {
        "candidates": [int(learnt.true.sum()), int((~learnt.true).sum())],
        "frames": len(np.unique(learnt.frames)),
        "seed": seed,
        **part.model_dump(mode="json", exclude={"sets", "points"}),
    }
    return network, {
        "second_look": card,
        "second_look_trained": trained,
        "calibration": describe_calibration(evidence, held.true, held.frames),
    }
