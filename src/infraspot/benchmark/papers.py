"""What the papers report: figures to print beside ours, with the protocol and the split they stand for."""

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

TABLE = Path(__file__).parent / "papers.csv"

# In the table file, IoU, nIoU and Pd are percent, and Fa is in pixels of a million.
UNITS = {"iou": 100.0, "niou": 100.0, "pd": 100.0, "fa_area": 1e6}
COLUMNS = {"iou": "iou", "niou": "niou", "pd": "pd", "fa_area": "fa"}


@dataclass(frozen=True)
class Paper:
    """A table of a paper: where it stands, and how its figures came about."""

    source: str
    protocol: str


PAPERS = {
    "d2d_table1": Paper(
        '"Diffuse to Detect" (2026), Table 1',
        "trained on SIRST3 at a random 6:2:2 split, 400 epochs, crops of 256; scored on the test part and on"
        " each of its sets. The released program keeps the checkpoint that is best on test.",
    ),
    "d2d_table2": Paper(
        '"Diffuse to Detect" (2026), Table 2',
        "trained on each set at its official 6:2:2 split, 400 epochs, crops of 256; scored on test. The"
        " released program keeps the checkpoint that is best on test.",
    ),
    "survey_table6": Paper(
        "Survey of deep learning for infrared small objects, Table 6",
        "the settings of the SCTransNet program, and no IoU: 1000 epochs, crops of 256; scored at native"
        " size, on splits of its own (SIRST-v1 213:214). The released program keeps the epoch that is"
        " best on test.",
    ),
}


@cache
def paper_figures(table: str) -> dict[tuple[str, str, str], dict[str, float]]:
    """Fractions by number, for each (network, scheme, set) of a table; numbers may be left out."""
    found = {}
    with TABLE.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["table"] == table:
                found[row["network"], row["scheme"], row["set"]] = {
                    name: float(row[column]) / UNITS[name] for name, column in COLUMNS.items() if row[column]
                }
    return found
