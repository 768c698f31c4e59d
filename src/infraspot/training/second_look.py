"""The stage after a run: a second look at the candidates of the trained network.

The candidates are found once. What follows is seeded and takes a few minutes of one CPU thread: a stage
that was stopped is simply done again.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from infraspot.core.catalog import imported_names
from infraspot.core.errors import DataError
from infraspot.core.geometry import find_components
from infraspot.core.sample import Sample
from infraspot.data import open_dataset
from infraspot.inference import Engine, prepare_frame
from infraspot.inference.engines import locate, open_engine, torch_look
from infraspot.inference.frames import segment_frame
from infraspot.inference.operating_points import DEFAULT_POINT, measure_points
from infraspot.inference.second_look import WIDE, frame_for_windows, windows_of
from infraspot.training.calibration import calibrate, describe_calibration
from infraspot.training.run import Run
from infraspot.training.settings import SecondLookPart
from infraspot.training.sources import locate_set
from infraspot.weights.files import load_network, save_weights
from infraspot.weights.second_look import SecondLookNetwork, with_second_look

NEAREST = 3.0  # pixels, within which a candidate is a target's
SMOOTHING = 0.02

T = TypeVar("T")
Progress = Callable[[Iterable[T], int, str], Iterable[T]]
Sets = dict[str, Sequence[Sample]]


@dataclass(frozen=True, eq=False)
class Examples:
    """Candidates with their surroundings.

    Attributes
    ----------
    patches
        (N, 128, 128) float16 in [0, 1].
    true
        (N,) bool: the candidate is within 3 pixels of a true target, or overlaps one.
    frames
        (N,) names.
    """

    patches: NDArray[np.float16]
    true: NDArray[np.bool_]
    frames: NDArray[np.str_]

    def __getitem__(self, chosen: NDArray[np.bool_]) -> "Examples":
        return Examples(self.patches[chosen], self.true[chosen], self.frames[chosen])

    def begin_with(self, prefix: str) -> NDArray[np.bool_]:
        """(N,) bool: the frame's name begins with ``prefix``."""
        return np.char.startswith(self.frames, prefix)


def find_examples(engine: Engine, samples: Iterable[Sample], level: float) -> Examples:
    """Every candidate of an engine in frames with masks: the components of its score map above ``level``.

    Raises
    ------
    DataError
        If there are none with a target, or none without.
    """
    found = [row for sample in samples if sample.mask is not None for row in _of_frame(engine, sample, level)]
    true = np.array([row[1] for row in found], bool)
    if not len(true) or true.all() or not true.any():
        raise DataError(
            f"a second look learns from candidates with and without a target, and of {len(true)} there are"
            f" {true.sum()} with one; name frames without targets in second_look.sets"
        )
    patches, _, names = zip(*found, strict=True)
    return Examples(np.stack(patches), true, np.array(names))


def _of_frame(
    engine: Engine, sample: Sample, level: float
) -> Iterator[tuple[NDArray[np.float16], bool, str]]:
    image = prepare_frame(sample.image, sample.bit_depth)
    found = find_components(segment_frame(engine, image) > level)
    assert sample.mask is not None
    truth = find_components(sample.mask)
    framed = frame_for_windows(image)
    for number, place in enumerate(found.centroids):
        near = len(truth) > 0 and np.hypot(*(truth.centroids - place).T).min() < NEAREST
        x0, y0, x1, y1 = found.boxes[number]
        covers = sample.mask[y0:y1, x0:x1][found.mask(number)].any()
        y, x = np.rint(place).astype(int)
        yield framed[y : y + WIDE, x : x + WIDE].astype(np.float16), bool(near or covers), sample.id


