"""Rows of the survey's Table 5 as sentences in its own words: recipes over the UNet."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infraspot.networks.base import SegmentationNetwork
from infraspot.networks.sheet import OWN, Sheet
from infraspot.networks.unet import UNet

FAMILY = "survey reading"
NOTE = "a reading of a row of the survey's Table 5, not the authors' program; train it by this name"
FOLDER = Path(__file__).parent.parent / "recipes" / "survey"


@dataclass(frozen=True)
class Reading:
    """One row: its name in the table, the options of its UNet, and where it comes from."""

    title: str
    options: dict[str, Any]
    sheet: Sheet

    def build(self) -> SegmentationNetwork:
        """The network, with fresh weights."""
        return UNet(**self.options)


def survey_readings() -> dict[str, Reading]:
    """Every recipe in ``recipes/survey``, by the name that ``infraspot train`` takes: ``survey/fcnet``."""
    return {f"survey/{path.stem}": _read(path) for path in sorted(FOLDER.glob("*.toml"))}


def _read(path: Path) -> Reading:
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    title, source = table["about"]["title"], table["about"]["source"]
    options = {name: value for name, value in table["network"].items() if name != "name"}
    return Reading(title, options, Sheet(FAMILY, source, OWN, note=NOTE))
