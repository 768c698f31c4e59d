"""PAL: from easy frames to hard ones (Yu et al., ICCV 2025).

"From Easy to Hard: Progressive Active Learning Framework for Infrared Small Target Detection with Single
Point Supervision". Three phases of a run:

1. Pre-start, until ``enhance``: an edge detector outlines what lies under each click. Frames where it
   succeeds for ``easy`` of the clicks are active; the others wait.
2. Enhancement, until ``refine``, every ``every``: labels of active frames take the step of LESPS
   (:func:`infraspot.schemes.evolution.evolve`), and fade by ``fade`` where nothing was updated. A waiting
   frame enters once the network misses no more of its clicks than an allowance that rises from ``allowance``
   to 1, and finds at most ``clutter`` other things for each click; its label is what the network answers
   under the clicks.
3. Refinement: labels evolve, and no frame enters.

The network trains with the cross-entropy of the hardest half of the pixels. The authors' text weights
outlines 4 times, and their program overwrites that weight, so it is 1 here too. They use AdamW, 1e-3, in
batches of 16 crops of 256 pixels, for 400 epochs (recipe ``d2d/pal``).
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from infraspot.core.geometry import find_components
from infraspot.core.sample import Sample
from infraspot.losses import LOSSES, Batch, DeepSupervision
from infraspot.schemes.base import Numbers, Scheme, Trainee
from infraspot.schemes.clicks import click_mask, click_pixels, require_clicks
from infraspot.schemes.evolution import evolve
from infraspot.schemes.timing import epochs_of, is_due, require_shares

Array = NDArray[np.float32]

HALF_WINDOW = 10
EDGES = (20.0, 40.0)
"""Weak and strong edges of the detail, in grey levels of 255."""
LARGEST = 50
NEAR = 3
"""Pixels around the middle of something found in which a click explains it."""


class Pal(Scheme):
    """Easy frames first, with outlines under the clicks as labels that evolve.

    Parameters
    ----------
    enhance, refine
        Where the second and the third phase begin, as shares of the run.
    every
        Share of the run between two updates; one epoch at least.
    easy
        Share of a frame's clicks that the edge detector must outline for it to be active at first.
    fade
        What labels are multiplied by at an update where they were not updated.
    allowance
        Share of a frame's clicks that may be missed, at the first update.
    clutter
        Things found beside the targets, for each click, that a frame may have to enter.
    own_loss
        Train with the hardest half of the pixels on every map of the network, else with the recipe's loss.
    """

    def __init__(
        self,
        enhance: float = 0.2,
        refine: float = 0.8,
        every: float = 5 / 400,
        easy: float = 0.8,
        fade: float = 0.97,
        allowance: float = 0.2,
        clutter: float = 5.0,
        own_loss: bool = True,
    ) -> None:
        require_shares(enhance=enhance, refine=refine, every=every, easy=easy, fade=fade, allowance=allowance)
        self.enhance, self.refine, self.every = enhance, refine, every
        self.easy, self.fade, self.allowance, self.clutter = easy, fade, allowance, clutter
        self.own_loss = own_loss
        hardest = LOSSES["hard_edge_bce"](edge_weight=1.0, pooled=True)
        self._loss = DeepSupervision(hardest, 1.0, size="upsample", normalise=True)

    def begin(self, run: Trainee) -> None:
        require_clicks(run.samples, "the scheme pal")
        shares = {}
        for sample in run.samples:
            run.labels[sample.id], shares[sample.id] = outline_clicks(sample)
        # Where no frame is easy enough, the easiest there are.
        enough = min(self.easy, max(shares.values()))
        run.labels.active = [id for id, share in shares.items() if share >= enough]

    def begin_epoch(self, run: Trainee) -> Numbers | None:
        """Evolve the labels, and let frames enter, where it is time."""
        if not is_due(run, self.every, self.enhance):
            return {"pool": len(run.labels.active)}
        active, first, last = (
            set(run.labels.active),
            *(epochs_of(run, s) for s in (self.enhance, self.refine)),
        )
        enhancing = run.epoch < last
        allowed = self.allowance + (1 - self.allowance) * (run.epoch - first) / max(last - 1 - first, 1)
        frames = run.samples if enhancing else [s for s in run.samples if s.id in active]
        for sample, prediction in zip(frames, run.predict(frames), strict=True):
            scores = prediction.require_map("the scheme pal")
            if sample.id in active:
                run.labels[sample.id] = self._evolved(sample, run.labels[sample.id], scores)
            elif (answer := self._explained(sample, scores, allowed)) is not None:
                run.labels[sample.id] = answer
                active.add(sample.id)
        run.labels.active = [sample.id for sample in run.samples if sample.id in active]
        return {"pool": len(active)}

    def loss(self, run: Trainee, batch: Batch) -> Tensor:
        if not self.own_loss:
            return super().loss(run, batch)
        return self._loss(run.network(batch.images), batch).mean()

    def _evolved(self, sample: Sample, before: NDArray[np.generic], scores: Array) -> Array:
        label, updated = evolve(before.astype(np.float32), scores)
        label[~updated & ~click_mask(sample)] *= self.fade
        return label

    def _explained(self, sample: Sample, scores: Array, allowed: float) -> Array | None:
        """What the network answers under the clicks, if it finds enough of them and little else."""
        found = find_components(scores > 0.5)
        clicks = click_pixels(sample)
        apart = np.linalg.norm(found.centroids[:, None] - clicks[None], axis=-1)
        under = found.labels[tuple(clicks.T)]
        hits = (apart <= NEAR) | (under[None] == np.arange(len(found))[:, None] + 1)
        missed = 1 - hits.any(axis=0).mean() if len(clicks) else 0.0
        unexplained = int((~hits.any(axis=1)).sum())
        if missed > allowed or unexplained > self.clutter * max(len(clicks), 1):
            return None
        kept = np.isin(found.labels, np.flatnonzero(hits.any(axis=1)) + 1)
        return np.where(click_mask(sample), 1, np.where(kept, scores, 0)).astype(np.float32)


def outline_clicks(sample: Sample) -> tuple[NDArray[np.bool_], float]:
    """(H, W) what an edge detector outlines under each click, and the share of clicks where it succeeds.

    Where it fails, the label is the click's pixel. A frame without clicks is as easy as can be.
    """
    clicks = click_pixels(sample)
    mask, succeeded = click_mask(sample), 0
    for y, x in clicks:
        rows, columns = (slice(max(at - HALF_WINDOW, 0), at + HALF_WINDOW) for at in (y, x))
        outline = _filled_edges(sample.image[rows, columns], y - rows.start, x - columns.start)
        if 0 < np.count_nonzero(outline) <= LARGEST:
            mask[rows, columns] |= outline
            succeeded += 1
    return mask, succeeded / len(clicks) if len(clicks) else 1.0


def _filled_edges(window: NDArray[np.floating], y: int, x: int) -> NDArray[np.bool_]:
    """The closed and filled outline, of the image less its 3x3 mean, that holds (y, x); else nothing."""
    from skimage.feature import canny

    grey = np.asarray(window, np.float64) * 255
    detail = np.clip(grey - ndimage.uniform_filter(grey, 3), 0, 255)
    edges = canny(detail, sigma=0, low_threshold=EDGES[0], high_threshold=EDGES[1])
    filled = ndimage.binary_fill_holes(ndimage.binary_closing(edges, np.ones((3, 3))))
    parts = find_components(filled).labels
    inside: NDArray[np.bool_] = (parts == parts[y, x]) & (parts > 0)
    return inside
