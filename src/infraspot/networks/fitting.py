"""Fitting the layers of a network that are not trained by gradients."""

import torch
import torch.nn.functional as F
from torch import Tensor

from infraspot.blocks.fitted import FittedLayer
from infraspot.networks.base import SegmentationNetwork


@torch.no_grad()
def fit_layers(network: SegmentationNetwork, images: Tensor, labels: Tensor) -> list[str]:
    """Fit every :class:`FittedLayer` that is not fitted yet, and name them in the order in which they run.

    One pass in evaluation: a layer is fitted to what enters it just before it runs, so that a later one sees
    what the fitted one gives. Call it before the optimiser's first step; without such layers nothing runs.

    Parameters
    ----------
    images, labels
        (N, 1, H, W) in [0, 1]: frames, and where their targets are (0.5 and more).
    """
    down, right = (-side % network.stride for side in images.shape[-2:])
    labels = F.pad(labels, (0, right, 0, down))
    names: list[str] = []

    def fit(layer: FittedLayer, name: str, x: Tensor) -> None:
        layer.fit_labelled(x, F.adaptive_max_pool2d(labels, x.shape[-2:]) >= 0.5)
        names.append(name)

    hooks = [
        layer.register_forward_pre_hook(lambda layer, inputs, name=name: fit(layer, name, inputs[0]))
        for name, layer in network.named_modules()
        if isinstance(layer, FittedLayer) and not layer.fitted
    ]
    if hooks:
        training = network.training
        try:
            network.eval()(images)
        finally:
            network.train(training)
            for hook in hooks:
                hook.remove()
    return names
