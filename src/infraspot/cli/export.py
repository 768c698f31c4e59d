"""``infraspot export``: a trained network as ONNX and safetensors, checked and calibrated."""

from pathlib import Path

import click

from infraspot.cli.console import progress, say
from infraspot.cli.trust import trust_option
from infraspot.core.extras import require


@click.command()
@click.argument("model")
@click.option("--out", required=True, help="The .onnx file; the .safetensors file is written beside it.")
@click.option("--data", help="Data set to check the scores and to measure the false alarms on.")
@click.option("--split", default="val", show_default=True, help="Split of --data that was not trained on.")
@trust_option
def command(model: str, out: str, data: str | None, split: str, trust: tuple[str, ...]) -> int:
    """Write MODEL (a run folder or weight file) as ONNX, with its card inside.

    The graph holds the network and its sigmoid. The stretch of frames deeper than 8 bits, the padding to the
    stride and the threshold are outside; the card says what they are.

    The file is kept only if its scores agree with torch to 1e-4. With --data, the false alarms at every
    threshold are written into the card; `infraspot detect --fa-per-mpx` reads them.
    """
    require("export", "`infraspot export`")
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
        engine = TorchEngine(network, card, model, second_look)
        stream = progress(iter(samples), len(samples), "calibrating")
        card = {**card, "false_alarms": measure_false_alarms(engine, stream, f"{samples.name} {split}")}
    target, weights = Path(out), Path(out).with_suffix(".safetensors")
    difference = export_onnx(network, card, target, frames=frames, second_look=second_look)
    save_weights(weights, with_second_look(network.state_dict(), second_look), card)
    say(f"{target} agrees with torch to {difference:.1e}; weights in {weights}")
    return 0
