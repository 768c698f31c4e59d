"""Taught: masks from clicks, corrected by the network's own running mean where the image agrees with it.

Ours; what a practitioner would do today. A mask grown from a click (annotator ``profile``) is right for most
targets, and a network that trains on many of them soon outlines the others better than their labels do. So,
from ``start`` of the run on and every ``every`` of it, the running mean of the weights looks at each frame as
a teacher (Tarvainen and Valpola, NIPS 2017; ``train.ema``). A target's label becomes the teacher's outline if

1. they disagree: their IoU is below ``agreement``;
2. the image agrees with the teacher: grey values differ more across its outline than across the annotator's;
3. its area is within a factor ``largest`` of the annotator's.

Each correction starts anew from the annotator's mask, so that labels cannot drift away over many updates.

On the boundary of the labels, where annotators err, the network is also compared with itself: there the label
is ``(1 - trust) y + trust p`` with p its own answer, as in bootstrapping (Reed et al., ICLR workshop 2015).
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from infraspot.core.geometry import find_components
from infraspot.core.options import require_number
from infraspot.core.sample import Sample
from infraspot.losses import Batch, edge_gradient
from infraspot.schemes.base import Numbers, Scheme, Trainee
from infraspot.schemes.clicks import click_pixels, masks_from_clicks, require_clicks
from infraspot.schemes.timing import epochs_of, is_due, require_shares

Mask = NDArray[np.bool_]

NEAR = 1
"""Pixels from a click at which an outline still belongs to it."""


class Taught(Scheme):
    """Labels of an annotator that a teacher corrects, and less trust in their boundaries.

    Parameters
    ----------
    annotator, options
        A name in :data:`infraspot.annotators.ANNOTATORS`, and the annotator's options.
    start, every
        When corrections begin, and how far apart they are, as shares of the run.
    agreement
        IoU from which teacher and annotator agree.
    largest
        Factor by which areas of teacher and annotator may differ.
    trust
        Share of the network's own answer in the label on boundaries, from ``start`` on.
    """

    def __init__(
        self,
        annotator: str = "profile",
        options: Mapping[str, Any] | None = None,
        start: float = 0.3,
        every: float = 0.05,
        agreement: float = 0.8,
        largest: float = 2.0,
        trust: float = 0.3,
    ) -> None:
        require_shares(start=start, every=every, agreement=agreement, trust=trust)
        require_number(1, 1000, largest=largest)
        self.annotator, self.options = annotator, dict(options or {})
        self.start, self.every, self.trust = start, every, trust
        self.agreement, self.largest = agreement, largest
        self._grown: dict[str, Mask] | None = None

    def begin(self, run: Trainee) -> None:
        require_clicks(run.samples, "the scheme taught")
        for id, mask in self._masks(run).items():
            run.labels[id] = mask
        run.labels.active = [sample.id for sample in run.samples]

    def begin_epoch(self, run: Trainee) -> Numbers | None:
        """Correct the annotator's masks where it is time."""
        if run.epoch == 0 or not is_due(run, self.every, self.start):
            return None
        corrected = 0
        for sample, prediction in zip(run.samples, run.predict(run.samples), strict=True):
            grown, scores = self._masks(run)[sample.id], prediction.require_map("the scheme taught")
            run.labels[sample.id], count = self._corrected(sample, grown, scores >= 0.5)
            corrected += count
        return {"corrected": corrected}

    def loss(self, run: Trainee, batch: Batch) -> Tensor:
        output = run.network(batch.images)
        if self.trust and run.epoch >= max(epochs_of(run, self.start), 1):
            own = output.logits.detach().float().sigmoid()
            boundary = edge_gradient(batch.labels) > 0
            mixed = torch.lerp(batch.labels, own, self.trust)
            batch = replace(batch, labels=torch.where(boundary, mixed, batch.labels))
        value: Tensor = run.loss(output, batch).mean()
        return value

    def _masks(self, run: Trainee) -> dict[str, Mask]:
        """The annotator's masks; they follow from images and clicks, and are not saved."""
        if self._grown is None:
            self._grown = masks_from_clicks(run.samples, self.annotator, self.options)
        return self._grown

    def _corrected(self, sample: Sample, grown: Mask, taught: Mask) -> tuple[Mask, int]:
        """The label of a frame, and how many of its targets were corrected."""
        label, corrected = grown.copy(), 0
        ours, theirs = find_components(grown).labels, find_components(taught).labels
        for y, x in click_pixels(sample):
            before, after = _under(ours, y, x), _under(theirs, y, x)
            if self._better(sample.image, before, after):
                label = (label & ~before) | after
                corrected += 1
        return label, corrected

    def _better(self, image: NDArray[np.floating[Any]], before: Mask, after: Mask) -> bool:
        area, other = np.count_nonzero(before), np.count_nonzero(after)
        if not (area and other and area / self.largest <= other <= area * self.largest):
            return False
        if np.count_nonzero(before & after) >= self.agreement * np.count_nonzero(before | after):
            return False
        return step_across(image, after) > step_across(image, before)


def step_across(image: NDArray[np.floating[Any]], mask: Mask) -> float:
    """Difference of the mean grey values just inside and just outside the outline of a mask (H, W)."""
    ys, xs = np.nonzero(mask)
    around = (slice(max(ys.min() - 2, 0), ys.max() + 3), slice(max(xs.min() - 2, 0), xs.max() + 3))
    inner, grey = mask[around], image[around]
    inside = inner & ~ndimage.binary_erosion(inner, border_value=1)
    outside = ndimage.binary_dilation(inner) & ~inner
    if not (inside.any() and outside.any()):
        return 0.0
    return abs(float(grey[inside].mean()) - float(grey[outside].mean()))


def _under(parts: NDArray[np.int32], y: int, x: int) -> Mask:
    """The components within a pixel of (y, x)."""
    near = np.unique(parts[max(y - NEAR, 0) : y + NEAR + 1, max(x - NEAR, 0) : x + NEAR + 1])
    found: Mask = np.isin(parts, near[near > 0])
    return found
