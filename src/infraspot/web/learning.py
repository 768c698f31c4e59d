"""What the page learns: the targets that a person grew or shrank say where the next boundaries lie.

Nothing of it is stored but the journal: a lesson is part of its target, so that undo, deleting the target and
a restart take it back or bring it back like everything else. A mask that was made once never moves by itself.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from infraspot.annotators import Convention
from infraspot.annotators.profile.level import load_level, number_of
from infraspot.web.actions import MarkedTarget
from infraspot.web.journal import Journal

Level = str | float | Convention
"""What ``profile`` takes as its level."""


def starting_level(level: str) -> Level:
    """The level that the page begins with: a convention to build on, or one that stays as it is.

    Raises
    ------
    InputError, UsageError
        If it is none.
    """
    if level == "auto":
        return Convention()
    number = number_of(level)
    if number is not None:
        return number
    loaded = load_level(level)
    return loaded if isinstance(loaded, Convention) else level


@dataclass
class Learning:
    """What the corrected targets of one journal teach.

    Parameters
    ----------
    start
        See :func:`starting_level`; corrected targets add to a convention, and leave any other level alone.
    """

    journal: Journal
    start: Level
    _seen: dict[str, tuple[int, list[MarkedTarget]]] = field(default_factory=dict)
    _learned: tuple[list[MarkedTarget], Convention] | None = None

    def level(self) -> Level:
        """What the masks of the next clicks take."""
        if not isinstance(self.start, Convention):
            return self.start
        return self.convention() if self.journal.learning else self.start

    def convention(self) -> Convention:
        """Everything that was learned, also while learning is switched off."""
        targets = self._corrected()
        if self._learned is None or self._learned[0] != targets:
            before = self.start if isinstance(self.start, Convention) else Convention()
            # What the page exported may be what it starts with.
            self._learned = targets, before.joined(Convention.of(map(_record, targets)))
        return self._learned[1]

    def shown(self) -> dict[str, Any]:
        """What the page says about it.

        ``fixed`` where the page has a level that does not learn; ``on``; how many ``targets`` were learned
        from; and of those in this journal the typical ``level`` that was learned and that of ``auto``, None
        where there are none.
        """
        targets, convention = self._corrected(), self.convention()
        lessons = [target.lesson for target in targets if target.lesson is not None]
        expected = [convention.expected(one.contrast, one.noise, one.area) for one in lessons]
        return {
            "on": self.journal.learning,
            "fixed": not isinstance(self.start, Convention),
            "targets": len(convention.observed),
            "level": _typical(expected),
            "auto": _typical([one.auto for one in lessons]),
        }

    def _corrected(self) -> list[MarkedTarget]:
        """The targets with a lesson of every image; an image is summed up again only after a change."""
        for image, history in list(self.journal.histories.items()):
            version = history.version
            if self._seen.get(image, (-1, []))[0] != version:
                lessons = [target for target in history.state().targets if target.lesson is not None]
                self._seen[image] = version, lessons
        return [target for _, lessons in list(self._seen.values()) for target in lessons]


def _record(target: MarkedTarget) -> tuple[float, float, float, float]:
    assert target.lesson is not None
    assert target.level is not None
    return target.lesson.contrast, target.lesson.noise, target.lesson.area, target.level


def _typical(levels: list[float]) -> float | None:
    return float(np.exp(np.mean(np.log(levels)))) if levels else None
