"""Level files: a fitted scorer, or a convention learned from corrected targets, as JSON."""

import json
from pathlib import Path

from infraspot.annotators.profile.learning import FORMAT as CONVENTION
from infraspot.annotators.profile.learning import Convention
from infraspot.annotators.profile.scorer import FORMAT as SCORER
from infraspot.annotators.profile.scorer import Scorer
from infraspot.core.errors import InputError
from infraspot.core.files import write_text

_LONGEST = 10_000_000


def save_level(level: Scorer | Convention, path: Path | str) -> None:
    """Write a level for ``level=PATH`` and ``--level PATH``."""
    write_text(path, json.dumps(level.plain()) + "\n")


def read_level(path: Path | str) -> Scorer | Convention:
    """Read what :func:`save_level` wrote.

    Raises
    ------
    InputError
        If the file is absent or is not a level.
    """
    try:
        with Path(path).open(encoding="utf-8") as file:
            text = file.read(_LONGEST + 1)
        if len(text) > _LONGEST:
            raise ValueError(f"it is longer than {_LONGEST} characters")
        found = json.loads(text)
        if found["format"] == SCORER:
            return Scorer.from_plain(found)
        if found["format"] == CONVENTION:
            return Convention.from_plain(found)
        raise ValueError(f"its format is {found['format']!r}")
    except OSError as error:
        raise InputError(f"cannot read the level preset {path}: {error.strerror}; check its name") from error
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise InputError(
            f"{path} is not a level preset ({error}); make one with `infraspot calibrate DATA --out FILE`"
        ) from error
