"""Engines of exported files: those that take prepared frames, and those that take a camera's pixels."""

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from infraspot.core.errors import InputError
from infraspot.core.prediction import Prediction
from infraspot.core.sample import Clip, Sample
from infraspot.data import Frame
from infraspot.inference.box_engines import OnnxBoxEngine
from infraspot.inference.frames import prepare_frame, with_past
from infraspot.inference.onnx_file import OnnxTexts, read_onnx, second_look_graph
from infraspot.inference.onnx_trial import try_out, try_out_boxes, try_out_second_look, try_out_stateful
from infraspot.inference.peaks import parting_of
from infraspot.inference.run_times import open_graph
from infraspot.inference.scores import check_scores, first_line
from infraspot.inference.second_look import SecondLook
from infraspot.inference.self_test import COARSE, TOLERANCE, check_self_test

WEIGHTS = Path(__file__).parent.parent / "weights" / "packaged"
MOST_PIXELS = 1 << 22  # of a frame that is not cut into tiles


class CheckedFile(NamedTuple):
    """An ONNX file that may be run: its texts, and its card."""

    texts: OnnxTexts
    card: dict[str, Any]


class _ExportedFile:
    """What both engines are opened by."""

    def __init__(
        self,
        path: Path | str,
        *,
        threads: int = 0,
        trust: Collection[str] | str = (),
        device: str = "cpu",
        precision: str = "float32",
        checked: CheckedFile | None = None,
    ) -> None:
        path = Path(path)
        texts, self.card = checked or check_onnx(path, trust)
        self.name = path.stem
        self._graph = open_graph(path, device=device, threads=threads, precision=precision)
        self.runs_on = self._graph.runs_on
        self._look_by(path, texts, threads=threads, device=device, precision=precision)
        if texts.self_test is not None:
            coarse = precision != "float32" or "int8" in self.card
            tolerance = COARSE if coarse else TOLERANCE
            check_self_test(texts.self_test, self.answer, path, self.runs_on, tolerance)

    def _look_by(self, path: Path, texts: OnnxTexts, **options: Any) -> None:
        """Open what else the file holds."""

    def answer(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """(H, W) scores of (H, W) pixels of uint8 or uint16."""
        raise NotImplementedError


class OnnxEngine(_ExportedFile):
    """An exported file whose graph takes a prepared frame, (1, 1, H, W) float32, and holds the sigmoid.

    Parameters
    ----------
    path
        A file written by :func:`infraspot.inference.export.export_onnx`. Files from elsewhere are checked
        before they run (:mod:`infraspot.inference.onnx_file`).
    threads
        Threads of one frame; 0 takes every core.
    trust
        Names ``"module:attribute"`` of code outside infraspot that the card may name.
    device, precision
        See :func:`infraspot.inference.run_times.open_graph`.

    Raises
    ------
    InputError
        If the file is damaged, was not written by infraspot, or answers with something else than scores.
    InfraspotError
        If it answers its own test frame wrongly on this device.
    UsageError
        If the device cannot be had.
    """

    def _look_by(self, path: Path, texts: OnnxTexts, **options: Any) -> None:
        self._stride, self.frames = int(self.card["stride"]), int(self.card.get("frames") or 1)
        self.second_look = _second_look(path, texts, self.card, options)

    def score(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        height, width = image.shape[-2:]
        scores: NDArray[np.float32] = self._graph(self._padded(image))[0, 0, :height, :width]
        return scores

    def inputs_of(self, frame: Frame | Sample) -> dict[str, NDArray[Any]]:
        """What the graph takes for a frame."""
        image = frame.stack if isinstance(frame, Clip) else frame.image
        return self._padded(prepare_frame(image, frame.bit_depth))

    def _padded(self, image: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        frames = image.reshape(1, -1, *image.shape[-2:])
        down, right = (-side % self._stride for side in image.shape[-2:])
        return {"image": np.pad(frames, ((0, 0), (0, 0), (0, down), (0, right)), mode="edge")}

    def answer(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        depth = 8 * pixels.itemsize
        image = (pixels / np.float32(2**depth - 1)).astype(np.float32)
        return self.score(with_past(self, prepare_frame(image, depth)))


class PixelEngine(_ExportedFile):
    """A self-contained file: its graph takes pixels as they are (:mod:`infraspot.inference.self_contained`).

    Frames are not cut into tiles, and there is no second look. Parameters and errors are those of
    :class:`OnnxEngine`.
    """

    maps = True

    def predict(self, frame: Frame | Sample, id: str) -> Prediction:
        """The score map of a frame.

        Raises
        ------
        InputError
            If the frame is deeper or less deep than the file takes, or larger than 4 million pixels.
        """
        scores, peaks = self.answer(self.inputs_of(frame)["frame"][0, 0]), parting_of(self.card)
        return Prediction(id, scores) if peaks is None else Prediction(id, peaks.rescore(scores), parted=True)

    def inputs_of(self, frame: Frame | Sample) -> dict[str, NDArray[Any]]:
        """What the graph takes for a frame."""
        kind = self.card["pixels"]
        if (frame.bit_depth > 8) != (kind == "uint16"):
            other = "uint8" if kind == "uint16" else "uint16"
            raise InputError(
                f"{self.name} takes frames of {'more than 8' if kind == 'uint16' else 'up to 8'} bits, and"
                f" one of {frame.bit_depth} bits came; export the model with --self-contained {other} as well"
            )
        if not 2 <= frame.image.size <= MOST_PIXELS:
            raise InputError(
                f"{self.name} takes frames of 2 to {MOST_PIXELS} pixels, and one of {frame.image.size} came;"
                " a file without --self-contained is run in tiles"
            )
        most = 255 if kind == "uint8" else 2**frame.bit_depth - 1
        pixels = np.rint(frame.image * np.float32(most)).astype(kind)
        return {"frame": pixels[None, None]}

    def answer(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        scores = self.answers([pixels])[0]
        check_scores(scores, pixels.shape, self.name)
        return scores

    def answers(self, frames: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
        """(N, H, W) scores of N frames (H, W) of one size, in one run of the graph.

        Raises
        ------
        InputError
            If the graph fails on them.
        """
        batch = np.stack(frames)[:, None].astype(self.card["pixels"])
        try:
            scores: NDArray[np.float32] = self._graph({"frame": batch})[:, 0]
        except Exception as error:  # the errors of the run times share no public base class
            raise InputError(
                f"{self.name} failed on frames of the shape {batch.shape}: {first_line(error)}"
            ) from error
        return scores


def open_onnx(path: Path | str, *, trust: Collection[str] | str = (), **options: Any) -> Any:
    """The engine of an exported file of either kind; options and errors are those of :class:`OnnxEngine`."""
    checked = check_onnx(Path(path), trust)
    if checked.card.get("kind") == "detector":
        return OnnxBoxEngine(Path(path), checked.card, **options)
    if checked.card.get("state_channels"):
        from infraspot.inference.stateful import StatefulEngine

        return StatefulEngine(path, checked.card, **options)
    kind = PixelEngine if checked.card.get("pixels") else OnnxEngine
    return kind(path, checked=checked, **options)


def check_onnx(path: Path, trust: Collection[str] | str) -> CheckedFile:
    """Read an ONNX file; what did not come with the package is checked and tried out.

    Raises
    ------
    InputError
        As :class:`OnnxEngine` does.
    """
    texts = read_onnx(path)
    if path.parent == WEIGHTS:
        return CheckedFile(texts, json.loads(texts.card))
    from infraspot.weights.card import parse_card

    card = parse_card(texts.card, path, trust)
    if card.get("stride") is None:
        raise InputError(f"{path}: the card of this ONNX model lacks the stride; export it with infraspot")
    if card.get("kind") == "detector":
        try_out_boxes(path, card["stride"])
    elif channels := card.get("state_channels"):
        try_out_stateful(path, card["stride"], channels)
    else:
        try_out(path, card["stride"], card.get("pixels"), int(card.get("frames") or 1))
    return CheckedFile(texts, card)


def _second_look(
    path: Path, texts: OnnxTexts, card: dict[str, Any], options: dict[str, Any]
) -> SecondLook | None:
    """The second look of an ONNX file whose card names one; its graph lies in the metadata."""
    if not card.get("second_look"):
        return None
    graph = second_look_graph(path, texts)
    if path.parent != WEIGHTS:
        try_out_second_look(path, graph)
    run = open_graph(path, graph=graph, **options)

    def classify(near: NDArray[np.float32], wide: NDArray[np.float32]) -> NDArray[np.float32]:
        return run({"near": near, "wide": wide})

    return SecondLook(card["second_look"], classify, path.stem)
