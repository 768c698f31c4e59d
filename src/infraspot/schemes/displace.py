"""Displace: noise of one frame is moved into another, and the answer must not change.

After SIRST-5K (Lu et al., TGRS 2024: "Exploring massive negatives synthesis with self-supervised learning"),
whose paper names noise displacement as its self-supervised part. Its program moves noise while files are
prepared and then trains with masks: no loss there compares two answers. This scheme is therefore built from
the idea. Targets are pasted as in :mod:`infraspot.schemes.paste`, since two answers that only have to agree
would both be empty; then the network sees each frame twice, the second time with the noise of a flat window
of another frame of the batch (:mod:`infraspot.augment.noise_library`).
"""

from dataclasses import replace

import torch
import torch.nn.functional as F
from numpy.random import Generator
from torch import Tensor

from infraspot.augment.noise_library import NoiseLibrary
from infraspot.core.options import require_number, require_whole
from infraspot.core.sample import Sample
from infraspot.losses import Batch
from infraspot.schemes.base import Trainee
from infraspot.schemes.frames_alone import to_batch, to_frames
from infraspot.schemes.paste import Paste, Range


class Displace(Paste):
    """Pasted targets, and the same answer with the noise of another frame.

    Parameters
    ----------
    agreement
        Weight of the mean square difference of the two answers.
    side
        Side of the window that lends its noise, in pixels.
    strength
        Range of the factor on the noise.
    targets, empty, diameter, scr, blur, dark
        As in :class:`infraspot.schemes.paste.Pasting`.
    """

    def __init__(
        self,
        agreement: float = 1.0,
        side: int = 32,
        strength: Range = (0.5, 1.5),
        targets: int = 3,
        empty: float = 0.25,
        diameter: Range = (0.4, 9.0),
        scr: Range = (2.0, 20.0),
        blur: Range = (0.5, 1.2),
        dark: float = 0.0,
    ) -> None:
        super().__init__(targets, empty, diameter, scr, blur, dark)
        require_number(0, 1000, agreement=agreement)
        require_whole(2, 4096, side=side)
        self.agreement, self.side, self.strength = agreement, side, strength

    def loss(self, run: Trainee, batch: Batch) -> Tensor:
        rng = self.draws(run)
        donors = to_frames(batch.images)
        batch = self.pasted(batch, rng)
        twice = replace(
            batch,
            ids=batch.ids * 2,
            images=torch.cat([batch.images, self._displaced(batch.images, donors, rng)]),
            labels=batch.labels.repeat(2, 1, 1, 1),
            negative=None,
        )
        output = run.network(twice.images)
        one, other = output.logits.float().sigmoid().chunk(2)
        return run.loss(output, twice).mean() + self.agreement * F.mse_loss(one, other)

    def _displaced(self, images: Tensor, donors: list, rng: Generator) -> Tensor:
        """The frames with the noise of frames of the same batch, as it was before targets were pasted."""
        library = NoiseLibrary(
            donors=[Sample("donor", frame) for frame in donors], side=self.side, strength=self.strength, p=1.0
        )
        return to_batch([library(Sample("frame", frame), rng).image for frame in to_frames(images)], images)
