"""What a network costs: parameters, multiply-accumulates, time and memory of one frame."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

SIDE = 256
PER_NORMALISED = 4
PER_INTERPOLATED = 11

aten = torch.ops.aten
_NORMS = (aten.native_batch_norm, aten._native_batch_norm_legit_no_training, aten.native_layer_norm)


@dataclass(frozen=True)
class Cost:
    """What one frame costs.

    Attributes
    ----------
    params
        Learnt numbers, including those of heads that only training uses.
    macs
        Multiply-accumulates of convolutions, linear layers and attention.
    flops
        The count that the survey's Table 6 calls FLOPs: see :func:`cost`.
    """

    params: int
    macs: int
    flops: int


@dataclass(frozen=True)
class Measurement:
    """Median time of one frame in milliseconds, and the peak of the memory that it allocates, in bytes."""

    milliseconds: float
    peak_bytes: int


def cost(build: Callable[[], nn.Module], side: int = SIDE) -> Cost:
    """Count without computing: ``build`` makes the network on the meta device.

    Table 6 was made with a counter of modules (thop) whose FLOPs are multiply-accumulates, with 4 for each
    normalised value, 11 for each bilinearly interpolated one, and transposed convolutions counted as if every
    tap met every output. ``flops`` follows it; ``macs`` is the plain count.
    """
    with torch.device("meta"):
        network = build().eval()
        frame = torch.empty(1, getattr(network, "frames", 1), side, side)
    with torch.no_grad(), _Counter() as counter:
        network(frame)
    params = sum(parameter.numel() for parameter in network.parameters())
    return Cost(params, counter.macs, counter.macs + counter.extra)


class _Counter(TorchDispatchMode):
    """Sums the multiply-accumulates of what runs, and what Table 6's counter would add to them."""

    def __init__(self) -> None:
        super().__init__()
        self.macs = 0
        self.extra = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        operation = func.overloadpacket
        if operation in flop_registry:
            macs = flop_registry[operation](*args, **(kwargs or {}), out_val=out) // 2
            self.macs += macs
            transposed = operation is aten.convolution and args[6]
            if transposed:
                self.extra += macs * out.shape[-2:].numel() // args[0].shape[-2:].numel() - macs
        elif operation in _NORMS:
            self.extra += PER_NORMALISED * out[0].numel()
        elif operation is aten.upsample_bilinear2d:
            self.extra += PER_INTERPOLATED * out.numel()
        return out


def measure(network: nn.Module, side: int = SIDE, *, repeats: int = 5) -> Measurement:
    """Time and memory of one frame of noise, on the network's device and in its present mode."""
    parameter = next(network.parameters())
    generator = torch.Generator().manual_seed(0)
    count = getattr(network, "frames", 1)
    frame = torch.rand(1, count, side, side, generator=generator).to(parameter.device, parameter.dtype)
    with torch.inference_mode():
        peak = peak_bytes(lambda: network(frame), parameter.device)
        times = [_seconds(network, frame) for _ in range(repeats)]
    return Measurement(1e3 * median(times), peak)


def _seconds(network: nn.Module, frame: Tensor) -> float:
    start = time.perf_counter()
    network(frame)
    if frame.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def peak_bytes(work: Callable[[], object], device: torch.device) -> int:
    """The most bytes that ``work`` held at once, from the profiler's record of allocations."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        return torch.cuda.max_memory_allocated() - before
    os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # some versions announce their profiler on standard error
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True) as recorded:
        work()
    held = peak = 0
    for event in recorded.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    return peak
