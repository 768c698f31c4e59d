"""``infraspot convert-weights``: published weights into this package's files."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from infraspot.cli.console import say
from infraspot.core.errors import InputError, UsageError
from infraspot.core.extras import require
from infraspot.weights import PREPROCESSING

if TYPE_CHECKING:
    from infraspot.weights.convert import InputScaling

# Networks that are made from a folder of the library transformers.
FOLDERS = ("sam", "clip")


@click.command("convert-weights")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--network", "name", required=True, help="The network whose weights these are, such as dnanet.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A .safetensors file to write.")
@click.option(
    "--input-mean",
    type=click.FloatRange(-1, 1),
    help="Mean that the program subtracts from its image; divide by 255 where it is in grey values.",
)
@click.option(
    "--input-std",
    type=click.FloatRange(1e-3, 100),
    help="Standard deviation that the program divides by; divide by 255 where it is in grey values.",
)
@click.option(
    "--trained-on",
    default="",
    show_default="nothing",
    help="Data that the weights were trained on; a note in the card.",
)
@click.option(
    "--option",
    "options",
    multiple=True,
    metavar="NAME=VALUE",
    help="Of --network sam or clip: tune=adapter, prompter=true, tile=128 and so on.",
)
def command(
    file: Path,
    name: str,
    out: Path,
    options: tuple[str, ...],
    input_mean: float | None,
    input_std: float | None,
    trained_on: str,
) -> int:
    """Convert FILE, weights of the authors' program (PyTorch or MXNet), for `infraspot detect --model`.

    With --network sam or clip, FILE is a folder of such weights (config.json, model.safetensors), and the
    result is to be trained: `infraspot train RECIPE --start OUT`.

    With --network resnet18, resnet34, resnet50 or resnet101, FILE is the common file of ImageNet, and the
    result is what a detector of boxes may begin with: --set network.start=OUT.

    Programs that take three channels are assumed to scale them by ImageNet's means and deviations, and
    programs that take one channel are assumed not to scale it; --input-mean and --input-std replace that.
    """
    require("train", "`infraspot convert-weights`")
    import torch

    from infraspot.detection import BACKBONES
    from infraspot.weights.convert import IMAGENET, UNSCALED, InputScaling, convert_state
    from infraspot.weights.files import build_network, save_weights
    from infraspot.weights.key_maps import KEY_MAPS

    if out.suffix != ".safetensors":
        raise UsageError(f"--out {out}: expected a name that ends in .safetensors")
    if (input_mean is None) != (input_std is None):
        raise UsageError("--input-mean and --input-std belong together; give both or neither")
    if name in FOLDERS:
        if input_mean is not None:
            raise UsageError(
                f"--network {name} scales its input itself; leave --input-mean and --input-std out"
            )
        return _from_folder(file, name, out, options, trained_on)
    if options:
        raise UsageError(f"--option belongs to --network {' or '.join(FOLDERS)}")
    fixed = dict(KEY_MAPS[name].options) if name in KEY_MAPS else {}
    spec: dict[str, Any] = {"name": name, "options": fixed}
    if input_mean is not None:
        spec["input"] = {"mean": input_mean, "std": input_std}
    torch.manual_seed(0)  # parts that the file does not hold begin alike
    if name in BACKBONES:
        scaling = IMAGENET if input_mean is None else InputScaling((input_mean,) * 3, (input_std or 1.0,) * 3)
        return _backbone(file, name, out, scaling, trained_on)
    network = build_network(spec)
    state = convert_state(_read(file), name, network, IMAGENET if input_mean is None else UNSCALED)
    network.load_state_dict(state)
    card = {
        "network": spec,
        "threshold": 0.5,
        "preprocessing": PREPROCESSING,
        "trained_on": trained_on,
        "converted_from": file.name,
    }
    save_weights(out, state, card)
    say(f"{out}: {sum(value.numel() for value in state.values()):,} numbers for {name}")
    begun = [key for key in state if name in KEY_MAPS and re.search(KEY_MAPS[name].fresh, key)]
    if begun:
        parts = sorted({key.partition(".")[0] for key in begun})
        say(f"not in {file.name}, and at their start: {', '.join(parts)}; train before use")
    return 0


def _from_folder(folder: Path, name: str, out: Path, options: tuple[str, ...], trained_on: str) -> int:
    """A folder of weights as a network to tune."""
    from infraspot.training.recipe import changed_table
    from infraspot.weights.files import save_weights
    from infraspot.weights.foundation import tuned_from_folder

    table = changed_table({"network": {}}, [f"network.{option}" for option in options])
    network, spec = tuned_from_folder(folder, table["network"], name)
    card = {
        "network": spec,
        "threshold": 0.5,
        "preprocessing": PREPROCESSING,
        "trained_on": trained_on,
        "converted_from": folder.resolve().name,
    }
    save_weights(out, network.state_dict(), card)
    trained = sum(p.numel() for p in network.parameters() if p.requires_grad)
    every = sum(p.numel() for p in network.parameters())
    say(f"{out}: {every:,} parameters, of which {trained:,} are trained with `infraspot train --start`")
    return 0


def _backbone(file: Path, name: str, out: Path, scaling: "InputScaling", trained_on: str) -> int:
    """Weights of a backbone, in a file of its own kind."""
    from infraspot.weights.backbones import convert_backbone
    from infraspot.weights.building import build_backbone
    from infraspot.weights.files import save_weights

    spec = {"name": name}
    state = convert_backbone(_read(file), name, build_backbone(spec), scaling)
    card = {"kind": "backbone", "network": spec, "trained_on": trained_on, "converted_from": file.name}
    save_weights(out, state, card)
    say(f"{out}: {sum(value.numel() for value in state.values()):,} numbers for {name}")
    return 0


def _read(file: Path) -> dict[str, Any]:
    """The state dict of a file, out of the wrappers that programs put around it."""
    import pickle

    import torch

    from infraspot.weights.mxnet_params import is_mxnet_params, read_mxnet_params

    if not file.is_file():
        raise InputError(f"{file}: there is no such file")
    if is_mxnet_params(file):
        return read_mxnet_params(file)
    try:
        loaded = torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        lines = [line for line in str(error).splitlines() if "Unsupported" in line] or str(error).splitlines()
        reason = lines[0].strip() if lines else type(error).__name__
        raise InputError(
            f"{file}: expected weights saved by torch or MXNet, and reading them failed: {reason}; save the"
            " state_dict where the file holds a whole program, for such a file is never executed"
        ) from error
    for wrapper in ("state_dict", "model_state_dict", "model", "net", "params"):
        if isinstance(loaded, dict) and isinstance(loaded.get(wrapper), dict):
            loaded = loaded[wrapper]
    if not isinstance(loaded, dict) or not all(isinstance(value, torch.Tensor) for value in loaded.values()):
        raise InputError(
            f"{file}: expected a state dict (names and tensors), and the file holds something else"
        )
    return loaded
