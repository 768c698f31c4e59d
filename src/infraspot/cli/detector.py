"""The options of every command that detects: which model or method, its threshold, what runs it."""

from collections.abc import Callable
from functools import reduce
from typing import Any

import click

from infraspot.cli.trust import trust_option

MODEL_HELP = (
    "Packaged model, .onnx or .safetensors file, or run folder; default: compact-sirst1, unless --method is"
    " given."
)
POSITIVE = click.FloatRange(0, min_open=True)

_OPTIONS = (
    click.option("--model", help=MODEL_HELP),
    click.option("--method", help="A classical detector instead of a model; see `infraspot models`."),
    click.option(
        "--threshold",
        type=click.FloatRange(0, 1),
        help="Score above which a pixel belongs to a target; default: the model's own.",
    ),
    click.option(
        "--operating-point",
        help="Threshold by name: quiet, balanced, keen, or what else the card names. Default: the model's own"
        " threshold, which is that of balanced where there is one.",
    ),
    click.option("--fa-per-mpx", type=POSITIVE, help="Choose the threshold by false alarms per megapixel."),
    click.option(
        "--sigmas", type=POSITIVE, help="With --method: threshold in standard deviations above the mean."
    ),
    click.option(
        "--calibrate-on",
        metavar="FRAMES",
        help="Folder of this camera's frames without targets: choose the threshold by the false alarms in"
        " them.",
    ),
    click.option(
        "--polarity",
        type=click.Choice(["bright", "dark", "both"]),
        default="bright",
        show_default=True,
        help="Targets against their surroundings; both takes twice the time.",
    ),
    click.option(
        "--engine",
        type=click.Choice(["auto", "onnx", "torch"]),
        default="auto",
        show_default=True,
        help="What runs the model; auto takes ONNX Runtime where there is an ONNX file.",
    ),
    click.option(
        "--device",
        type=click.Choice(["cpu", "cuda", "tensorrt", "openvino"]),
        help="Where the model runs, the CPU by default; refused where it cannot be had.",
    ),
    click.option(
        "--precision",
        type=click.Choice(["float32", "bfloat16"]),
        help="Of --device openvino; float32 by default.",
    ),
    click.option(
        "--threads", type=click.IntRange(0), default=0, help="CPU threads for each frame; 0 takes every core."
    ),
    trust_option,
)


def detector_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options whose values :func:`infraspot.jobs.choosing.choose_engine` takes."""
    return reduce(lambda made, option: option(made), reversed(_OPTIONS), command)
