"""ACM: asymmetric contextual modulation for infrared small target detection (Dai et al., WACV 2021).

The survey's "fusion refinement" by cross-modulation: high-level features tell low-level ones *which channels*
matter (channel attention, from the whole frame), low-level features tell high-level ones *where* (pixel
attention, at each location): 3x3(2 low CA(high) + 2 high PA(low)).

Two networks go by this name. The authors' own (``acm``) works at full resolution with 4 residual blocks a
stage. What later papers benchmark, the survey's Table 6 included, is a smaller port (``acm-port``): a stem
that quarters the resolution and 3 blocks a stage, its answer enlarged four times.

Departures: one grey channel instead of three equal ones; no bias before a batch norm; the port's batch norms
keep the usual momentum (the port writes .9, the other framework's way of saying .1).
"""

from torch import Tensor, nn

from infraspot.blocks.conv import ConvNormAct
from infraspot.blocks.fusion import two_way
from infraspot.blocks.residual import ResidualBlock, SegmentationHead, enlarge, stage
from infraspot.networks.base import SegmentationNetwork, SegOutput
from infraspot.networks.sheet import Sheet

CHANNELS = (16, 32, 64)


class ACM(SegmentationNetwork):
    """Residual U-Net of three scales whose skips are fused by asymmetric modulation.

    Parameters
    ----------
    depth
        Residual blocks a stage, in the encoder and in the decoder.
    reduced
        Begin at a quarter of the resolution, as the port does.
    """

    sheet = Sheet(
        family="fusion",
        source="Dai et al., WACV 2021",
        note="the authors' own network, at full resolution; Table 6 shows the port",
    )

    def __init__(self, *, depth: int = 4, reduced: bool = False):
        super().__init__()
        c1, c2, c3 = CHANNELS
        self.reduced = reduced
        self.stride = 16 if reduced else 4
        self.stem = reduced_stem(c1) if reduced else full_stem(c1)
        self.encode1 = stage(ResidualBlock, c1, c1, depth)
        self.encode2 = stage(ResidualBlock, c1, c2, depth, stride=2)
        self.encode3 = stage(ResidualBlock, c2, c3, depth, stride=2)
        self.up2 = nn.ConvTranspose2d(c3, c2, 4, stride=2, padding=1)
        self.fuse2 = two_way.ACM(c2, c2, c2)
        self.decode2 = stage(ResidualBlock, c2, c2, depth)
        self.up1 = nn.ConvTranspose2d(c2, c1, 4, stride=2, padding=1)
        self.fuse1 = two_way.ACM(c1, c1, c1)
        self.decode1 = stage(ResidualBlock, c1, c1, depth)
        self.head = SegmentationHead(c1)

    def segment(self, image: Tensor) -> SegOutput:
        x1 = self.encode1(self.stem(image))
        x2 = self.encode2(x1)
        x3 = self.encode3(x2)
        y2 = self.decode2(self.fuse2(x2, self.up2(x3)))
        y1 = self.decode1(self.fuse1(x1, self.up1(y2)))
        logits = self.head(y1)
        return SegOutput(enlarge(logits, 4, align_corners=False) if self.reduced else logits)


def full_stem(channels: int) -> nn.Sequential:
    """Normalise the input and lift it at full resolution."""
    return nn.Sequential(nn.BatchNorm2d(1), ConvNormAct(1, channels))


def reduced_stem(channels: int) -> nn.Sequential:
    """Normalise the input and lift it to a quarter of the resolution: stride 2, two more 3x3, pooling."""
    half = channels // 2
    return nn.Sequential(
        nn.BatchNorm2d(1),
        ConvNormAct(1, half, stride=2),
        ConvNormAct(half, half),
        ConvNormAct(half, channels),
        nn.MaxPool2d(3, 2, 1),
    )


class ACMPort(ACM):
    """The port of Table 6: 3 blocks a stage at a quarter of the resolution."""

    sheet = Sheet(
        family="fusion",
        source="Dai et al., WACV 2021, as ported",
        paper_params=0.40e6,
        paper_flops=0.40e9,
        parity=2.9e-6,
    )

    def __init__(self) -> None:
        super().__init__(depth=3, reduced=True)
