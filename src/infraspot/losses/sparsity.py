"""A loss of the network's weights: filters that are of no use fade while the network trains."""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.core.errors import UsageError
from infraspot.losses.base import Loss, SegLike
from infraspot.losses.batch import Batch


def filter_bands(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Low and high Haar bands of each filter of (out, in, k, k): half sums and half differences of pairs.

    Each is (out, M) with M half the length of the flattened filter. Where that is odd, the last number is
    repeated. Pairs are scaled by the root of a half, so that the energy of a filter is that of its bands.
    """
    flat = weight.flatten(1)
    if flat.shape[1] % 2:
        flat = torch.cat([flat, flat[:, -1:]], dim=1)
    even, odd = flat[:, 0::2], flat[:, 1::2]
    return (even + odd) / 2**0.5, (even - odd) / 2**0.5


class WaveletSparsity(Loss):
    """Sum of the lengths of each filter's wavelet bands, over the dense convolutions (IRPruneDet, AAAI 2024).

    ``sum over filters of (|low| + |high|)``, a group lasso in the wavelet domain: bands of filters that the
    answer does not need shrink to nothing together, the noisy ones first, and ``infraspot prune`` then takes
    these channels out at little cost. Convolutions with one filter (heads) and depthwise ones are left alone.
    Every sample gets the same value. A weight of 1e-4 to 1e-3 is usual for such terms.

    The authors' program is not public: a reading of the paper's abstract (weights in the wavelet domain, a
    regularisation that makes them sparse by structure) and of the survey. One level, along the flattened
    filter, as ``infraspot.weights.pruning`` measures importance.
    """

    per_map: ClassVar[bool] = False

    def __init__(self) -> None:
        self._layers: list[nn.Conv2d] = []

    def begin(self, network: nn.Module) -> None:
        """Find the convolutions whose filters the loss shrinks.

        Raises
        ------
        UsageError
            If the network has none.
        """
        self._layers = [
            layer
            for layer in network.modules()
            if isinstance(layer, nn.Conv2d) and layer.groups == 1 and layer.out_channels > 1
        ]
        if not self._layers:
            raise UsageError(
                "wavelet_sparsity needs a network with dense convolutions of two or more filters, and this"
                " one has none; take the loss out of [loss]"
            )

    def __call__(self, output: SegLike | Tensor, batch: Batch) -> Tensor:
        """The same value for each sample.

        Raises
        ------
        UsageError
            If :meth:`begin` was not called: the loss has no network yet.
        """
        if not self._layers:
            raise UsageError(
                "wavelet_sparsity has no network yet; call begin(network) before the first batch"
            )
        bands = [band for layer in self._layers for band in filter_bands(layer.weight.float())]
        total = torch.stack([_lengths(band).sum() for band in bands]).sum()
        return total.to(batch.labels.device).expand(len(batch))


def _lengths(rows: Tensor) -> Tensor:
    """(out,) Euclidean lengths, with a gradient of 0 and not NaN where a row is 0."""
    return F.normalize(rows.detach(), dim=1).mul(rows).sum(dim=1)
