"""What a detector says about one frame."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.core.contrast import box_contrasts, signal_to_clutter
from infraspot.core.errors import InputError
from infraspot.core.geometry import find_components

LEAST_PROPOSED = 0.01  # score below which a target is not worth a line in a list


@dataclass(frozen=True)
class Target:
    """One detected target.

    Attributes
    ----------
    x, y
        Centroid in pixels; pixel centres are whole numbers.
    area
        Pixels of the target; of a box, its width times its height, rounded.
    score
        In [0, 1]: the highest value of the score map inside the target, or the score of the box.
    box
        (x0, y0, x1, y1) in pixels, half-open: a 3x3 target at the origin is (0, 0, 3, 3).
    scr
        Local signal-to-clutter ratio (see :func:`infraspot.core.contrast.signal_to_clutter`); None where no
        image was given.
    """

    x: float
    y: float
    area: int
    score: float
    box: tuple[float, float, float, float]
    scr: float | None = None

    def __repr__(self) -> str:
        ratio = "" if self.scr is None else f", scr={self.scr:.1f}"
        place = f"x={self.x:.1f}, y={self.y:.1f}, area={self.area}, score={self.score:.2f}{ratio}"
        return f"{type(self).__name__}({place})"


@dataclass(frozen=True, eq=False)
class Prediction:
    """The answer of a detector for one frame: a score map, or a list of scored targets.

    Networks for segmentation give a score map, detectors of boxes give targets. :meth:`find_targets` serves
    both; only what counts pixels needs the map.

    Attributes
    ----------
    id
        Name of the frame.
    score_map
        (H, W) float32 in [0, 1] at the frame's own size, or None.
    candidates
        Every target that the detector proposes, with its score, or None. Exactly one of ``score_map`` and
        ``candidates`` is given.
    frame_shape
        Height and width of the frame in pixels; needed beside ``candidates``.
    parted
        Whether the map holds one score for each target, so that a threshold chooses between targets and never
        changes their shapes.
    """

    id: str
    score_map: NDArray[np.float32] | None = None
    candidates: tuple[Target, ...] | None = None
    frame_shape: tuple[int, int] | None = None
    parted: bool = False

    def __repr__(self) -> str:
        height, width = self.shape
        kind = "score map" if self.candidates is None else f"{len(self.candidates)} candidates"
        return f"<{type(self).__name__} {self.id} {width}x{height}: {kind}>"

    def __post_init__(self) -> None:
        if (self.score_map is None) == (self.candidates is None):
            raise ValueError(f"{self.id}: give a score map or a list of targets, and not both")
        if self.candidates is not None and self.frame_shape is None:
            raise ValueError(f"{self.id}: a list of targets needs frame_shape, the frame's (height, width)")

    @classmethod
    def from_boxes(cls, id: str, boxes: Any, scores: Any, shape: tuple[int, int]) -> "Prediction":
        """A prediction of scored boxes.

        Parameters
        ----------
        boxes
            (N, 4) as (x0, y0, x1, y1) in pixels, half-open.
        scores
            (N,) in [0, 1].
        shape
            Height and width of the frame in pixels.

        Raises
        ------
        InputError
            If a box is empty or not finite, a score lies outside [0, 1], or their numbers differ.
        """
        corners = np.asarray(boxes, np.float64).reshape(-1, 4)
        values = np.asarray(scores, np.float64).reshape(-1)
        if len(corners) != len(values):
            raise InputError(f"{id}: expected one score a box, and {len(values)} came for {len(corners)}")
        sound = np.isfinite(corners).all(axis=1) & (corners[:, 2:] > corners[:, :2]).all(axis=1)
        sound &= (values >= 0) & (values <= 1)
        if not sound.all():
            first = int(np.argmin(sound))
            raise InputError(
                f"{id}: expected boxes with x0 < x1, y0 < y1 and a score in [0, 1]; box {first + 1} is"
                f" {corners[first].tolist()} with score {values[first]:g}"
            )
        pairs = zip(corners.tolist(), values.tolist(), strict=True)
        return cls(id, candidates=tuple(_boxed(box, score) for box, score in pairs), frame_shape=shape)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the frame in pixels."""
        if self.score_map is not None:
            height, width = self.score_map.shape
            return height, width
        assert self.frame_shape is not None
        return self.frame_shape

    def require_map(self, purpose: str) -> NDArray[np.float32]:
        """The score map, or an :class:`InputError` that says what it was needed for."""
        if self.score_map is None:
            raise InputError(
                f"{self.id}: {purpose} needs a score for every pixel, and this detector gives targets only"
            )
        return self.score_map

    def mask(self, threshold: float = 0.5) -> NDArray[np.bool_]:
        """(H, W) bool: the score is above ``threshold``.

        Raises
        ------
        InputError
            If the prediction is a list of targets.
        """
        return self.require_map("a mask") > threshold

    def find_targets(self, threshold: float = 0.5, image: NDArray[Any] | None = None) -> list[Target]:
        """Targets with a score above ``threshold``, the highest score first.

        Of a score map, the targets are the 8-connected components of the pixels above ``threshold``.

        Parameters
        ----------
        image
            (H, W), any linear scale; adds the signal-to-clutter ratio of each target.
        """
        if self.candidates is None:
            found = self._components(threshold, image)
        else:
            found = [target for target in self.candidates if target.score > threshold]
            if image is not None:
                ratios = box_contrasts(image, np.array([target.box for target in found]).reshape(-1, 4))
                found = [
                    replace(target, scr=None if np.isnan(ratio) else float(ratio))
                    for target, ratio in zip(found, ratios, strict=True)
                ]
        return sorted(found, key=lambda target: -target.score)

    def proposed(self) -> list[Target] | None:
        """Every target with a score of at least 0.01, the highest first: what average precision ranks.

        None of a map whose targets change with the threshold.
        """
        if self.candidates is None and not self.parted:
            return None
        return self.find_targets(np.nextafter(LEAST_PROPOSED, 0, dtype=np.float32))

    def _components(self, threshold: float, image: NDArray[Any] | None) -> list[Target]:
        scores = self.require_map("a list of components")
        parts = find_components(scores > threshold)
        if not len(parts):
            return []
        ratios = np.full(len(parts), np.nan) if image is None else signal_to_clutter(image, parts)
        return [
            Target(
                x=float(parts.centroids[k, 1]),
                y=float(parts.centroids[k, 0]),
                area=int(parts.areas[k]),
                score=float(scores[box[1] : box[3], box[0] : box[2]][parts.mask(k)].max()),
                box=(int(box[0]), int(box[1]), int(box[2]), int(box[3])),
                scr=None if np.isnan(ratios[k]) else float(ratios[k]),
            )
            for k, box in enumerate(parts.boxes)
        ]


def _boxed(box: list[float], score: float) -> Target:
    """The target that a box stands for; its centre is half a pixel off the mean of its edges."""
    x0, y0, x1, y1 = box
    area = max(round((x1 - x0) * (y1 - y0)), 1)
    return Target((x0 + x1 - 1) / 2, (y0 + y1 - 1) / 2, area, score, (x0, y0, x1, y1))
