"""What every detector of boxes takes and returns."""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.detection.priors import Priors
from infraspot.networks.sheet import Sheet


class BoxOutput(NamedTuple):
    """What a detector says about N frames: K boxes each, of which most are background.

    Attributes
    ----------
    boxes
        (N, K, 4) as (x0, y0, x1, y1) in pixels of the frame.
    logits
        (N, K), target or not; never a sigmoid.
    quality
        (N, K) logits of how well a box fits, where the method learns that (centreness, overlap).
    priors
        The places that the boxes belong to; None where boxes belong to none.
    sky
        Logits (N, 1, h, w) of the sky, one map a level, where a method learns it.
    parts
        What the method's own loss reads besides.
    """

    boxes: Tensor
    logits: Tensor
    quality: Tensor | None = None
    priors: Priors | None = None
    sky: tuple[Tensor, ...] = ()
    parts: dict[str, Any] = {}  # noqa: RUF012 - never written to


@dataclass(frozen=True, eq=False)
class Wanted:
    """What N frames hold: (n, 4) boxes of each, and (N, 1, H, W) sky where it is known."""

    boxes: tuple[Tensor, ...]
    sky: Tensor | None = None


class Detector(nn.Module):
    """A network from (N, 1, H, W) grey images in [0, 1], of any size, to :class:`BoxOutput`.

    Subclasses write :meth:`detect`, which may rely on H and W being multiples of ``stride``, and
    :meth:`loss`. Frames are padded at the bottom and at the right by repeating the border: never resized.

    Attributes
    ----------
    stride
        Pixels of a frame that one cell of the backbone's coarsest level covers.
    frames
        How many a detector takes at a time.
    input_scaling
        Mean and standard deviation that are taken out of the image first.
    reads
        What the loss needs beside boxes: ``("sky",)`` or nothing.
    sheet
        Family, source and the paper's figures.
    suppression
        How one box is chosen for a target: keys of :class:`infraspot.weights.card.SuppressionCard`.
    """

    stride: int = 32
    frames: ClassVar[int] = 1
    input_scaling: tuple[float, float] = (0.0, 1.0)
    reads: ClassVar[tuple[str, ...]] = ()
    sheet: ClassVar[Sheet] = Sheet()
    suppression: ClassVar[dict[str, Any]] = {"iou": 0.5, "least": 0.01, "before": 1000, "most": 300}

    def detect(self, image: Tensor) -> BoxOutput:
        """Boxes of (N, 1, H, W) images whose sides are multiples of ``stride``."""
        raise NotImplementedError

    def loss(self, output: BoxOutput, wanted: Wanted) -> Tensor:
        """Scalar to minimise: the mean over the frames of a batch."""
        raise NotImplementedError

    def scores(self, output: BoxOutput) -> Tensor:
        """(N, K) scores in [0, 1]."""
        scores = output.logits.sigmoid()
        return scores if output.quality is None else scores * output.quality.sigmoid()

    def forward(self, image: Tensor) -> BoxOutput:
        mean, deviation = self.input_scaling
        if (mean, deviation) != (0.0, 1.0):
            image = (image - mean) / deviation
        height, width = image.shape[-2:]
        down, right = -height % self.stride, -width % self.stride
        if down or right:
            image = F.pad(image, (0, right, 0, down), mode="replicate")
        return self.detect(image)
