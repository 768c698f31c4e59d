"""A first layer fitted to targets and clutter instead of trained end to end."""

import torch
from torch import Tensor, nn

from infraspot.blocks.local.base import Local


class OTC(Local):
    """An independent layer, optimised for the ratio of target to clutter energy (McIntosh et al., 2020).

    A bank of k x k filters, a square (so that a filter's sign does not matter), a norm and a 1x1. :meth:`fit`
    sets the filters to those that maximise the ratio w' R_t w / w' R_c w of the energies of target and
    clutter patches, and freezes them: the first filters answer to targets most, relative to clutter.
    Unfitted, they are trained with the rest.
    """

    def __init__(self, in_channels: int, out_channels: int, filters: int = 16, kernel_size: int = 7):
        super().__init__(in_channels, out_channels)
        self.filters = nn.Conv2d(in_channels, filters, kernel_size, padding=kernel_size // 2, bias=False)
        self.norm = nn.BatchNorm2d(filters)
        self.merge = nn.Conv2d(filters, out_channels, 1)

    def refine(self, x: Tensor) -> Tensor:
        return self.merge(self.norm(self.filters(x).square()))

    @torch.no_grad()
    def fit(self, targets: Tensor, clutter: Tensor, *, ridge: float = 1e-3) -> Tensor:
        """Set and freeze the filters from (M, in_channels, k, k) patches of targets and of clutter.

        ``ridge``, as a share of the mean clutter energy, keeps directions that clutter never took from
        winning. Returns the ratio of each filter, highest first. Raises ValueError where the patches are of
        another shape.
        """
        shape = tuple(self.filters.weight.shape[1:])
        for name, patches in (("targets", targets), ("clutter", clutter)):
            if tuple(patches.shape[1:]) != shape or not len(patches):
                raise ValueError(
                    f"expected {name} of shape (M, {', '.join(map(str, shape))}), got {tuple(patches.shape)}"
                )
        target_energy, clutter_energy = _energy(targets), _energy(clutter)
        clutter_energy.diagonal().add_(ridge * clutter_energy.diagonal().mean())
        values, vectors = torch.linalg.eigh(clutter_energy)
        whiten = vectors * values.rsqrt()
        ratios, rotated = torch.linalg.eigh(whiten.T @ target_energy @ whiten)
        count = min(len(self.filters.weight), len(ratios))
        best = (whiten @ rotated).flip(1)[:, :count]
        filters = (best / best.norm(dim=0)).T.to(self.filters.weight.dtype)
        self.filters.weight[:count] = filters.reshape(count, *shape)
        self.filters.weight.requires_grad_(False)
        return ratios.flip(0)[:count]


def _energy(patches: Tensor) -> Tensor:
    """Mean outer product of the patches, each less its mean, in float64."""
    flat = patches.double().flatten(1)
    flat = flat - flat.mean(1, keepdim=True)
    return flat.T @ flat / len(flat)
