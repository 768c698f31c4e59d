"""IRSAM: Segment Anything for infrared small targets (Zhang et al., ECCV 2024).

MobileSAM's encoder and mask decoder without prompts, and a sixth token that asks for edges: its answer
weights the mask by 1 + edge. In each stage of the encoder a wavelet Perona-Malik block smooths noise.

Departures: the released program has no wavelet block and feeds nothing of the encoder's middle to the edge
branch, though it passes it along, and it trains nothing. The blocks here are written from the paper's idea
(``blocks/perona_malik.py``) and start as the identity, so that MobileSAM's weights give MobileSAM's
features. The program resizes every frame to 512x512 and that to 1024x1024; here a frame keeps its shape and
is enlarged by a whole factor. Parts of the decoder that serve prompts, several masks and their ratings are
left out.

Begin from MobileSAM's public weights (Apache-2.0), which hold no edge branch and no wavelet block:
``infraspot convert-weights mobile_sam.pt --network irsam --out FILE``. They were trained on photographs with
prompts: train before use.

Parameters: 9.47 M, 5.74 M of them in the encoder. At 256x256, enlarged twice: 11.0 GMACs.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.blocks.conv import LayerNorm2d, resize_to
from infraspot.blocks.mask_decoder import WIDTH, TwoWayTransformer
from infraspot.blocks.perona_malik import WaveletPeronaMalik
from infraspot.blocks.tiny_vit import TinyViT
from infraspot.core.options import require_whole
from infraspot.networks.base import SegmentationNetwork, SegOutput
from infraspot.networks.sheet import Sheet

FINE = WIDTH // 8
MASK_TOKENS = 4


class IRSAM(SegmentationNetwork):
    """A frame of any size, enlarged ``scale`` times; an answer has one cell for 4 / ``scale`` pixels.

    Parameters
    ----------
    scale
        1, 2 or 4; the paper's program enlarges a frame of 512 pixels twice.
    """

    sheet = Sheet(
        family="foundation",
        source="Zhang et al., ECCV 2024",
        note="wavelet blocks after the paper's idea; the released program has none",
    )

    def __init__(self, scale: int = 2):
        super().__init__()
        require_whole(1, 4, scale=scale)
        self.scale, self.stride = scale, 32 // scale
        self.encoder = TinyViT(extra=WaveletPeronaMalik)
        self.no_prompt = nn.Parameter(0.02 * torch.randn(1, WIDTH))
        self.quality_token = nn.Parameter(torch.randn(1, WIDTH))
        self.mask_tokens = nn.Parameter(torch.randn(MASK_TOKENS, WIDTH))
        self.edge_token = nn.Parameter(torch.randn(1, WIDTH))
        self.decoder = TwoWayTransformer()
        self.enlarge = _enlargement()
        self.enlarge.append(nn.GELU())
        self.mask_head, self.edge_head = _mlp(), _mlp()
        self.edge_neck = _enlargement()
        self.edge_features = nn.Conv2d(FINE, FINE, 3, padding=1)

    def segment(self, image: Tensor) -> SegOutput:
        enlarged = F.interpolate(image, scale_factor=float(self.scale)) if self.scale > 1 else image
        neck = self.encoder(enlarged)
        tokens = torch.cat([self.quality_token, self.mask_tokens, self.edge_token])
        answers, told = self.decoder(
            tokens.expand(len(image), -1, -1), neck + self.no_prompt[..., None, None]
        )
        fine = self.enlarge(told)
        mask = _asked(self.mask_head(answers[:, 1]), fine)
        edge = _asked(self.edge_head(answers[:, -1]), self.edge_features(fine) + self.edge_neck(neck))
        return SegOutput(resize_to(mask * (1 + edge.sigmoid()), image), edge=resize_to(edge, image))


def _enlargement() -> nn.Sequential:
    """Four times the size at an eighth of the channels."""
    return nn.Sequential(
        nn.ConvTranspose2d(WIDTH, WIDTH // 4, 2, 2),
        LayerNorm2d(WIDTH // 4, eps=1e-6),
        nn.GELU(),
        nn.ConvTranspose2d(WIDTH // 4, FINE, 2, 2),
    )


def _mlp() -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, FINE)
    )


def _asked(token: Tensor, features: Tensor) -> Tensor:
    """(N, 1, h, w): the product of a token's answer (N, 32) with the features at each place."""
    return (token[:, :, None, None] * features).sum(1, keepdim=True)
