"""Points files: the clicks of a data set as JSON ``{stem: [[x, y], ...]}`` or CSV ``image,x,y``."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.core.errors import InputError, UsageError
from infraspot.core.files import write_text
from infraspot.data.coordinates import checked_coordinates
from infraspot.data.listing import IMAGE_SUFFIXES
from infraspot.data.opening import read_text

Points = dict[str, NDArray[np.float64]]
_HEADER = ["image", "x", "y"]


def read_points(path: Path | str, *, folders: bool = False) -> Points:
    """The points of each image, (N, 2) float64 as (y, x) in pixels; on disk they are x, y.

    The file is JSON ``{stem: [[x, y], ...]}`` or CSV with the header ``image,x,y``. Names may carry an image
    suffix, which is dropped. An image with an empty list, or in CSV a row without x and y, is annotated and
    has no target.

    Parameters
    ----------
    folders
        Keep the folders in names, which are then paths below that of the frames: ``night/0001``.

    Raises
    ------
    InputError
        If the file is absent, unreadable, of another form, gives two names for one image, or holds a value
        that is not a number or lies in no image.
    """
    path = Path(path)
    text = read_text(path)
    read = _from_json if text.lstrip().startswith("{") else _from_csv
    pairs = read(path, text, without_suffix if folders else drop_image_suffix)
    return {stem: _as_array(path, stem, values) for stem, values in pairs.items()}


def write_points(path: Path | str, points: Mapping[str, NDArray[Any]]) -> None:
    """Write the points of each image, given as (N, 2) of (y, x), as JSON or, for a ``.csv`` name, as CSV.

    Raises
    ------
    UsageError
        If the suffix is neither ``.json`` nor ``.csv``.
    DataError
        If the file cannot be written; what was there before is kept.
    """
    path = Path(path)
    pairs = {stem: [[float(x), float(y)] for y, x in values] for stem, values in points.items()}
    if path.suffix.lower() == ".csv":
        text = _to_csv(pairs)
    elif path.suffix.lower() == ".json":
        rows = (
            f"  {json.dumps(stem)}: {json.dumps(values, allow_nan=False)}" for stem, values in pairs.items()
        )
        text = "{\n" + ",\n".join(rows) + "\n}\n"
    else:
        raise UsageError(f"cannot write points to {path}; end its name in .json or .csv")
    write_text(path, text)


def drop_image_suffix(name: str) -> str:
    """The last part of a path without its image suffix: ``a.b`` for ``images/a.b.png`` and for ``a.b``."""
    return without_suffix(name.rpartition("/")[2])


def without_suffix(name: str) -> str:
    """A path without its image suffix: ``images/a.b`` for ``images/a.b.png``."""
    stem, dot, suffix = name.rpartition(".")
    return stem if stem and dot + suffix.lower() in IMAGE_SUFFIXES else name


def _from_json(path: Path, text: str, named: Callable[[str], str]) -> dict[str, list[Any]]:
    try:
        found = json.loads(text, object_pairs_hook=_each_name_once)
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path} is not valid JSON ({error}); write it as {{stem: [[x, y], ...]}}"
        ) from error
    for name, values in found.items():
        if not isinstance(values, list):
            raise InputError(f"{path}: {name!r:.60} holds {_shown(values)}; expected a list of [x, y] pairs")
    stems = _stems(path, found, named)
    return {stems[name]: values for name, values in found.items()}


def _each_name_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name comes twice")
    return found


def _stems(path: Path, names: Iterable[str], named: Callable[[str], str]) -> dict[str, str]:
    """The image that each name in a file means; two names for one image are refused, as points would mix."""
    stems: dict[str, str] = {}
    owners: dict[str, str] = {}
    for name in names:
        stems[name] = named(name.strip())
        owner = owners.setdefault(stems[name], name)
        if owner != name:
            raise InputError(
                f"{path}: {owner!r:.60} and {name!r:.60} both mean the image {stems[name]:.60}; name it once"
            )
    return stems


def _from_csv(path: Path, text: str, named: Callable[[str], str]) -> dict[str, list[Any]]:
    try:
        rows = [row for row in csv.reader(io.StringIO(text)) if row]
    except csv.Error as error:
        raise InputError(f"{path} is not valid CSV ({error}); write it with the header image,x,y") from error
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    if header[:3] != _HEADER:
        raise InputError(
            f"{path} is not a points file; expected JSON {{stem: [[x, y], ...]}} or CSV image,x,y"
        )
    stems = _stems(path, (row[0] for row in rows[1:]), named)
    pairs: dict[str, list[Any]] = {}
    for name, *values in rows[1:]:
        points = pairs.setdefault(stems[name], [])
        if any(value.strip() for value in values):
            points.append(values[:2])
    return pairs


def _to_csv(pairs: Mapping[str, list[list[float]]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(_HEADER)
    for stem, values in pairs.items():
        rows: list[list[Any]] = [[stem, *pair] for pair in values] or [[stem, "", ""]]
        writer.writerows(rows)
    return buffer.getvalue()


def _as_array(path: Path, stem: str, values: list[Any]) -> NDArray[np.float64]:
    points = np.empty((len(values), 2))
    for index, pair in enumerate(values):
        try:
            x, y = pair
            points[index] = float(y), float(x)
        except (TypeError, ValueError, OverflowError) as error:
            raise InputError(
                f"{path}: point {index + 1} of {stem!r} is {_shown(pair)}; expected two numbers x and y"
            ) from error
    return checked_coordinates(points, f"{path}, points (y, x) of {stem!r}")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
