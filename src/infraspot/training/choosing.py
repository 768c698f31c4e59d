"""Training on a share of the frames: by learned weight, by difficulty, or at random (Figures 6, 7 of D2D)."""

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path

from numpy.random import default_rng

from infraspot.core.errors import DataError, InputError
from infraspot.core.sample import Sample
from infraspot.data.opening import read_text
from infraspot.schemes.clicks import require_clicks
from infraspot.schemes.dynamics import hardness_of
from infraspot.training.frames import Frames
from infraspot.training.settings import ChoicePart
from infraspot.training.sources import WithClicks

# Seeds the choice apart from every draw of training.
CHOICE_STREAM = 5


class Chosen(Frames):
    """Some of the frames, in their order."""

    def __init__(self, frames: Sequence[Sample], places: Sequence[int]) -> None:
        self._frames, self._places = frames, sorted(places)

    def __len__(self) -> int:
        return len(self._places)

    def frame(self, index: int) -> Sample:
        return self._frames[self._places[index]]


def chosen_frames(frames: Sequence[Sample], part: ChoicePart, points: str, seed: int) -> Chosen:
    """The share of the frames that ``[data] choice`` asks for; of frames of equal rank the first.

    Parameters
    ----------
    points, seed
        ``data.points`` and the run's seed.

    Raises
    ------
    InfraspotError
        If the file of weights cannot be used, or frames lack the clicks that tell their difficulty.
    """
    count = max(1, round(part.share * len(frames)))
    if part.by == "random":
        order = default_rng([seed, CHOICE_STREAM]).permutation(len(frames)).tolist()
        return Chosen(frames, order[:count])
    ids = [frames[k].id for k in range(len(frames))]
    if part.by == "weight":
        value = read_weights(part.weights, ids)
    else:
        clicked = WithClicks(frames, points, seed)
        require_clicks(clicked, "choosing frames by their difficulty")
        value = hardness_of(clicked)
    order = sorted(range(len(ids)), key=lambda place: -value[ids[place]])
    return Chosen(frames, order[:count])


def read_weights(path: str | None, ids: Sequence[str]) -> dict[str, float]:
    """The weight of each frame in the ``frames.csv`` that a run of the scheme d2d leaves in its folder.

    Raises
    ------
    UsageError, InputError, DataError
        If there is no file, it is of another form, or it lacks a frame.
    """
    if path is None:
        raise DataError(
            "choosing frames by weight needs data.choice.weights: the frames.csv in the folder of a d2d run"
        )
    rows = csv.DictReader(io.StringIO(read_text(Path(path))))
    try:
        weights = {row["id"]: float(row["weight"]) for row in rows}
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise InputError(
            f"{path} is no list of weights ({error}); expected CSV with the columns id and weight, such as"
            " the frames.csv of a d2d run"
        ) from error
    absent = [id for id in ids if not math.isfinite(weights.get(id, math.nan))]
    if absent:
        raise DataError(
            f"{path} has no weight for {len(absent)} of the {len(ids)} frames, such as {absent[0]}; take the"
            " frames.csv of a run on the same set"
        )
    return weights
