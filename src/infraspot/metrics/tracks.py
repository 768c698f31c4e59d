"""Scores of tracks against true tracks: what an operator asks for, and MOTA, IDF1 and HOTA on points.

Boxes of small targets hardly overlap when they are two pixels apart, so that two points are compared by
s = max(0, 1 - d / 10) with their distance d in pixels, and CLEAR and IDF1 take pairs with d < 3, as Pd does.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

REACH = 10.0
GATE = 3.0
LEVELS = np.arange(0.05, 0.99, 0.05)

Points = tuple[NDArray[np.int64], NDArray[np.float64]]
"""(N,) ids and (N, 2) places (y, x) of one frame."""
NOTHING: Points = (np.zeros(0, np.int64), np.zeros((0, 2)))


@dataclass(frozen=True, eq=False)
class TrackedSequence:
    """One sequence: true and found points by frame number.

    Attributes
    ----------
    truth, found
        The points of each frame; frames that are absent hold none.
    known
        The frame in which a found point became final, by (frame, id); that frame itself where it is absent.
    """

    truth: dict[int, Points]
    found: dict[int, Points]
    known: dict[tuple[int, int], int] = field(default_factory=dict)

    @property
    def frames(self) -> list[int]:
        """The numbers of all frames that hold something, in order."""
        return sorted(self.truth.keys() | self.found.keys())


def distances(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
    """(N, M) distances between (N, 2) and (M, 2) places."""
    gaps = np.asarray(a, np.float64)[:, None] - np.asarray(b, np.float64)[None]
    apart: NDArray[np.float64] = np.hypot(gaps[..., 0], gaps[..., 1])
    return apart


def count_points(truth: NDArray[Any], found: NDArray[Any], gate: float = GATE) -> tuple[int, int, int]:
    """True points, those with a found point of their own within the gate, and found points without one."""
    allowed = distances(truth, found) < gate
    pairs = linear_sum_assignment(allowed, maximize=True)
    hits = int(allowed[pairs].sum())
    return len(truth), hits, len(found) - hits


def _sums(sequence: TrackedSequence, gate: float) -> tuple[Counter[str], list[tuple[int, int, int, float]]]:
    """CLEAR's counts, and its matches as (frame, true id, found id, distance)."""
    counts: Counter[str] = Counter()
    matches: list[tuple[int, int, int, float]] = []
    last: dict[int, int] = {}  # the track that a target was matched to last
    now: dict[int, int] = {}  # in the frame before
    for frame in sequence.frames:
        ids, places = sequence.truth.get(frame, NOTHING)
        found_ids, found = sequence.found.get(frame, NOTHING)
        apart = distances(places, found)
        kept = np.array([[now.get(int(one)) == int(other) for other in found_ids] for one in ids], bool)
        value = np.where(apart < gate, 1000.0 * kept.reshape(apart.shape) + 1 - apart / REACH, 0.0)
        pairs = [
            pair for pair in zip(*linear_sum_assignment(value, maximize=True), strict=True) if value[pair] > 0
        ]
        now = {}
        for row, column in pairs:
            one, other = int(ids[row]), int(found_ids[column])
            counts["switches"] += last.get(one, other) != other
            last[one] = now[one] = other
            matches.append((frame, one, other, float(apart[row, column])))
        counts["hits"] += len(pairs)
        counts["misses"] += len(ids) - len(pairs)
        counts["false"] += len(found_ids) - len(pairs)
    return counts, matches


def _identity(sequence: TrackedSequence, gate: float) -> Counter[str]:
    """Frames in which each true track agrees with the one found track that suits it best."""
    shared: Counter[tuple[int, int]] = Counter()
    total = found_total = 0
    for frame in sequence.frames:
        ids, places = sequence.truth.get(frame, NOTHING)
        found_ids, found = sequence.found.get(frame, NOTHING)
        for row, column in np.argwhere(distances(places, found) < gate):
            shared[int(ids[row]), int(found_ids[column])] += 1
        total, found_total = total + len(ids), found_total + len(found_ids)
    table, _, _ = _table(shared)
    agreed = int(table[linear_sum_assignment(table, maximize=True)].sum()) if table.size else 0
    return Counter(agreed=agreed, truth=total, found=found_total)


def _table(pairs: Counter[tuple[int, int]]) -> tuple[NDArray[np.float64], dict[int, int], dict[int, int]]:
    rows = {one: place for place, one in enumerate(sorted({one for one, _ in pairs}))}
    columns = {other: place for place, other in enumerate(sorted({other for _, other in pairs}))}
    table = np.zeros((len(rows), len(columns)))
    for (one, other), value in pairs.items():
        table[rows[one], columns[other]] = value
    return table, rows, columns


