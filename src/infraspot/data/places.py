"""Where data sets are looked for: a path, or a name within the folder that an environment variable names."""

import os
from pathlib import Path

DATA_FOLDER = "INFRASPOT_DATA"


def place_of(key: str) -> Path | None:
    """The folder of a set's name within INFRASPOT_DATA, if that is set."""
    folder = os.environ.get(DATA_FOLDER)
    return Path(folder) / key if folder else None


def set_at(path: Path) -> Path:
    """The path itself; or, for a bare name that is nothing here, the set of that name in INFRASPOT_DATA."""
    place = place_of(str(path)) if is_bare(path) and not path.exists() else None
    return place if place is not None and place.is_dir() else path


def is_bare(path: Path) -> bool:
    """Whether it is a name without folders, as sets have."""
    return path.name == str(path)
