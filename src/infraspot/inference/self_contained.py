"""A graph that takes the pixels of a camera: everything that detection does before the network, and cropping.

``frame`` is uint8 or uint16, (N, 1, H, W), of any height and width; ``scores`` are float32 of the same shape.
Frames of uint8 are divided by 255. Those of uint16 are stretched, each by its own percentiles, as
:func:`infraspot.inference.frames.stretch` does it to frames of more than 8 bits; their scale and depth do not
matter. Padding to the stride, the network, its sigmoid and cropping follow.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.networks import SegmentationNetwork

PIXELS = ("uint8", "uint16")
IN_THOUSAND = 5  # pixels beyond either percentile of the stretch


class FromPixels(nn.Module):
    """Scores of frames whose pixels are whole numbers.

    Parameters
    ----------
    network
        The segmentation.
    pixels
        One of :data:`PIXELS`.
    """

    def __init__(self, network: SegmentationNetwork, pixels: str) -> None:
        super().__init__()
        self.network, self.deep = network, pixels == "uint16"

    def forward(self, frame: Tensor) -> Tensor:
        """(N, 1, H, W) float32 of whole numbers to (N, 1, H, W) scores."""
        image = stretched(frame) if self.deep else frame / 255
        height, width, stride = frame.shape[2], frame.shape[3], self.network.stride
        down, right = (stride - height % stride) % stride, (stride - width % stride) % stride
        padded = F.pad(image, (0, right, 0, down), mode="replicate")
        logits = self.network.segment(self.network.scaled(padded)).logits
        return torch.sigmoid(logits[:, :, :height, :width])


def stretched(frame: Tensor) -> Tensor:
    """:func:`infraspot.inference.frames.stretch` for each of (N, 1, H, W) frames of two or more pixels."""
    flat = frame.flatten(1)
    last = flat.shape[1] - 1
    place, share = last * IN_THOUSAND // 1000, (last * IN_THOUSAND % 1000) / 1000
    darkest = flat.topk(place + 2, dim=1, largest=False).values
    brightest = flat.topk(place + 2, dim=1, largest=True).values
    low, high = (end[:, -2:-1] + share * (end[:, -1:] - end[:, -2:-1]) for end in (darkest, brightest))
    flatter = high <= low
    low, high = torch.where(flatter, darkest[:, :1], low), torch.where(flatter, brightest[:, :1], high)
    constant = high <= low
    gain = 0.6 / torch.where(constant, torch.ones_like(low), high - low)
    shown = (0.1 + (flat - low) * gain).clamp(0, 1)
    return torch.where(constant, torch.full_like(shown, 0.4), shown).reshape(frame.shape)


def take_pixels(model: Any, pixels: str) -> None:
    """Let the graph of :class:`FromPixels` take its frames in whole numbers; ``model`` is changed."""
    from onnx import TensorProto, helper

    (frame,) = model.graph.input
    inside = f"{frame.name}_float"
    for node in model.graph.node:
        for position, name in enumerate(node.input):
            if name == frame.name:
                node.input[position] = inside
    model.graph.node.insert(0, helper.make_node("Cast", [frame.name], [inside], to=TensorProto.FLOAT))
    kinds = {"uint8": TensorProto.UINT8, "uint16": TensorProto.UINT16}
    frame.type.tensor_type.elem_type = kinds[pixels]
