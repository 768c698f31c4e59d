"""Heads of two-stage detectors: what proposes boxes, and what looks at the features of each."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.detection.heads import begin_small, flat

REGION = 7
"""Cells of a side of a region's features."""


class ProposalHead(nn.Module):
    """A 3x3, then whether there is anything and by how much each anchor is off."""

    def __init__(self, width: int, anchors: int):
        super().__init__()
        self.shared = nn.Conv2d(width, width, 3, padding=1)
        self.logits, self.boxes = nn.Conv2d(width, anchors, 1), nn.Conv2d(width, 4 * anchors, 1)
        begin_small(self)

    def forward(self, maps: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """(N, K) logits and (N, K, 4) deltas."""
        shared = [F.relu(self.shared(x)) for x in maps]
        return flat([self.logits(x) for x in shared]), flat([self.boxes(x) for x in shared], 4)


def apart(both: Tensor) -> Tensor:
    """(n,) logits of target against background, from (n, 2) of background and target."""
    return both[:, 1] - both[:, 0]


class ClassHead(nn.Module):
    """Layers over a region's features, then background against target.

    Parameters
    ----------
    depth
        Layers of ``hidden`` numbers.
    """

    def __init__(self, width: int, hidden: int, depth: int = 2):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten())
        for wide in (width * REGION**2, *[hidden] * (depth - 1)):
            self.layers.extend([nn.Linear(wide, hidden), nn.ReLU(inplace=True)])
        self.classes = nn.Linear(hidden, 2)

    def read(self, x: Tensor) -> Tensor:
        """(n,) logits after the layers."""
        return apart(self.classes(x))

    def forward(self, regions: Tensor) -> tuple[Tensor, Tensor]:
        """(n,) logits, and no numbers of a box: (n, 0)."""
        logits = self.read(self.layers(regions))
        return logits, logits.new_zeros(len(logits), 0)


class BoxHead(ClassHead):
    """The same, and the box."""

    def __init__(self, width: int, hidden: int):
        super().__init__(width, hidden)
        self.boxes = nn.Linear(hidden, 4)
        nn.init.normal_(self.boxes.weight, std=0.001)
        nn.init.zeros_(self.boxes.bias)

    def forward(self, regions: Tensor) -> tuple[Tensor, Tensor]:
        """(n,) logits and (n, 4) deltas."""
        x = self.layers(regions)
        return self.read(x), self.boxes(x)
