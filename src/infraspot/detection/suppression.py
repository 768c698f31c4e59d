"""One box for each target, out of the many that a detector proposes: plain and soft suppression."""

import torch
from torch import Tensor

from infraspot.detection.boxes import areas, overlaps

# Boxes that are compared with all that follow at once.
BLOCK = 128


def suppress(boxes: Tensor, scores: Tensor, iou: float = 0.5, *, most: int | None = None) -> Tensor:
    """Greedy non-maximum suppression.

    A box is kept unless one with a higher score, itself kept, overlaps it by more than ``iou``. Of equal
    scores the first comes first. Blocks of the best boxes are settled one after the other, so that what they
    rule out is never compared.

    Parameters
    ----------
    boxes, scores
        (N, 4) and (N,).
    most
        Stop at this many.

    Returns
    -------
    Places of the kept boxes, the highest score first.
    """
    order = scores.argsort(descending=True, stable=True)
    left = boxes[order].T.contiguous()  # edges apart: each is one run of memory
    sizes = areas(boxes)[order]
    kept: list[Tensor] = []
    count = 0
    while len(order) and (most is None or count < most):
        block = min(BLOCK, len(order))
        hides = _overlap_more(left, sizes, block, iou)
        alive = _settled(hides[:, :block])
        kept.append(order[:block][alive])
        count += len(kept[-1])
        rest = (~hides[alive, block:].any(0)).nonzero()[:, 0] + block
        order, left, sizes = order[rest], left[:, rest], sizes[rest]
    return torch.cat([*kept, order[:0]])[:most]


def soften(
    boxes: Tensor, scores: Tensor, *, sigma: float = 0.5, least: float = 0.01
) -> tuple[Tensor, Tensor]:
    """Soft suppression: a kept box lowers the scores of the others by exp(-IoU^2 / sigma) (Soft-NMS, 2017).

    Returns
    -------
    Places of the boxes whose lowered scores stay at ``least`` or above, best first, and those scores.
    """
    scores, places = scores.clone(), []
    lowered = []
    for _ in range(len(scores)):
        best = int(scores.argmax())
        if scores[best] < least:
            break
        places.append(best)
        lowered.append(scores[best].clone())
        scores *= torch.exp(-overlaps(boxes[best], boxes).square() / sigma)
        scores[places] = -1.0
    if not places:
        return scores.new_zeros(0, dtype=torch.long), scores.new_zeros(0)
    return torch.tensor(places, device=scores.device), torch.stack(lowered)


def _overlap_more(edges: Tensor, sizes: Tensor, block: int, iou: float) -> Tensor:
    """(block, N) whether each of the first boxes overlaps each box by more than ``iou``."""
    x0, y0, x1, y1 = edges
    first = slice(block), None
    width = torch.minimum(x1[first], x1).sub_(torch.maximum(x0[first], x0)).clamp_(min=0)
    height = torch.minimum(y1[first], y1).sub_(torch.maximum(y0[first], y0)).clamp_(min=0)
    common = width.mul_(height)
    union = torch.add(sizes[first], sizes).sub_(common)
    return common > union.mul_(iou)


def _settled(hides: Tensor) -> Tensor:
    """(B,) which boxes of a block stay; ``hides`` (B, B) says which would rule out which.

    Each round settles the boxes that hang on settled ones only, so that it ends with the greedy answer.
    """
    hides = hides.triu(1)
    alive = ~hides.any(0)
    while True:
        again = ~(hides & alive[:, None]).any(0)
        if torch.equal(again, alive):
            return alive
        alive = again
