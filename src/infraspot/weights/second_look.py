"""The network of the second look, and its place in a weight file: tensors named ``second_look.*``."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

PREFIX = "second_look."
NEAR_STRIDES = (1, 2, 1, 2, 1)
WIDE_STRIDES = (1, 2, 2, 2, 1)
DROPOUT = 0.2


class SecondLookNetwork(nn.Module):
    """Two small trunks, one for each window, and a head that reads the mean and the peak of their maps.

    Parameters
    ----------
    widths
        Channels at full, half and quarter size of the near window.
    norms
        Batch norms after the convolutions, for training; :meth:`folded` takes them out again.
    """

    def __init__(self, widths: Sequence[int], *, norms: bool = False) -> None:
        super().__init__()
        self.widths = list(widths)
        small, middle, large = widths
        self.near = _trunk(small, middle, large, NEAR_STRIDES, norms)
        self.wide = _trunk(small, middle, large, WIDE_STRIDES, norms)
        self.head = nn.Sequential(
            nn.Dropout(DROPOUT), nn.Linear(4 * large, large), nn.ReLU(), nn.Linear(large, 1)
        )

    def forward(self, near: Tensor, wide: Tensor) -> Tensor:
        """(N, 1, 32, 32) and (N, 1, 64, 64) windows to (N,) logits."""
        maps = self.near(near), self.wide(wide)
        seen = torch.cat([part for map_ in maps for part in (map_.mean((2, 3)), map_.amax((2, 3)))], dim=1)
        logits: Tensor = self.head(seen)[:, 0]
        return logits

    def folded(self) -> "SecondLookNetwork":
        """The same function without batch norms, its weights rounded to half precision as files keep them."""
        plain = SecondLookNetwork(self.widths)
        for ours, theirs in zip((*self.near, *self.wide), (*plain.near, *plain.wide), strict=True):
            fused = fuse_conv_bn_eval(ours[0].eval(), ours[1].eval())
            theirs[0].load_state_dict(fused.state_dict())
        plain.head.load_state_dict(self.head.state_dict())
        return plain.half().float().eval()


def _trunk(small: int, middle: int, large: int, strides: Sequence[int], norms: bool) -> nn.Sequential:
    widths = (1, small, middle, middle, large, large)
    steps = zip(widths[:-1], widths[1:], strides, strict=True)
    return nn.Sequential(*(_layer(read, write, stride, norms) for read, write, stride in steps))


def _layer(read: int, write: int, stride: int, norms: bool) -> nn.Sequential:
    convolution = nn.Conv2d(read, write, 3, stride, 1, bias=not norms)
    return nn.Sequential(convolution, nn.BatchNorm2d(write) if norms else nn.Identity(), nn.ReLU())


def with_second_look(state: Mapping[str, Tensor], network: SecondLookNetwork | None) -> dict[str, Tensor]:
    """The tensors of a weight file that holds a segmentation and its second look."""
    further = {} if network is None else network.state_dict()
    return {**state, **{PREFIX + name: tensor.half() for name, tensor in further.items()}}
