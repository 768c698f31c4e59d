"""What every segmentation network takes and returns."""

from typing import ClassVar, NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.networks.sheet import Sheet


class SegOutput(NamedTuple):
    """The same in training and in evaluation: logits, or the unit of the image; never a sigmoid.

    Attributes
    ----------
    logits
        (N, 1, H, W), the answer at the size of the input.
    aux
        Deep supervision: further logits, (N, 1, h, w) each, finest first; they may be smaller than the
        image.
    edge
        (N, 1, H, W) logits of the targets' edges, where a network predicts them.
    background
        (N, 1, H, W) reconstructed image without targets, where a network estimates it: with the logits added,
        it is the reconstructed image.
    streams
        Pairs of features (N, C, h, w), of targets and of background, finest first, where a network keeps the
        two apart. In training only: a loss reads them, and nothing else.
    """

    logits: Tensor
    aux: tuple[Tensor, ...] = ()
    edge: Tensor | None = None
    background: Tensor | None = None
    streams: tuple[tuple[Tensor, Tensor], ...] = ()


class SegmentationNetwork(nn.Module):
    """A network from (N, 1, H, W) grey images in [0, 1], of any size, to :class:`SegOutput`.

    Networks of sequences take (N, T, H, W), registered frames of which the last is searched.

    Subclasses write :meth:`segment`, which may rely on H and W being multiples of ``stride``. Frames are
    padded at the bottom and at the right by repeating the border, and outputs are cropped: never resized.

    Attributes
    ----------
    stride
        Pixels of a frame that one cell of the coarsest level covers.
    frames
        How many frames it takes; 1 but for networks of sequences.
    input_scaling
        Mean and standard deviation that are taken out of the image first; (0, 1) leaves it as it is. The
        converted weights of programs that scale their images set it.
    training_side
        The smallest side of a training crop from which every parameter gets a gradient; below it a region or
        a scan of the network is a single cell, which has nothing to compare itself with.
    sheet
        Family, source and the paper's figures.
    """

    stride: int = 1
    frames: int = 1
    input_scaling: tuple[float, float] = (0.0, 1.0)
    training_side: ClassVar[int] = 64
    sheet: ClassVar[Sheet] = Sheet()

    def segment(self, image: Tensor) -> SegOutput:
        """Logits for (N, 1, H, W) images whose sides are multiples of ``stride``."""
        raise NotImplementedError

    def deployed(self) -> "SegmentationNetwork":
        """The same function for prediction alone, laid out for the run times of exported files."""
        return self

    def scaled(self, image: Tensor) -> Tensor:
        """The image as :meth:`segment` takes it."""
        mean, deviation = self.input_scaling
        return image if (mean, deviation) == (0.0, 1.0) else (image - mean) / deviation

    def forward(self, image: Tensor) -> SegOutput:
        image = self.scaled(image)
        height, width = image.shape[-2:]
        down, right = -height % self.stride, -width % self.stride
        if not (down or right):
            return self.segment(image)
        output = self.segment(F.pad(image, (0, right, 0, down), mode="replicate"))
        full = (height + down, width + right)
        return SegOutput(
            _crop(output.logits, full, height, width),
            tuple(_crop(map_, full, height, width) for map_ in output.aux),
            None if output.edge is None else _crop(output.edge, full, height, width),
            None if output.background is None else _crop(output.background, full, height, width),
            tuple((_crop(f, full, height, width), _crop(g, full, height, width)) for f, g in output.streams),
        )


def _crop(map_: Tensor, full: tuple[int, int], height: int, width: int) -> Tensor:
    """Cut the padding off a full-size map; a smaller map keeps the share of it that shows the image."""
    rows = -(-height * map_.shape[-2] // full[0])
    columns = -(-width * map_.shape[-1] // full[1])
    return map_[..., :rows, :columns]
