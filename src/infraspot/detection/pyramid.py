"""Feature pyramids: maps of one width at the strides that a head reads."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.detection.backbones import Backbone
from infraspot.detection.backbones.partial import Layer, PartialStage, narrow_block


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


def levels_at(backbone: Backbone, strides: Sequence[int], *, beyond: int = 0) -> list[int]:
    """Numbers of the backbone's levels at these strides, of which up to ``beyond`` may be coarser than it.

    Raises
    ------
    ValueError
        If it lacks one of the others, its coarsest is left out, or strides do not double each time.
    """
    kept = [backbone.strides.index(stride) for stride in strides if stride in backbone.strides]
    last = backbone.strides[-1]
    _check_strides(strides, backbone.strides, len(kept) + sum(stride > last for stride in strides))
    if not last <= strides[-1] <= last << beyond:
        reach = f"from {last} to {last << beyond}" if beyond else f"the backbone's, {last}"
        raise ValueError(f"the last stride is {reach}, and {strides[-1]} came")
    return kept


class DownAndUp(nn.Module):
    """A pyramid from coarse to fine and back to coarse (PANet, 2018), its joints partial stages.

    Parameters
    ----------
    depth, block
        Of the partial stages.
    kernel_size
        Of the last layer of each level.
    """

    def __init__(
        self,
        backbone: Backbone,
        strides: Sequence[int],
        width: int,
        depth: int,
        *,
        block: Callable[[int], nn.Module] = narrow_block,
        kernel_size: int = 1,
    ):
        super().__init__()
        self.levels = levels_at(backbone, strides)
        channels = [backbone.channels[k] for k in self.levels]
        joint = partial(PartialStage, depth=depth, adds=False, block=block)
        pairs = list(pairwise(channels))
        self.reduce = nn.ModuleList(Layer(coarse, fine) for fine, coarse in pairs)
        self.down = nn.ModuleList(joint(2 * fine, fine) for fine, _ in pairs)
        self.shrink = nn.ModuleList(Layer(fine, fine, 3, 2) for fine, _ in pairs)
        self.up = nn.ModuleList(joint(2 * fine, coarse) for fine, coarse in pairs)
        self.out = nn.ModuleList(Layer(count, width, kernel_size) for count in channels)

    def forward(self, levels: Sequence[Tensor]) -> list[Tensor]:
        levels = [levels[k] for k in self.levels]
        x = levels[-1]
        maps: list[Tensor] = []
        for k in reversed(range(len(self.reduce))):
            x = self.reduce[k](x)
            maps.insert(0, x)
            x = self.down[k](torch.cat([F.interpolate(x, scale_factor=2.0), levels[k]], 1))
        found = [x]
        for k, shrink in enumerate(self.shrink):
            x = self.up[k](torch.cat([shrink(x), maps[k]], 1))
            found.append(x)
        return [layer(map_) for layer, map_ in zip(self.out, found, strict=True)]
