"""What a trained network says about each frame of the scored split, kept as counts."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.benchmark.grid import Cell, ranks_boxes, scored_split
from infraspot.benchmark.settings import GridPart, PredictionEntry
from infraspot.core.catalog import imported_names
from infraspot.core.errors import DataError
from infraspot.core.files import write_text
from infraspot.inference import open_engine, predict
from infraspot.metrics import Evaluation
from infraspot.metrics.average_precision import BOX_CRITERIA, accept
from infraspot.metrics.precision_curve import Accepted, DetectionRanking
from infraspot.metrics.reduction import COLUMNS
from infraspot.report.pairs import pair_files
from infraspot.report.score_tables import BOX_NUMBERS
from infraspot.training.settings import DataPart
from infraspot.training.sources import locate_data, open_validation

SCORES = "scores.json"

CRITERIA = {name: BOX_CRITERIA[name.removeprefix("box_ap.")] for name in BOX_NUMBERS}
"""The criterion of each average precision of the tables."""


@dataclass(frozen=True, eq=False)
class Scores:
    """The counts of a detector on a set.

    Attributes
    ----------
    ids
        N frames.
    counts
        (N, K), see :meth:`infraspot.metrics.Evaluation.count_rows`.
    hits
        For each frame, whether each of its targets is found.
    ranked
        For each of ``CRITERIA``, the detections of each frame; empty where no boxes are ranked.
    """

    ids: list[str]
    counts: NDArray[np.float64]
    hits: list[list[bool]]
    ranked: Mapping[str, Sequence[Accepted]]

    @classmethod
    def of(cls, evaluation: Evaluation, *, boxes: bool) -> "Scores":
        """Those of an evaluation; ``boxes`` says whether boxes are ranked."""
        records = evaluation.records
        frames = [evaluation.scored_frame(record) for record in records if boxes]
        return cls(
            [record.id for record in records],
            evaluation.count_rows(),
            [record.hit.tolist() for record in records],
            {name: [accept(frame, rule) for frame in frames] for name, rule in CRITERIA.items() if boxes},
        )

    def at(self, ids: list[str]) -> "Scores":
        """The same for these frames, in this order."""
        places = {id: place for place, id in enumerate(self.ids)}
        chosen = [places[id] for id in ids]
        return Scores(
            ids,
            self.counts[chosen],
            [self.hits[place] for place in chosen],
            {name: [frames[place] for place in chosen] for name, frames in self.ranked.items()},
        )

    def rankings(self) -> dict[str, DetectionRanking]:
        """For each of ``CRITERIA``, the detections as one ranking; empty where no boxes are ranked."""
        targets = self.counts[:, COLUMNS.index("targets")].astype(np.int64)
        return {
            name: DetectionRanking.of(frames, targets, CRITERIA[name].interpolation)
            for name, frames in self.ranked.items()
        }


def score_cell(cell: Cell, part: GridPart, folder: Path) -> None:
    """Score the weights of a finished run and write the counts into its folder.

    Raises
    ------
    InfraspotError
        If the weights or the frames cannot be read, or a frame has no mask.
    """
    engine = open_engine(str(_weights(part, folder)), trust=[*imported_names(cell.recipe.model_dump())])
    evaluation = Evaluation(part.score.protocol, thresholds=None)
    data = cell.recipe.data
    for sample in open_validation(data, scored_split(part, data)):
        if sample.mask is None:
            raise DataError(f"{sample.id} has no mask to score against; annotate it, or leave it out")
        evaluation.add(evaluation.measure(predict(engine, sample), sample.mask, id=sample.id))
    scores = Scores.of(evaluation, boxes=ranks_boxes(part))
    stored = {
        "about": _about(part, folder),
        "columns": COLUMNS,
        "ids": scores.ids,
        "counts": scores.counts.tolist(),
        "hits": scores.hits,
        "ranked": {
            name: [[values.tolist(), true.tolist()] for values, true in frames]
            for name, frames in scores.ranked.items()
        },
    }
    write_text(folder / SCORES, json.dumps(stored) + "\n")


def score_predictions(row: PredictionEntry, data: DataPart, part: GridPart) -> Scores:
    """Score a folder of masks or score maps; a frame without a file counts as empty."""
    found = pair_files(Path(row.folder), locate_data(data), split=scored_split(part, data), missing="empty")
    evaluation = Evaluation(part.score.protocol, thresholds=None)
    for pair in found.pairs:
        loaded = pair.load()
        evaluation.add(evaluation.measure(loaded.prediction, loaded.truth, id=pair.id))
    return Scores.of(evaluation, boxes=ranks_boxes(part))


def read_scores(part: GridPart, folder: Path) -> Scores | None:
    """The counts in a run's folder; None if there are none of these weights, split and protocol, or if boxes
    are to be ranked and are not.

    Raises
    ------
    DataError
        If the file is not what a benchmark writes.
    """
    path = folder / SCORES
    if not path.is_file():
        return None
    try:
        stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        boxes = ranks_boxes(part)
        if stored["about"] != _about(part, folder) or (boxes and not stored.get("ranked")):
            return None
        counts = np.array(stored["counts"], np.float64).reshape(len(stored["ids"]), len(COLUMNS))
        hits = [[bool(hit) for hit in hits] for hits in stored["hits"]]
        return Scores(stored["ids"], counts, hits, _read_ranked(stored) if boxes else {})
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(
            f"{path}: expected the scores of a benchmark, and they cannot be read ({error}); delete the file,"
            " and the same command scores the run again"
        ) from error


def _read_ranked(stored: Mapping[str, Any]) -> dict[str, list[Accepted]]:
    """The ranked detections of a file of scores; ValueError where they do not fit its frames."""
    ranked = {
        name: [
            (np.array(values, np.float64), np.array(true, np.bool_))
            for values, true in stored["ranked"][name]
        ]
        for name in CRITERIA
    }
    for name, frames in ranked.items():
        if len(frames) != len(stored["ids"]) or any(a.ndim != 1 or a.shape != b.shape for a, b in frames):
            raise ValueError(f"{name} does not hold one list of detections for each frame")
    return ranked


def _weights(part: GridPart, folder: Path) -> Path:
    return folder / f"{part.runs.weights}.safetensors"


def _about(part: GridPart, folder: Path) -> dict[str, Any]:
    """What the counts depend on."""
    weights = _weights(part, folder)
    digest = hashlib.sha256(weights.read_bytes()).hexdigest() if weights.is_file() else None
    return {"weights": digest, "kind": part.runs.weights, **part.score.model_dump(exclude={"draws", "boxes"})}
