"""Where the clicks of a data set come from: its masks, or a file of points."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from infraspot.core.errors import InputError, UsageError
from infraspot.core.sample import Sample

KINDS = ("centroid", "coarse")


@dataclass(frozen=True)
class ClickSource:
    """Where the clicks of each image come from.

    Attributes
    ----------
    kind
        ``"centroid"`` or ``"coarse"`` (from the masks), or the path of a points file.
    seed
        Of coarse clicks; mixed with the id of each image.
    listed
        The points of a file, by the id of the image; empty where they come from masks.
    """

    kind: str
    seed: int = 0
    listed: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)

    def covers(self, name: str) -> bool:
        """Whether an image can have clicks from here: a points file must name it."""
        return self.kind in KINDS or name in self.listed

    def of(self, sample: Sample) -> NDArray[np.float64]:
        """(N, 2) clicks (y, x) of a sample.

        Raises
        ------
        InputError
            If the sample has neither a mask nor points of its own, or is not in the file.
        """
        from infraspot.data.clicks import sample_points

        if self.kind not in KINDS:
            if sample.id not in self.listed:
                raise InputError(
                    f"{sample.id}: {self.kind} has no points for this image; add them or [] for none"
                )
            return self.listed[sample.id]
        points = sample_points(sample, self.kind, self.seed)
        if points is None:
            raise InputError(
                f"{sample.id} has neither a mask nor points; pass a points file with --points FILE"
            )
        return points


def open_clicks(kind: str, seed: int, *, folders: bool = False) -> ClickSource:
    """The source that ``--points`` names; with ``folders``, the names in a file are paths of frames.

    Raises
    ------
    UsageError
        If it is neither ``centroid``, ``coarse`` nor a file.
    InputError
        If the file cannot be read.
    """
    if kind in KINDS:
        return ClickSource(kind, seed)
    if not Path(kind).is_file():
        raise UsageError(f"--points takes centroid, coarse or a points file, and there is no file {kind}")
    from infraspot.data import read_points

    return ClickSource(kind, seed, read_points(kind, folders=folders))
