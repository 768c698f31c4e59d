"""Cost of every network on this CPU: parameters, FLOPs, time and memory of a frame and of a training step.

``python benchmarks/networks.py [--networks dnanet,acm] [--repeats 5] [--step 8]``; with ``--peers FILE`` (a
module with ``build(name) -> nn.Module`` for the authors' programs, which are not part of this package) both
sides run in turn in one process.

Times are CPU time of this process, with wall time in brackets: medians and [least, largest] over the repeats.
A ratio is that of one turn, authors' CPU time over ours; its median and range over the turns are printed.

A frame is timed as it is (plain), prepared for inference (norms folded, channels last) and in ONNX Runtime; a
training step is forward and backward in channels last, as the training loop runs it.
"""

import argparse
import importlib.util
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from infraspot.core.errors import InfraspotError
from infraspot.inference.export import export_onnx
from infraspot.inference.onnx_engines import OnnxEngine
from infraspot.inference.prepared import prepare_for_inference
from infraspot.networks import NETWORKS, SegmentationNetwork, SegOutput
from infraspot.weights.cost import SIDE, cost, measure, peak_bytes

CPU = torch.device("cpu")
Run = Callable[[], object]


class Times(NamedTuple):
    """CPU and wall seconds of each repeat."""

    cpu: NDArray[np.float64]
    wall: NDArray[np.float64]


def main() -> None:
    options = _options()
    torch.set_num_threads(options.threads)
    peers = _peers(options.peers) if options.peers else None
    ratios: dict[str, list[float]] = {}
    print(f"{options.threads} threads, frames of {SIDE}x{SIDE}, batch 1, steps of {options.step or 'none'}")
    for name in options.networks.split(",") if options.networks else NETWORKS:
        theirs = _build(peers, name) if peers else None
        if peers and theirs is None:
            continue
        ours = NETWORKS[name]()
        counted = cost(NETWORKS[name])
        print(f"{name:12s} {counted.params / 1e6:7.3f} M {counted.flops / 1e9:6.2f} G", end="", flush=True)
        if options.repeats:
            card = {"network": {"name": name, "options": {}}}
            _report(*_frame(ours, theirs, card, options), ratios)
        if options.step:
            _report(*_training(ours, theirs, options), ratios)
        print(flush=True)
    for what, values in ratios.items():
        print(f"{what}_ratio_least={min(values):.2f} median={statistics.median(values):.2f} of {len(values)}")


def _frame(
    ours: SegmentationNetwork, theirs: nn.Module | None, card: dict[str, Any], options: argparse.Namespace
) -> tuple[str, dict[str, Times], int, int]:
    """Times of one frame for each contender, and the memory that it takes."""
    prepared = prepare_for_inference(ours)
    contenders = {"ours": _forward(prepared), "plain": _forward(ours)}
    with tempfile.TemporaryDirectory() as folder:
        try:
            export_onnx(ours, card, Path(folder) / "network.onnx")
            contenders["onnx"] = _onnx(Path(folder) / "network.onnx", options.threads)
        except InfraspotError as error:
            print(f"  ({error})", end="")
        memory = measure(prepared, repeats=1).peak_bytes
        their_memory = 0
        if theirs is not None:
            contenders["authors"] = _forward(theirs)
            their_memory = peak_bytes(contenders["authors"], CPU)
        return "frame", _times(contenders, options.repeats), memory, their_memory


def _training(
    ours: SegmentationNetwork, theirs: nn.Module | None, options: argparse.Namespace
) -> tuple[str, dict[str, Times], int, int]:
    """Times of one training step for each contender, and the memory that it takes."""
    ours = ours.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    contenders = {"ours": _step(ours, options.step)}
    if theirs is not None:
        contenders["authors"] = _step(theirs, options.step)
    memory = {name: peak_bytes(run, CPU) for name, run in contenders.items()}
    times = _times(contenders, options.step_repeats)
    return "step", times, memory["ours"], memory.get("authors", 0)


def _report(
    what: str, times: dict[str, Times], memory: int, their_memory: int, ratios: dict[str, list[float]]
) -> None:
    print(f"\n  {what}: MB {memory / 1e6:.0f}", end="")
    print(f", authors {their_memory / 1e6:.0f}" if "authors" in times else "", end="")
    for name, (cpu, wall) in times.items():
        print(f"\n    {name:8s} {_spread(1e3 * cpu, '.1f')} ms ({_spread(1e3 * wall, '.1f')})", end="")
        if "authors" in times and name != "authors":
            by_turn = times["authors"].cpu / cpu
            print(f"   authors' over this: {_spread(by_turn, '.2f')}", end="")
            key = what if name == "ours" else f"{what}_{name}"
            ratios.setdefault(key, []).append(float(np.median(by_turn)))
    if "authors" in times:
        ratios.setdefault(f"{what}_memory", []).append(their_memory / memory)


def _spread(values: NDArray[np.float64], form: str) -> str:
    low, middle, high = (format(value, form) for value in np.percentile(values, (0, 50, 100)))
    return f"{middle} [{low}, {high}]"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--networks", default="", help="names with commas between; all if left out")
    parser.add_argument("--repeats", type=int, default=5, help="of a frame; 0: none")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--step", type=int, default=0, help="batch of a training step to time; 0: none")
    parser.add_argument("--step-repeats", type=int, default=3)
    parser.add_argument("--peers", type=Path)
    return parser.parse_args()


def _peers(path: Path) -> Callable[[str], nn.Module]:
    spec = importlib.util.spec_from_file_location("peers", path)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{path}: expected a Python file")
    module = importlib.util.module_from_spec(spec)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spec.loader.exec_module(module)
    build: Callable[[str], nn.Module] = module.build
    return build


def _build(peers: Callable[[str], nn.Module], name: str) -> nn.Module | None:
    try:
        return peers(name)
    except KeyError:
        return None


def _onnx(path: Path, threads: int) -> Run:
    engine = OnnxEngine(path, threads=threads)
    frame = np.random.default_rng(0).random((SIDE, SIDE), np.float32)
    return lambda: engine.score(frame)


def _forward(network: nn.Module) -> Run:
    frame = torch.rand(1, 1, SIDE, SIDE)

    def run() -> None:
        network.eval()
        with torch.inference_mode():
            network(frame)

    return run


def _step(network: nn.Module, batch: int) -> Run:
    frames = torch.rand(batch, 1, SIDE, SIDE)

    def run() -> None:
        network.train()
        network.zero_grad(set_to_none=True)
        output = network(frames)
        maps = (output.logits, *output.aux) if isinstance(output, SegOutput) else list(_tensors(output))
        torch.stack([map_.square().mean() for map_ in maps]).sum().backward()

    return run


def _tensors(output: object) -> list[torch.Tensor]:
    if isinstance(output, torch.Tensor):
        return [output]
    return [tensor for part in output for tensor in _tensors(part)]  # type: ignore[attr-defined]


def _times(contenders: dict[str, Run], repeats: int) -> dict[str, Times]:
    """Seconds of each, run in turn, so that other load on the machine meets all alike."""
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for run in contenders.values():
        run()
    for _ in range(repeats):
        for name, run in contenders.items():
            cpu, wall = time.process_time(), time.perf_counter()
            run()
            seconds[name].append((time.process_time() - cpu, time.perf_counter() - wall))
    return {name: Times(*np.array(values).T) for name, values in seconds.items()}


if __name__ == "__main__":
    main()