def _hota(sequence: TrackedSequence) -> NDArray[np.float64]:
    """(levels, 4): hits, misses, false points, and the association score summed over the hits.

    As in Luiten et al., HOTA, IJCV 2021: the assignment of each frame prefers pairs of tracks that agree over
    the whole sequence.
    """
    likeness: list[tuple[Points, Points, NDArray[np.float64]]] = []
    agreement: Counter[tuple[int, int]] = Counter()
    lengths: Counter[int] = Counter()
    found_lengths: Counter[int] = Counter()
    for frame in sequence.frames:
        true, found = sequence.truth.get(frame, NOTHING), sequence.found.get(frame, NOTHING)
        same = np.maximum(0, 1 - distances(true[1], found[1]) / REACH)
        union = same.sum(0, keepdims=True) + same.sum(1, keepdims=True) - same
        share = np.divide(same, union, out=np.zeros_like(same), where=union > 0)
        for row, column in np.argwhere(same > 0):
            agreement[int(true[0][row]), int(found[0][column])] += share[row, column]
        lengths.update(true[0].tolist())
        found_lengths.update(found[0].tolist())
        likeness.append((true, found, same))
    overall = {
        pair: value / (lengths[pair[0]] + found_lengths[pair[1]] - value) for pair, value in agreement.items()
    }
    sums = np.zeros((len(LEVELS), 4))
    together: list[Counter[tuple[int, int]]] = [Counter() for _ in LEVELS]
    for (ids, _), (found_ids, _), same in likeness:
        global_share = np.array([[overall.get((int(a), int(b)), 0.0) for b in found_ids] for a in ids])
        rows, columns = linear_sum_assignment(global_share.reshape(same.shape) * same, maximize=True)
        for place, level in enumerate(LEVELS):
            kept = same[rows, columns] >= level - 1e-12
            hits = int(kept.sum())
            sums[place, :3] += hits, len(ids) - hits, len(found_ids) - hits
            pairs = zip(ids[rows[kept]].tolist(), found_ids[columns[kept]].tolist(), strict=True)
            together[place].update(pairs)
    for place, pairs_of_level in enumerate(together):
        for (one, other), count in pairs_of_level.items():
            sums[place, 3] += count * count / (lengths[one] + found_lengths[other] - count)
    return sums


def score_tracks(
    sequences: list[TrackedSequence], *, gate: float = GATE, megapixels: float = 0.0, seconds: float = 0.0
) -> dict[str, Any]:
    """Score tracks over all sequences together; a score without anything to divide by is None.

    Parameters
    ----------
    gate
        A found point further than this from a target, in pixels, does not hit it.
    megapixels
        Of all frames together, for false alarms a megapixel.
    seconds
        Length of all sequences together, for false tracks an hour.

    Returns
    -------
    ``pd`` and ``false_per_mpx`` of the points frame by frame; ``track_pd``: true tracks that a track hits
    which is not false; ``false_tracks``: tracks that hit a target in less than half of their frames;
    ``time_to_confirm``: median frames from a target's first frame to that in which the first row that hits it
    was known; ``fragments``: mean number of tracks that hit a found target; ``position_error``: mean distance
    of the hits, pixels; ``mota``, ``idf1`` and ``hota``.
    """
    clear: Counter[str] = Counter()
    identity: Counter[str] = Counter()
    levels = np.zeros((len(LEVELS), 4))
    true_tracks = found_tracks = false_tracks = 0
    waits: list[int] = []
    fragments: list[int] = []
    errors: list[float] = []
    for sequence in sequences:
        counts, matches = _sums(sequence, gate)
        clear.update(counts)
        identity.update(_identity(sequence, gate))
        levels += _hota(sequence)
        errors += [match[3] for match in matches]
        lengths = Counter(one for ids, _ in sequence.found.values() for one in ids.tolist())
        hits = Counter(other for _, _, other, _ in matches)
        wrong = {other for other, length in lengths.items() if 2 * hits[other] < length}
        false_tracks += len(wrong)
        first: dict[int, int] = {}
        for frame in sorted(sequence.truth):
            for one in sequence.truth[frame][0].tolist():
                first.setdefault(one, frame)
        true_tracks += len(first)
        for one, begin in first.items():
            mine = [(frame, other) for frame, true, other, _ in matches if true == one and other not in wrong]
            if mine:
                found_tracks += 1
                fragments.append(len({other for _, other in mine}))
                waits.append(min(sequence.known.get(pair, pair[0]) for pair in mine) - begin)
    points = clear["hits"] + clear["misses"]
    hits_, misses, false, associated = levels.T
    with np.errstate(invalid="ignore"):
        detection, association = (
            hits_ / np.maximum(hits_ + misses + false, 1),
            associated / np.maximum(hits_, 1),
        )
    wrong_points = clear["misses"] + clear["false"] + clear["switches"]
    return {
        "true_points": points,
        "pd": _ratio(clear["hits"], points),
        "false_per_mpx": _ratio(clear["false"], megapixels),
        "true_tracks": true_tracks,
        "track_pd": _ratio(found_tracks, true_tracks),
        "time_to_confirm": float(np.median(waits)) if waits else None,
        "false_tracks": false_tracks,
        "false_tracks_per_hour": _ratio(false_tracks * 3600, seconds),
        "fragments": float(np.mean(fragments)) if fragments else None,
        "position_error": float(np.mean(errors)) if errors else None,
        "mota": None if not points else 1 - wrong_points / points,
        "switches": clear["switches"],
        "idf1": _ratio(2 * identity["agreed"], identity["truth"] + identity["found"]),
        "hota": float(np.sqrt(detection * association).mean()) if points else None,
    }


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None
