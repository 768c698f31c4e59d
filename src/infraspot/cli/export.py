"""``infraspot export``: a trained network as ONNX and safetensors, checked and calibrated."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from infraspot.cli.console import progress, say
from infraspot.cli.trust import trust_option
from infraspot.core.errors import UsageError
from infraspot.core.extras import require

if TYPE_CHECKING:
    from infraspot.data import Reader
    from infraspot.networks import SegmentationNetwork
    from infraspot.weights.second_look import SecondLookNetwork


@click.command()
@click.argument("model")
@click.option("--out", required=True, help="The .onnx file; the .safetensors file is written beside it.")
@click.option("--data", help="Data set to check the scores and to measure the false alarms on.")
@click.option("--split", default="val", show_default=True, help="Split of --data that was not trained on.")
@click.option("--int8", is_flag=True, help="Convolutions in 8-bit integers; only the .onnx file is written.")
@trust_option
def command(model: str, out: str, data: str | None, split: str, int8: bool, trust: tuple[str, ...]) -> int:
    """Write MODEL (a run folder or weight file) as ONNX, with its card inside.

    The graph holds the network and its sigmoid. The stretch of frames deeper than 8 bits, the padding to the
    stride and the threshold are outside; the card says what they are.

    The file is kept only if its scores agree with torch to 1e-4. With --data, the false alarms at every
    threshold are written into the card; `infraspot detect --fa-per-mpx` reads them.

    --int8 needs --data. 64 of its frames set the ranges of the integers. The file is kept only if, on all of
    them, the IoU falls by at most .005 and false targets rise by at most a tenth (one more is always borne).
    The second look stays in float; named operating points are left out, as their thresholds were float's.
    """
    require("export", "`infraspot export`")
    if int8 and data is None:
        raise UsageError(
            "--int8 needs --data: frames with masks, to set its ranges and to compare what it finds"
        )
    from infraspot.data import open_dataset
    from infraspot.inference.engines import TorchEngine, locate
    from infraspot.inference.export import export_onnx
    from infraspot.inference.false_alarms import measure_false_alarms
    from infraspot.weights.files import load_network, load_second_look, save_weights
    from infraspot.weights.second_look import with_second_look

    source = locate(model, "torch")
    network, card = load_network(source, trust=trust)
    second_look = load_second_look(source, card)
    frames = []
    if data is not None:
        samples = open_dataset(data, split=split)
        frames = [samples[index] for index in range(min(4, len(samples)))]
        if int8:
            return _int8(network, card, second_look, samples, Path(out), trust)
        engine = TorchEngine(network, card, model, second_look)
        stream = progress(iter(samples), len(samples), "calibrating")
        card = {**card, "false_alarms": measure_false_alarms(engine, stream, f"{samples.name} {split}")}
    target, weights = Path(out), Path(out).with_suffix(".safetensors")
    difference = export_onnx(network, card, target, frames=frames, second_look=second_look)
    save_weights(weights, with_second_look(network.state_dict(), second_look), card)
    say(f"{target} agrees with torch to {difference:.1e}; weights in {weights}")
    return 0


def _int8(
    network: "SegmentationNetwork",
    card: dict[str, Any],
    second_look: "SecondLookNetwork | None",
    samples: "Reader",
    target: Path,
    trust: tuple[str, ...],
) -> int:
    from infraspot.inference.export import export_onnx
    from infraspot.inference.int8 import export_int8

    with TemporaryDirectory() as folder:
        source = Path(folder) / f"{target.stem}.onnx"
        export_onnx(network, card, source, second_look=second_look)
        told = export_int8(source, target, list(samples), samples.name, trust)
    (iou, new_iou), (false, new_false) = told["iou"], told["false"]
    say(f"{target}: on {told['frames']} frames IoU {iou:.4f} -> {new_iou:.4f}, false {false} -> {new_false}")
    return 0
