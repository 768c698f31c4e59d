"""A frame of an archive as a row, and the settings that all rows of a run share."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infraspot.core.errors import InfraspotError, InputError, UsageError
from infraspot.core.version import VERSION
from infraspot.data import Frame, Reading
from infraspot.inference import Engine
from infraspot.inference.predictor import TargetEngine
from infraspot.inference.stream import NamedFile, StreamedFrame
from infraspot.jobs.detect import detect_in
from infraspot.report.parquet import Row, row_of, row_of_error


def detected_row(
    file: NamedFile,
    page: int | None,
    frame: Frame | InputError,
    engine: Engine | TargetEngine,
    threshold: float,
) -> Row:
    """What was found in a frame, or why it cannot be used."""
    try:
        if isinstance(frame, InputError):
            raise frame
        record = detect_in(StreamedFrame(file, page, frame), engine, threshold).record()
        return row_of({**record, "image": spelt(file.source)})
    except InfraspotError as error:
        return row_of_error(spelt(file.source), page, error)


def row_id(path: str, page: int | None) -> str:
    """``path#page``, or the path of a file that holds one frame."""
    return spelt(path) if page is None else f"{spelt(path)}#{page}"


def spelt(source: str) -> str:
    """A file name as UTF-8; bytes that are none are spelt out."""
    return os.fsencode(source).decode("utf-8", "backslashreplace")


def settings_of(
    engine: Engine | TargetEngine, threshold: float, weights: Path | None, reading: Reading
) -> dict[str, Any]:
    """What a run that goes on must have in common with the rows that are there.

    ``weights`` is the file of the engine's weights, told by its bytes.
    """
    return {
        "version": VERSION,
        "model": engine.name,
        "weights": _digest(weights),
        "card": hashlib.sha256(json.dumps(engine.card, sort_keys=True, default=str).encode()).hexdigest(),
        "threshold": threshold,
        "polarity": getattr(engine, "polarity", "bright"),
        "reading": str(reading),
    }


def refuse_other_settings(place: object, written: Any, settings: Mapping[str, Any]) -> None:
    """Refuse to add to rows of another run.

    Raises
    ------
    UsageError
        If a setting differs from what was ``written``.
    """
    other = [
        name for name in settings if not isinstance(written, dict) or written.get(name) != settings[name]
    ]
    if other:
        raise UsageError(
            f"{place} was begun with other settings or frames ({', '.join(other)}); choose another --out"
        )


def _digest(weights: Path | None) -> str | None:
    if weights is None:
        return None
    with weights.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
