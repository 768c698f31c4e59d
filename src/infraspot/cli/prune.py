"""``infraspot prune``: a trained network without its least important channels."""

from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import click

from infraspot.cli.console import progress, say, table
from infraspot.cli.trust import trust_option
from infraspot.core.errors import UsageError
from infraspot.core.extras import require

if TYPE_CHECKING:
    from infraspot.networks import SegmentationNetwork
    from infraspot.report.pairs import PairList
    from infraspot.weights.pruning import Group

# What was measured with all channels does not hold for fewer.
OUTDATED = ("false_alarms", "validation", "second_look", "peaks", "operating_points")
SHOWN_SCORES = ("iou", "niou", "pd", "fa_area")
ROUNDS = 5


@click.command()
@click.argument("weights")
@click.option(
    "--keep",
    type=click.FloatRange(0, 1, min_open=True),
    required=True,
    help="Share of prunable channels to keep.",
)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A .safetensors file to write.")
@click.option("--data", help="Data set to score both networks on.")
@click.option("--split", help="Split of --data: train, val, test or a list file.")
@click.option(
    "--threads",
    type=click.IntRange(0),
    default=1,
    show_default=True,
    help="Threads for time and scores; 0 takes every core.",
)
@trust_option
def command(
    weights: str,
    keep: float,
    out: Path,
    data: str | None,
    split: str | None,
    threads: int,
    trust: tuple[str, ...],
) -> int:
    """Write WEIGHTS (a weight file, run folder or packaged model) with fewer channels, as IRPruneDet does.

    The channels whose filters have the least energy in the low band of a wavelet are removed. A channel is
    prunable if only convolutions, batch norms and channelwise operations read it; how many channels are
    prunable differs between networks. The scores fall at first: `infraspot train RECIPE --start OUT` trains
    the pruned network further.
    """
    require("train", "`infraspot prune`")
    import torch

    from infraspot.inference.engines import locate
    from infraspot.report.pairs import pair_engine
    from infraspot.weights.files import load_network, save_weights
    from infraspot.weights.pruning import choose, find_groups, shrink

    source = locate(weights, "torch")
    _check_files(source, out)
    if threads:
        torch.set_num_threads(threads)
    network, card = load_network(source, trust=trust)
    frames = None if data is None else pair_engine(str(source), Path(data), split=split, trust=trust)
    side = max(64, 2 * network.stride)
    plan = choose(network, find_groups(network, torch.zeros(1, 1, side, side)), keep=keep)
    small = shrink(network, plan)
    small_card = _pruned_card(card, network, plan, keep, source)
    save_weights(out, small.state_dict(), small_card)
    rows = _costs((network, small), (card, small_card))
    if frames is not None:
        rows += _scores(frames, pair_engine(str(out), Path(str(data)), split=split, trust=trust))
    table(["", "before", "after"], rows)
    kept, whole = small_card["pruned"]["channels"]
    say(f"{out}: {kept} of {whole} prunable channels were kept; train it further with --start")
    return 0


def _check_files(source: Path, out: Path) -> None:
    if source.suffix == ".onnx":
        raise UsageError(
            f"{source}: an ONNX file cannot be pruned; give the .safetensors file it was made of"
        )
    if out.suffix != ".safetensors":
        raise UsageError(f"--out {out}: expected a name that ends in .safetensors")
    if out.resolve() == source.resolve():
        raise UsageError(f"--out {out} would replace the weights that are pruned; choose another name")


def _pruned_card(
    card: dict[str, Any], network: "SegmentationNetwork", plan: "list[Group]", keep: float, source: Path
) -> dict[str, Any]:
    """The card of the small network: how to build it, and what was done."""
    from infraspot.weights.pruning import widths

    spec = card["network"]
    narrowed = {**spec.get("widths", {}), **widths(network, plan)}
    kept = sum(len(group.kept or ()) for group in plan)
    whole = sum(len(network.get_parameter(f"{group.writer}.weight")) for group in plan)
    return {
        **{name: value for name, value in card.items() if name not in OUTDATED},
        "network": {**spec, "widths": narrowed},
        "pruned": {"from": source.name, "keep": keep, "channels": [kept, whole]},
    }


def _costs(
    networks: "tuple[SegmentationNetwork, ...]", cards: tuple[dict[str, Any], ...]
) -> list[tuple[str, ...]]:
    """Rows of parameters, FLOPs and milliseconds."""
    from infraspot.inference.prepared import prepare_for_inference
    from infraspot.weights.cost import cost, measure
    from infraspot.weights.files import build_network

    counted = [cost(partial(build_network, card["network"])) for card in cards]
    prepared = [prepare_for_inference(network) for network in networks]
    # By turns, so that whatever else the machine does slows both.
    rounds = [[measure(network).milliseconds for network in prepared] for _ in range(ROUNDS)]
    return [
        ("parameters, 1e6", *(f"{one.params / 1e6:.3f}" for one in counted)),
        ("FLOPs at 256x256, 1e9", *(f"{one.flops / 1e9:.3f}" for one in counted)),
        ("ms at 256x256", *(f"{median(times):.1f}" for times in zip(*rounds, strict=True))),
    ]


def _scores(*found: "PairList") -> list[tuple[str, ...]]:
    """Rows of the scores that matter most, as `infraspot evaluate` gives them."""
    from infraspot.metrics import Evaluation
    from infraspot.report.scores import ROWS

    results = []
    for one in found:
        evaluation = Evaluation(thresholds=None)
        for pair in progress(one.pairs, len(one.pairs), "scoring"):
            frame = pair.load()
            evaluation.update(frame.prediction, frame.truth, id=frame.id)
        results.append(evaluation.compute())
    return [
        (label, *(f"{result[name] * factor:{style}}" for result in results))
        for label, name, factor, style in ROWS
        if name in SHOWN_SCORES
    ]
