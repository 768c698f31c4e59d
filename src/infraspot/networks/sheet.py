"""Where a network comes from, and what the survey's Table 6 says of its size.

``paper_params`` are parameters and ``paper_flops`` what Table 6 calls FLOPs (multiply-accumulates at 256x256,
see :func:`infraspot.weights.cost.cost`). ``note`` gives the reason wherever our count differs by more
than 2 %. ``parity`` is the largest difference from the answers of the authors' program with the same weights
(random ones, carried over by the key map), as a share of the range of its answers; None where the program was
not run side by side.
"""

from dataclasses import dataclass

OWN = "Apache-2.0"
AFRESH = "Apache-2.0, written afresh; authors' program: "
NO_LICENCE = AFRESH + "no licence"


@dataclass(frozen=True)
class Sheet:
    """One network's family, source, licence, and the published figures where there are some."""

    family: str = "other"
    source: str = ""
    licence: str = NO_LICENCE
    paper_params: float | None = None
    paper_flops: float | None = None
    note: str = ""
    parity: float | None = None
