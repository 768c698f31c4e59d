"""Engines: whatever turns one frame into a score map, behind one small interface."""

import json
from collections.abc import Collection
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from infraspot.core.catalog import find
from infraspot.core.cores import available_cores
from infraspot.core.errors import InputError, UsageError, unknown_name
from infraspot.inference.scores import Engine, first_line
from infraspot.inference.second_look import SecondLook

if TYPE_CHECKING:
    from infraspot.inference.onnx_file import OnnxTexts
    from infraspot.networks import SegmentationNetwork
    from infraspot.weights.second_look import SecondLookNetwork

WEIGHTS = Path(__file__).parent.parent / "weights" / "packaged"
DEFAULT_MODEL = "compact-sirst1"
USUAL_SIGMAS = 5.0
ENGINES = ("auto", "onnx", "torch")


class OnnxEngine:
    """ONNX Runtime on the CPU; the graph takes (1, 1, H, W) and holds the sigmoid.

    Parameters
    ----------
    path
        A file written by :func:`infraspot.inference.export.export_onnx`. Files from elsewhere are checked
        before they run (:mod:`infraspot.inference.onnx_file`).
    threads
        Threads of one frame; 0 takes every core.
    trust
        Names ``"module:attribute"`` of code outside infraspot that the card may name.

    Raises
    ------
    InputError
        If the file is damaged, was not written by infraspot, or answers with something else than scores.
    """

    def __init__(self, path: Path | str, *, threads: int = 0, trust: Collection[str] | str = ()) -> None:
        from infraspot.inference.onnx_file import read_onnx

        path = Path(path)
        self.name = path.stem
        texts = read_onnx(path)
        self.card = _onnx_card(path, texts, trust)
        self._stride = int(self.card["stride"])
        self._session = _onnx_session(path, threads)
        self.second_look = _onnx_second_look(path, texts, self.card, threads)

    def score(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        frames = image.reshape(-1, *image.shape[-2:])
        height, width = image.shape[-2:]
        down, right = -height % self._stride, -width % self._stride
        padded = np.pad(frames, ((0, 0), (0, down), (0, right)), mode="edge")
        (scores,) = self._session.run(None, {"image": padded[None]})
        result: NDArray[np.float32] = scores[0, 0, :height, :width]
        return result


def _onnx_card(path: Path, texts: "OnnxTexts", trust: Collection[str] | str) -> dict[str, Any]:
    """The card of an ONNX file; what did not come with the package is checked and tried out."""
    if path.parent == WEIGHTS:
        packaged: dict[str, Any] = json.loads(texts.card)
        return packaged
    from infraspot.inference.onnx_file import try_out
    from infraspot.weights.card import parse_card

    card = parse_card(texts.card, path, trust)
    if card.get("stride") is None:
        raise InputError(f"{path}: the card of this ONNX model lacks the stride; export it with infraspot")
    try_out(path, card["stride"])
    return card


def _onnx_second_look(
    path: Path, texts: "OnnxTexts", card: dict[str, Any], threads: int
) -> SecondLook | None:
    """The second look of an ONNX file whose card names one; its graph lies in the metadata."""
    if not card.get("second_look"):
        return None
    from infraspot.inference.onnx_file import second_look_graph, try_out_second_look

    graph = second_look_graph(path, texts)
    if path.parent != WEIGHTS:
        try_out_second_look(path, graph)
    session = _onnx_session(path, threads, graph)

    def classify(near: NDArray[np.float32], wide: NDArray[np.float32]) -> NDArray[np.float32]:
        (logits,) = session.run(None, {"near": near, "wide": wide})
        result: NDArray[np.float32] = logits
        return result

    return SecondLook(card["second_look"], classify, path.stem)


def _onnx_session(path: Path, threads: int, graph: bytes | None = None) -> Any:
    """A session for the graph of a file, or for another one that came inside it."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or available_cores()
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    # Frames of one run often differ in size, and a memory pattern serves one size only.
    options.enable_mem_pattern = False
    # Waiting threads that spin stall each other where cores are shared.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(graph or str(path), options, ["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions share no public base class
        reason = first_line(error)
        raise InputError(f"{path}: expected an ONNX model, and loading it failed: {reason}") from error


class TorchEngine:
    """A network in PyTorch, with its norms folded into its convolutions."""

    def __init__(
        self,
        network: "SegmentationNetwork",
        card: dict[str, Any],
        name: str,
        second_look: "SecondLookNetwork | None" = None,
    ) -> None:
        from infraspot.inference.prepared import prepare_for_inference

        self.name, self.card = name, card
        self._network = prepare_for_inference(network)
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
) -> Engine:
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

    Raises
    ------
    UsageError
        If nothing has that name.
    InputError
        If the file is damaged, was not written by infraspot, or names code that is not trusted.
    """
    if engine not in ENGINES:
        raise unknown_name("engine", str(engine), ENGINES)
    path = locate(spec, engine)
    if path.suffix == ".onnx":
        if engine == "torch":
            raise UsageError(f"{path}: an ONNX file cannot run in torch; give the .safetensors file")
        return OnnxEngine(path, threads=threads, trust=trust)
    import torch

    from infraspot.weights.files import load_network, load_second_look

    if threads:
        torch.set_num_threads(threads)
    network, card = load_network(path, trust=trust)
    name = path.parent.name if path.stem in ("best", "last") else path.stem
    return TorchEngine(network, card, name, load_second_look(path, card))


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
