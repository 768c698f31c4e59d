"""Engines: whatever turns one frame into a score map, behind one small interface."""

from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from infraspot.core.catalog import find
from infraspot.core.errors import UsageError, unknown_name
from infraspot.inference.onnx_engines import WEIGHTS, open_onnx
from infraspot.inference.predictor import TargetEngine
from infraspot.inference.run_times import check_device
from infraspot.inference.scores import Engine
from infraspot.inference.second_look import SecondLook

if TYPE_CHECKING:
    from infraspot.networks import SegmentationNetwork
    from infraspot.weights.second_look import SecondLookNetwork

DEFAULT_MODEL = "compact-sirst1"
USUAL_SIGMAS = 5.0
ENGINES = ("auto", "onnx", "torch")


class TorchEngine:
    """A network in PyTorch, with its norms folded into its convolutions."""

    def __init__(
        self,
        network: "SegmentationNetwork",
        card: dict[str, Any],
        name: str,
        second_look: "SecondLookNetwork | None" = None,
        device: str = "cpu",
    ) -> None:
        import torch

        from infraspot.inference.prepared import prepare_for_inference

        self.name, self.card, self.frames = name, card, network.frames
        self._network = prepare_for_inference(network).to(device)
        self.runs_on = f"torch {torch.__version__}, {device}"
        self.second_look = None if second_look is None else torch_look(card["second_look"], second_look, name)

    def score(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        import torch

        device = next(self._network.parameters()).device
        with torch.inference_mode():
            frames = np.ascontiguousarray(image, np.float32).reshape(1, -1, *image.shape[-2:])
            batch = torch.from_numpy(frames).to(device)
            scores: NDArray[np.float32] = self._network(batch).logits[0, 0].float().sigmoid().cpu().numpy()
        return scores


def torch_look(card: dict[str, Any], network: "SecondLookNetwork", name: str) -> SecondLook:
    """A second look in PyTorch; ``card`` is the ``second_look`` of a weight file's card."""
    import torch

    def classify(near: NDArray[np.float32], wide: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            logits: NDArray[np.float32] = network(torch.from_numpy(near), torch.from_numpy(wide)).numpy()
        return logits

    return SecondLook(card, classify, name)


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
        # Here, so that a model starts without them.
        from infraspot.classical import CLASSICAL, SIGMAS
        from infraspot.classical.threshold import cfar, k_sigma, score_map

        self.name = method
        self._detector = find("classical method", method, CLASSICAL)
        if fa_per_mpx is None:
            self._rule = partial(k_sigma, k=sigmas or SIGMAS.get(method, USUAL_SIGMAS))
        else:
            self._rule = partial(cfar, fa_per_mpx=fa_per_mpx)
        self._score_map = score_map
        self.card: dict[str, Any] = {"method": method, "threshold": 0.5, **self._rule.keywords}

    def score(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        response = self._detector(image)
        return self._score_map(response, self._rule(response))


def open_engine(
    spec: str = DEFAULT_MODEL,
    *,
    engine: str = "auto",
    threads: int = 0,
    trust: Collection[str] | str = (),
    device: str = "cpu",
    precision: str = "float32",
) -> Engine | TargetEngine:
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
    trust
        Names ``"module:attribute"`` of code outside infraspot that the file may import. Without them, a file
        never imports anything.
    device, precision
        See :func:`infraspot.inference.run_times.open_graph`; torch runs on ``cpu`` and ``cuda``. The engine's
        ``runs_on`` says what runs it.

    Raises
    ------
    UsageError
        If nothing has that name, or the device cannot be had.
    InputError
        If the file is damaged, was not written by infraspot, or names code that is not trusted.
    """
    if engine not in ENGINES:
        raise unknown_name("engine", str(engine), ENGINES)
    path = locate(spec, engine)
    if path.suffix == ".onnx":
        if engine == "torch":
            raise UsageError(f"{path}: an ONNX file cannot run in torch; give the .safetensors file")
        return open_onnx(path, threads=threads, trust=trust, device=device, precision=precision)
    _check_torch_device(path, device, precision)
    import torch

    from infraspot.weights.card import refuse_start_only
    from infraspot.weights.files import load_detector, load_network, load_second_look, read_card

    if threads:
        torch.set_num_threads(threads)
    name = path.parent.name if path.stem in ("best", "last") else path.stem
    if read_card(path, trust=trust).get("kind") == "detector":
        from infraspot.inference.box_engines import TorchBoxEngine

        return TorchBoxEngine(*load_detector(path, trust=trust), name, device)
    network, card = load_network(path, trust=trust)
    refuse_start_only(card, path)
    return TorchEngine(network, card, name, load_second_look(path, card), device)


def _check_torch_device(path: Path, device: str, precision: str) -> None:
    check_device(device if device not in ("cuda", "tensorrt", "openvino") else "cpu", precision)
    if device in ("tensorrt", "openvino"):
        raise UsageError(
            f"{path} runs in torch, on cpu or cuda; the device {device} takes an exported .onnx file"
        )
    if device == "cuda":
        import torch

        if not torch.cuda.is_available():
            raise UsageError("the device cuda was asked for, and this torch finds none; leave it out")


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
