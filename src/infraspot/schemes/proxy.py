"""The outer level that was released with "Diffuse to Detect": a proxy for its equations, not their gradient.

What the program does instead of Eq. 1 and of the updates of Section 3.3:

- **Weights.** A frame whose residual (probability less label) points the same way as the mean residual of the
  validation frames is taken for useful. The meta-classifier ascends ``0.25 mean(a s)``, where s is the
  positive part of that cosine, standardised over the batch.
- **Diffusion.** Its parameters follow a surrogate that spreads the network's *prediction*, and no image:
  three steps of heat from the brightest half per cent. The parameters so found are handed to the annotator.

Where the program's text leaves a choice open, the reading is noted beside the line.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.blocks.diffusion import diffuse
from infraspot.losses import Batch, Dice
from infraspot.schemes.dynamics import standardised

FEATURES = 5
STEPS, TAU, FLOOR = 3, 0.15, 1e-4
BRIGHTEST = 0.005
EDGE_COST = 0.15
REWARD = 0.25


class Surrogate(nn.Module):
    """Heat spread from a network's own answer, with parameters kept near those of the annotator.

    ``D0 = 3.2 (1 + 0.3 tanh)``, ``beta = 6 (1 + 0.3 tanh)``, ``rho = 0.84 + 0.05 tanh`` and
    ``alpha = 0.6 + 0.05 tanh`` of one free number each, which begin at 0.
    """

    def __init__(self) -> None:
        super().__init__()
        self.free = nn.Parameter(torch.zeros(4))

    def physics(self) -> Tensor:
        """(4,) D0, beta, rho, alpha."""
        d0, beta, rho, alpha = torch.tanh(self.free)
        values = (3.2 * (1 + 0.3 * d0), 6 * (1 + 0.3 * beta), 0.84 + 0.05 * rho, 0.6 + 0.05 * alpha)
        return torch.stack(values)

    def numbers(self) -> tuple[float, float, float, float]:
        """The same, to hand to the annotator ``diffusion-mc``."""
        d0, beta, rho, alpha = self.physics().tolist()
        return d0, beta, rho, alpha

    def forward(self, probability: Tensor) -> Tensor:
        """(N, 1, H, W) logits of the spread answer; ``probability`` is (N, 1, H, W)."""
        d0, beta, rho, alpha = self.physics().to(probability.device)
        slope = _sobel(probability)
        # Entropy of the 7x7 mean of the probability.
        mean = F.avg_pool2d(probability, 7, stride=1, padding=3).clamp(1e-6, 1 - 1e-6)
        entropy = -(mean * mean.log() + (1 - mean) * (1 - mean).log())
        complexity = _each_standardised(alpha * slope + (1 - alpha) * entropy)
        medium = (d0 * torch.exp(-beta * complexity)).clamp(FLOOR, 0.25 / TAU)
        level = probability.flatten(1).quantile(1 - BRIGHTEST, dim=1).view(-1, 1, 1, 1)
        source = torch.relu(probability - level)
        source = F.avg_pool2d(
            source / source.amax((2, 3), keepdim=True).clamp(min=1e-6), 3, stride=1, padding=1
        )
        # The prior S is the smoothed source itself.
        spread = diffuse(medium, source + 1e-9, TAU, STEPS)
        return rho * spread + (1 - rho) * source - EDGE_COST * slope


def alignment(logits: Tensor, batch: Batch, val_logits: Tensor, val_batch: Batch) -> Tensor:
    """(N, 3) each frame's residual and the mean one of val: product, cosine, share of equal signs."""
    own = (logits.sigmoid() - batch.labels).flatten(1)
    other = (val_logits.sigmoid() - val_batch.labels).mean(0).flatten()
    return torch.stack(
        [
            (own * other).mean(1),
            F.cosine_similarity(own, other[None], dim=1),
            (own.sign() == other.sign()).float().mean(1),
        ],
        1,
    )


@torch.no_grad()
def describe(logits: Tensor, batch: Batch, surrogate: Surrogate, aligned: Tensor | None) -> Tensor:
    """(N, 5) what the program measures beyond :func:`infraspot.schemes.dynamics.describe`, standardised.

    The three numbers of :func:`alignment`, 0 while weights are given and known only while the classifier
    learns; then error and Dice between the label and the spread answer.
    """
    spread = surrogate(logits.sigmoid())
    error = (spread.sigmoid() - batch.labels).abs().flatten(1).mean(1)
    overlap = 1 - Dice()(spread, batch)
    known = standardised(torch.stack([error, overlap], 1))
    three = known.new_zeros(len(known), 3) if aligned is None else standardised(aligned)
    return torch.cat([three, known], 1)


def reward(weights: Tensor, aligned: Tensor) -> Tensor:
    """The scalar that the meta-classifier descends: ``-0.25 mean(a s)``."""
    usefulness = standardised(torch.relu(aligned[:, 1:2])).squeeze(1)
    return -REWARD * (weights * usefulness).mean()


def _sobel(values: Tensor) -> Tensor:
    kernel = values.new_tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    padded = F.pad(values, (1, 1, 1, 1), mode="replicate")
    across, down = (F.conv2d(padded, k[None, None]) for k in (kernel, kernel.T))
    return (across.square() + down.square() + 1e-12).sqrt()


def _each_standardised(values: Tensor) -> Tensor:
    mean = values.mean((2, 3), keepdim=True)
    return (values - mean) / (values.std((2, 3), keepdim=True) + 1e-6)
