"""Where a run computes, and in which precision."""

import logging
from pathlib import Path
from typing import Literal

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy

from infraspot.core.errors import UsageError
from infraspot.training.settings import TrainPart

CPU_FLAGS = Path("/proc/cpuinfo")


def open_devices(train: TrainPart) -> Fabric:
    """The devices of ``[train]``; with several, each gets a process that begins the same program again.

    Raises
    ------
    UsageError
        If this machine has no such device, or not so many.
    """
    if train.threads:
        torch.set_num_threads(train.threads)
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it names the precision at each opening
    # Deep supervision and warm phases may leave parameters without a gradient in some steps.
    strategy = DDPStrategy(find_unused_parameters=True) if train.devices > 1 else "auto"
    try:
        fabric = Fabric(
            accelerator=train.device, devices=train.devices, strategy=strategy, precision=precision_of(train)
        )
    except (RuntimeError, ValueError) as error:
        raise UsageError(
            f"train.device is {train.device!r} and train.devices {train.devices}, and this machine cannot"
            f" train so: {error}; set train.device to 'cpu'"
        ) from error
    if train.devices > 1:
        fabric.launch()
    return fabric


def precision_of(train: TrainPart) -> Literal["32-true", "bf16-mixed"]:
    """The precision of ``[train]``; ``"auto"`` is ``"bf16-mixed"`` where the device is made for it."""
    if train.precision != "auto":
        return train.precision
    return "bf16-mixed" if _has_bf16(train.device) else "32-true"


def _has_bf16(device: str) -> bool:
    """Whether the device multiplies bfloat16 by itself, so that it is faster and not only shorter."""
    if device in ("auto", "cuda") and torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device in ("auto", "mps") and torch.backends.mps.is_available():
        return False
    try:
        flags = CPU_FLAGS.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags
