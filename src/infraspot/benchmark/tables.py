"""From the counts of a grid's cells to its tables."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from infraspot.benchmark.grid import Cell, Grid, ranks_boxes, scored_split
from infraspot.benchmark.papers import PAPERS, paper_figures
from infraspot.benchmark.scoring import Scores, read_scores, score_predictions
from infraspot.benchmark.settings import DataEntry
from infraspot.core.errors import DataError
from infraspot.core.files import write_text
from infraspot.metrics import PROTOCOLS
from infraspot.metrics.paired import (
    Comparison,
    compare,
    compare_precision,
    deviations_of,
    holm,
    intervals_of,
    mcnemar,
    numbers_of,
    precision_of,
)
from infraspot.metrics.precision_curve import DetectionRanking
from infraspot.report import score_tables
from infraspot.report.score_tables import COMPARED, NUMBERS, TARGETS, Figure, PairRow, ScoreRow, ScoreTable
from infraspot.training.settings import DataPart
from infraspot.training.sources import name_of_set

Key = tuple[str, str]
"""Network and scheme."""

MOST_DRAWS_OF_BOXES = 300  # each ranks every detection anew


def tables_of(grid: Grid, out: str | Path) -> list[ScoreTable]:
    """A table for each scored set: one a data set, and where that merges several, one for each of them too.

    Rows without any finished training are left out.
    """
    return [table for entry in grid.part.data for table in _tables_of_data(grid, Path(out), entry)]


def write_tables(folder: Path, tables: Sequence[ScoreTable], title: str) -> list[Path]:
    """Write ``table.md``, ``.csv``, ``.tex`` and ``.html``, and ``pairs.csv``; returns the files."""
    texts = {
        "table.md": score_tables.to_markdown(tables),
        "table.csv": score_tables.to_csv(tables),
        "table.tex": score_tables.to_latex(tables),
        "table.html": score_tables.to_html(tables, title),
        "pairs.csv": score_tables.pairs_to_csv(tables),
    }
    for name, text in texts.items():
        write_text(folder / name, text)
    return [folder / name for name in texts]


def _tables_of_data(grid: Grid, out: Path, entry: DataEntry) -> list[ScoreTable]:
    cells = [cell for cell in grid.cells if cell.data == entry.title]
    scores: dict[Key, list[Scores]] = {(cell.network, cell.scheme): [] for cell in cells}
    for cell in cells:
        found = read_scores(grid.part, out / "runs" / cell.name)
        if found is not None:
            scores[cell.network, cell.scheme].append(found)
    data = cells[0].recipe.data
    for row in grid.part.prediction:
        if row.data == entry.title:
            scores[row.network, row.scheme] = [score_predictions(row, data, grid.part)]
    known = {key: given for key, given in scores.items() if given}
    if not known:
        return []
    ids = next(iter(known.values()))[0].ids
    aligned = {key: [_aligned(one, ids, key) for one in given] for key, given in known.items()}
    names = {cell.network: cell.recipe.network.name for cell in cells}
    return [
        _table(grid, entry, group, chosen, aligned, names, cells)
        for group, chosen in _groups(entry.title, data, ids).items()
    ]


def _groups(title: str, data: DataPart, ids: list[str]) -> dict[str, list[str]]:
    """All frames, and where several sets are read as one, those of each."""
    groups = {title: ids}
    for name in data.merge:
        prefix = f"{name_of_set(name)}/"
        groups[prefix[:-1]] = [id for id in ids if id.startswith(prefix)]
    return {name: chosen for name, chosen in groups.items() if chosen}


def _aligned(scores: Scores, ids: list[str], key: Key) -> Scores:
    if set(scores.ids) != set(ids):
        raise DataError(
            f"{' '.join(key)} was scored on other frames than the first row of its table; score both on one"
            " split of one data set"
        )
    return scores.at(ids)


def _table(
    grid: Grid,
    entry: DataEntry,
    group: str,
    ids: list[str],
    scores: dict[Key, list[Scores]],
    names: dict[str, str],
    cells: Sequence[Cell],
) -> ScoreTable:
    chosen = {key: [one.at(ids) for one in given] for key, given in scores.items()}
    counted = {key: _Counted.of(given) for key, given in chosen.items()}
    paper = paper_figures(grid.part.about.paper) if grid.part.about.paper else {}
    rows = []
    for (network, scheme), row in counted.items():
        printed = paper.get((names.get(network, network), scheme, group), {})
        figures = _figures(row, printed, grid.part.score.draws)
        rows.append(ScoreRow(network, scheme, len(row.counts), figures))
    title = group if group == entry.title else f"{group}, trained on {entry.title}"
    return ScoreTable(title, rows, _pairs(counted, grid), _notes(grid, cells[0]))


@dataclass(frozen=True, eq=False)
class _Counted:
    """The trainings of a row: (S, N, K) counts, rankings for each kind of AP, and which targets are found."""

    counts: NDArray[np.float64]
    rankings: dict[str, list[DetectionRanking]]
    found: list[bool]

    @classmethod
    def of(cls, trainings: Sequence[Scores]) -> "_Counted":
        ranked = [one.rankings() for one in trainings]
        return cls(
            np.stack([one.counts for one in trainings]),
            {name: [one[name] for one in ranked] for name in ranked[0]},
            _found_by_most(trainings),
        )


def _figures(row: _Counted, paper: dict[str, float], draws: int) -> dict[str, Figure]:
    means, deviations = numbers_of(row.counts), deviations_of(row.counts)
    intervals = intervals_of(row.counts, draws=draws)
    figures = {name: (means[name], deviations[name], *intervals[name]) for name in NUMBERS}
    for name, rankings in row.rankings.items():
        ap = precision_of(rankings, draws=min(draws, MOST_DRAWS_OF_BOXES))
        figures[name] = ap.mean, ap.deviation, ap.low, ap.high
    return {name: Figure(*values, paper.get(name)) for name, values in figures.items()}


def _pairs(rows: dict[Key, _Counted], grid: Grid) -> list[PairRow]:
    """Rows of one network or scheme, and those of boxes with those of masks, compared by every number and by
    the targets that they find."""
    of_boxes = {(cell.network, cell.scheme) for cell in grid.cells if cell.recipe.scheme.name == "boxes"}
    found: list[PairRow] = []
    for one, other in combinations(rows, 2):
        # A detector of boxes and a network of masks never share a scheme.
        alike = one[0] == other[0] or one[1] == other[1] or (one in of_boxes) != (other in of_boxes)
        seeds = len(rows[one].counts), len(rows[other].counts)
        if not alike or (1 not in seeds and seeds[0] != seeds[1]):
            continue
        titles = " ".join(one), " ".join(other)
        for name, result in _compared(rows[one], rows[other], grid.part.score.draws).items():
            found.append(PairRow(*titles, name, result.difference, result.low, result.high, result.p))
        targets = mcnemar(rows[one].found, rows[other].found)
        more = (targets.only_one - targets.only_other) / max(targets.targets, 1)
        found.append(PairRow(*titles, TARGETS, more, math.nan, math.nan, targets.p))
    families = {name: iter(holm([pair.p for pair in found if pair.number == name])) for name in COMPARED}
    return [replace(pair, p_family=next(families[pair.number])) for pair in found]


def _compared(one: _Counted, other: _Counted, draws: int) -> dict[str, Comparison]:
    """Every number that both rows have."""
    fewer = min(draws, MOST_DRAWS_OF_BOXES)
    return compare(one.counts, other.counts, list(NUMBERS), draws=draws) | {
        name: compare_precision(rankings, other.rankings[name], draws=fewer)
        for name, rankings in one.rankings.items()
    }


def _found_by_most(scores: Sequence[Scores]) -> list[bool]:
    """For each target, whether more than half of the trainings find it."""
    hits = np.array([[hit for frame in one.hits for hit in frame] for one in scores], bool)
    return [bool(share > 0.5) for share in hits.mean(axis=0)] if hits.size else []


def _notes(grid: Grid, cell: Cell) -> list[str]:
    part, train = grid.part, cell.recipe.train
    split = scored_split(part, cell.recipe.data)
    rule = (
        train.select
        if isinstance(train.select, str)
        else " + ".join(f"{weight:g} {name}" for name, weight in train.select.items())
    )
    chosen = {
        "val": "val",
        "test": "test",
        "clicks": "val by clicks alone",
        "auto": "val",
        "none": "nothing",
    }[train.select_on]
    protocol = PROTOCOLS[part.score.protocol]
    notes = [
        f"Ours: split {split}, protocol {protocol.name}: {' '.join(protocol.definition.split())}",
        f"{len(part.runs.seeds)} seeds, {train.epochs} epochs; "
        + (
            "the weights of the last epoch."
            if part.runs.weights == "last"
            else f"the weights of the epoch with the highest {rule} on {chosen}."
        ),
        "mean ± standard deviation over seeds [95 % interval over frames drawn with replacement]; IoU, nIoU"
        " and Pd in percent, Fa in false pixels of a million.",
        "Pairs: intervals over frames drawn with replacement, p of sign flips over frames; of targets,"
        " McNemar's exact test on those that most seeds find. Holm's correction goes over all"
        " pairs of one number.",
    ]
    if ranks_boxes(part):
        notes.append(
            "AP: average precision of boxes in percent, at IoU .5 with 11 points and sides + 1; centre AP: of"
            " centres within 3 pixels. Of a network of masks, the boxes around its components are ranked."
            f" Their intervals and p rest on at most {MOST_DRAWS_OF_BOXES} draws."
        )
    if part.runs.weights == "best" and (train.select_on == "test") == (part.score.split == "test"):
        notes.append("The epoch was chosen on the frames that are scored: these figures are too good.")
    if part.about.paper:
        paper = PAPERS[part.about.paper]
        notes.append(f"paper: {paper.source}; {paper.protocol}")
    return notes
