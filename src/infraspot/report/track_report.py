"""The report of tracks: scores, every track, and the paths of each sequence."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.core.version import VERSION
from infraspot.metrics.tracks import GATE, NOTHING, TrackedSequence, distances
from infraspot.report.document import write_document
from infraspot.report.track_scores import point_rows, track_rows

MOST_SEQUENCES, MOST_TRACKS, MOST_POINTS = 24, 1500, 120


@dataclass(eq=False)
class TrackBook:
    """The tracks that a report shows: a bounded number of sequences, of tracks and of points on each path."""

    sequences: list[dict[str, Any]] = field(default_factory=list)
    tracks: list[list[Any]] = field(default_factory=list)
    sequences_left_out: int = 0
    tracks_left_out: int = 0

    def add(self, name: str, shape: tuple[int, int], sequence: TrackedSequence) -> None:
        """Add a sequence; ``shape`` is the height and width of its frames."""
        true, found = _by_track(sequence.truth), _by_track(sequence.found)
        near = {track: _nearest(points, sequence) for track, points in found.items()}
        for track, points in found.items():
            if len(self.tracks) == MOST_TRACKS:
                self.tracks_left_out += 1
                continue
            hits = near[track] < GATE
            error = float(near[track][hits].mean()) if hits.any() else None
            known = sequence.known.get((int(points[0, 0]), track), int(points[0, 0]))
            frames = [int(points[0, 0]), int(points[-1, 0]), known, len(points)]
            self.tracks.append([name, track, *frames, round(float(hits.mean()), 3), error])
        if len(self.sequences) == MOST_SEQUENCES:
            self.sequences_left_out += 1
            return
        right = {track for track, gaps in near.items() if (gaps < GATE).mean() >= 0.5}
        self.sequences.append(
            {
                "name": name,
                "shape": shape,
                "truth": [_path(points) for points in list(true.values())[:MOST_TRACKS]],
                "found": [
                    [_path(points), track in right, track]
                    for track, points in list(found.items())[: MOST_TRACKS // 10]
                ],
                "n_true": len(true),
                "n_found": len(found),
            }
        )


def write_track_report(
    path: Path | str, scores: Mapping[str, Any], book: TrackBook, *, pred: str, truth: str
) -> Path:
    """Write the report of what :func:`infraspot.jobs.evaluate_tracks.evaluate_tracks` gave."""
    title = f"Tracks: {Path(pred).name} on {Path(truth).name}"
    data = {
        "version": VERSION,
        "title": title,
        "source": {"prediction": pred, "truth": truth},
        "scores": scores,
        "points": point_rows(dict(scores)),
        "rows": track_rows(dict(scores)),
        "sequences": book.sequences,
        "tracks": book.tracks,
        "sequences_left_out": book.sequences_left_out,
        "tracks_left_out": book.tracks_left_out,
    }
    return write_document(path, title, data, ["tracks.js"])


def _by_track(frames: Mapping[int, Any]) -> dict[int, NDArray[np.float64]]:
    """(N, 3) frame, y, x of each track, in the order of the frames."""
    rows: dict[int, list[tuple[float, float, float]]] = defaultdict(list)
    for frame in sorted(frames):
        ids, places = frames[frame]
        for track, (y, x) in zip(ids.tolist(), places.tolist(), strict=True):
            rows[track].append((frame, y, x))
    return {track: np.array(points) for track, points in sorted(rows.items())}


def _nearest(points: NDArray[np.float64], sequence: TrackedSequence) -> NDArray[np.float64]:
    """(N,) distance of each point of a track to the nearest true one of its frame; infinite without any."""
    gaps = [
        distances(point[None, 1:], sequence.truth.get(int(point[0]), NOTHING)[1]).min(initial=np.inf)
        for point in points
    ]
    return np.array(gaps)


def _path(points: NDArray[np.float64]) -> str:
    """A track as an SVG path, thinned; a single point becomes a short line."""
    step = -(-len(points) // MOST_POINTS)
    thinned = np.concatenate([points[::step], points[-1:]])
    return "M" + "L".join(f"{x + 0.5:.1f} {y + 0.5:.1f}" for _, y, x in thinned.tolist())
