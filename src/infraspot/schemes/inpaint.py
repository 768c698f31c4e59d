"""Inpaint: small blocks are hidden and noise is added, and the network predicts what was there.

A network that fills in background well knows what background looks like (masked autoencoders, He et al., CVPR
2022, in the small; RPCANet's estimate of the background is of the same kind). The answer's logits, and those
of every coarser map, stand for grey values in standard deviations of their frame. Only hidden pixels count.
The last layers learn another task than detection; training from these weights begins with that.
"""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.random import Generator
from torch import Tensor

from infraspot.core.errors import UsageError
from infraspot.core.options import require_number, require_whole
from infraspot.losses import Batch
from infraspot.schemes.base import Trainee
from infraspot.schemes.frames_alone import FramesAlone

# Deviation that is taken for a frame with less.
QUIETEST = 1.5 / 255


class Inpaint(FramesAlone):
    """Predict hidden blocks from what is around them, by the mean absolute error.

    Parameters
    ----------
    share
        Share of a frame that is hidden.
    block
        Side of a hidden block in pixels.
    noise
        Standard deviation of the noise that is added to what is seen, in deviations of the frame.
    """

    detects = False

    def __init__(self, share: float = 0.2, block: int = 4, noise: float = 0.2) -> None:
        super().__init__()
        require_number(0, 10, noise=noise)
        require_whole(1, 256, block=block)
        if not 0 < share < 1:
            raise UsageError(
                f"share is the part of a frame that is hidden, between 0 and 1, and it is {share}"
            )
        self.share, self.block, self.noise = share, block, noise

    def loss(self, run: Trainee, batch: Batch) -> Tensor:
        rng, images = self.draws(run), batch.images
        hidden = self._hidden(images, rng)
        mean = images.mean((2, 3), keepdim=True)
        deviation = images.std((2, 3), keepdim=True).clamp_min(QUIETEST)
        noise = torch.from_numpy(rng.standard_normal(tuple(images.shape), np.float32)).to(images.device)
        seen = torch.where(hidden, mean, images + self.noise * deviation * noise)
        output = run.network(seen.clamp(0, 1))
        wanted = (images - mean) / deviation
        errors = [_error(map_.float(), wanted, hidden.float()) for map_ in (output.logits, *output.aux)]
        return torch.stack(errors).mean()

    def _hidden(self, images: Tensor, rng: Generator) -> Tensor:
        """(N, 1, H, W) True where a block is hidden; one block at least in each frame."""
        count, _, height, width = images.shape
        cells = -(-height // self.block) * -(-width // self.block)
        chosen = rng.random((count, cells)) < self.share
        chosen[np.arange(count), rng.integers(cells, size=count)] = True
        grid = torch.from_numpy(chosen).view(count, 1, -(-height // self.block), -1)
        blocks = grid.repeat_interleave(self.block, 2).repeat_interleave(self.block, 3)
        return blocks[..., :height, :width].to(images.device)


def _error(map_: Tensor, wanted: Tensor, hidden: Tensor) -> Tensor:
    """Mean absolute error over hidden pixels; a cell of a coarser map counts by its share of them."""
    if map_.shape[-2:] != wanted.shape[-2:]:
        size = (map_.shape[-2], map_.shape[-1])
        wanted, hidden = F.adaptive_avg_pool2d(wanted, size), F.adaptive_avg_pool2d(hidden, size)
    return ((map_ - wanted).abs() * hidden).sum() / hidden.sum()
