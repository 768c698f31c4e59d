"""``infraspot export``: a trained network as ONNX and safetensors, checked and calibrated."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from infraspot.cli.console import progress, say
from infraspot.cli.trust import trust_option
from infraspot.core.errors import InfraspotError, UsageError
from infraspot.core.extras import require

if TYPE_CHECKING:
    from infraspot.core.sample import Sample
    from infraspot.data import Reader
    from infraspot.networks import SegmentationNetwork
    from infraspot.weights.second_look import SecondLookNetwork

CHECKED_FRAMES = 4


@dataclass(frozen=True)
class _Model:
    """What is exported: weights and card, and the frames that it is checked on."""

    network: "SegmentationNetwork"
    card: dict[str, Any]
    second_look: "SecondLookNetwork | None"
    samples: "Reader | None"
    pixels: str | None
    trust: tuple[str, ...]

    def write(self, path: Path) -> float:
        """Write it in float; the largest difference from torch."""
        from infraspot.inference.export import export_onnx, export_self_contained

        samples = self.samples if self.samples is not None else ()
        frames = [samples[index] for index in range(min(CHECKED_FRAMES, len(samples)))]
        if self.pixels is not None:
            return export_self_contained(self.network, self.card, path, self.pixels, frames=frames)
        return export_onnx(self.network, self.card, path, frames=frames, second_look=self.second_look)


@click.command()
@click.argument("model")
@click.option("--out", required=True, help="The .onnx file; the .safetensors file is written beside it.")
@click.option("--data", help="Data set to check the scores and to measure the false alarms on.")
@click.option("--split", default="val", show_default=True, help="Split of --data that was not trained on.")
@click.option(
    "--self-contained",
    "pixels",
    type=click.Choice(["uint8", "uint16"]),
    help="Take a camera's pixels of this type, with all that comes before the network in the graph.",
)
@click.option("--threshold", type=click.FloatRange(0, 1), help="Threshold for the card, in place of its own.")
@click.option("--triton", metavar="DIR", help="With --self-contained: a model repository for Triton as well.")
@click.option(
    "--suppress", is_flag=True, help="Of a detector of boxes: put suppression of double boxes into the graph."
)
@click.option(
    "--stateful", is_flag=True, help="Of rfr: a graph from a frame and a state to scores and the next state."
)
@click.option("--int8", is_flag=True, help="Convolutions in 8-bit integers; only the .onnx file is written.")
@trust_option
def command(
    model: str,
    out: str,
    data: str | None,
    split: str,
    pixels: str | None,
    threshold: float | None,
    triton: str | None,
    suppress: bool,
    stateful: bool,
    int8: bool,
    trust: tuple[str, ...],
) -> int:
    """Write MODEL (a run folder or weight file) as ONNX, with its card and a self-test inside.

    The graph holds the network and its sigmoid. The stretch of frames deeper than 8 bits, the padding to the
    stride and the threshold are outside; the card says what they are.

    Of a detector of boxes, the graph gives all boxes with scores; with --suppress, only those that stay.

    With --self-contained, the graph takes one or more frames of any height and width as a camera gives them:
    uint8 is divided by 255, uint16 stretched by each frame's percentiles. Padding and cropping are inside.
    The threshold, tiles for large frames and the second look are not: a model with a second look needs
    --threshold, one for the scores of its segmentation. Only the .onnx file is written.

    The file is kept only if its scores agree with torch to 1e-4. With --data, the false alarms at every
    threshold are written into the card; `infraspot detect --fa-per-mpx` reads them.

    With --stateful, a network that carries a state (rfr) takes one frame at a time, for streams of any
    length. It is checked on made-up frames, so that --data is not taken. Only the .onnx file is written.

    --int8 needs --data. 64 frames, of its split train where it has one, set the ranges of the integers. The
    file is kept only if on the frames of the split the IoU falls by at most .005, and false targets rise by
    at most a tenth (one more is always borne). The second look stays in float; named operating points are
    left out, as their thresholds were float's.
    """
    require("export", "`infraspot export`")
    if int8 and data is None:
        raise UsageError(
            "--int8 needs --data: frames with masks, to set its ranges and to compare what it finds"
        )
    if triton is not None and pixels is None:
        raise UsageError("--triton needs --self-contained: Triton sends a camera's pixels")
    from infraspot.inference.triton import check_name, write_triton

    target = Path(out)
    if triton is not None:
        check_name(target.stem)
    if _is_detector(model, trust):
        for name, given in (
            ("--self-contained", pixels),
            ("--triton", triton),
            ("--int8", int8),
            ("--stateful", stateful),
        ):
            if given:
                raise UsageError(f"{model} is a detector of boxes, and {name} is for segmentation networks")
        return _write_detector(model, data, split, threshold, target, suppress, trust)
    if stateful:
        others = {"--data": data, "--self-contained": pixels, "--triton": triton, "--int8": int8}
        return _write_stateful(model, target, threshold, others, trust)
    if suppress:
        raise UsageError(f"{model} is a segmentation network, and --suppress is for detectors of boxes")
    chosen = _load(model, data, split, pixels, threshold, trust)
    if int8 and data is not None:
        _write_int8(chosen, target, data)
    else:
        _write_float(chosen, target, split, model)
    if triton is not None and pixels is not None:
        say(f"{write_triton(target, Path(triton), pixels, chosen.card.get('threshold', 0.5))} for Triton")
    return 0


def _is_detector(model: str, trust: tuple[str, ...]) -> bool:
    from infraspot.inference.engines import locate
    from infraspot.weights.files import read_card

    return read_card(locate(model, "torch"), trust=trust).get("kind") == "detector"


def _write_detector(
    model: str,
    data: str | None,
    split: str,
    threshold: float | None,
    target: Path,
    suppress: bool,
    trust: tuple[str, ...],
) -> int:
    """Write a detector of boxes; frames of ``data`` join the check."""
    from infraspot.data import open_dataset
    from infraspot.inference.box_engines import TorchBoxEngine
    from infraspot.inference.engines import locate
    from infraspot.inference.export_boxes import export_detector
    from infraspot.inference.false_alarms import measure_false_alarms
    from infraspot.weights.files import load_detector, save_weights

    detector, card = load_detector(locate(model, "torch"), trust=trust)
    if threshold is not None:
        card = {**card, "threshold": threshold}
    frames = []
    if data is not None:
        samples = open_dataset(data, split=split)
        frames = [samples[index] for index in range(min(CHECKED_FRAMES, len(samples)))]
        stream = progress(iter(samples), len(samples), "calibrating")
        engine = TorchBoxEngine(detector, card, model)
        card = {**card, "false_alarms": measure_false_alarms(engine, stream, f"{samples.name} {split}")}
    difference = export_detector(detector, card, target, frames=frames, suppress=suppress)
    weights = target.with_suffix(".safetensors")
    save_weights(weights, detector.state_dict(), card)
    say(f"{target} agrees with torch to {difference:.1e}; weights in {weights}")
    return 0


def _write_stateful(
    model: str, target: Path, threshold: float | None, others: dict[str, Any], trust: tuple[str, ...]
) -> int:
    """Write a network that carries a state along a sequence, frame by frame."""
    from infraspot.inference.engines import locate
    from infraspot.inference.stateful_export import export_stateful
    from infraspot.networks.sequences import RFR
    from infraspot.weights.card import refuse_start_only
    from infraspot.weights.files import load_network

    given = [name for name, value in others.items() if value]
    if given:
        raise UsageError(f"--stateful and {given[0]} do not go together; leave one of them out")
    source = locate(model, "torch")
    network, card = load_network(source, trust=trust)
    refuse_start_only(card, source)
    if not isinstance(network, RFR):
        raise UsageError(f"{model} carries no state from frame to frame, as rfr does; leave out --stateful")
    if threshold is not None:
        card = {**card, "threshold": threshold}
    difference = export_stateful(network, card, target)
    say(f"{target} takes a frame and a state, and agrees with torch to {difference:.1e}")
    return 0


def _load(
    model: str,
    data: str | None,
    split: str,
    pixels: str | None,
    threshold: float | None,
    trust: tuple[str, ...],
) -> _Model:
    from infraspot.data import open_dataset
    from infraspot.inference.engines import locate
    from infraspot.weights.card import refuse_start_only
    from infraspot.weights.files import load_network, load_second_look

    source = locate(model, "torch")
    network, card = load_network(source, trust=trust)
    refuse_start_only(card, source)
    second_look = load_second_look(source, card)
    if pixels is not None and second_look is not None and threshold is None:
        raise UsageError(
            f"{model} looks twice, and a self-contained file holds the first look alone, whose scores differ;"
            " give it a --threshold"
        )
    if threshold is not None:
        card = {**card, "threshold": threshold}
    samples = None if data is None else open_dataset(data, split=split)
    return _Model(network, card, None if pixels else second_look, samples, pixels, trust)


def _write_float(chosen: _Model, target: Path, split: str, model: str) -> None:
    from infraspot.inference.engines import TorchEngine
    from infraspot.inference.false_alarms import measure_false_alarms
    from infraspot.weights.files import save_weights
    from infraspot.weights.second_look import with_second_look

    samples, card = chosen.samples, chosen.card
    if samples is not None:
        engine = TorchEngine(chosen.network, card, model, chosen.second_look)
        stream = progress(iter(samples), len(samples), "calibrating")
        card = {**card, "false_alarms": measure_false_alarms(engine, stream, f"{samples.name} {split}")}
    elif chosen.pixels is not None:
        card = {name: value for name, value in card.items() if name != "false_alarms"}
    difference = replace(chosen, card=card).write(target)
    if chosen.pixels is not None:
        say(f"{target} takes {chosen.pixels} and agrees with torch to {difference:.1e}")
        return
    weights = target.with_suffix(".safetensors")
    save_weights(weights, with_second_look(chosen.network.state_dict(), chosen.second_look), card)
    say(f"{target} agrees with torch to {difference:.1e}; weights in {weights}")


def _ranges(data: str) -> "Sequence[Sample]":
    """The frames that were trained on, so that the others say something; none where they are unknown."""
    from infraspot.data import open_dataset

    try:
        return open_dataset(data, split="train")
    except InfraspotError:
        return ()


def _write_int8(chosen: _Model, target: Path, data: str) -> None:
    from infraspot.inference.int8 import export_int8

    assert chosen.samples is not None
    with TemporaryDirectory() as folder:
        source = Path(folder) / f"{target.stem}.onnx"
        chosen.write(source)
        compared, name = list(chosen.samples), chosen.samples.name
        told = export_int8(source, target, compared, name, chosen.trust, ranges=_ranges(data))
    (iou, new_iou), (false, new_false) = told.iou, told.false
    say(f"{target}: on {told.frames} frames IoU {iou:.4f} -> {new_iou:.4f}, false {false} -> {new_false}")
