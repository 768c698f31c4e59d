"""A bank of filters fitted to targets and clutter instead of trained with the network."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.blocks.conv import ConvNormAct
from infraspot.blocks.fitted import FittedLayer, patches_at
from infraspot.core.errors import InputError

PATCHES = 4096  # of targets and of clutter, at most


class OTC(FittedLayer):
    """A layer learnt by itself, to raise the ratio of target to clutter energy (McIntosh et al., 2020).

    k x k filters, a square (the sign of a filter does not matter), norm and 1x1; the input, brought to
    ``out_channels``, is added. The filters maximise w' R_t w / w' R_c w, the ratio of the energies of target
    and clutter patches (a generalised eigenvalue problem), strongest first. Training fits them before its
    first step (:meth:`fit_labelled`), and gradients never change them; until then they are random. In TCRNet
    this is the first layer: ``stem = "otc"``. Judgement: 16 filters of 7x7, and the layers after the square.
    """

    filters: Tensor

    def __init__(self, in_channels: int, out_channels: int, filters: int = 16, kernel_size: int = 7):
        super().__init__()
        filters = min(filters, in_channels * kernel_size**2 - 1)
        bank = torch.randn(filters, in_channels, kernel_size, kernel_size)
        self.register_buffer("filters", _unit(bank - bank.mean((1, 2, 3), keepdim=True)))
        self.norm = nn.BatchNorm2d(filters)
        self.merge = nn.Conv2d(filters, out_channels, 1)
        self.skip = ConvNormAct(in_channels, out_channels, 1, act=False)

    def forward(self, x: Tensor) -> Tensor:
        answers = F.conv2d(x, self.filters.to(x.dtype), padding=self.filters.shape[-1] // 2)
        return F.relu(self.merge(self.norm(answers.square())) + self.skip(x))

    @torch.no_grad()
    def fit_labelled(self, x: Tensor, targets: Tensor) -> None:
        """Fit the filters to patches on targets and to patches that touch none, 4,096 of each at most.

        Raises InputError where the frames hold no target, or nothing but targets.
        """
        side = self.filters.shape[-1]
        near = F.max_pool2d(targets.float(), 2 * side + 1, 1, side) > 0
        generator = torch.Generator().manual_seed(0)
        places = [_draw(mask.squeeze(1).nonzero(), generator) for mask in (targets, ~near)]
        if not all(map(len, places)):
            missing = "target" if not len(places[0]) else "place away from targets"
            raise InputError(
                f"a layer is to be fitted to targets and clutter, and the frames hold no {missing}"
            )
        self.fit(*(patches_at(x.float(), place, side) for place in places))

    @torch.no_grad()
    def fit(self, targets: Tensor, clutter: Tensor, *, ridge: float = 1e-3) -> Tensor:
        """Set the filters from (M, in_channels, k, k) patches of targets and of clutter.

        ``ridge``, as a share of the mean clutter energy, keeps directions that clutter never took from
        winning. Returns the ratio of each filter, highest first. Raises ValueError where the patches are of
        another shape.
        """
        shape = tuple(self.filters.shape[1:])
        for name, patches in (("targets", targets), ("clutter", clutter)):
            if tuple(patches.shape[1:]) != shape or not len(patches):
                raise ValueError(
                    f"expected {name} of shape (M, {', '.join(map(str, shape))}), got {tuple(patches.shape)}"
                )
        target_energy, clutter_energy = _energy(targets), _energy(clutter)
        clutter_energy.diagonal().add_(ridge * clutter_energy.diagonal().mean() + 1e-12)
        values, vectors = torch.linalg.eigh(clutter_energy)
        whiten = vectors * values.rsqrt()
        ratios, rotated = torch.linalg.eigh(whiten.T @ target_energy @ whiten)
        best = (whiten @ rotated).flip(1)[:, : len(self.filters)]
        self.filters.copy_(_unit(best.T.reshape(self.filters.shape)))
        self.fitted.fill_(True)
        return ratios.flip(0)[: len(self.filters)]


def _unit(filters: Tensor) -> Tensor:
    """Each filter at length 1."""
    return filters / filters.flatten(1).norm(dim=1).reshape(-1, 1, 1, 1)


def _draw(places: Tensor, generator: torch.Generator) -> Tensor:
    order = torch.randperm(len(places), generator=generator)[:PATCHES]
    return places[order.to(places.device)]


def _energy(patches: Tensor) -> Tensor:
    """Mean outer product of the patches, each less its mean, in float64."""
    flat = patches.double().flatten(1)
    flat = flat - flat.mean(1, keepdim=True)
    return flat.T @ flat / len(flat)
