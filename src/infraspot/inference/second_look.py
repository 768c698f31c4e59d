"""The second look: every candidate of the score map, judged again from its surroundings.

The segmentation decides pixel by pixel and is sure of much that is no target. The second look takes each
candidate as a whole, down to those that the segmentation hardly believes in, each seen in a near window of
32x32 pixels and a wide one, by default of 128x128 at half size. A small network gives one logit
(:class:`infraspot.weights.second_look.SecondLookNetwork`). It is weighed with how sure the segmentation was
at the candidate's peak, and with how many candidates the frame has: where there are many, most are clutter.
The weights are fitted to frames that were not trained on, as they are: of the candidates of such frames that
score 0.8, about 8 in 10 are targets. Where targets are rarer among the candidates, so are they among those of
one score.
"""

import base64
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from infraspot.core.errors import InfraspotError, InputError
from infraspot.core.geometry import Components, find_components
from infraspot.inference.logistic import Logistic
from infraspot.inference.scores import first_line

NEAR, WIDE = 32, 128  # pixels of the frame; the wide window may be another
SEEN = 64  # pixels of the wide window, made smaller, that the network sees
TOGETHER = 64
WORTH_MORE = 0.02  # probability below which a candidate gets no closer look and no outline of its own
SURE = 0.9  # probability from which it gets no closer look either, since that would hardly change it
FORMS = 8
"""Ways to mirror and transpose a window."""
EVIDENCE = ("look", "peak", "crowd")
"""What is weighed: the logit of the second look, that of the segmentation's peak, and the logarithm of the
number of candidates in the frame, up to :data:`MOST_COUNTED`."""
MOST_COUNTED = 12  # so that a sensor full of dead pixels does not hide its targets
SUREST = 16.0  # logit of a peak beyond which float32 scores differ by rounding alone
MOST_OUTLINED = 256  # so that a map full of candidates does not hold up the frames after it
FLAT = 0.003  # deviation of a window that is as good as none, in units of [0, 1]

Windows = tuple[NDArray[np.float32], NDArray[np.float32]]
Classify = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]


