"""Cost of every network on this CPU: parameters, FLOPs, milliseconds and memory of a frame, a training step.

``python benchmarks/networks.py [--networks dnanet,acm] [--repeats 5] [--step 4]``; with ``--peers FILE`` (a
module with ``build(name) -> nn.Module`` for the authors' programs, which are not part of this package) both
sides run in turn in one process, and the ratios of the medians are printed.
"""

import argparse
import importlib.util
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from infraspot.networks import NETWORKS, SegOutput
from infraspot.networks.profile import SIDE, cost, measure, prepare_for_inference


def main() -> None:
    options = _options()
    torch.set_num_threads(options.threads)
    peers = _peers(options.peers) if options.peers else None
    ratios = []
    for name in options.networks.split(",") if options.networks else NETWORKS:
        counted = cost(NETWORKS[name])
        ours = NETWORKS[name]()
        prepared = prepare_for_inference(ours)
        peak = measure(prepared, repeats=1).peak_bytes
        contenders = {"ours": _forward(prepared), "plain": _forward(ours)}
        steps = {"ours": _step(ours, options.step)} if options.step else {}
        if peers is not None:
            try:
                theirs = peers(name)
            except KeyError:
                continue
            contenders["authors"] = _forward(theirs)
            if options.step:
                steps["authors"] = _step(theirs, options.step)
        times = _medians(contenders, options.repeats)
        line = (
            f"{name:12s} {counted.params / 1e6:7.3f} M {counted.flops / 1e9:6.2f} G {peak / 1e6:5.0f} MB  "
            + _told(times)
        )
        if steps:
            line += "  step " + _told(_medians(steps, max(2, options.repeats // 2)))
        print(line, flush=True)
        if "authors" in times:
            ratios.append(times["authors"] / times["ours"])
    if ratios:
        print(f"networks={len(ratios)}")
        print(f"latency_ratio_least={min(ratios):.2f}")
        print(f"latency_ratio_median={statistics.median(ratios):.2f}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--networks", default="", help="names with commas between; all if left out")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--step", type=int, default=0, help="batch of a training step to time; 0: none")
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


def _forward(network: nn.Module) -> Callable[[], None]:
    frame = torch.rand(1, 1, SIDE, SIDE)

    def run() -> None:
        network.eval()
        with torch.inference_mode():
            network(frame)

    return run


def _step(network: nn.Module, batch: int) -> Callable[[], None]:
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


def _medians(contenders: dict[str, Callable[[], None]], repeats: int) -> dict[str, float]:
    """Median seconds of each, run in turn, so that other load on the machine meets all alike."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for run in contenders.values():
        run()
    for _ in range(repeats):
        for name, run in contenders.items():
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def _told(times: dict[str, float]) -> str:
    return "  ".join(f"{name} {1e3 * seconds:7.1f} ms" for name, seconds in times.items())


if __name__ == "__main__":
    main()
