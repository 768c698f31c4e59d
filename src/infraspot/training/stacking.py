"""From augmented frames to a batch."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from infraspot.core.errors import DataError, named
from infraspot.core.sample import Clip, Sample
from infraspot.losses import Batch

# How many frames an error names.


def stack(
    samples: Sequence[Sample],
    negatives: Sequence[Sample] = (),
    unlabelled: Sequence[Sample] = (),
    parts: Sequence[str] = (),
) -> Batch:
    """One batch of labelled frames, with ``negatives`` at its end and the images of ``unlabelled`` apart.

    Parameters
    ----------
    parts
        What the batch holds beside images and labels: any of ``boxes``, ``points`` and ``sky``.

    Raises
    ------
    DataError
        If the frames differ in size, or some of them lack a part: it would be taken for "no target".
    """
    frames = [*samples, *negatives]
    _check_sizes([*frames, *unlabelled])
    return Batch(
        ids=tuple(frame.id for frame in frames),
        images=_images(frames),
        labels=_layers(frames, "label"),
        boxes=_rows(frames, "boxes") if "boxes" in parts else None,
        points=_rows(frames, "points") if "points" in parts else None,
        sky=_layers(frames, "sky") if "sky" in parts else None,
        negative=torch.arange(len(frames)) >= len(samples),
        unlabelled=_images(unlabelled) if unlabelled else None,
    )


def _check_sizes(frames: Sequence[Sample]) -> None:
    shapes = {frame.shape for frame in frames}
    if len(shapes) > 1:
        raise DataError(
            f"the frames of a batch must have one size, and these have {sorted(shapes)};"
            " add a crop to [[augment]], or set train.batch to 1"
        )


def _images(frames: Sequence[Sample]) -> Tensor:
    """(N, 1, H, W) float32 of frames; (N, T, H, W) of clips, the frame itself last."""
    if not any(isinstance(frame, Clip) for frame in frames):
        return _layers(frames, "image")
    stacks = [frame.stack if isinstance(frame, Clip) else frame.image[None] for frame in frames]
    lengths = {len(stack) for stack in stacks}
    if len(lengths) > 1:
        raise DataError(
            f"the clips of a batch must have one length, and these have {sorted(lengths)} frames; set"
            " data.clip, and leave out [negatives] and [unlabelled]"
        )
    return torch.from_numpy(np.stack(stacks).astype(np.float32, copy=False))


def _layers(frames: Sequence[Sample], name: str) -> Tensor:
    """(N, 1, H, W) float32."""
    layers = np.stack(_given(frames, name))[:, None]
    return torch.from_numpy(layers.astype(np.float32, copy=False))


def _rows(frames: Sequence[Sample], name: str) -> tuple[Tensor, ...]:
    """One (n, k) float32 tensor a frame."""
    return tuple(torch.from_numpy(rows.astype(np.float32)) for rows in _given(frames, name))


def _given(frames: Sequence[Sample], name: str) -> list[NDArray[Any]]:
    missing = [frame.id for frame in frames if getattr(frame, name) is None]
    if missing:
        raise DataError(
            f"{len(missing)} of the {len(frames)} frames of a batch have no {name}, and the scheme needs it:"
            f" {named(missing)}; annotate them, or leave them out"
        )
    return [getattr(frame, name) for frame in frames]
