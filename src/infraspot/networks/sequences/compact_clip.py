"""CompactClip: the compact network, which also sees how each pixel differs from its own past.

The frames are registered, so that the background stands still and a target passes through pixels. Their
temporal profiles carry most of what is known of a faint target (DeepPro's observation): what a frame's
pixel deviates from the mean of the clip, divided by the usual deviation in time of its surroundings, is one
further channel for each frame. The compact network then looks for targets in space and in time at once: a
path through the channels is a pattern like any other to its convolutions. With the same frame T times these
channels are zero, and what is left is the compact network on one frame.

Parameters: 0.44 M. At 256x256, 10 frames: 0.9 GMACs.
"""

import torch
from torch import Tensor, nn

from infraspot.blocks.conv import ConvNormAct
from infraspot.networks.base import SegmentationNetwork
from infraspot.networks.compact import Compact, RingContrast
from infraspot.networks.sheet import OWN, Sheet


class CompactClip(Compact):
    """The compact network over clips of registered frames, (N, T, H, W).

    Its first input channels are those of the compact network, whose weights it can begin with.

    Parameters
    ----------
    frames
        Length T of a clip; the last frame is searched.
    widths, depths, full_width
        As in :class:`infraspot.networks.compact.Compact`.
    """

    sheet = Sheet(family="sequence", source="infraspot", licence=OWN)

    def __init__(
        self,
        frames: int = 10,
        widths: tuple[int, ...] = (16, 32, 64, 64),
        depths: tuple[int, ...] = (1, 2, 2, 2),
        full_width: int = 8,
    ):
        super().__init__(widths, depths, full_width)
        self.frames = frames
        self.contrast = ClipContrast()
        self.stem = ConvNormAct(4 * (frames + 2), widths[0])
        self.detail = nn.Conv2d(frames + 2, full_width, 3, padding=1)

    def deployed(self) -> SegmentationNetwork:
        return self


class ClipContrast(RingContrast):
    """(N, T, H, W) in [0, 1] to (N, 2 + T, H, W): the last frame's contrast, then every frame's in time.

    Parameters
    ----------
    cell, floor
        As in :class:`infraspot.networks.compact.RingContrast`, for the contrast in space.
    still
        Deviation in time that is as good as none, in units of the image.
    """

    def __init__(self, cell: int = 16, floor: float = 0.01, still: float = 0.004):
        super().__init__(cell, floor)
        self.still = still

    def forward(self, image: Tensor) -> Tensor:
        # Without the surroundings' level, so that a change of gain is none of the target.
        level = image - self._spread(self._mean(image))
        change = level - level.mean(1, keepdim=True)
        spread = self._spread(self._mean((change * change).mean(1, keepdim=True)))
        in_time = change * torch.rsqrt(spread + self.still**2)
        return torch.cat([super().forward(image[:, -1:]), 0.5 * in_time], 1)
