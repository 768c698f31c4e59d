"""The mask decoder of Segment Anything (Kirillov et al., ICCV 2023): tokens and image attend to each other.

A token is a vector that asks the image a question. Each layer lets the tokens attend to one another and to
the image, and the image to the tokens. Positions on the image are random Fourier features of coordinates in
[0, 1], so that a map may have any size.
"""

import math

import torch
from torch import Tensor, nn

WIDTH, HEADS, HIDDEN, DEPTH = 256, 8, 2048, 2


class TwoWayTransformer(nn.Module):
    """Tokens (N, T, 256) and an image (N, 256, h, w), to both after they have attended to each other."""

    frequencies: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("frequencies", torch.randn(2, WIDTH // 2))
        self.layers = nn.ModuleList(_TwoWayLayer(first=index == 0) for index in range(DEPTH))
        self.last = _CrossAttention(WIDTH // 2)
        self.last_norm = nn.LayerNorm(WIDTH)

    def forward(self, tokens: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        positions = self._positions(image)
        queries, places = tokens, image.flatten(2).transpose(1, 2)
        for layer in self.layers:
            queries, places = layer(queries, places, tokens, positions)
        told = self.last(queries + tokens, places + positions, places)
        return self.last_norm(queries + told), places.transpose(1, 2).reshape(image.shape)

    def _positions(self, image: Tensor) -> Tensor:
        """(h w, 256) for the centres of the cells of a map."""
        y, x = (
            (torch.arange(side, device=image.device, dtype=torch.float32) + 0.5) / side
            for side in image.shape[-2:]
        )
        grid = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], -1)
        angles = 2 * math.pi * ((2 * grid - 1) @ self.frequencies)
        return torch.cat([angles.sin(), angles.cos()], -1).flatten(0, 1)


class _TwoWayLayer(nn.Module):
    """Tokens to tokens, tokens to image, an MLP of the tokens, image to tokens; a norm after each.

    ``first`` leaves out what the tokens were at the start, since they are still that.
    """

    def __init__(self, *, first: bool):
        super().__init__()
        self.first = first
        self.among = _CrossAttention(WIDTH)
        self.to_image = _CrossAttention(WIDTH // 2)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, WIDTH))
        self.to_tokens = _CrossAttention(WIDTH // 2)
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(4))

    def forward(
        self, queries: Tensor, places: Tensor, tokens: Tensor, positions: Tensor
    ) -> tuple[Tensor, Tensor]:
        if self.first:
            queries = self.among(queries, queries, queries)
        else:
            asked = queries + tokens
            queries = queries + self.among(asked, asked, queries)
        queries = self.norms[0](queries)
        queries = self.norms[1](queries + self.to_image(queries + tokens, places + positions, places))
        queries = self.norms[2](queries + self.mlp(queries))
        places = self.norms[3](places + self.to_tokens(places + positions, queries + tokens, queries))
        return queries, places


class _CrossAttention(nn.Module):
    """Multi-head attention from (N, S, 256) to (N, T, 256), within ``inner`` channels."""

    def __init__(self, inner: int):
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(WIDTH, inner) for _ in range(3))
        self.project = nn.Linear(inner, WIDTH)

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        asked, known, told = (
            layer(x).unflatten(-1, (HEADS, -1)).transpose(1, 2)
            for layer, x in ((self.query, query), (self.key, key), (self.value, value))
        )
        likeness = asked @ known.transpose(-2, -1) * asked.shape[-1] ** -0.5
        return self.project((likeness.softmax(-1) @ told).transpose(1, 2).flatten(2))
