"""Features of regions, brought to one size: RoIAlign in plain torch."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from infraspot.detection.boxes import areas


def roi_align(
    features: Tensor, boxes: Sequence[Tensor], size: int = 7, *, stride: float = 1.0, samples: int = 2
) -> Tensor:
    """Mean of bilinear samples in each of ``size`` x ``size`` cells of each box (Mask R-CNN, 2017).

    Cells are sampled at ``samples`` x ``samples`` places, spread evenly. Nothing is rounded, and cells count
    from their edges ("aligned"). Beyond the map its border is repeated.

    Parameters
    ----------
    features
        (N, C, h, w).
    boxes
        (n, 4) in pixels of the frame, for each of the N frames.
    stride
        Pixels of the frame for each cell of the map.

    Returns
    -------
    (sum of n, C, size, size), frame after frame.
    """
    steps = size * samples
    share = (torch.arange(steps, device=features.device, dtype=features.dtype) + 0.5) / steps
    limit = features.new_tensor([features.shape[3], features.shape[2]]) * stride
    regions = []
    for map_, own in zip(features, boxes, strict=True):
        low, high = own[:, None, :2], own[:, None, 2:]
        places = 2 * (low + (high - low) * share[:, None]) / limit - 1  # (n, steps, 2) as (x, y)
        columns = places[:, None, :, 0].expand(-1, steps, -1)
        rows = places[:, :, None, 1].expand(-1, -1, steps)
        grid = torch.stack([columns, rows], -1).reshape(1, -1, steps, 2).to(map_.dtype)
        sampled = F.grid_sample(map_[None], grid, padding_mode="border", align_corners=False)
        sampled = sampled[0].reshape(len(map_), len(own), steps, steps).transpose(0, 1)
        regions.append(F.avg_pool2d(sampled, samples))
    return torch.cat(regions)


def roi_align_levels(
    features: Sequence[Tensor],
    strides: Sequence[int],
    boxes: Sequence[Tensor],
    size: int = 7,
    *,
    finest: float = 56.0,
) -> Tensor:
    """:func:`roi_align` on the level of a pyramid that suits each box (FPN, 2017, Eq. 1).

    Boxes of a side below ``2 finest`` pixels are read from the first level, those twice as large from the
    next, and so on.

    Returns
    -------
    (sum of n, C, size, size), frame after frame.
    """
    together = torch.cat(list(boxes))
    side = areas(together).sqrt()
    level = torch.floor(torch.log2(side / finest + 1e-6)).clamp(0, len(features) - 1)
    frame = torch.repeat_interleave(
        torch.arange(len(boxes), device=together.device),
        torch.tensor([len(own) for own in boxes], device=together.device),
    )
    regions = together.new_zeros(len(together), features[0].shape[1], size, size)
    for number, (map_, stride) in enumerate(zip(features, strides, strict=True)):
        chosen = [(level == number) & (frame == k) for k in range(len(boxes))]
        found = roi_align(map_, [together[mine] for mine in chosen], size, stride=stride)
        regions = regions.index_put((torch.cat([mine.nonzero()[:, 0] for mine in chosen]),), found)
    return regions