def fit_network(
    examples: Examples, part: SecondLookPart, seed: int, progress: Progress[int]
) -> SecondLookNetwork:
    """Train the network on as many candidates with a target as without, in every batch."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = SecondLookNetwork(part.widths, norms=True).train()
    optimiser = torch.optim.AdamW(network.parameters(), part.lr, weight_decay=part.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, part.steps)
    true, false = np.flatnonzero(examples.true), np.flatnonzero(~examples.true)
    half = part.batch // 2
    for _ in progress(range(part.steps), part.steps, "second look"):
        chosen = np.concatenate([rng.choice(true, half), rng.choice(false, half)])
        near, wide = windows_of(_augmented(examples.patches[chosen], part, rng))
        labels = torch.from_numpy(examples.true[chosen].astype(np.float32))
        logits = network(torch.from_numpy(near), torch.from_numpy(wide))
        smooth = labels * (1 - 2 * SMOOTHING) + SMOOTHING
        optimiser.zero_grad()
        F.binary_cross_entropy_with_logits(logits, smooth).backward()
        optimiser.step()
        schedule.step()
    return network.folded()


def _augmented(
    patches: NDArray[np.float16], part: SecondLookPart, rng: np.random.Generator
) -> NDArray[np.float32]:
    """The surroundings with noise, mirrored and transposed."""
    whole = patches.astype(np.float32)
    strength = part.noise * rng.random((len(whole), 1, 1)) * whole.std((1, 2), keepdims=True)
    whole += strength.astype(np.float32) * rng.standard_normal(whole.shape, np.float32)
    for axis in (1, 2):
        if rng.random() < 0.5:
            whole = np.flip(whole, axis)
    return np.ascontiguousarray(whole.transpose(0, 2, 1) if rng.random() < 0.5 else whole)


def answers_of(network: SecondLookNetwork, examples: Examples) -> NDArray[np.float32]:
    """(N,) logits of the candidates as they are."""
    answers = []
    with torch.inference_mode():
        for first in range(0, len(examples.true), 64):
            patches = examples.patches[first : first + 64].astype(np.float32)
            answers.append(network(*map(torch.from_numpy, windows_of(patches))).numpy())
    return np.concatenate(answers)


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
    engine = open_engine(source, threads=run.recipe.train.threads, trust=trust)
    learnt_from, held_out = _open_sets(run, part)
    learnt = find_examples(engine, _stream(learnt_from, progress, "to learn from"), part.level)
    held = find_examples(engine, _stream(held_out, progress, "held out"), part.level)
    judge, described = _fit(learnt, held, part, run.seed, progress)
    looking = _LookedTwice(engine, described["second_look"], judge)
    described |= measure_points(
        looking,
        {name: _stream({name: frames}, progress, name) for name, frames in held_out.items()},
        part.points,
    )
    for prefix in part.left_out:
        kept = [~examples.begin_with(prefix) for examples in (learnt, held)]
        sibling, card_of = _fit(learnt[kept[0]], held[kept[1]], part, run.seed, progress)
        looking = _LookedTwice(engine, card_of["second_look"], sibling)
        apart = _stream(learnt_from | held_out, progress, prefix)
        strangers = {f"{prefix}*, left out": (sample for sample in apart if sample.id.startswith(prefix))}
        for name, point in measure_points(looking, strangers, part.points)["operating_points"].items():
            described["operating_points"][name]["measured"] += point["measured"]
    new = {**card, **described, "threshold": part.points.get(DEFAULT_POINT, 0.5)}
    save_weights(file, with_second_look(network.state_dict(), judge), new)
    return new


def _open_sets(run: Run, part: SecondLookPart) -> tuple[Sets, Sets]:
    """The frames to learn from and those held out, by the names of their sets."""
    data = run.recipe.data
    own = Path(data.path or data.set or "scenes").name
    learnt: Sets = {f"{own} {data.split}": run.frames}
    held: Sets = {f"{own} {data.val_split}": run.val_frames}
    for name in part.sets:
        folder = locate_set(name)
        for sets, split in ((learnt, data.split), (held, data.val_split)):
            sets[f"{folder.name} {split}"] = open_dataset(folder, split=split)
    return learnt, held


def _stream(sets: Sets, progress: Progress[Any], what: str) -> Iterable[Sample]:
    return progress(chain.from_iterable(sets.values()), sum(map(len, sets.values())), what)


def _fit(
    learnt: Examples, held: Examples, part: SecondLookPart, seed: int, progress: Progress[Any]
) -> tuple[SecondLookNetwork, dict[str, Any]]:
    """A network, and what the card says about it: its calibration on candidates that it did not see."""
    network = fit_network(learnt, part, seed, progress)
    logits = answers_of(network, held)
    temperature, offset = calibrate(logits, held.true)
    card = {
        "widths": list(part.widths),
        "level": part.level,
        "outline": part.outline,
        "temperature": temperature,
        "offset": offset,
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
        "calibration": describe_calibration(logits, held.true, held.frames),
    }
