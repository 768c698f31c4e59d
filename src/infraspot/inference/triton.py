"""A model repository for NVIDIA's Triton server, from a self-contained file."""

import re
from pathlib import Path
from shutil import copyfile

from infraspot.core.errors import UsageError
from infraspot.core.files import check_writable, replacing

MOST_TOGETHER = 8
LONGEST_WAIT = 2000  # microseconds

_CONFIG = """\
# The frames of one request share their size; requests of one size are joined up to {together} frames.
name: "{name}"
backend: "onnxruntime"
max_batch_size: {together}
input [ {{ name: "frame" data_type: TYPE_{kind} dims: [ 1, -1, -1 ] }} ]
output [ {{ name: "scores" data_type: TYPE_FP32 dims: [ 1, -1, -1 ] }} ]
dynamic_batching {{ max_queue_delay_microseconds: {wait} }}
parameters {{ key: "infraspot.threshold" value: {{ string_value: "{threshold:g}" }} }}
"""


def write_triton(source: Path, folder: Path, pixels: str, threshold: float) -> Path:
    """Write ``folder/NAME/1/model.onnx`` and ``folder/NAME/config.pbtxt``; NAME is that of the file.

    Parameters
    ----------
    source
        A file of :func:`infraspot.inference.export.export_self_contained`.
    pixels, threshold
        What its card says.

    Returns
    -------
    The configuration.

    Raises
    ------
    UsageError
        If the name is none that Triton takes.
    DataError
        If the folder cannot be written to.
    """
    name = source.stem
    check_name(name)
    place = folder / name
    check_writable(place / "1")
    with replacing(place / "1" / "model.onnx") as temporary:
        copyfile(source, temporary)
    config = place / "config.pbtxt"
    with replacing(config) as temporary:
        temporary.write_text(
            _CONFIG.format(
                name=name,
                together=MOST_TOGETHER,
                kind=pixels.upper(),
                wait=LONGEST_WAIT,
                threshold=threshold,
            )
        )
    return config


def check_name(name: str) -> None:
    """Refuse names of models with characters that Triton's text format would have to escape.

    Raises
    ------
    UsageError
        If there is one.
    """
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,100}", name) or name.startswith("."):
        raise UsageError(
            f"Triton takes names of letters, digits, -, _ and dots, and {name!r} came; rename it"
        )
