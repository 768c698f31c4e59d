"""The marks behind an export, in a file beside it: masks and boxes merge targets that touch, marks do not."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from infraspot.core.errors import InputError
from infraspot.core.files import write_text
from infraspot.data.opening import read_text
from infraspot.web.actions import MarkedTarget, State, Status
from infraspot.web.runs import Patch

MARKS = ".infraspot-marks.json"


class Marks(BaseModel):
    """The annotation of one image."""

    model_config = ConfigDict(extra="forbid")

    status: Status
    targets: list[MarkedTarget]
    sky: Patch | None = None


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    version: Literal[1] = 1
    images: dict[str, Marks]


def write_marks(folder: Path, states: Mapping[str, State]) -> None:
    """Write the marks of each image into the folder of an export."""
    images = {
        image: Marks(status=state.status, targets=state.targets, sky=state.sky)
        for image, state in states.items()
    }
    write_text(folder / MARKS, _File(images=images).model_dump_json(exclude_none=True) + "\n")


def read_marks(folder: Path) -> dict[str, Marks]:
    """The marks of each image.

    Raises
    ------
    InputError
        If the file is absent or damaged.
    """
    path = folder / MARKS
    try:
        return _File.model_validate_json(read_text(path)).images
    except ValidationError as error:
        raise InputError(f"{path} is damaged ({error.errors()[0]['msg']}); export again") from error
