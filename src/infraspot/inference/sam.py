"""``sam`` and ``sam2``: Segment Anything as an annotator, through the library ``transformers``.

Kirillov et al., ICCV 2023, and Ravi et al., 2024. The frame is encoded once and every click is decoded on its
own; of the masks that the model proposes for a click, the one that it rates highest counts, and of that one
the component under the click. Both were trained on colour photographs: the grey frame is spread over the full
range and stands in all three channels.

Weights are read from a folder on this machine, as ``save_pretrained`` writes it; nothing is downloaded, and
``torchvision`` is not needed. This lives with the networks because the annotators start without torch.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from infraspot.annotators.inputs import pixel_of
from infraspot.annotators.region import Region
from infraspot.core.errors import UsageError
from infraspot.core.geometry import find_components
from infraspot.weights.pretrained import open_pretrained

_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of the photographs that both models were trained on, by channel."""
_CLICKS_AT_ONCE = 64
_MARGIN = 2
_BELOW = np.float32(0.499)
_MODELS = {"sam": "SamModel", "sam2": "Sam2Model"}
_WRITTEN_AS = {"sam": ("sam",), "sam2": ("sam2", "sam2_video")}
"""Kinds that the weights' ``config.json`` may name; images are a part of the video model."""


def annotate_sam(
    image: NDArray[np.float32], points: NDArray[np.float64], *, weights: str | Path | None = None
) -> list[Region]:
    """Segment Anything (Kirillov et al., ICCV 2023).

    Parameters
    ----------
    image
        (H, W) float32 in [0, 1].
    points
        (N, 2) clicks (y, x) inside the frame.
    weights
        Folder with ``config.json`` and ``model.safetensors`` of a SAM model.

    Raises
    ------
    UsageError
        If ``transformers`` is not installed or the weights are not named.
    InputError
        If the folder does not hold the weights of such a model.
    """
    return _annotate(image, points, "sam", weights, _fit_longer_side)


def annotate_sam2(
    image: NDArray[np.float32], points: NDArray[np.float64], *, weights: str | Path | None = None
) -> list[Region]:
    """Segment Anything 2 (Ravi et al., 2024); parameters and errors as in :func:`annotate_sam`."""
    return _annotate(image, points, "sam2", weights, _fit_both_sides)


def _annotate(
    image: NDArray[np.float32],
    points: NDArray[np.float64],
    kind: str,
    weights: str | Path | None,
    fit: Callable[[tuple[int, int], int], tuple[int, int]],
) -> list[Region]:
    if weights is None:
        raise UsageError(f"{kind} needs weights; name the folder that holds its config.json and its weights")
    model = load_model(kind, str(weights))
    side = int(model.config.prompt_encoder_config.image_size)
    size = fit((image.shape[0], image.shape[1]), side)
    logits = _decode(model, _prepare(image, size, side), _scaled(points, image.shape, size))
    pairs = zip(points, logits, strict=True)
    return [_region(_at_native_size(low, side, size, image.shape), pixel_of(point)) for point, low in pairs]


@lru_cache(maxsize=2)
def load_model(kind: str, weights: str) -> Any:
    """The model in a folder, in evaluation mode, on the graphics card where there is one."""
    model = open_pretrained(weights, kind, _MODELS[kind], _WRITTEN_AS[kind], extra="sam")
    return model.to("cuda" if torch.cuda.is_available() else "cpu")


def _fit_longer_side(shape: tuple[int, int], side: int) -> tuple[int, int]:
    """Height and width with the longer one at ``side``; the rest of the square is padded."""
    longer = max(shape)
    height, width = (max(int(length * side / longer + 0.5), 1) for length in shape)
    return height, width


def _fit_both_sides(shape: tuple[int, int], side: int) -> tuple[int, int]:
    """The whole square, whatever the shape was."""
    return side, side


def _prepare(image: NDArray[np.float32], size: tuple[int, int], side: int) -> Tensor:
    """(1, 3, side, side): the frame spread over the full range, resized, standardised, padded with zeros."""
    low, high = float(image.min()), float(image.max())
    grey = torch.from_numpy(np.ascontiguousarray((image - low) / max(high - low, 1e-6), np.float32))
    resized = F.interpolate(grey[None, None], size, mode="bilinear", align_corners=False, antialias=True)
    mean, deviation = (torch.tensor(values).view(1, 3, 1, 1) for values in (_MEAN, _DEVIATION))
    standard = (resized.expand(1, 3, *size) - mean) / deviation
    return F.pad(standard, (0, side - size[1], 0, side - size[0]))


def _scaled(points: NDArray[np.float64], shape: tuple[int, ...], size: tuple[int, int]) -> Tensor:
    """(N, 2) clicks as (x, y) on the resized frame; centres of pixels are whole numbers on either."""
    ratio = np.array([size[0] / shape[0], size[1] / shape[1]])
    scaled = (points + 0.5) * ratio - 0.5
    return torch.from_numpy(scaled[:, ::-1].astype(np.float32))


@torch.inference_mode()
def _decode(model: Any, pixels: Tensor, clicks: Tensor) -> list[Tensor]:
    """Logits (h, w) on the padded square, at the model's own coarser grid, for each click."""
    seen = model.get_image_embeddings(pixels.to(model.device))
    return [low for part in clicks.split(_CLICKS_AT_ONCE) for low in _decode_some(model, seen, part)]


def _decode_some(model: Any, seen: Any, clicks: Tensor) -> Iterator[Tensor]:
    prompts = clicks[None, :, None].to(model.device)
    labels = torch.ones(prompts.shape[:3], dtype=torch.long, device=model.device)
    found = model(image_embeddings=seen, input_points=prompts, input_labels=labels, multimask_output=True)
    best = found.iou_scores[0].argmax(1)
    for masks, choice in zip(found.pred_masks[0], best, strict=True):
        yield masks[choice].float().cpu()


def _at_native_size(
    low: Tensor, side: int, size: tuple[int, int], shape: tuple[int, ...]
) -> NDArray[np.float32]:
    """(H, W) logits of the frame: enlarged to the square, padding cut off, resized to the frame."""
    square = F.interpolate(low[None, None], (side, side), mode="bilinear", align_corners=False)
    inside = square[..., : size[0], : size[1]]
    native = F.interpolate(inside, (shape[0], shape[1]), mode="bilinear", align_corners=False)
    logits: NDArray[np.float32] = native[0, 0].numpy()
    return logits


def _region(logits: NDArray[np.float32], click: tuple[int, int]) -> Region:
    """The component under the click, in a window of its own size; one empty pixel where there is none."""
    parts = find_components(logits > 0)
    label = int(parts.labels[click])
    if label == 0:
        return Region(*click, np.zeros((1, 1), np.float32))
    x0, y0, x1, y1 = (int(side) for side in parts.boxes[label - 1])
    top, left = max(y0 - _MARGIN, 0), max(x0 - _MARGIN, 0)
    window = np.s_[top : y1 + _MARGIN, left : x1 + _MARGIN]
    chance = 1 / (1 + np.exp(-np.clip(logits[window], -30, 30)))
    soft = np.where(parts.labels[window] == label, np.maximum(chance, 0.5), np.minimum(chance, _BELOW))
    return Region(top, left, soft.astype(np.float32))
