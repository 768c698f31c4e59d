"""Where the frames of a recipe come from."""

import os
from collections.abc import Sequence
from pathlib import Path

from infraspot.core.errors import DataError
from infraspot.core.sample import Sample
from infraspot.data import open_dataset
from infraspot.training.settings import DataPart

DATA_FOLDER = "INFRASPOT_DATA"


def open_split(part: DataPart, split: str, scenes: int) -> Sequence[Sample]:
    """The frames of a split, with ``scenes`` generated ones after them.

    Raises
    ------
    DataError
        If the recipe names no data, or they are not there.
    """
    return open_dataset(locate_data(part), split=split, layout=part.layout)


def locate_data(part: DataPart) -> Path:
    """The folder of the set: ``path``, else ``set`` within the folder that INFRASPOT_DATA names."""
    if part.path is not None:
        return Path(part.path)
    if part.set is None:
        raise DataError("the recipe names no data; give a folder with --data, or set path in [data]")
    parent = os.environ.get(DATA_FOLDER)
    if parent is None:
        raise DataError(
            f"the recipe trains on the set {part.set!r}, and its place is not known; give its folder with"
            f" --data, or set {DATA_FOLDER} to the folder that holds it"
        )
    folder = Path(parent) / part.set
    if not folder.is_dir():
        raise DataError(
            f"the recipe trains on the set {part.set!r}, and {DATA_FOLDER} has no folder {folder}; give its"
            " folder with --data"
        )
    return folder
