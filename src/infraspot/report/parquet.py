"""Detections as Parquet: one row a frame, its targets as a list, and an error in place of what is damaged."""

import json
from collections.abc import Iterable, Iterator, Mapping
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any

from infraspot.core.errors import InfraspotError, InputError
from infraspot.core.files import replacing

ROWS_AT_A_TIME = 1000
SETTINGS = b"infraspot"

COLUMNS = ("path", "page", "width", "height", "bit_depth", "targets", "error")

Row = dict[str, Any]
"""A value for each of :data:`COLUMNS`; what is absent is None."""


def row_of(record: Mapping[str, Any]) -> Row:
    """The row of a record that ``Detection.record`` gives."""
    return {
        "path": record["image"],
        "page": record.get("page"),
        **{name: record[name] for name in ("width", "height", "bit_depth")},
        "targets": [{name: target[name] for name in _TARGET} for target in record["targets"]],
        "error": None,
    }


def row_of_error(path: str, page: int | None, error: InfraspotError) -> Row:
    """The row of a frame that cannot be used; its targets are None, which is not an empty list."""
    nothing = dict.fromkeys(("width", "height", "bit_depth", "targets"))
    return {"path": path, "page": page, **nothing, "error": str(error)}


def write_parquet(path: Path, rows: Iterable[Row], settings: Mapping[str, Any]) -> None:
    """Write rows in one step, some at a time, with the settings that they came from as metadata.

    Raises
    ------
    InputError
        If a row is not of the form of :data:`Row`.
    """
    with replacing(path) as temporary:
        _write(path, temporary, rows, settings)


def parquet_bytes(name: str, rows: Iterable[Row], settings: Mapping[str, Any]) -> bytes:
    """The bytes of such a file, called ``name`` in messages; errors are those of :func:`write_parquet`."""
    content = BytesIO()
    _write(name, content, rows, settings)
    return content.getvalue()


def _write(path: Path | str, place: Path | BytesIO, rows: Iterable[Row], settings: Mapping[str, Any]) -> None:
    import pyarrow
    from pyarrow import parquet

    schema = _schema().with_metadata({SETTINGS: json.dumps(settings).encode()})
    with parquet.ParquetWriter(place, schema) as writer:
        left = iter(rows)
        while some := list(islice(left, ROWS_AT_A_TIME)):
            try:
                writer.write_table(pyarrow.Table.from_pylist(some, schema))
            except (pyarrow.ArrowException, TypeError, AttributeError) as error:
                raise InputError(f"{path}: a row is not that of a frame ({error})") from error


def read_parquet(path: Path | str, content: bytes | None = None) -> tuple[dict[str, Any], Iterator[Row]]:
    """The settings and the rows of a file of :func:`write_parquet`.

    With ``content``, the bytes of the file, ``path`` is a name that nobody opens.

    Raises
    ------
    InputError
        If it is damaged, or not one of these.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(path if content is None else BytesIO(content))
        settings = json.loads(file.schema_arrow.metadata[SETTINGS])
        batches = file.iter_batches(ROWS_AT_A_TIME) if file.num_row_groups else ()
        return dict(settings), (row for batch in batches for row in batch.to_pylist())
    except (OSError, pyarrow.ArrowException, KeyError, TypeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"{path} is damaged or was not written by `infraspot detect` ({reason}); move it away"
        ) from error


def _schema() -> Any:
    import pyarrow

    kinds = {"area": pyarrow.int64(), "box": pyarrow.list_(pyarrow.float64())}
    target = pyarrow.struct([(name, kinds.get(name, pyarrow.float64())) for name in _TARGET])
    text, columns = pyarrow.string(), {"targets": pyarrow.list_(target)}
    columns |= {"path": text, "error": text}
    return pyarrow.schema([(name, columns.get(name, pyarrow.int64())) for name in COLUMNS])


_TARGET = ("x", "y", "area", "score", "scr", "box")
