"""Prototypes: a target is what looks like the shots' targets, and unlike their clutter.

For the network ``compared``. ``prototypes`` takes masked means at the finest level for targets (PANet, Wang
et al., ICCV 2019), and for clutter several means: the mean of all that is no target is sky, and explains
nothing, so that the likeliest pixels are grouped (k-means). Nothing else changes. ``cosine_head`` begins so
and learns them, with the features fixed (TFA, Wang et al., ICML 2020). ``incremental_prototypes`` gives them
to the last camera of the network; the answers of the cameras before it stay the same bit by bit.

The means can judge candidates of any network as well: :func:`likeness_to`.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.random import default_rng
from torch import Tensor

from infraspot.core.errors import UsageError
from infraspot.core.sample import Sample
from infraspot.inference.frames import prepare_frame
from infraspot.losses import Batch
from infraspot.networks.compared import Compared
from infraspot.schemes.base import Trainee
from infraspot.schemes.features import candidate_pixels, target_pixels
from infraspot.schemes.full import Full
from infraspot.schemes.learning import freeze_norms

ROUNDS = 20


class Prototypes(Full):
    """Means of the shots in the place of a head; nothing is trained.

    The camera whose prototypes are set is the one that the network answers for.
    """

    learns = False

    def begin(self, run: Trainee) -> None:
        super().begin(run)
        set_prototypes(require_compared(run), run.samples, run.seed)
        for group in run.optimiser.param_groups:
            group["weight_decay"] = 0.0  # prototypes stand for directions: their length means nothing

    def loss(self, run: Trainee, batch: Batch) -> Tensor:
        network = require_compared(run)
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(name in ("target", "clutter"))
        freeze_norms(network)
        value = super().loss(run, batch)
        return value if self.learns else 0.0 * value


class CosineHead(Prototypes):
    """The same as a start; then the prototypes learn, and the features stay fixed."""

    learns = True


class IncrementalPrototypes(Prototypes):
    """Prototypes for one more camera: the last, for which the network must answer.

    What was known of the others is not touched.
    """

    def begin(self, run: Trainee) -> None:
        network = require_compared(run)
        last = len(network.target) - 1
        if network.camera != last:
            raise UsageError(
                f"a camera is added as the last one, and the network has {last + 1} and answers for camera"
                f" {network.camera}; set network.camera={last}, or network.cameras to one more than before"
            )
        super().begin(run)


def require_compared(run: Trainee) -> Compared:
    """The network of a run, which must be one with prototypes."""
    if not isinstance(run.module, Compared):
        raise UsageError(
            f"prototypes need the network compared, and the recipe has {type(run.module).__name__}; set"
            ' network.name = "compared" and network.base to the network whose features are compared'
        )
    return run.module


@torch.no_grad()
def set_prototypes(network: Compared, shots: Sequence[Sample], seed: int = 0) -> None:
    """Means of the features of shots, for the camera that the network answers for.

    Raises
    ------
    UsageError
        If no shot holds a target.
    """
    targets, clutter = gather_pixels(network, shots)
    if not len(targets):
        raise UsageError("prototypes are means over targets, and no shot holds one")
    for prototypes, pixels in ((network.target, targets), (network.clutter, clutter)):
        prototypes[network.camera] = grouped(pixels, prototypes.shape[1], seed).to(prototypes)


@torch.no_grad()
def gather_pixels(network: Compared, shots: Sequence[Sample]) -> tuple[Tensor, Tensor]:
    """(P, C) features on targets, and (Q, C) on the likeliest pixels that are none; of unit length."""
    states = {module: module.training for module in network.modules()}
    network.eval()
    targets, clutter = [], []
    for shot in shots:
        assert shot.mask is not None
        image = torch.from_numpy(prepare_frame(np.asarray(shot.image, np.float32), shot.bit_depth))[
            None, None
        ]
        down, right = (-side % network.stride for side in shot.shape)
        padded = F.pad(image.to(network.target.device), (0, right, 0, down), mode="replicate")
        output, features = network.described(network.scaled(padded))
        height, width = shot.shape
        unit = F.normalize(features[..., :height, :width].float(), dim=1)
        truth = torch.from_numpy(shot.mask)[None, None].to(unit)
        targets.append(target_pixels(unit, truth))
        clutter.append(candidate_pixels(unit, output.logits[..., :height, :width], truth))
    for module, state in states.items():
        module.training = state
    return torch.cat(targets), torch.cat(clutter)


def grouped(pixels: Tensor, count: int, seed: int = 0) -> Tensor:
    """(count, C) unit vectors: means of groups of unit vectors (P, C), by k-means on the sphere."""
    places = default_rng(seed).permutation(len(pixels))[np.arange(count) % len(pixels)]
    means = pixels[torch.from_numpy(places).to(pixels.device)].clone()
    for _ in range(ROUNDS):
        nearest = (pixels @ means.T).argmax(1)
        for k in range(count):
            if (nearest == k).any():
                means[k] = F.normalize(pixels[nearest == k].mean(0), dim=0)
    return means


def likeness_to(targets: Tensor, clutter: Tensor, pixels: Tensor) -> Tensor:
    """(P,) how much more pixels (P, C) look like prototypes of targets than of clutter: in [-2, 2].

    To judge candidates again: give each the mean feature of its pixels.
    """
    unit = F.normalize(pixels, dim=1)
    best = [(unit @ F.normalize(part, dim=1).T).amax(1) for part in (targets, clutter)]
    return best[0] - best[1]
