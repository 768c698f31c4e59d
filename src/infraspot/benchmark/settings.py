"""What the file of a grid may say."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from infraspot.training.settings import Part

# Labels become names of folders and cells of tables.
LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._+()-]{0,59}")


def _plain(label: str) -> str:
    if not LABEL.fullmatch(label):
        raise ValueError(
            "a label has up to 60 letters, digits, spaces and . _ + - ( ), a letter or digit first"
        )
    return label


Label = Annotated[str, AfterValidator(_plain)]


class Entry(BaseModel):
    """A row of one axis: every option but these belongs to the table of the recipe that the axis stands for.

    ``label`` is what tables call it; ``changes`` are further ones to the recipe, as ``--set`` takes them.
    """

    model_config = ConfigDict(extra="allow", frozen=True)
    label: Label | None = None
    changes: list[str] = []

    @property
    def table(self) -> dict[str, Any]:
        """The table of the recipe."""
        return dict(self.model_extra or {})


class NamedEntry(Entry):
    """``[[network]]`` and ``[[scheme]]``: a name, and the options of what it stands for."""

    name: str

    @property
    def title(self) -> str:
        """What tables call it."""
        return self.label or self.name

    @property
    def table(self) -> dict[str, Any]:
        return {"name": self.name, **super().table}


class NetworkEntry(NamedEntry):
    """``[[network]]``; ``recipe`` takes the place of the grid's."""

    recipe: str | None = None


class DataEntry(Entry):
    """``[[data]]``: options of a recipe's ``[data]``; ``label`` is what the papers' tables call the set."""

    label: Label

    @property
    def title(self) -> str:
        """What tables call it."""
        return self.label


class AboutPart(Part):
    """``[about]``: a title, where the grid comes from, and the paper's table to print beside it."""

    title: str
    source: str = ""
    paper: str | None = None


class RunsPart(Part):
    """``[runs]``: the recipe of every training, changes to it, the seeds, and which weights are scored."""

    recipe: str
    changes: list[str] = Field(default=[])
    seeds: list[Annotated[int, Field(ge=0)]] = Field(default=[0], min_length=1)
    weights: Literal["best", "last"] = "best"


class ScorePart(Part):
    """``[score]``: the split to score, under which protocol; draws of the bootstrap and of the tests.

    ``boxes`` asks for average precision, which a grid with a detector of boxes has in any case.
    """

    split: Literal["val", "test"] = "val"
    protocol: str = "basicirstd"
    boxes: bool = False
    draws: int = Field(default=1000, ge=100, le=100_000)


class PredictionEntry(Part):
    """``[[prediction]]``: a folder of masks or score maps that another program made, as a row of its own."""

    network: Label
    scheme: Label
    data: str
    folder: str


class GridPart(Part):
    """A whole grid."""

    about: AboutPart
    runs: RunsPart
    network: list[NetworkEntry] = Field(min_length=1)
    scheme: list[NamedEntry] = Field(default=[NamedEntry(name="full")], min_length=1)
    data: list[DataEntry] = Field(min_length=1)
    score: ScorePart = ScorePart()
    prediction: list[PredictionEntry] = Field(default=[])
