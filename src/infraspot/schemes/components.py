"""Pseudo-labels of whole components: what a teacher is sure of, what it is not, and all the rest."""

import torch
from torch import Tensor

from infraspot.core.geometry import find_components


def stable_components(one: Tensor, other: Tensor, sure: float, doubtful: float) -> tuple[Tensor, Tensor]:
    """Labels from two views of the same images, which a teacher scored apart.

    A component of the mean score above ``doubtful`` is a target if its peak is above ``sure`` in both views,
    and is ignored otherwise. A ring of one pixel around each target is ignored as well. Everything else is
    background.

    Parameters
    ----------
    one, other
        (N, 1, H, W) scores in [0, 1], of the same pixels.

    Returns
    -------
    (N, 1, H, W) labels of 0 and 1, and the same shape of weights of 0 and 1.
    """
    labels, weights = torch.zeros_like(one), torch.ones_like(one)
    views = [view[:, 0].float().cpu().numpy() for view in (one, other)]
    for index, (a, b) in enumerate(zip(*views, strict=True)):
        mean = (a + b) / 2
        found = find_components(mean > doubtful)
        for number in range(len(found)):
            inside = found.labels == number + 1
            if min(a[inside].max(), b[inside].max()) >= sure:
                target = inside & (mean >= mean[inside].max() / 2)
                labels[index, 0][torch.from_numpy(target)] = 1.0
                weights[index, 0][torch.from_numpy(inside & ~target)] = 0.0
            else:
                weights[index, 0][torch.from_numpy(inside)] = 0.0
    grown = torch.nn.functional.max_pool2d(labels, 3, 1, 1)
    weights[(grown > 0) & (labels == 0)] = 0.0
    return labels, weights
