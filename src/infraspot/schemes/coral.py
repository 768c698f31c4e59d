"""CORAL and MMD: features of a new camera get the statistics of those of known ones.

Deep CORAL (Sun and Saenko, ECCV workshops 2016) compares covariances, and MMD (Gretton et al., JMLR 2012; a
sum of Gaussian kernels, as in Long et al., ICML 2015) whole distributions. Both are taken over the pixels
that might be targets, since the mean pixel of a frame is sky.
"""

import torch
from torch import Tensor

from infraspot.core.errors import UsageError
from infraspot.core.options import require_number
from infraspot.losses import Batch
from infraspot.schemes.adaptation import Adaptation
from infraspot.schemes.base import Trainee
from infraspot.schemes.features import candidate_pixels, with_features
from infraspot.schemes.learning import freeze_norms

WIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)  # of the kernels, in mean squared distances


class Coral(Adaptation):
    """Masks on known cameras, and statistics of candidates that do not tell the cameras apart.

    Parameters
    ----------
    weight
        Of the difference between the cameras.
    kind
        ``"coral"``: means and covariances; ``"mmd"``: distributions.
    """

    def __init__(self, weight: float = 1.0, kind: str = "coral") -> None:
        require_number(0, 1e6, weight=weight)
        if kind not in ("coral", "mmd"):
            raise UsageError(f"the kind is coral or mmd, and {kind!r} came")
        self.weight, self.kind = weight, kind

    def loss(self, run: Trainee, batch: Batch) -> Tensor:
        freeze_norms(run.module)
        known, ours = with_features(run.network, run.module, batch.images)
        new, theirs = with_features(run.network, run.module, self.images_of(batch))
        pair = candidate_pixels(ours, known.logits), candidate_pixels(theirs, new.logits)
        differ = coral_distance(*pair) if self.kind == "coral" else mmd_distance(*pair)
        return run.loss(known, batch).mean() + self.weight * differ


def coral_distance(one: Tensor, other: Tensor) -> Tensor:
    """Squared difference of the covariances of (P, C) and (Q, C), over 4 C^2, and of the means, over C."""
    channels = one.shape[1]
    means, spreads = zip(*(_moments(part) for part in (one, other)), strict=True)
    return (spreads[0] - spreads[1]).pow(2).sum() / (4 * channels**2) + (means[0] - means[1]).pow(2).mean()


def mmd_distance(one: Tensor, other: Tensor) -> Tensor:
    """Squared maximum mean discrepancy of (P, C) and (Q, C) under a sum of Gaussian kernels."""
    whole = torch.cat([one, other])
    distances = torch.cdist(whole, whole).pow(2)
    scale = distances.detach().mean().clamp(min=1e-12)
    kernel = torch.stack([torch.exp(-distances / (width * scale)) for width in WIDTHS]).mean(0)
    count = len(one)
    return kernel[:count, :count].mean() + kernel[count:, count:].mean() - 2 * kernel[:count, count:].mean()


def _moments(pixels: Tensor) -> tuple[Tensor, Tensor]:
    mean = pixels.mean(0)
    centred = pixels - mean
    return mean, centred.T @ centred / max(len(pixels) - 1, 1)
