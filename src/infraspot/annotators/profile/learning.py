"""A labelling convention, learned from the levels that a person chose for a few targets.

For one target the levels that people choose follow its contrast, noise and size: ``ln level = offset + law``.
The offset is what differs between those who drew two data sets; the rest of the law does not. So one number
is learned, from the first target on, and the scorer of ``auto`` is pulled towards the level that it names.
The constants were chosen on SIRST-v1 and SIRST-V2 (train and val).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.annotators import flood
from infraspot.annotators.inputs import as_image, as_points, pixel_of
from infraspot.annotators.surroundings import LEVELS, Surroundings, look_around
from infraspot.core.errors import UsageError
from infraspot.core.options import shown

FORMAT = "infraspot-convention-1"
LONGEST = 100_000
"""Targets that a file may hold."""

_USUAL = np.log(0.18)
"""Offset before any target is known."""
_SHRINKAGE = 0.56
"""The usual offset counts as much as so many targets."""
_TRUST = 0.5
"""Targets after which the pull has half its strength."""
_SPREAD = 0.2
"""Deviation of ln level around the law within one convention."""
_LEAST_NOISE = 2 / 255
_LOG_LEVELS = np.log(LEVELS.astype(np.float64))
_THIRD = int(np.abs(LEVELS - 0.34).argmin())


@dataclass(frozen=True)
class Observed:
    """What a convention keeps of one target.

    Attributes
    ----------
    contrast, noise
        Peak less background, and deviation of the background; grey values in [0, 1].
    area
        Pixels of the component at a third of the way from background to peak.
    level
        The level that the person chose, in (0, 1).
    """

    contrast: float
    noise: float
    area: float
    level: float

    def __post_init__(self) -> None:
        for name in ("contrast", "noise", "area", "level"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
                raise UsageError(f"the {name} of a target is a finite number, and {shown(value)} came")
        if not 0 < self.level < 1:
            raise UsageError(f"a level lies between 0 (background) and 1 (peak), and {self.level:g} came")
        if self.contrast <= 0 or self.noise < 0 or self.area < 0:
            raise UsageError(
                "a target's contrast is positive, and its noise and area are not negative;"
                f" {self.contrast:g}, {self.noise:g} and {self.area:g} came"
            )

    @property
    def measures(self) -> tuple[float, float, float]:
        """Contrast, noise and area as a file keeps them; they tell one target from another."""
        return _rounded(self.contrast), _rounded(self.noise), _rounded(self.area)

    @property
    def residual(self) -> float:
        """ln level less what the law says of it."""
        return float(np.log(self.level)) - _law(self.contrast, self.noise, self.area)


@dataclass(frozen=True)
class Convention:
    """The targets that a person corrected; more of them make another convention.

    Give it to ``annotate(image, points, level=convention)``, or save it and give the file's name.
    """

    observed: tuple[Observed, ...] = ()
    about: dict[str, Any] = field(default_factory=dict, compare=False, hash=False)

    @classmethod
    def of(cls, records: Iterable[Iterable[float]], **about: Any) -> "Convention":
        """From (contrast, noise, area, level) of each target, as :attr:`records` gives them.

        Raises
        ------
        UsageError
            If one of them has another length or a number that is out of range.
        """
        rows = [tuple(record) for record in records]
        for row in rows:
            if len(row) != 4:
                raise UsageError(f"a target is contrast, noise, area and level, and {shown(row)} came")
        return cls(tuple(Observed(*row) for row in rows), about)

    @property
    def records(self) -> list[list[float]]:
        """(contrast, noise, area, level) of each target."""
        return [[seen.contrast, seen.noise, seen.area, seen.level] for seen in self.observed]

    def observe(self, target: Surroundings, level: float) -> "Convention":
        """This convention and one more target, whose mask the person accepted at a level in (0, 1)."""
        seen = Observed(*measures(target), float(level))
        return Convention((*self.observed, seen), self.about)

    def joined(self, newer: "Convention") -> "Convention":
        """This convention and a newer one; a target of both counts once, with its newer level."""
        known = {seen.measures for seen in newer.observed}
        older = tuple(seen for seen in self.observed if seen.measures not in known)
        return Convention(older + newer.observed, self.about)

    def observe_click(self, image: NDArray[Any], point: Sequence[float], level: float) -> "Convention":
        """The same from a frame, (H, W) as ``annotate`` takes it, and the click (y, x) of the target."""
        frame = as_image(image)
        clicks = as_points([point], (frame.shape[0], frame.shape[1]))
        return self.observe(look_around(frame, *pixel_of(clicks[0])), level)

    @cached_property
    def offset(self) -> float:
        """The convention as a number: ln of the level of a usual target."""
        count = len(self.observed)
        if not count:
            return float(_USUAL)
        mean = float(np.mean([seen.residual for seen in self.observed]))
        return float(_USUAL + count / (count + _SHRINKAGE) * (mean - _USUAL))

    def pull(self, contrast: float, noise: float, area: float) -> NDArray[np.float64]:
        """(L,) what the score of each level loses for its distance from the law; zeros without any target.

        The arguments are those of :class:`Observed`.
        """
        count = len(self.observed)
        strength = count / (count + _TRUST) / (2 * _SPREAD**2)
        expected = np.log(self.expected(contrast, noise, area))
        loss: NDArray[np.float64] = strength * (_LOG_LEVELS - expected) ** 2
        return loss

    def expected(self, contrast: float, noise: float, area: float) -> float:
        """The level at which the person would draw a target of these measures, as the law alone has it."""
        return float(np.exp(self.offset + _law(contrast, noise, area)))

    def plain(self) -> dict[str, Any]:
        """What a level file holds."""
        rounded = [[_rounded(number) for number in record] for record in self.records]
        return {"format": FORMAT, "about": self.about, "targets": rounded}

    @classmethod
    def from_plain(cls, found: dict[str, Any]) -> "Convention":
        """From what :meth:`plain` gave; a ValueError says what is wrong with it."""
        records, about = found["targets"], dict(found["about"])
        if not isinstance(records, list) or not 0 < len(records) <= LONGEST:
            raise ValueError(f"its targets are no list of 1 to {LONGEST}")
        try:
            return cls.of(records, **about)
        except UsageError as error:
            raise ValueError(str(error)) from error


def _rounded(number: float) -> float:
    return float(f"{number:.6g}")


def measures(target: Surroundings) -> tuple[float, float, float]:
    """Contrast, noise and area of a target, as :class:`Observed` keeps them."""
    return target.contrast, target.noise, float(target.table[_THIRD, flood.AREA])


def _law(contrast: float, noise: float, area: float) -> float:
    """ln level of a target less the offset; for 8-bit frames 80 and 3 are the usual contrast and noise."""
    return float(
        0.117 * np.log(max(noise, _LEAST_NOISE) / (3 / 255))
        - 0.523 * np.log(contrast / (80 / 255))
        + 0.046 * (np.log(max(area, 1)) - 3)
    )
