"""The second look: every candidate of the score map, judged again from its surroundings.

The segmentation decides pixel by pixel and is sure of much that is no target. The second look takes each
candidate as a whole: the 8-connected components of the score map above a low level, each seen in a near
window of 32x32 pixels and a wide one of 128x128 at half size. A small network gives one logit
(:class:`infraspot.weights.second_look.SecondLookNetwork`). It is calibrated on frames that were not trained
on, at even odds: where true and false candidates are as many, about 8 in 10 of those scored 0.8 are true.
"""

import base64
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from infraspot.core.errors import InfraspotError, InputError
from infraspot.core.geometry import find_components
from infraspot.inference.scores import first_line

NEAR, WIDE = 32, 128  # pixels of the frame
SHRINKING = 2  # pixels of the frame to one of the wide window
TOGETHER = 64
FLAT = 0.003  # deviation of a window that is as good as none, in units of [0, 1]

Windows = tuple[NDArray[np.float32], NDArray[np.float32]]
Classify = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]


class SecondLook:
    """Judges candidates, and writes its verdict into the score map.

    Parameters
    ----------
    card
        ``level`` of the candidates, ``outline`` of the targets, ``temperature`` and ``offset`` of the
        calibration: the ``second_look`` of a weight file's card.
    classify
        (N, 1, 32, 32) and (N, 1, 64, 64) windows to (N,) logits.
    name
        The model, for messages.
    """

    def __init__(self, card: dict[str, Any], classify: Classify, name: str) -> None:
        self.level, self.outline = float(card["level"]), float(card["outline"])
        self._temperature, self._offset = float(card["temperature"]), float(card["offset"])
        self._classify, self._name = classify, name

    def rescore(self, image: NDArray[np.float32], scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """The score map with the second look's score for every pixel of a target.

        A candidate keeps the pixels above ``outline``, or all where none is; each of them gets the
        probability that the candidate is a target. Everything else is 0. A threshold thus chooses between
        targets and never changes their shapes, and it means the same in masks, lists and curves.

        Parameters
        ----------
        image
            (H, W) float32 in [0, 1], the whole frame as the network saw it.
        scores
            (H, W) float32 in [0, 1], of the segmentation.

        Raises
        ------
        InputError
            If the network of the second look fails, or answers with something else than logits.
        """
        found = find_components(scores > self.level)
        looked = np.zeros_like(scores)
        if not len(found):
            return looked
        inside = found.labels > 0
        index = found.labels[inside] - 1
        peaks = np.zeros(len(found), scores.dtype)
        np.maximum.at(peaks, index, scores[inside])
        outlines = np.where(peaks > self.outline, self.outline, self.level)
        kept = scores[inside] > outlines[index]
        looked[inside] = np.where(kept, self.probabilities(image, found.centroids)[index], 0.0)
        return looked

    def probabilities(
        self, image: NDArray[np.float32], centroids: NDArray[np.float64]
    ) -> NDArray[np.float32]:
        """(N,) probabilities of the candidates at (N, 2) places (y, x)."""
        logits = (self.logits(image, centroids) + self._offset) / self._temperature
        return (1 / (1 + np.exp(-np.clip(logits, -50, 50)))).astype(np.float32)

    def logits(self, image: NDArray[np.float32], centroids: NDArray[np.float64]) -> NDArray[np.float32]:
        """(N,) answers of the network, before the calibration."""
        framed = frame_for_windows(image)
        parts = [
            self._answer(*cut_windows(framed, centroids[first : first + TOGETHER]))
            for first in range(0, len(centroids), TOGETHER)
        ]
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)

    def _answer(self, near: NDArray[np.float32], wide: NDArray[np.float32]) -> NDArray[np.float32]:
        try:
            logits = self._classify(near, wide)
        except InfraspotError:
            raise
        except Exception as error:  # the errors of torch and of ONNX Runtime share no public base class
            raise InputError(f"the second look of {self._name} failed: {first_line(error)}") from error
        if logits.shape != (len(near),) or not np.isfinite(logits).all():
            raise InputError(
                f"the second look of {self._name} answers {len(near)} candidates with values of the shape"
                f" {logits.shape} that are not all finite numbers, one for each; its weights are damaged"
            )
        return logits


def frame_for_windows(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """The frame with its border repeated, so that windows may reach over it."""
    return np.pad(image, WIDE // 2, mode="edge")


def cut_windows(framed: NDArray[np.float32], centres: NDArray[np.float64]) -> Windows:
    """The near and the wide windows around places of a frame.

    Parameters
    ----------
    framed
        What :func:`frame_for_windows` gives.
    centres
        (N, 2) places (y, x) in the frame; they are rounded to whole pixels.

    Returns
    -------
    (N, 1, 32, 32) and (N, 1, 64, 64) float32, each without its own mean and divided by its own deviation.
    """
    y, x = np.rint(centres).astype(np.int64).reshape(-1, 2).T
    return windows_of(sliding_window_view(framed, (WIDE, WIDE))[y, x])


def windows_of(whole: NDArray[np.float32]) -> Windows:
    """The near and the wide windows of (N, 128, 128) surroundings, as :func:`cut_windows` gives them."""
    first = (WIDE - NEAR) // 2
    near = whole[:, first : first + NEAR, first : first + NEAR]
    side = WIDE // SHRINKING
    wide = whole.reshape(-1, side, SHRINKING, side, SHRINKING).mean((2, 4))
    return _normalised(near), _normalised(wide)


def _normalised(windows: NDArray[np.float32]) -> NDArray[np.float32]:
    mean, deviation = (measure(axis=(1, 2), keepdims=True) for measure in (windows.mean, windows.std))
    result: NDArray[np.float32] = ((windows - mean) / (deviation + FLAT))[:, None].astype(np.float32)
    return result


def encode_graph(graph: bytes) -> str:
    """A graph as text, for the metadata of another one."""
    return base64.b64encode(graph).decode()


def decode_graph(text: str) -> bytes:
    """The graph that :func:`encode_graph` wrote; :class:`ValueError` where it is none."""
    return base64.b64decode(text, validate=True)
