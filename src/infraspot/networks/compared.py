"""Compared: a network whose answer compares each pixel's features with prototypes of targets and of clutter.

What few-shot methods put in the place of a head. The features are those that the last head of another
network reads, at the finest level. A pixel's logit is ``scale`` times the difference of two cosines: with
the nearest prototype of a target, and with the nearest of clutter (a soft maximum, so that each of them can
learn). The cosine head of TFA (Wang et al., ICML 2020) has one of each and learns them; prototypical
networks (Snell et al., NeurIPS 2017) take means.

Several cameras may each have prototypes of their own. Adding a camera changes no number that another
camera's answer is computed from.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.core.catalog import find
from infraspot.core.errors import UsageError
from infraspot.networks.base import SegmentationNetwork, SegOutput
from infraspot.networks.sheet import OWN, Sheet


class Compared(SegmentationNetwork):
    """Another network with prototypes in the place of its last head.

    Parameters
    ----------
    base
        Name of the network that gives the features.
    base_options
        Its options.
    targets, clutter
        Prototypes of each kind.
    cameras
        How many cameras have prototypes.
    camera
        The one whose prototypes answer, from 0.
    scale
        Of the cosines.

    Raises
    ------
    UsageError
        If the base has no head (a convolution to one channel), or there is no such camera.
    """

    sheet = Sheet(family="own", source="infraspot", licence=OWN)

    def __init__(
        self,
        base: str = "compact",
        base_options: dict[str, Any] | None = None,
        targets: int = 1,
        clutter: int = 4,
        cameras: int = 1,
        camera: int = 0,
        scale: float = 20.0,
    ) -> None:
        super().__init__()
        from infraspot.networks import ALL_NETWORKS  # the family that this network joins

        make = find("network", base, ALL_NETWORKS)
        options = {name: tuple(v) if isinstance(v, list) else v for name, v in (base_options or {}).items()}
        self.base: SegmentationNetwork = make(**options)
        if not 0 <= camera < cameras:
            raise UsageError(f"camera {camera} is not one of {cameras}, which are counted from 0")
        heads = [m for m in self.base.modules() if isinstance(m, nn.Conv2d) and m.out_channels == 1]
        if not heads:
            raise UsageError(
                f"compared needs a network with a convolution to one channel, and {base} has none"
            )
        self._heads = [heads[-1]]  # in a list, so that its parameters count once
        self.stride = self.base.stride
        self.camera, self.scale = camera, float(scale)
        self.target = nn.Parameter(torch.randn(cameras, targets, heads[-1].in_channels))
        self.clutter = nn.Parameter(torch.randn(cameras, clutter, heads[-1].in_channels))

    def segment(self, image: Tensor) -> SegOutput:
        output, features = self.described(image)
        unit = F.normalize(features, dim=1)
        target, clutter = (self._likeness(unit, part[self.camera]) for part in (self.target, self.clutter))
        return SegOutput(target - clutter, output.aux)

    def described(self, image: Tensor) -> tuple[SegOutput, Tensor]:
        """What the base answers, and the features (N, C, H, W) that its last head reads."""
        caught: list[Tensor] = []
        hook = self._heads[0].register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0]))
        try:
            output = self.base.segment(self.base.scaled(image))
        finally:
            hook.remove()
        features = caught[-1]
        if features.shape[-2:] != image.shape[-2:]:
            features = F.interpolate(features, image.shape[-2:])
        return output, features

    def adopt(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """The weights of another file as this network's: its base's, or those of fewer cameras.

        Where a file is the base's own, the prototypes stay as they are.
        """
        own = self.state_dict()
        if "target" not in state:
            return {**own, **{f"base.{name}": value for name, value in state.items()}}
        kept = {}
        for name in ("target", "clutter"):
            known = state[name]
            if known.shape[1:] != own[name].shape[1:] or len(known) > len(own[name]):
                return state  # which then does not fit, and the loader says so
            kept[name] = torch.cat([known, own[name][len(known) :]])
        return {**state, **kept}

    def _likeness(self, unit: Tensor, prototypes: Tensor) -> Tensor:
        cosines = self.scale * F.conv2d(unit, F.normalize(prototypes, dim=1)[..., None, None])
        likeness: Tensor = cosines.logsumexp(1, keepdim=True)
        return likeness
