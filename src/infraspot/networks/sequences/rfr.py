"""RFR: recurrent feature refinement around a network of single frames.

Source: X. Ying et al., "Infrared small target detection in satellite videos: a new dataset and a novel
recurrent feature refinement framework", IEEE TGRS 2025. A state of features goes along the sequence. For
each frame it is aligned with the frame's own features by deformable convolutions at three scales (PDA,
after EDVR), then refined by what agrees with the frame in space and in frequency (TSFM).

    f_t = conv(frame_t);  a_t = PDA(p_(t-1), f_t);  p_t = TSFM(a_t, f_t);  p_0 = f_0

Departures: any network of ours stands behind it, which takes one channel. So what is known of the past is
added to the frame, frame_t + conv([f_t, p_t]), where the authors give their networks 16 channels; the
addition begins at zero, so that an untrained RFR answers as the network that it stands around. The
alignment has one deformable group. The frequency attention has three cosine bases of a map pooled to 8x8,
for 16 of 56x56.

Parameters: 0.08 M beside the network's.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.blocks.conv import resize_to
from infraspot.blocks.deformable import DeformableConv2d
from infraspot.core.catalog import find
from infraspot.core.errors import UsageError
from infraspot.networks.base import SegmentationNetwork, SegOutput
from infraspot.networks.sheet import NO_LICENCE, Sheet

_POOLED = 8
_BASES = ((0, 0), (0, 1), (1, 0))


class RFR(SegmentationNetwork):
    """A state along the sequence, and a network of single frames that sees it.

    Clips are gone through frame by frame; :meth:`step` does one, for streams and for export.

    Parameters
    ----------
    frames
        Length T of a clip in training; a stream may be of any length.
    network, options
        Name and options of a network in :data:`infraspot.networks.NETWORKS`.
    width
        Channels of the state.
    """

    sheet = Sheet(family="sequence", source="RFR, TGRS 2025", licence=NO_LICENCE)

    def __init__(
        self,
        frames: int = 5,
        network: str = "compact",
        options: dict[str, Any] | None = None,
        width: int = 16,
    ):
        from infraspot.networks import NETWORKS

        super().__init__()
        if width % 2:
            raise UsageError(f"the width of rfr must be even, and it is {width}")
        self.frames = frames
        self.network = find("network", network, NETWORKS)(**(options or {}))
        # Alignment halves the frame twice.
        self.stride = max(self.network.stride, 4)
        self.training_side = self.network.training_side  # type: ignore[misc]
        self.features = nn.Conv2d(1, width, 3, padding=1)
        self.align = PyramidAlignment(width)
        self.refine = Refinement(width)
        self.known = nn.Conv2d(2 * width, 1, 3, padding=1)
        nn.init.zeros_(self.known.weight)
        nn.init.zeros_(self.known.bias)  # type: ignore[arg-type]

    def segment(self, image: Tensor) -> SegOutput:
        state = self.features(image[:, :1])
        for number in range(1, image.shape[1]):
            state = self.follow(self.features(image[:, number : number + 1]), state)
        return self.answer(image[:, -1:], state)

    def step(self, frame: Tensor, state: Tensor | None = None) -> tuple[SegOutput, Tensor]:
        """One frame (N, 1, H, W), its sides multiples of ``stride``, and the state (N, C, H, W) before it.

        Without a state, a sequence begins. Returns the answer for the frame, and the state after it.
        """
        own = self.features(frame)
        state = own if state is None else self.follow(own, state)
        return self.answer(frame, state), state

    def follow(self, own: Tensor, state: Tensor) -> Tensor:
        """The state after a frame with these features."""
        return self.refine(self.align(state, own), own)

    def answer(self, frame: Tensor, state: Tensor) -> SegOutput:
        """The answer for a frame, given the state after it."""
        known = self.known(torch.cat([self.features(frame), state], 1))
        output: SegOutput = self.network.segment(self.network.scaled(frame + known))
        return output


class PyramidAlignment(nn.Module):
    """Move the features of the past onto those of a frame: deformable convolutions from coarse to fine."""

    def __init__(self, width: int):
        super().__init__()
        self.down = nn.ModuleList(nn.Conv2d(width, width, 3, 2, 1) for _ in range(2))
        self.compare = nn.ModuleList(nn.Conv2d(2 * width, width, 3, padding=1) for _ in range(3))
        self.hints = nn.ModuleList(nn.Conv2d(2 * width, width, 3, padding=1) for _ in range(2))
        self.move = nn.ModuleList(DeformableConv2d(2 * width, width) for _ in range(3))
        self.merge = nn.ModuleList(nn.Conv2d(2 * width, width, 3, padding=1) for _ in range(2))

    def forward(self, past: Tensor, now: Tensor) -> Tensor:
        pasts, nows = [past], [now]
        for down in self.down:
            pasts.append(F.leaky_relu(down(pasts[-1]), 0.1))
            nows.append(F.leaky_relu(down(nows[-1]), 0.1))
        hint = aligned = None
        for level in (2, 1, 0):
            found = F.leaky_relu(self.compare[level](torch.cat([pasts[level], nows[level]], 1)), 0.1)
            if hint is not None:
                # Where to look grows with the scale.
                coarse = 2 * resize_to(hint, found)
                found = F.leaky_relu(self.hints[level](torch.cat([found, coarse], 1)), 0.1)
            moved = self.move[level](torch.cat([pasts[level], found], 1))
            if aligned is not None:
                moved = self.merge[level](torch.cat([moved, resize_to(aligned, moved)], 1))
            hint, aligned = found, F.leaky_relu(moved, 0.1)
        assert aligned is not None
        return aligned


class Refinement(nn.Module):
    """What of the aligned past agrees with the frame, weighed in space and in frequency; 1x1, ReLU."""

    bases: Tensor

    def __init__(self, width: int):
        super().__init__()
        self.of_past = nn.Conv2d(width, width, 3, padding=1)
        self.of_now = nn.Conv2d(width, width, 3, padding=1)
        self.mix = nn.Conv2d(2 * width, width, 1)
        self.place = nn.Conv2d(2, 1, 3, padding=1)
        self.channels = nn.Sequential(
            nn.Linear(len(_BASES) * width, width // 2), nn.ReLU(inplace=True), nn.Linear(width // 2, width)
        )
        along = torch.pi * (torch.arange(_POOLED) + 0.5) / _POOLED
        waves = [torch.outer(torch.cos(u * along), torch.cos(v * along)) for u, v in _BASES]
        self.register_buffer("bases", torch.stack(waves) / _POOLED**2, persistent=False)

    def forward(self, past: Tensor, now: Tensor) -> Tensor:
        agreed = torch.sigmoid((self.of_past(past) * self.of_now(now)).sum(1, keepdim=True))
        x = self.mix(torch.cat([agreed * past, now], 1))
        where = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        x = x * torch.sigmoid(self.place(where))
        small = F.interpolate(x, size=(_POOLED, _POOLED), mode="bilinear", align_corners=False)
        waves = torch.einsum("nchw,bhw->ncb", small, self.bases).flatten(1)
        return F.relu(x * torch.sigmoid(self.channels(waves))[..., None, None])
