"""Compact with all of its layers at half resolution: the same function, laid out for exported files.

At full resolution the last layers have 8 channels or fewer. ONNX Runtime fills channels up to 16 in float,
and gains nothing by integers on so few. On the four phases of the pixels there are four times as many at a
quarter of the places: less work in float, and 1.8 times as fast in 8-bit integers, although three of four of
the new weights are zero.

What reads pixels reads them with a stride of 2, so that nothing is moved to make the phases of the image. The
coarse answer is interpolated by a convolution too: filled up to 16 channels at full resolution, it cost more.
"""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from infraspot.networks.compact import Compact


class CompactAtHalf(Compact):
    """For prediction alone; made by :func:`with_half`."""

    spread: nn.Conv2d

    def begin(self, image: Tensor) -> Tensor:
        return self.stem(image)

    def finish(self, image: Tensor, coarse: Tensor, x: Tensor) -> Tensor:
        seen = F.relu(self.subpixel(x) + self.detail(image))
        spread = self.spread(F.pad(coarse, (1, 1, 1, 1), mode="replicate"))
        return F.pixel_shuffle(spread + self.head(self.refine(seen)), 2)


def with_half(network: Compact) -> CompactAtHalf:
    """The function of ``network``, which stays as it is."""
    made = copy.deepcopy(network).eval().requires_grad_(False)
    stem, (convolution, norm, *_) = made.stem[0], made.refine
    assert isinstance(stem, nn.Conv2d)
    assert isinstance(convolution, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    made.stem[0] = from_pixels(stem)
    made.detail, made.head = to_phases(made.detail), at_half(made.head)
    made.refine[0], made.refine[1] = at_half(fuse_conv_bn_eval(convolution, norm)), nn.Identity()
    made.spread = interpolation()
    made.__class__ = CompactAtHalf
    assert isinstance(made, CompactAtHalf)
    return made


def at_half(convolution: nn.Conv2d) -> nn.Conv2d:
    """The 3x3 convolution that does to ``pixel_unshuffle(x, 2)`` what ``convolution`` does to ``x``.

    Its output is the ``pixel_unshuffle`` of the other's, with the same border of zeros.
    """
    weight = convolution.weight.detach()
    outs, ins = weight.shape[:2]
    new = torch.zeros(outs, 2, 2, ins, 2, 2, 3, 3)
    for y in range(2):
        for x in range(2):
            for down in range(3):
                for right in range(3):
                    (row, phase_y), (column, phase_x) = divmod(y + down - 1, 2), divmod(x + right - 1, 2)
                    new[:, y, x, :, phase_y, phase_x, row + 1, column + 1] = weight[:, :, down, right]
    bias = None if convolution.bias is None else convolution.bias.repeat_interleave(4)
    return _frozen(new.reshape(4 * outs, 4 * ins, 3, 3), bias, padding=1)


def to_phases(convolution: nn.Conv2d) -> nn.Conv2d:
    """The convolution of pixels whose output is the ``pixel_unshuffle`` of that of a 3x3 ``convolution``."""
    weight = convolution.weight.detach()
    outs, ins = weight.shape[:2]
    new = torch.zeros(outs, 2, 2, ins, 4, 4)
    for y in range(2):
        for x in range(2):
            new[:, y, x, :, y : y + 3, x : x + 3] = weight
    bias = None if convolution.bias is None else convolution.bias.repeat_interleave(4)
    return _frozen(new.reshape(4 * outs, ins, 4, 4), bias, padding=1, stride=2)


def from_pixels(convolution: nn.Conv2d) -> nn.Conv2d:
    """The convolution of pixels that does what a 3x3 ``convolution`` does to their ``pixel_unshuffle``."""
    outs, ins = convolution.weight.shape[:2]
    phases = convolution.weight.detach().reshape(outs, ins // 4, 2, 2, 3, 3)
    new = phases.permute(0, 1, 4, 2, 5, 3).reshape(outs, ins // 4, 6, 6)
    return _frozen(new, convolution.bias, padding=2, stride=2)


def interpolation() -> nn.Conv2d:
    """Bilinear interpolation to twice the size, as the phases of the larger map.

    It takes a map with one more cell on each side, which repeats the last ones.
    """
    sides = torch.tensor([[0.25, 0.75, 0.0], [0.0, 0.75, 0.25]])
    return _frozen(torch.einsum("yi,xj->yxij", sides, sides).reshape(4, 1, 3, 3), None)


def _frozen(weight: Tensor, bias: Tensor | None, *, padding: int = 0, stride: int = 1) -> nn.Conv2d:
    outs, ins, side, _ = weight.shape
    made = nn.Conv2d(ins, outs, side, stride, padding, bias=bias is not None)
    made.load_state_dict({"weight": weight} if bias is None else {"weight": weight, "bias": bias.detach()})
    return made.requires_grad_(False)
