"""Exchange of features between two tasks: the parts of BAFE-Net (Xiao et al., 2025), and its ablations.

Each exchange takes two features of one shape, (N, C, h, w), and gives them back with parts swapped.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

SELECTIONS = ("dynamic", "gated", "fixed", "random")


class LargeKernelSelection(nn.Module):
    """LSK (Li et al., 2023): two sizes of surroundings, mixed as mean and maximum over channels say.

    u is 5x5 depthwise, v is 7x7 depthwise with dilation 3 on u; each goes to C/2 channels. Two maps of
    weights come from the mean and the maximum of both, by 7x7. The program of BAFE-Net puts the mixture
    itself, brought back to C channels, in the place of the feature.
    """

    def __init__(self, channels: int):
        super().__init__()
        half = channels // 2
        self.near = nn.Conv2d(channels, channels, 5, padding=2, groups=channels)
        self.far = nn.Conv2d(channels, channels, 7, padding=9, groups=channels, dilation=3)
        self.squeeze_near, self.squeeze_far = nn.Conv2d(channels, half, 1), nn.Conv2d(channels, half, 1)
        self.weigh = nn.Conv2d(2, 2, 7, padding=3)
        self.expand = nn.Conv2d(half, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        u = self.near(x)
        near, far = self.squeeze_near(u), self.squeeze_far(self.far(u))
        both = torch.cat([near, far], 1)
        weights = self.weigh(torch.cat([both.mean(1, keepdim=True), both.amax(1, keepdim=True)], 1)).sigmoid()
        found: Tensor = self.expand(near * weights[:, :1] + far * weights[:, 1:])
        return found


class Adapter(nn.Module):
    """What an exchanged part goes through: a perceptron over its channels, or over each value by itself."""

    def __init__(self, channels: int, hidden: int):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(channels, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, K, h, w) to the same shape; ``K`` is the number of channels, or anything where it is 1."""
        if self.layers[0].in_features == 1:
            found: Tensor = self.layers(x[..., None])[..., 0]
            return found
        return self.layers(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ChannelExchange(nn.Module):
    """Swap K = p C channels of two features, adapted on their way (Eq. 4-9).

    Parameters
    ----------
    share
        p, of the channels that are swapped.
    selection
        ``"dynamic"``: of each sample, those where the mean over the map of X LSK(X) is highest. Nothing
        trains that attention, since an order has no gradient; it stays as it began, as in the program.
        ``"gated"``, ours: the same choice, and each swapped channel is weighted by twice the sigmoid of its
        mean, through which the attention learns.
        ``"fixed"``: every int(1/p)-th channel. ``"random"``: drawn anew in training, and fixed in evaluation.
    adapter
        Hidden width of the perceptron; 0 leaves it out.

    Indices of a choice ascend, and the j-th chosen channel of one feature goes to the j-th chosen place of
    the other, as in the program; Eq. 8-9 use one set of indices.
    """

    fixed: Tensor

    def __init__(self, channels: int, *, share: float = 0.5, selection: str = "dynamic", adapter: int = 64):
        super().__init__()
        if selection not in SELECTIONS:
            raise ValueError(f"a selection is one of {', '.join(SELECTIONS)}, and {selection!r} came")
        if not 0 < share < 1:
            raise ValueError(f"the share of exchanged channels lies between 0 and 1, and {share} came")
        self.count, self.selection = int(channels * share), selection
        learns = selection in ("dynamic", "gated")
        self.attention = LargeKernelSelection(channels) if learns else None
        if selection == "dynamic":
            self.attention.requires_grad_(False)  # type: ignore[union-attr]
        static = torch.arange(channels)[:: int(1 / share)] if share <= 0.5 else _spread(channels, self.count)
        self.register_buffer("fixed", static[: self.count], persistent=False)
        width = 1 if selection in ("fixed", "random") else self.count
        self.adapter = Adapter(width, adapter) if adapter else nn.Identity()

    def forward(self, one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        mine, my_gate = self._chosen(one)
        theirs, their_gate = self._chosen(other)
        given = self.adapter(_taken(one, mine) * my_gate)
        taken = self.adapter(_taken(other, theirs) * their_gate)
        return _put(one, mine, taken), _put(other, theirs, given)

    def _chosen(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(N, K) channels, ascending, and what they are weighted by, (N, K, 1, 1)."""
        same = x.new_ones(len(x), 1, 1, 1)
        if self.attention is None:
            places = self.fixed
            if self.selection == "random" and self.training:
                places = torch.randperm(x.shape[1], device=x.device)[: len(self.fixed)].sort().values
            return places.expand(len(x), -1), same
        weight = (x * self.attention(x)).mean((2, 3))
        places = weight.topk(self.count, 1).indices.sort(1).values
        if self.selection == "dynamic":
            return places, same
        return places, 2 * weight.gather(1, places).sigmoid()[..., None, None]


class SpatialExchange(nn.Module):
    """Swap every int(1/p)-th column of two features, each value through a perceptron of its own."""

    def __init__(self, *, share: float = 0.5, adapter: int = 64):
        super().__init__()
        self.step = int(1 / share)
        self.adapter = Adapter(1, adapter) if adapter else nn.Identity()

    def forward(self, one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        swapped = torch.arange(one.shape[-1], device=one.device) % self.step == 0
        return (
            torch.where(swapped, self.adapter(other), one),
            torch.where(swapped, self.adapter(one), other),
        )


class InTurn(nn.Module):
    """One exchange after the other."""

    def __init__(self, *exchanges: nn.Module):
        super().__init__()
        self.exchanges = nn.ModuleList(exchanges)

    def forward(self, one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        for exchange in self.exchanges:
            one, other = exchange(one, other)
        return one, other


def make_exchange(
    kind: str, channels: int, *, share: float, selection: str, adapter: int
) -> nn.Module | None:
    """An exchange by its name in Table VI; None for ``"none"``.

    Raises
    ------
    ValueError
        If there is none of that name.
    """

    def by_channel() -> nn.Module:
        return ChannelExchange(channels, share=share, selection=selection, adapter=adapter)

    def by_place() -> nn.Module:
        return SpatialExchange(share=share, adapter=adapter)

    known: dict[str, Callable[[], nn.Module | None]] = {
        "channel": by_channel,
        "spatial": by_place,
        "channel+spatial": lambda: InTurn(by_channel(), by_place()),
        "spatial+channel": lambda: InTurn(by_place(), by_channel()),
        "none": lambda: None,
    }
    if kind not in known:
        raise ValueError(f"an exchange is one of {', '.join(known)}, and {kind!r} came")
    return known[kind]()


def _spread(channels: int, count: int) -> Tensor:
    """``count`` channels spread evenly: a share above a half has no whole step."""
    return torch.arange(count) * channels // count


def _taken(x: Tensor, places: Tensor) -> Tensor:
    """(N, K, h, w) the chosen channels."""
    return x.gather(1, places[..., None, None].expand(-1, -1, *x.shape[2:]))


def _put(x: Tensor, places: Tensor, values: Tensor) -> Tensor:
    """The feature with other values in the chosen channels."""
    return x.scatter(1, places[..., None, None].expand(-1, -1, *x.shape[2:]), values.to(x.dtype))
