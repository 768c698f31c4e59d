"""Frames that are worth labelling next, in an order that another program chose."""

import json
from collections.abc import Mapping
from pathlib import Path

from infraspot.core.errors import InputError
from infraspot.data import FrameKey
from infraspot.data.opening import read_text

KEY = "label_next"


def read_queue(path: Path) -> list[str]:
    """The frames that the figures of ``infraspot adapt`` name, best first.

    Raises
    ------
    InputError
        If the file cannot be read, or names no frames.
    """
    try:
        names = json.loads(read_text(path))[KEY]
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: expected the file that `infraspot adapt --json` writes, with a list {KEY!r} of"
            " frames, and there is none"
        ) from error
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InputError(f"{path}: {KEY!r} must be a list of names of frames")
    return names


def queued(images: Mapping[str, FrameKey], queue: list[str]) -> tuple[dict[str, FrameKey], list[str]]:
    """The images with those of the queue first, in its order; and what the queue names that is not there.

    A frame is known by its path, or else by the name of its file, since folders are moved.
    """
    by_path = {_place(str(key.path), key.page): image for image, key in images.items()}
    by_name = {_place(key.path.name, key.page): image for image, key in images.items()}
    first: dict[str, FrameKey] = {}
    absent = []
    for name in queue:
        image = by_path.get(name) or by_name.get(Path(name).name)
        if image is None:
            absent.append(name)
        else:
            first[image] = images[image]
    return {**first, **{image: key for image, key in images.items() if image not in first}}, absent


def _place(path: str, page: int | None) -> str:
    return path if page is None else f"{path}#{page}"
