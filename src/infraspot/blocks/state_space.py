"""Selective state spaces over feature maps, in plain torch (Mamba, 2023; VMamba's cross-scan, 2024)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.blocks.conv import LayerNorm2d

DIRECTIONS = 4  # along the rows, along the columns, and both backwards
CHUNK = 64  # places that are solved together, outside of eager CPU code
LONGEST = CHUNK**3  # places of the largest map that a traced graph takes, unless it is told


class SelectiveScan2d(nn.Module):
    """SS2D: state spaces read a map along four paths; their steps and matrices depend on the input.

    For each path and channel, with A < 0, a state h of ``state`` numbers goes

        h_t = exp(s_t A) h_{t-1} + s_t B_t x_t,    y_t = C_t h_t + D x_t,

    where the step s, B and C are linear in x_t. The four y are added, normalised, gated by SiLU(z) and
    projected. (N, C, H, W) to the same shape; linear in H W, unlike attention. The scan runs in float32.
    Maps have at most ``longest`` places, which bounds a traced graph.
    """

    def __init__(self, channels: int, *, state: int = 16, expansion: int = 2, longest: int = LONGEST):
        super().__init__()
        inner, rank = expansion * channels, math.ceil(channels / 16)
        self.state, self.rank, self.longest = state, rank, longest
        self.enter = nn.Conv2d(channels, 2 * inner, 1, bias=False)
        self.mix = nn.Conv2d(inner, inner, 3, padding=1, groups=inner)
        self.read = nn.Parameter(torch.empty(DIRECTIONS, rank + 2 * state, inner))
        self.step = nn.Parameter(torch.empty(DIRECTIONS, inner, rank))
        self.step_bias = nn.Parameter(_step_bias(DIRECTIONS, inner))
        self.log_decay = nn.Parameter(torch.arange(1.0, state + 1).log().repeat(DIRECTIONS, inner, 1))
        self.direct = nn.Parameter(torch.ones(DIRECTIONS, inner))
        self.norm = LayerNorm2d(inner)
        self.leave = nn.Conv2d(inner, channels, 1, bias=False)
        for weight in (self.read, self.step):
            bound = weight.shape[-1] ** -0.5
            nn.init.uniform_(weight, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        x, gate = self.enter(x).chunk(2, dim=1)
        x = F.silu(self.mix(x))
        return self.leave(self.norm(self._scan(x)) * F.silu(gate))

    def _scan(self, x: Tensor) -> Tensor:
        paths = _unroll(x)  # (L, N, 4, C)
        read = torch.einsum("lnkc,krc->lnkr", paths, self.read).float()
        rank, drive, output = read.split([self.rank, self.state, self.state], dim=-1)
        step = F.softplus(torch.einsum("lnkr,kcr->lnkc", rank, self.step.float()) + self.step_bias)
        paths = paths.float()
        exponent = step.unsqueeze(-1) * -self.log_decay.exp()  # (L, N, 4, C, S)
        drive = (step * paths).unsqueeze(-1) * drive.unsqueeze(-2)
        states = linear_recurrence(exponent, drive, longest=self.longest)
        answers = torch.matmul(states, output.unsqueeze(-1)).squeeze(-1)
        return _roll(torch.addcmul(answers, self.direct, paths), x)


def _step_bias(*shape: int) -> Tensor:
    """The inverse softplus of steps drawn log-uniformly from 0.001 to 0.1."""
    steps = torch.exp(torch.rand(*shape) * math.log(100) + math.log(0.001))
    return steps + torch.log(-torch.expm1(-steps))


def _unroll(x: Tensor) -> Tensor:
    """(N, C, H, W) -> (H W, N, 4, C): along rows, along columns, rows backwards, columns backwards."""
    rows, columns = x.permute(2, 3, 0, 1).flatten(0, 1), x.permute(3, 2, 0, 1).flatten(0, 1)
    return torch.stack([rows, columns, rows.flip(0), columns.flip(0)], dim=2)


def _roll(paths: Tensor, like: Tensor) -> Tensor:
    """The sum of the four paths, each brought back to (N, C, H, W)."""
    height, width = like.shape[-2:]
    rows, columns = (paths[:, :, :2] + paths[:, :, 2:].flip(0)).unbind(2)
    rows = rows.reshape(height, width, *rows.shape[1:]).permute(2, 3, 0, 1)
    return rows + columns.reshape(width, height, *columns.shape[1:]).permute(2, 3, 1, 0)


def linear_recurrence(exponent: Tensor, drive: Tensor, *, longest: int = LONGEST) -> Tensor:
    """h_t = exp(exponent_t) h_{t-1} + drive_t along the first axis, h_{-1} = 0; ``exponent`` is at most 0.

    Eager code on a CPU loops over the axis. Elsewhere each step would cost a kernel launch or a node of the
    graph; there the axis is cut into chunks, which are solved at the same time by doubling. The states at the
    ends of the chunks form a recurrence again, shorter by the length of a chunk. A traced graph takes every
    length up to ``longest``.
    """
    decay = exponent.exp()
    traced = torch.jit.is_tracing()
    if exponent.device.type == "cpu" and not (traced or torch.compiler.is_compiling()):
        return _loop(decay, drive)
    return _chunked(decay, drive, longest if traced else len(decay))


def _chunked(decay: Tensor, drive: Tensor, longest: int) -> Tensor:
    length, *rest = drive.shape
    chunk = min(CHUNK, longest)
    chunks = -1 if longest > chunk else 1
    missing = (0, 0) * len(rest) + (0, -length % chunk)
    faded = F.pad(decay, missing, value=1.0).reshape(chunks, chunk, *rest)
    states = F.pad(drive, missing).reshape(chunks, chunk, *rest)
    reach = 1
    while reach < chunk:  # faded: how much of the state ``reach`` places back is left
        early, late = faded.split([reach, chunk - reach], dim=1)
        first, later = states.split([reach, chunk - reach], dim=1)
        states = torch.cat([first, torch.addcmul(later, late, states[:, :-reach])], dim=1)
        faded = torch.cat([early, late * faded[:, :-reach]], dim=1)
        reach *= 2
    if chunks != 1:
        ends = _chunked(faded[:, -1], states[:, -1], -(-longest // chunk))
        carried = torch.cat([torch.zeros_like(ends[:1]), ends[:-1]])
        states = torch.addcmul(states, faded, carried.unsqueeze(1))
    return states.flatten(0, 1)[:length]


def _loop(decay: Tensor, drive: Tensor) -> Tensor:
    decays, drives = decay.unbind(), drive.unbind()
    states = [drives[0]]
    for decay_now, drive_now in zip(decays[1:], drives[1:], strict=True):
        states.append(torch.addcmul(drive_now, decay_now, states[-1]))
    return torch.stack(states)
