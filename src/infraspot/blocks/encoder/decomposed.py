"""An encoder guided by what a low-rank background does not explain."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.blocks.conv import ConvNormAct
from infraspot.blocks.encoder.base import Encoder, MakeBlock, SingleEncoder


class DifferentialEncoder(Encoder):
    """RPCA differential attention: the frame minus its low-rank background guides every level (Tang et al.,
    2024).

    Judgement: a level's attention is a 3x3, norm, ReLU, 1x1 and sigmoid of the difference, max-pooled to its
    size; it raises features by up to twice. The decomposition is :func:`low_rank_background`, of the frame or
    tile as it comes.
    """

    def __init__(self, widths: Sequence[int], block: MakeBlock, stem: MakeBlock = ConvNormAct):
        nn.Module.__init__(self)
        self.widths = tuple(widths)
        self.features = SingleEncoder(widths, block, stem)
        self.attention = nn.ModuleList(
            nn.Sequential(ConvNormAct(1, width), nn.Conv2d(width, width, 1), nn.Sigmoid()) for width in widths
        )

    def forward(self, image: Tensor) -> list[Tensor]:
        difference = (image - low_rank_background(image)).abs()
        levels = []
        for index, (x, attention) in enumerate(zip(self.features(image), self.attention, strict=True)):
            levels.append(torch.addcmul(x, x, attention(F.max_pool2d(difference, 2**index))))
        return levels


@torch.no_grad()
def low_rank_background(image: Tensor, *, rank: int = 2, rounds: int = 3) -> Tensor:
    """Background of (N, 1, H, W) frames by robust PCA: a matrix of low rank, apart from sparse outliers.

    GoDec (Zhou and Tao, 2011): in turn, the best matrix of ``rank`` for the frame without its outliers, and
    the outliers, what exceeds three mean absolute residuals. Power iterations with deflation take the place
    of the SVD: sums and products, which export and do not depend on the batch.
    """
    image = image.float()
    background, outliers = image, torch.zeros_like(image)
    for _ in range(rounds):
        rest, background = image - outliers, torch.zeros_like(image)
        for _ in range(rank):
            part = _leading_part(rest)
            rest, background = rest - part, background + part
        residual = image - background
        limit = 3 * residual.abs().mean((-2, -1), keepdim=True)
        outliers = residual - residual.clamp(-limit, limit)
    return background


def _leading_part(matrix: Tensor, steps: int = 6) -> Tensor:
    """The best matrix of rank one, by power iteration from the sums of magnitudes of the columns."""
    row = matrix.abs().sum(-2, keepdim=True)
    column = row
    for _ in range(steps):
        column = (matrix * row).sum(-1, keepdim=True)
        column = column * torch.rsqrt(column.square().sum(-2, keepdim=True) + 1e-12)
        row = (matrix * column).sum(-2, keepdim=True)
    return column * row
