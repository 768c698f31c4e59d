"""BAFE-Net: background-aware feature exchange (Xiao et al., "Background semantics matter", 2025).

FCOS on strides 8, 16 and 32 with a third tower that parts the sky from the ground. After the towers, the
features of scores and of sky go through an attention and two convolutions each, then swap half of their
channels through a perceptron: background tells targets where they may be, and the reverse. The tower of boxes
is left as it is.

From the authors' program, where the paper says less: the attention (LSK) and the two convolutions before the
exchange, the pairing of slots, and the spatial mean in Eq. 4. The attention that chooses channels gets no
gradient there, and none here (``selection = "gated"`` is ours, and learns). Left out: 0.85 M parameters of
layers that the program makes and never runs. Images are scaled by the weights' own mean and deviation; the
program uses another pair under the same weights.

Ours: ``strides`` from 2 up, and ``nearest`` (see :mod:`infraspot.detection.fcos`).
"""

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.detection.base import BoxOutput, Wanted
from infraspot.detection.exchange import LargeKernelSelection, make_exchange
from infraspot.detection.fcos import FCOS
from infraspot.detection.heads import HeadMaps, LevelNorms, Tower, TowerHead, output, tower
from infraspot.networks.sheet import Sheet


class SkyHead(TowerHead):
    """The head of FCOS with a tower of the sky, and the exchange between it and the tower of scores."""

    def __init__(
        self,
        width: int,
        levels: int,
        *,
        depth: int,
        norm: str,
        exchange: str,
        selection: str,
        share: float,
        adapter: int,
        refine: bool,
    ):
        super().__init__(width, levels, depth=depth, norm=norm, quality="class")
        self.sky_tower = tower(width, depth, norm, levels)
        self.sky = output(width, 1)
        self.exchange = make_exchange(exchange, width, share=share, selection=selection, adapter=adapter)
        refined = refine and self.exchange is not None
        self.attention = LargeKernelSelection(width) if refined else nn.Identity()
        norms = levels if norm == "batch" else 1  # one, as published, beside towers of another norm
        self.refine_class, self.refine_sky = (
            _refinement(width, norms) if refined else Tower() for _ in range(2)
        )

    def with_sky(self, maps: Sequence[Tensor]) -> tuple[HeadMaps, tuple[Tensor, ...]]:
        """The answer of the head, and the logits of the sky, one map a level."""
        of_class, of_sky = [], []
        for level, x in enumerate(maps):
            one = self.refine_class(self.attention(self.class_tower(x, level)), level)
            other = self.refine_sky(self.attention(self.sky_tower(x, level)), level)
            if self.exchange is not None:
                one, other = self.exchange(one, other)
            of_class.append(one)
            of_sky.append(self.sky(other))
        return self.read(of_class, self.of_box(maps)), tuple(of_sky)


def _refinement(width: int, norms: int) -> Tower:
    """3x3 to half the width and back, with norms and ReLUs."""
    layers: list[nn.Module] = []
    for ins, outs in ((width, width // 2), (width // 2, width)):
        convolution = nn.Conv2d(ins, outs, 3, padding=1, bias=False)
        layers += [convolution, LevelNorms(outs, norms), nn.ReLU(inplace=True)]
    return Tower(*layers)


class BAFENet(FCOS):
    """BAFE-Net as published by default, on ResNet-18.

    Parameters
    ----------
    exchange
        ``"channel"``, ``"spatial"``, ``"channel+spatial"``, ``"spatial+channel"`` (Table VI), or ``"none"``,
        which leaves the sky head alone (Table IV, b).
    selection
        Which channels: ``"dynamic"``, ``"fixed"``, ``"random"`` (Table VII), or ``"gated"``, ours.
    share
        Of the channels that are exchanged (Table VIII).
    adapter
        Hidden width of the perceptron (Table V); 0 leaves it out (Table IV, c).
    refine
        Whether the attention and the two convolutions stand before the exchange, as in the program.
    sky_weight
        Weight of the loss of the sky.
    """

    reads = ("sky",)
    sheet = Sheet(
        family="dense",
        source="Xiao et al., 2025",
        paper_params=22.31e6,
        note="the program has 22.56 M, of which .85 M never run",
    )

    def __init__(
        self,
        *,
        backbone: str = "resnet18",
        strides: tuple[int, ...] = (8, 16, 32),
        width: int = 256,
        depth: int = 4,
        norm: str = "group",
        nearest: bool = False,
        radius: float | None = None,
        exchange: str = "channel",
        selection: str = "dynamic",
        share: float = 0.5,
        adapter: int = 64,
        refine: bool = True,
        sky_weight: float = 1.0,
        assigner: dict[str, Any] | None = None,
    ):
        self.exchanged = {
            "exchange": exchange,
            "selection": selection,
            "share": share,
            "adapter": adapter,
            "refine": refine,
        }
        self.sky_weight = sky_weight
        super().__init__(
            backbone=backbone,
            strides=strides,
            width=width,
            depth=depth,
            norm=norm,
            nearest=nearest,
            radius=radius,
            assigner=assigner,
        )

    def make_head(self, width: int) -> nn.Module:
        options: dict[str, Any] = self.exchanged
        return SkyHead(width, len(self.strides), depth=self.depth, norm=self.norm, **options)

    def detect(self, image: Tensor) -> BoxOutput:
        maps = self.features(image)
        assert isinstance(self.head, SkyHead)
        answer, sky = self.head.with_sky(maps)
        return self.read(answer, maps)._replace(sky=sky)

    def loss(self, output: BoxOutput, wanted: Wanted) -> Tensor:
        assert wanted.sky is not None
        losses = []
        for map_, stride in zip(output.sky, self.strides, strict=True):
            # The nearest pixel of each cell; what was padded has no truth.
            truth = wanted.sky[..., stride // 2 :: stride, stride // 2 :: stride]
            seen = map_[..., : truth.shape[-2], : truth.shape[-1]].float()
            losses.append(F.binary_cross_entropy_with_logits(seen, truth))
        return super().loss(output, wanted) + self.sky_weight * sum(losses) / len(losses)
