"""Analytic filters: the first layer is computed from the shots, and not trained.

Built from an abstract (the survey's [95]: cluster the features, keep dominant eigenvectors as fixed filters
of the first layer), with the algebra of :class:`infraspot.blocks.local.clutter.OTC`: the filters are the
directions in which patches on targets have the most energy, measured in the spread of patches on clutter: (S
+ c I) w = l (C + c I) w. They take the place of a share of the first layer's filters, each with the norm
that it had, and stay fixed.
"""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import linalg
from torch import Tensor, nn

from infraspot.core.errors import UsageError
from infraspot.core.options import require_number
from infraspot.losses import Batch
from infraspot.schemes.base import Trainee
from infraspot.schemes.full import Full

DAMPING = 1e-2
MOST_CLUTTER = 2000  # patches of an image


class AnalyticFilters(Full):
    """Fit a share of the first layer's filters to the shots, then train the rest.

    Parameters
    ----------
    share
        Of the first layer's filters that are computed.
    """

    def __init__(self, share: float = 0.5) -> None:
        require_number(0, 1, share=share)
        self.share = share

    def begin(self, run: Trainee) -> None:
        super().begin(run)
        layer = first_layer(run.module)
        patches = [_patches(run, layer, sample.image, sample.mask) for sample in run.samples]
        targets, clutter = (np.concatenate(part) for part in zip(*patches, strict=True))
        count = min(round(self.share * layer.out_channels), targets.shape[1])
        filters = torch.from_numpy(target_filters(targets, clutter, count)).to(layer.weight)
        with torch.no_grad():
            # Those that respond least to targets give way.
            weak = (torch.from_numpy(targets).to(layer.weight) @ layer.weight.flatten(1).T).pow(2).mean(0)
            places = weak.argsort()[:count]
            norms = layer.weight.flatten(1)[places].norm(dim=1, keepdim=True)
            layer.weight[places] = (filters * norms).view(count, *layer.weight.shape[1:])

    def loss(self, run: Trainee, batch: Batch) -> Tensor:
        first_layer(run.module).weight.requires_grad_(False)
        return super().loss(run, batch)


def first_layer(network: nn.Module) -> nn.Conv2d:
    """The first convolution of a network that looks at more than a pixel.

    Raises
    ------
    UsageError
        If there is none.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.groups == 1 and max(module.kernel_size) > 1:
            return module
    raise UsageError(
        f"analytic filters take the place of a convolution, and {type(network).__name__} has none"
    )


def target_filters(
    targets: NDArray[np.floating[Any]], clutter: NDArray[np.floating[Any]], count: int
) -> NDArray[np.float64]:
    """(count, D) unit vectors of the most energy on targets (N, D) against clutter (M, D), the best first."""
    energy = targets.T @ targets / max(len(targets), 1)
    spread = np.cov(clutter.T) if len(clutter) > 1 else np.eye(targets.shape[1])
    spread = np.atleast_2d(spread).astype(np.float64)
    spread += DAMPING * max(float(np.trace(spread)) / len(spread), 1e-12) * np.eye(len(spread))
    _, vectors = linalg.eigh(energy.astype(np.float64), spread)
    best = vectors[:, ::-1][:, :count].T
    unit: NDArray[np.float64] = best / np.linalg.norm(best, axis=1, keepdims=True)
    return unit


@torch.no_grad()
def _patches(
    run: Trainee, layer: nn.Conv2d, image: NDArray[Any], mask: NDArray[np.bool_] | None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What the layer reads at targets and at clutter of one frame: (N, D) and (M, D), less their mean."""
    assert mask is not None
    caught: list[Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0]))
    state = {module: module.training for module in run.module.modules()}
    try:
        run.module.eval()(torch.from_numpy(np.ascontiguousarray(image))[None, None].float().to(run.device))
    finally:
        hook.remove()
        for module, training in state.items():
            module.training = training
    seen = F.unfold(
        caught[0].float(), layer.kernel_size, padding=tuple(side // 2 for side in layer.kernel_size)
    )
    height, width = caught[0].shape[-2:]
    truth = torch.from_numpy(mask)[None, None].float()
    inside = F.adaptive_max_pool2d(truth, (height, width)).flatten() > 0
    patches = seen[0].T.cpu()[: height * width]
    patches = patches - patches.mean(1, keepdim=True)
    others = patches[~inside]
    return patches[inside].numpy(), others[:: max(1, len(others) // MOST_CLUTTER)].numpy()
