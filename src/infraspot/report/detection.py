"""What was found in one frame: its targets as Python objects, as a picture in a notebook, and as files."""

import base64
import html
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from infraspot.core.errors import counted
from infraspot.core.prediction import Prediction, Target
from infraspot.report.overlay import draw_targets, plot_targets

if TYPE_CHECKING:
    from PIL.Image import Image

# More rows than these make a notebook hard to read.
SHOWN_TARGETS = 20


@dataclass(frozen=True, eq=False, repr=False)
class Detection(Sequence[Target]):
    """The targets of one frame, the highest score first, and what they were found in.

    It is a sequence of its targets: ``len(found)``, ``found[0]``, ``for target in found``. x is the column,
    to the right; y is the row, down; pixel centres are whole numbers.

    Attributes
    ----------
    name
        Of the results, below the output folder and without suffix: ``camA/0001``.
    source
        The image, below the folder that all images of the run share: ``camA/0001.png``.
    page
        Number of the page in a file of several, from 1; None in a file of one.
    image
        (H, W) float32 in [0, 1], at the contrast of a display; for the overlay only.
    bit_depth
        Bits per pixel of the stored frame.
    model, threshold
        The engine, and the score that a target pixel exceeds.
    prediction
        What the engine says of the frame.
    targets
        What was found above the threshold, the highest score first.
    seconds
        Wall time of scoring the frame and finding its targets.
    """

    name: str
    source: str
    page: int | None
    image: NDArray[np.float32]
    bit_depth: int
    model: str
    threshold: float
    prediction: Prediction
    targets: list[Target]
    seconds: float = 0.0

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the frame in pixels."""
        return self.prediction.shape

    @cached_property
    def blank(self) -> bool:
        """Whether every pixel of the frame has the same value, so that nothing can be found."""
        return bool(self.image.min() == self.image.max())

    @property
    def scores(self) -> NDArray[np.float32]:
        """(H, W) float32 in [0, 1]: the score of every pixel.

        Raises
        ------
        InputError
            If the detector gives targets only.
        """
        return self.prediction.require_map("the score map")

    @property
    def mask(self) -> NDArray[np.bool_]:
        """(H, W) bool: the pixels of the targets.

        Raises
        ------
        InputError
            If the detector gives targets only.
        """
        return self.prediction.mask(self.threshold)

    @property
    def points(self) -> NDArray[np.float64]:
        """(N, 2) centroids as (y, x), the order of ``image[y, x]`` and of :func:`infraspot.annotate`."""
        return np.array([(target.y, target.x) for target in self.targets], np.float64).reshape(-1, 2)

    @property
    def boxes(self) -> NDArray[np.float64]:
        """(N, 4) boxes as (x0, y0, x1, y1) in pixels, half-open."""
        return np.array([target.box for target in self.targets], np.float64).reshape(-1, 4)

    def record(self) -> dict[str, Any]:
        """The JSON of one frame: sizes and boxes in pixels, x to the right, y down, boxes half-open.

        ``page`` and ``blank`` are there for a frame of a stack, and for one that is :attr:`blank`.
        """
        height, width = self.shape
        return {
            "image": self.source,
            **({} if self.page is None else {"page": self.page}),
            "width": width,
            "height": height,
            "bit_depth": self.bit_depth,
            **({"blank": True} if self.blank else {}),
            "model": self.model,
            "threshold": self.threshold,
            "targets": [_target_record(number, target) for number, target in enumerate(self.targets, 1)],
        }

    def proposed_records(self) -> list[dict[str, Any]]:
        """The targets as :meth:`record` gives them, and those below the threshold that are proposed."""
        proposed = self.prediction.proposed()
        found = self.targets if proposed is None else proposed
        return [_target_record(number, target) for number, target in enumerate(found, 1)]

    def overlay(self) -> "Image":
        """The frame as a Pillow picture, with a bracket and the score at each target."""
        return draw_targets(self.image, self.targets)

    def plot(self, ax: Any = None) -> Any:
        """Draw the frame and its targets with matplotlib, which the extra ``report`` installs.

        :meth:`overlay` draws without it.

        Parameters
        ----------
        ax
            Axes to draw into; those of a new figure by default.

        Returns
        -------
        The axes.

        Raises
        ------
        UsageError
            If matplotlib is not installed.
        """
        return plot_targets(self.image, self.targets, str(self), ax)

    def save(self, path: str | Path) -> Path:
        """Write what was found to ``path``, in the format that its ending names.

        ``.json`` and ``.csv`` hold the targets, ``.mask.png`` the mask, ``.prob.png`` the score map with 16
        bits, and any other ``.png`` the overlay. What ``path`` held before is replaced in one step.

        Raises
        ------
        UsageError
            If the ending is another.
        InputError
            If a mask or score map is wanted of a detector that gives targets only.
        """
        from infraspot.report.detections import save_detection

        return save_detection(self, Path(path))

    def __len__(self) -> int:
        return len(self.targets)

    def __iter__(self) -> Iterator[Target]:
        return iter(self.targets)

    @overload
    def __getitem__(self, index: int) -> Target: ...
    @overload
    def __getitem__(self, index: slice) -> list[Target]: ...
    def __getitem__(self, index: int | slice) -> Target | list[Target]:
        return self.targets[index]

    def __str__(self) -> str:
        height, width = self.shape
        name = self.source if self.page is None else f"{self.source}#{self.page}"
        blank = ", one value in every pixel" if self.blank else ""
        return f"{name} {width}x{height}: {counted(len(self), 'target')}{blank}"

    def __repr__(self) -> str:
        return f"<Detection {self}>"

    def _repr_html_(self) -> str:
        """What a notebook shows: the overlay, and a row for each target."""
        picture = io.BytesIO()
        self.overlay().save(picture, format="PNG")
        data = base64.b64encode(picture.getvalue()).decode()
        columns = ("id", "x", "y", "area", "score", "scr")
        rows = [_row("th", columns)]
        for record in self.record()["targets"][:SHOWN_TARGETS]:
            rows.append(_row("td", ["" if record[key] is None else record[key] for key in columns]))
        if len(self) > SHOWN_TARGETS:
            rows.append(f'<tr><td colspan="6">and {len(self) - SHOWN_TARGETS} more</td></tr>')
        title = html.escape(f"{self} ({self.model}, threshold {self.threshold:g})")
        return (
            f'<figure><img alt="{title}" src="data:image/png;base64,{data}"><figcaption>{title}</figcaption>'
            f"</figure><table>{''.join(rows)}</table>"
        )


def _target_record(number: int, target: Target) -> dict[str, Any]:
    return {
        "id": number,
        "x": round(target.x, 2),
        "y": round(target.y, 2),
        "area": target.area,
        "score": round(target.score, 4),
        "scr": None if target.scr is None else round(target.scr, 2),
        "box": [round(side, 2) for side in target.box],
    }


def _row(cell: str, values: Sequence[object]) -> str:
    return f"<tr>{''.join(f'<{cell}>{html.escape(str(value))}</{cell}>' for value in values)}</tr>"
