"""A small frame and its scores, kept in an exported file: whoever loads it can see that it answers rightly.

Runtimes, devices and drivers differ, and a wrong kernel gives wrong scores without a word. The frame holds
targets on a gradient with noise, in pixels as a camera gives them; its sides are odd.
"""

import base64
import json
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.core.errors import InfraspotError, InputError

SHAPE = (45, 61)
LONGEST = 100_000  # characters
TOLERANCE = 1e-3
COARSE = 0.1  # where the file or the device computes in fewer bits
_TARGETS = ((12, 15, 0.5), (30, 44, 0.25))

Answer = Callable[[NDArray[Any]], NDArray[np.float32]]
"""From (H, W) pixels to (H, W) scores."""


def make_self_test(pixels: str, answer: Answer) -> str:
    """The text for a file's metadata.

    Parameters
    ----------
    pixels
        ``"uint8"`` or ``"uint16"``.
    answer
        The engine of the file.
    """
    frame = _frame(pixels)
    scores = answer(frame).astype("<f4")
    wire = frame.astype(frame.dtype.newbyteorder("<"))
    test = {"pixels": pixels, "shape": frame.shape, "frame": _encode(wire), "scores": _encode(scores)}
    return json.dumps(test)


def check_self_test(text: str, answer: Answer, source: object, runs_on: str, tolerance: float) -> None:
    """Compare an engine's scores of the kept frame with those that are kept beside it.

    Raises
    ------
    InputError
        If the text is damaged.
    InfraspotError
        If a score differs by more than ``tolerance``.
    """
    frame, wanted = _read(text, source)
    gap = float(np.abs(answer(frame) - wanted).max())
    if not gap <= tolerance:
        raise InfraspotError(
            f"{source}: its own test frame gets scores that differ by {gap:.2g} from those in the file, by"
            f" {runs_on}; more than {tolerance:g} is not borne: take another device or version of it, or"
            " export the model again"
        )


def _read(text: str, source: object) -> tuple[NDArray[Any], NDArray[np.float32]]:
    try:
        if len(text) > LONGEST:
            raise ValueError(f"it has {len(text)} characters")
        test = json.loads(text)
        kind = {"uint8": "u1", "uint16": "<u2"}[test["pixels"]]
        shape = tuple(int(side) for side in test["shape"])
        frame = np.frombuffer(base64.b64decode(test["frame"], validate=True), kind).reshape(shape)
        scores = np.frombuffer(base64.b64decode(test["scores"], validate=True), "<f4").reshape(shape)
        if len(shape) != 2 or not frame.size or not np.isfinite(scores).all():
            raise ValueError("it is no frame with its scores")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{source}: its self-test is damaged ({error}); export the model again") from error
    return frame.astype(test["pixels"]), scores


def _frame(pixels: str) -> NDArray[Any]:
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    image = 0.2 + 0.002 * columns + 0.01 * np.random.default_rng(0).standard_normal(SHAPE)
    for y, x, height in _TARGETS:
        image += height * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 3)
    depth = {"uint8": 8, "uint16": 14}[pixels]
    return np.rint(image.clip(0, 1) * (2**depth - 1)).astype(pixels)


def _encode(values: NDArray[Any]) -> str:
    return base64.b64encode(values.tobytes()).decode()
