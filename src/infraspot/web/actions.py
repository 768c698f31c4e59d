"""What a person can do to an image, and what the image's annotation is after it.

The annotation of an image is never stored: it is the sum of the actions in the journal. Undo takes the last
action off, redo puts it back, and a new action forgets what was undone.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from infraspot.web.runs import Patch

Status = Literal["open", "done", "empty", "doubtful", "rejected"]


class _Action(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Lesson(_Action):
    """What a target teaches whose mask a person grew or shrank (see :mod:`infraspot.web.learning`).

    Contrast, noise and area are those of :class:`infraspot.annotators.profile.learning.Observed`; ``auto`` is
    the level that the target would have had without any correction.
    """

    contrast: float = Field(ge=1e-6, le=1)
    noise: float = Field(ge=0, le=1)
    area: float = Field(ge=0, le=10_000)
    auto: float = Field(gt=0, lt=1)


class MarkedTarget(_Action):
    """One target: where it was clicked, in pixels, how its mask was made, and the mask.

    A ``lesson`` is there where a person moved the level; it is about the ``level`` that the target has now.
    """

    id: int = Field(ge=1)
    x: float = Field(ge=0)
    y: float = Field(ge=0)
    method: str = Field(max_length=40)
    level: float | None = None
    confidence: float | None = None
    doubtful: bool = False
    patch: Patch
    lesson: Lesson | None = None

    @model_validator(mode="after")
    def _teaches_a_level(self) -> "MarkedTarget":
        if self.lesson is not None and not (self.level is not None and 0 < self.level < 1):
            raise ValueError("a target with a lesson has a level between 0 and 1")
        return self


class PutTarget(_Action):
    """Add a target, or replace the one with the same id."""

    kind: Literal["put"] = "put"
    target: MarkedTarget


class DropTarget(_Action):
    """Take a target away."""

    kind: Literal["drop"] = "drop"
    id: int


class SetStatus(_Action):
    """Say where the image stands; ``empty`` means that there is no target in it."""

    kind: Literal["status"] = "status"
    status: Status


class SetSky(_Action):
    """Set the region that is sky; None means not annotated."""

    kind: Literal["sky"] = "sky"
    patch: Patch | None


Step = Annotated[PutTarget | DropTarget | SetStatus | SetSky, Field(discriminator="kind")]


class Batch(_Action):
    """Several steps that one undo takes back together; they are one line of the journal, all or nothing."""

    kind: Literal["batch"] = "batch"
    actions: list[Step] = Field(min_length=1, max_length=10_000)


class Undo(_Action):
    kind: Literal["undo"] = "undo"


class Redo(_Action):
    kind: Literal["redo"] = "redo"


Action = Annotated[
    PutTarget | DropTarget | SetStatus | SetSky | Batch | Undo | Redo, Field(discriminator="kind")
]


class State(BaseModel):
    """The annotation of one image as the page shows it."""

    status: Status = "open"
    targets: list[MarkedTarget] = []
    sky: Patch | None = None
    can_undo: bool = False
    can_redo: bool = False


@dataclass
class History:
    """The actions of one image, and those that were undone."""

    done: list[Action] = field(default_factory=list)
    undone: list[Action] = field(default_factory=list)
    version: int = 0

    def apply(self, action: Action) -> None:
        """Take one action in; an undo or redo with nothing to work on changes nothing."""
        self.version += 1
        if isinstance(action, Undo):
            if self.done:
                self.undone.append(self.done.pop())
        elif isinstance(action, Redo):
            if self.undone:
                self.done.append(self.undone.pop())
        else:
            self.done.append(action)
            self.undone.clear()

    def state(self) -> State:
        """The sum of the actions."""
        targets: dict[int, MarkedTarget] = {}
        status: Status = "open"
        sky: Patch | None = None
        for action in self._steps():
            if isinstance(action, PutTarget):
                targets[action.target.id] = action.target
                status = "open" if status == "empty" else status
            elif isinstance(action, DropTarget):
                targets.pop(action.id, None)
            elif isinstance(action, SetSky):
                sky = action.patch
            elif isinstance(action, SetStatus):
                status = action.status
                if status == "empty":
                    targets.clear()
        return State(
            status=status,
            targets=list(targets.values()),
            sky=sky,
            can_undo=bool(self.done),
            can_redo=bool(self.undone),
        )

    def _steps(self) -> Iterator[Action]:
        """What was done, with the steps of each batch in its place."""
        for action in self.done:
            if isinstance(action, Batch):
                yield from action.actions
            else:
                yield action