class SecondLook:
    """Judges candidates, and writes its verdict into the score map.

    Parameters
    ----------
    card
        ``level`` and ``outline`` of the candidates, ``outlines`` of the targets, ``mirrored``, the side of
        the ``wide`` window, and the calibration: a weight for each of :data:`EVIDENCE`, and ``offset``. The
        ``second_look`` of a weight file's card.
    classify
        (N, 1, 32, 32) and (N, 1, 64, 64) windows to (N,) logits.
    name
        The model, for messages.
    """

    def __init__(self, card: dict[str, Any], classify: Classify, name: str) -> None:
        self.level, self.outline = float(card["level"]), float(card["outline"])
        self.outlines = card.get("outlines", "map")
        self.mirrored = bool(card.get("mirrored", False))
        self.wide = int(card.get("wide", WIDE))
        self._score = Logistic(card, EVIDENCE)
        self._classify, self._name = classify, name

    def rescore(self, image: NDArray[np.float32], scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """The score map with the second look's score for every pixel of a target, and 0 elsewhere.

        A threshold thus chooses between candidates (see :func:`find_candidates`) and never changes their
        shapes, and it means the same in masks, lists and curves. Where ``outlines`` is "levels", candidates
        that are worth it get the outline that the frame shows.

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
        found = find_candidates(scores, self.level, self.outline)
        looked = np.zeros_like(scores)
        inside = found.labels > 0
        chances = self.chances(image, found.centroids, peaks_of(scores, found))
        looked[inside] = chances[found.labels[inside] - 1]
        if self.outlines == "levels":
            _draw_outlines(looked, image, scores, found, chances)
        return looked

    def chances(
        self, image: NDArray[np.float32], centroids: NDArray[np.float64], peaks: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """(N,) probabilities of all candidates of a frame, from their centroids (N, 2) and peaks (N,).

        Where the card says ``mirrored``, candidates that are in doubt are seen in all eight mirrored and
        transposed forms, and their logit is the mean of the answers.
        """
        framed = frame_for_windows(image, self.wide)
        logits = self._logits(framed, centroids)
        chances = self.probabilities(logits, peaks)
        closer = (chances >= WORTH_MORE) & (chances < SURE)
        if not (self.mirrored and closer.any()):
            return chances
        logits[closer] = self._logits(framed, centroids[closer], FORMS)
        return self.probabilities(logits, peaks)

    def probabilities(self, logits: NDArray[np.float32], peaks: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N,) probabilities of the candidates of one frame, from answers and peaks (N,)."""
        known = evidence_of(logits, peaks, np.full(len(peaks), len(peaks)))
        return self._score(known).astype(np.float32)

    def logits(self, image: NDArray[np.float32], centroids: NDArray[np.float64]) -> NDArray[np.float32]:
        """(N,) answers of the network to the windows as they are, before the calibration."""
        return self._logits(frame_for_windows(image, self.wide), centroids)

    def _logits(
        self, framed: NDArray[np.float32], centroids: NDArray[np.float64], forms: int = 1
    ) -> NDArray[np.float32]:
        parts = [
            self._answer(*cut_windows(framed, centroids[first : first + TOGETHER // forms], self.wide), forms)
            for first in range(0, len(centroids), TOGETHER // forms)
        ]
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)

    def _answer(
        self, near: NDArray[np.float32], wide: NDArray[np.float32], forms: int
    ) -> NDArray[np.float32]:
        if forms > 1:
            near, wide = mirrored(near), mirrored(wide)
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
        answers: NDArray[np.float32] = logits.reshape(forms, -1).mean(0)
        return answers


def evidence_of(
    logits: NDArray[np.floating[Any]], peaks: NDArray[np.floating[Any]], counts: NDArray[np.integer[Any]]
) -> NDArray[np.float64]:
    """(N, 3) what is known of each candidate; :data:`EVIDENCE` names the columns.

    Parameters
    ----------
    logits
        (N,) answers of the network of the second look.
    peaks
        (N,) in [0, 1]: the highest score of the segmentation within the candidate.
    counts
        (N,) how many candidates its frame has.
    """
    crowd = np.log(np.minimum(counts, MOST_COUNTED))
    return np.stack([np.asarray(logits, np.float64), sureness_of(peaks), crowd], axis=1)


def sureness_of(peaks: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """(N,) logits of peaks (N,) in [0, 1], at most :data:`SUREST` either way."""
    least = 1 / (1 + np.exp(SUREST))
    bounded = np.clip(np.asarray(peaks, np.float64), least, 1 - least)
    return np.log(bounded / (1 - bounded))


def peaks_of(scores: NDArray[np.float32], found: Components) -> NDArray[np.float32]:
    """(N,) the highest score (H, W) within each candidate."""
    inside = found.labels > 0
    peaks = np.zeros(len(found), np.float32)
    np.maximum.at(peaks, found.labels[inside] - 1, scores[inside])
    return peaks


def _draw_outlines(
    looked: NDArray[np.float32],
    image: NDArray[np.float32],
    scores: NDArray[np.float32],
    found: Components,
    chances: NDArray[np.float32],
) -> None:
    """Give the likeliest candidates of the map ``looked`` the outlines that the frame shows."""
    likely = np.flatnonzero(chances >= WORTH_MORE)
    if not len(likely):
        return
    likely = np.sort(likely[np.argsort(-chances[likely], kind="stable")[:MOST_OUTLINED]])
    # Loads compiled loops, which frames without targets need not wait for.
    from infraspot.annotators.profile.outline import Outliner

    outliner = Outliner(image, scores)
    for number in likely.tolist():
        x0, y0, x1, y1 = found.boxes[number]
        place, own = (slice(y0, y1), slice(x0, x1)), found.mask(number)
        answer = outliner.outline(own, place)
        if answer is None:
            continue
        window, outline = answer
        labels = found.labels[window]
        if not (outline & (labels == number + 1)).any():  # it climbed to a neighbour
            continue
        looked[place][own] = 0.0
        free = outline & np.isin(labels, (0, number + 1))
        looked[window][free] = np.maximum(looked[window][free], chances[number])


def find_candidates(scores: NDArray[np.float32], level: float, outline: float) -> Components:
    """What a second look judges: the components of the pixels that could belong to targets.

    Around each component above ``level``, these are the pixels above ``outline`` or, where there are none,
    those above half of its peak. Neighbours that are joined at ``level`` only are candidates of their own.

    Parameters
    ----------
    scores
        (H, W) in [0, 1].
    """
    low = find_components(scores > level)
    inside = low.labels > 0
    index, values, peaks = low.labels[inside] - 1, scores[inside], peaks_of(scores, low)
    least = np.where(peaks > outline, outline, np.maximum(peaks / 2, level))
    kept = np.zeros(scores.shape, bool)
    kept[inside] = values > least[index]
    return find_components(kept)


def frame_for_windows(image: NDArray[np.float32], wide: int = WIDE) -> NDArray[np.float32]:
    """The frame with its border repeated, so that windows of the side ``wide`` may reach over it."""
    return np.pad(image, wide // 2, mode="edge")


def cut_windows(framed: NDArray[np.float32], centres: NDArray[np.float64], wide: int = WIDE) -> Windows:
    """The near and the wide windows around places of a frame.

    Parameters
    ----------
    framed
        What :func:`frame_for_windows` gives.
    centres
        (N, 2) places (y, x) in the frame; they are rounded to whole pixels.
    wide
        Side of the wide window in pixels, a multiple of 64.

    Returns
    -------
    (N, 1, 32, 32) and (N, 1, 64, 64) float32, each without its own mean and divided by its own deviation.
    """
    y, x = np.rint(centres).astype(np.int64).reshape(-1, 2).T
    return windows_of(sliding_window_view(framed, (wide, wide))[y, x])


def windows_of(whole: NDArray[np.float32]) -> Windows:
    """The near and the wide windows of surroundings (N, H, H), as :func:`cut_windows` gives them."""
    side = whole.shape[-1]
    first, shrinking = (side - NEAR) // 2, side // SEEN
    near = whole[:, first : first + NEAR, first : first + NEAR]
    wide = whole.reshape(-1, SEEN, shrinking, SEEN, shrinking).mean((2, 4))
    return _normalised(near), _normalised(wide)


def mirrored(windows: NDArray[np.float32]) -> NDArray[np.float32]:
    """(8 N, 1, H, H) the windows (N, 1, H, H) as they are, mirrored, and both again transposed."""
    turned = (windows, windows.transpose(0, 1, 3, 2))
    return np.concatenate([one[..., ::up, ::left] for one in turned for up in (1, -1) for left in (1, -1)])


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
