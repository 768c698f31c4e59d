"""Feature pyramids: maps of one width at the strides that a head reads."""

from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.detection.backbones import Backbone


class FPN(nn.Module):
    """Feature pyramid (Lin et al., 2017): a 1x1 a level, coarse levels added to fine ones, then a 3x3.

    Parameters
    ----------
    backbone
        Its levels from the finest stride wanted to its coarsest one take part, also where no head reads them:
        coarse ones bring context down.
    strides
        Of the maps that it gives. Those beyond the backbone's are 3x3 convolutions of stride 2.
    extra_from
        What the first of these reads: ``"output"``, the pyramid's coarsest map (FCOS), or ``"input"``, the
        backbone's (RetinaNet). With ``"pool"`` every second cell of the coarsest map takes their place
        (Faster R-CNN).
    """

    def __init__(self, backbone: Backbone, strides: Sequence[int], width: int, *, extra_from: str = "output"):
        super().__init__()
        first, last = strides[0], backbone.strides[-1]
        used = [k for k, stride in enumerate(backbone.strides) if stride >= first]
        self.first, self.extra_from = used[0], extra_from
        self.kept = [k - used[0] for k in used if backbone.strides[k] in strides]
        self.lateral = nn.ModuleList(nn.Conv2d(backbone.channels[k], width, 1) for k in used)
        self.smooth = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in self.kept)
        beyond = [stride for stride in strides if stride > last]
        inputs = [backbone.channels[-1] if extra_from == "input" else width, *[width] * len(beyond)]
        self.pooled = len(beyond) if extra_from == "pool" else 0
        self.extra = (
            nn.ModuleList()
            if self.pooled
            else nn.ModuleList(nn.Conv2d(inputs[k], width, 3, 2, 1) for k in range(len(beyond)))
        )
        _check_strides(strides, [backbone.strides[k] for k in used], len(self.kept) + len(beyond))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        levels = levels[self.first :]
        maps = [layer(level) for layer, level in zip(self.lateral, levels, strict=True)]
        for k in range(len(maps) - 1, 0, -1):
            maps[k - 1] = maps[k - 1] + F.interpolate(maps[k], size=maps[k - 1].shape[-2:])
        found = [layer(maps[k]) for layer, k in zip(self.smooth, self.kept, strict=True)]
        x = levels[-1] if self.extra_from == "input" else found[-1]
        for k, layer in enumerate(self.extra):
            x = layer(F.relu(x) if k else x)
            found.append(x)
        for _ in range(self.pooled):
            found.append(F.max_pool2d(found[-1], 1, 2))
        return found


def _check_strides(strides: Sequence[int], of_backbone: Sequence[int], made: int) -> None:
    """Strides must double from level to level, and begin at one that the backbone has."""
    doubling = all(coarse == 2 * fine for fine, coarse in pairwise(strides))
    if not doubling or strides[0] not in of_backbone or made != len(strides):
        raise ValueError(
            f"strides double from one to the next and begin at one of the backbone's {tuple(of_backbone)};"
            f" {tuple(strides)} came"
        )
