"""Engines: whatever turns one frame into a score map, behind one small interface."""

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from infraspot.classical import CLASSICAL, SIGMAS
from infraspot.classical.threshold import cfar, k_sigma, score_map
from infraspot.core.catalog import find
from infraspot.core.cores import available_cores
from infraspot.core.errors import InputError, UsageError

if TYPE_CHECKING:
    from infraspot.networks import SegmentationNetwork

WEIGHTS = Path(__file__).parent.parent / "weights" / "packaged"
DEFAULT_MODEL = "compact-sirst1"
CARD = "infraspot"
USUAL_SIGMAS = 5.0


class Engine(Protocol):
    """Scores frames. ``card`` says what the engine is and how its threshold was chosen."""

    name: str
    card: dict[str, Any]

    def score(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """(H, W) float32 image in [0, 1] to (H, W) float32 scores in [0, 1]."""
        ...


class OnnxEngine:
    """ONNX Runtime on the CPU; the graph takes (1, 1, H, W) and holds the sigmoid.

    Parameters
    ----------
    path
        A file written by :func:`infraspot.inference.export.export_onnx`.
    threads
        Threads of one frame; 0 takes every core.
    """

    def __init__(self, path: Path | str, *, threads: int = 0) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or available_cores()
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Frames of one run often differ in size, and a memory pattern serves one size only.
        options.enable_mem_pattern = False
        # Waiting threads that spin stall each other where cores are shared.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
            self.card: dict[str, Any] = json.loads(
                self._session.get_modelmeta().custom_metadata_map.get(CARD, "null")
            )
        except Exception as error:  # onnxruntime's exceptions share no public base class
            raise InputError(f"{path}: expected an ONNX model, and loading it failed: {error}") from error
        if not self.card:
            raise InputError(f"{path}: this ONNX model has no infraspot card; export it with infraspot")
        self.name = Path(path).stem
        self._stride = int(self.card["stride"])

    def score(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        height, width = image.shape
        padded = np.pad(image, ((0, -height % self._stride), (0, -width % self._stride)), mode="edge")
        (scores,) = self._session.run(None, {"image": padded[None, None]})
        result: NDArray[np.float32] = scores[0, 0, :height, :width]
        return result


class TorchEngine:
    """A network in PyTorch, with its norms folded into its convolutions."""

    def __init__(self, network: "SegmentationNetwork", card: dict[str, Any], name: str) -> None:
        from infraspot.inference.prepared import prepare_for_inference

        self.name, self.card = name, card
        self._network = prepare_for_inference(network)

    def score(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        import torch

        device = next(self._network.parameters()).device
        with torch.inference_mode():
            batch = torch.from_numpy(np.ascontiguousarray(image, np.float32))[None, None].to(device)
            scores: NDArray[np.float32] = self._network(batch).logits[0, 0].float().sigmoid().cpu().numpy()
        return scores


class ClassicalEngine:
    """A detector without training; its threshold rule is part of the score map, so 0.5 is the threshold.

    Parameters
    ----------
    method
        A key of :data:`infraspot.classical.CLASSICAL` or ``"module:function"``.
    sigmas
        Threshold at the mean plus this many standard deviations of the response; by default what suits the
        method (``infraspot.classical.SIGMAS``).
    fa_per_mpx
        Or threshold at this many false alarms a megapixel, read off the response's own tail.
    """

    def __init__(self, method: str, *, sigmas: float | None = None, fa_per_mpx: float | None = None) -> None:
        self.name = method
        self._detector = find("classical method", method, CLASSICAL)
        if fa_per_mpx is None:
            self._rule = partial(k_sigma, k=sigmas or SIGMAS.get(method, USUAL_SIGMAS))
        else:
            self._rule = partial(cfar, fa_per_mpx=fa_per_mpx)
        self.card: dict[str, Any] = {"method": method, "threshold": 0.5, **self._rule.keywords}

    def score(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        response = self._detector(image)
        return score_map(response, self._rule(response))


def open_engine(spec: str = DEFAULT_MODEL, *, engine: str = "auto", threads: int = 0) -> Engine:
    """Open a packaged model by name, an ``.onnx`` or ``.safetensors`` file, or a run folder.

    Parameters
    ----------
    spec
        A name in the package (``"compact-sirst1"``), a weight file, or the folder of a training run (its
        best weights are taken).
    engine
        ``"onnx"``, ``"torch"``, or ``"auto"``: ONNX Runtime where an ONNX file is at hand.
    threads
        Threads of one frame; 0 takes every core.

    Raises
    ------
    UsageError
        If nothing has that name.
    InputError
        If the file is damaged or was not written by infraspot.
    """
    path = locate(spec, engine)
    if path.suffix == ".onnx":
        if engine == "torch":
            raise UsageError(f"{path}: an ONNX file cannot run in torch; give the .safetensors file")
        return OnnxEngine(path, threads=threads)
    import torch

    from infraspot.weights.files import load_network

    if threads:
        torch.set_num_threads(threads)
    network, card = load_network(path)
    return TorchEngine(network, card, path.parent.name if path.stem in ("best", "last") else path.stem)


def packaged_models() -> list[str]:
    """Names of the models that ship with infraspot."""
    return sorted(path.stem for path in WEIGHTS.glob("*.safetensors"))


def locate(spec: str, engine: str = "auto") -> Path:
    """The file that a packaged name, a path or a run folder stands for (see :func:`open_engine`)."""
    if spec in packaged_models():
        onnx = WEIGHTS / f"{spec}.onnx"
        return onnx if engine != "torch" and onnx.is_file() else WEIGHTS / f"{spec}.safetensors"
    path = Path(spec)
    if path.is_dir():
        candidates = [path / "best.safetensors", path / "last.safetensors"]
        found = next((candidate for candidate in candidates if candidate.is_file()), None)
        if found is None:
            raise UsageError(f"{path}: expected a run folder with best.safetensors, and there is none")
        return found
    if path.is_file():
        return path
    raise UsageError(
        f"no model {spec!r}: expected a packaged name ({', '.join(packaged_models()) or 'none here'}),"
        " a .safetensors or .onnx file, or a run folder"
    )
