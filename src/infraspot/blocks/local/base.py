"""What every local refinement takes and returns."""

import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.blocks.conv import ConvNormAct


class Local(nn.Module):
    """``Local(in_channels, out_channels)(x)``: (N, in_channels, H, W) to (N, out_channels, H, W).

    Subclasses write :meth:`refine`; unless ``residual`` is false the input, brought to ``out_channels`` by a
    1x1 where needed, is added, and a ReLU follows.
    """

    def __init__(self, in_channels: int, out_channels: int, *, residual: bool = True):
        super().__init__()
        self.residual = residual
        self.skip: nn.Module = nn.Identity()
        if residual and in_channels != out_channels:
            self.skip = ConvNormAct(in_channels, out_channels, 1, act=False)

    def refine(self, x: Tensor) -> Tensor:
        """What is added to the input."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        refined = self.refine(x)
        return F.relu(refined + self.skip(x)) if self.residual else refined
