"""What runs a graph, and on which device: ONNX Runtime with its providers, or OpenVINO.

Nothing falls back in silence: a device that cannot be had is refused, and every engine says what runs it.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from infraspot.core.cores import available_cores
from infraspot.core.errors import InputError, UsageError, unknown_name
from infraspot.core.extras import require
from infraspot.inference.scores import first_line

DEVICES = ("cpu", "cuda", "tensorrt", "openvino")
PRECISIONS = ("float32", "bfloat16")
# Of ONNX Runtime; what the first provider cannot run goes to the next.
_PROVIDERS = {
    "cpu": ("CPUExecutionProvider",),
    "cuda": ("CUDAExecutionProvider", "CPUExecutionProvider"),
    "tensorrt": ("TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"),
}


class Graph(Protocol):
    """A graph that is ready to run; ``runs_on`` names the device and the software."""

    runs_on: str

    def __call__(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """Its only output."""
        ...


def check_device(device: str, precision: str = "float32") -> None:
    """Refuse a device that is unknown or not to be had here, and a precision that it does not offer.

    Raises
    ------
    UsageError
        With what this installation has.
    """
    if device not in DEVICES:
        raise unknown_name("device", str(device), DEVICES)
    if precision not in PRECISIONS:
        raise unknown_name("precision", str(precision), PRECISIONS)
    if precision != "float32" and device != "openvino":
        raise UsageError(f"the device {device} computes in the precision of the file; leave out precision")
    if device == "openvino":
        return require("openvino", "the device openvino")
    if device != "cpu":
        import onnxruntime

        _require_provider(device, onnxruntime.get_available_providers())
    return None


def _require_provider(device: str, present: list[str]) -> None:
    wanted = _PROVIDERS[device][0]
    if wanted not in present:
        raise UsageError(
            f"the device {device} needs {wanted}, and this ONNX Runtime has {', '.join(present)}; install"
            " onnxruntime-gpu in place of onnxruntime, with the driver and libraries that it asks for"
        )


def open_graph(
    path: Path,
    *,
    graph: bytes | None = None,
    device: str = "cpu",
    threads: int = 0,
    precision: str = "float32",
) -> Graph:
    """Make a graph ready to run.

    Parameters
    ----------
    path
        An ONNX file that was checked (:mod:`infraspot.inference.onnx_file`).
    graph
        Another graph, which came inside that file.
    device, precision
        One of :data:`DEVICES`, and of :data:`PRECISIONS`; the latter is OpenVINO's.
    threads
        CPU threads of one frame; 0 takes every core.

    Raises
    ------
    UsageError
        If the device cannot be had.
    InputError
        If the graph does not load.
    """
    check_device(device, precision)
    make = _OpenVino if device == "openvino" else _OnnxRuntime
    try:
        return make(graph or str(path), device, threads or available_cores(), precision)
    except UsageError:
        raise
    except Exception as error:  # the exceptions of the two share no public base class
        raise InputError(
            f"{path}: expected an ONNX model, and loading it failed: {first_line(error)}"
        ) from error


class _OnnxRuntime:
    def __init__(self, graph: bytes | str, device: str, threads: int, precision: str) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        # Frames of one run often differ in size, and a memory pattern serves one size only.
        options.enable_mem_pattern = False
        # Waiting threads that spin stall each other where cores are shared.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(graph, options, list(_PROVIDERS[device]))
        used = self._session.get_providers()
        _require_provider(device, used)  # a library that is missing shows only now
        self.runs_on = f"ONNX Runtime {onnxruntime.__version__}, {' then '.join(used)}"

    def __call__(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        (answer,) = self._session.run(None, dict(inputs))
        result: NDArray[Any] = answer
        return result


class _OpenVino:
    def __init__(self, graph: bytes | str, device: str, threads: int, precision: str) -> None:
        openvino = _quiet_openvino()
        core = openvino.Core()
        hint = {"float32": "f32", "bfloat16": "bf16"}[precision]
        # On CPUs with bf16 instructions OpenVINO would take those for a model in float32.
        settings = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": threads}
        self._model = core.compile_model(core.read_model(graph), "CPU", settings)
        used = self._model.get_property("INFERENCE_PRECISION_HINT").to_string()
        version = openvino.__version__.partition("-")[0]
        self.runs_on = f"OpenVINO {version}, CPU, {used}"

    def __call__(self, inputs: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        result: NDArray[Any] = np.array(self._model(dict(inputs))[0])
        return result


def _quiet_openvino() -> Any:
    """OpenVINO without its telemetry, which would report every import; it works where that is absent."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino
