"""``infraspot export``: a trained network as ONNX and safetensors, checked and calibrated."""

from pathlib import Path

import click

from infraspot.cli.console import progress, say


@click.command()
@click.argument("model")
@click.option("--out", required=True, help="The .onnx file; the weights go beside it as .safetensors.")
@click.option("--data", help="Data set for the check on real frames and the false-alarm calibration.")
@click.option(
    "--split", default="val", show_default=True, help="Split of --data; not one that was trained on."
)
def command(model: str, out: str, data: str | None, split: str) -> int:
    """Write MODEL (a run folder or weight file) as ONNX, with its card and preprocessing inside.

    The file is kept only if its scores agree with torch to 1e-4. With --data, the false alarms at every
    threshold go into the card, so that `infraspot detect --fa-per-mpx` works.
    """
    from infraspot.data import open_dataset
    from infraspot.inference.engines import TorchEngine, locate
    from infraspot.inference.export import export_onnx
    from infraspot.inference.false_alarms import measure_false_alarms
    from infraspot.weights.files import load_network, save_weights

    network, card = load_network(locate(model, "torch"))
    frames = []
    if data is not None:
        samples = open_dataset(data, split=split)
        frames = [samples[index].image for index in range(min(4, len(samples)))]
        engine = TorchEngine(network, card, model)
        stream = progress(iter(samples), len(samples), "calibrating")
        card = {**card, "false_alarms": measure_false_alarms(engine, stream, f"{samples.name} {split}")}
    target, weights = Path(out), Path(out).with_suffix(".safetensors")
    difference = export_onnx(network, card, target, frames=frames)
    save_weights(weights, network.state_dict(), card)
    say(f"{target} agrees with torch to {difference:.1e}; weights in {weights}")
    return 0
