"""Frames, or candidates in them, in the order in which words fit them."""

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from infraspot.core.errors import DataError, InfraspotError, UsageError
from infraspot.core.extras import require
from infraspot.core.files import check_writable, write_text
from infraspot.data import Reading
from infraspot.inference.frames import as_displayed
from infraspot.inference.stream import StreamedFrame, stream_frames
from infraspot.jobs.choosing import choose_engine
from infraspot.jobs.detect import detect_in
from infraspot.jobs.naming import name_results
from infraspot.jobs.places import list_frames
from infraspot.jobs.watching import Progress, Tell, no_progress, tell_nobody

if TYPE_CHECKING:
    from infraspot.inference.words import Words

By = Literal["frames", "candidates", "map"]
Row = dict[str, Any]
COLUMNS = ("rank", "frame", "x", "y", "score", "detector")

# Score from which the detector's pixels are candidates, where nothing else is said: words shall judge many.
CANDIDATES_FROM = 0.1


@dataclass(frozen=True, eq=False)
class Ranking:
    """Rows in their order, best first, and one sentence for each frame that could not be read.

    A row has ``rank`` from 1, ``frame``, ``score`` in [0, 1] by the words, of candidates and maps the place
    ``x`` and ``y``, and of candidates ``detector``, the score that they had before.
    """

    rows: list[Row] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def rank_frames(
    places: str | Path | Iterable[str | Path],
    text: str | Sequence[str],
    weights: str | Path,
    *,
    against: Sequence[str] = (),
    by: By = "frames",
    out: str | Path | None = None,
    model: str | None = None,
    method: str | None = None,
    threshold: float | None = None,
    recursive: bool = False,
    progress: Progress = no_progress,
    tell: Tell = tell_nobody,
) -> Ranking:
    """Rank whole frames, candidates of a detector, or the best place of each frame, by words.

    Parameters
    ----------
    places
        Images, stacks, videos, folders or data sets.
    text, against
        Sentences to look for, and those to tell them from; a list of clutter where none is given.
    weights
        Folder with a model of CLIP, or for ``by = "map"`` also of CLIPSeg, and its tokenizer.
    by
        ``"frames"``: the whole frame. ``"candidates"``: crops of 16, 32 and 64 pixels around each target of
        the detector. ``"map"``: the highest place of :meth:`infraspot.inference.words.Words.map_of`.
    out
        A CSV file to write.
    model, method, threshold
        The detector of candidates; its threshold is 0.1 unless it is given.

    Raises
    ------
    UsageError
        If the extra ``text`` is missing or an option is wrong; nothing was done.
    InfraspotError
        If the weights cannot be read, or no frame could be.
    """
    require("text", "ranking by words")
    from infraspot.inference.words import AGAINST, open_words

    if by not in ("frames", "candidates", "map"):
        raise UsageError(f"by is frames, candidates or map, and it is {by!r}")
    if by != "candidates" and (model, method, threshold) != (None, None, None):
        raise UsageError("a detector and its threshold belong to by = candidates; leave them out")
    target = _checked_out(out)
    words = open_words(weights, [text] if isinstance(text, str) else list(text), list(against) or AGAINST)
    judge = _judge(words, by, model, method, threshold)
    listed = [places] if isinstance(places, str | Path) else list(places)
    found = list_frames(listed, recursive, Reading(), Path(out).parent if out else Path(), tell)
    rows: list[Row] = []
    failures, count = [str(error) for error in found.errors], 0
    stream = stream_frames(name_results(found.files))
    for item in progress(stream, len(found.files), "frames"):
        if isinstance(item, InfraspotError):
            tell(item)
            failures.append(str(item))
            continue
        rows.extend(judge(item))
        count += 1
    if not count:
        raise DataError("no frame could be read, so that there is nothing to rank")
    rows.sort(key=lambda row: -row["score"])
    ranked = [{"rank": place, **row} for place, row in enumerate(rows, 1)]
    if target is not None:
        write_text(target, _as_csv(ranked))
    return Ranking(ranked, failures)


def _checked_out(out: str | Path | None) -> Path | None:
    if out is None:
        return None
    path = Path(out)
    if path.suffix.lower() != ".csv":
        raise UsageError(f"the ranking is written as CSV; expected a name that ends in .csv, and {path} came")
    check_writable(path.parent)
    return path


def _judge(
    words: "Words", by: By, model: str | None, method: str | None, threshold: float | None
) -> Callable[[StreamedFrame], Iterator[Row]]:
    """What gives the rows of a frame."""
    if by == "map":
        return lambda item: _by_map(words, item)
    words.require("clip", "frames and candidates are ranked by CLIP")
    if by == "frames":
        return lambda item: _by_frame(words, item)
    level = threshold if threshold is not None else (None if method else CANDIDATES_FROM)
    engine, level = choose_engine(model=model, method=method, threshold=level)
    return lambda item: _by_candidates(words, item, engine, level)


def _by_frame(words: "Words", item: StreamedFrame) -> Iterator[Row]:
    yield {"frame": item.name, "score": float(words.chances([as_displayed(item.frame).image])[0])}


def _by_candidates(words: "Words", item: StreamedFrame, engine: Any, level: float) -> Iterator[Row]:
    detection = detect_in(item, engine, level)
    for target in detection.targets:
        score = words.around(detection.image, target.x, target.y)
        yield {
            "frame": item.name,
            "x": round(target.x, 1),
            "y": round(target.y, 1),
            "score": score,
            "detector": target.score,
        }


def _by_map(words: "Words", item: StreamedFrame) -> Iterator[Row]:
    score = words.map_of(as_displayed(item.frame).image)
    y, x = np.unravel_index(int(score.argmax()), score.shape)
    yield {"frame": item.name, "x": int(x), "y": int(y), "score": float(score.max())}


def _as_csv(rows: Sequence[Row]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        rounded = {name: f"{row[name]:.6f}" for name in ("score", "detector") if name in row}
        writer.writerow(row | rounded)
    return text.getvalue()
