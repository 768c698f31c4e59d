"""Engines of boxes: from a frame of any size to scored targets."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from infraspot.core.errors import InfraspotError, InputError
from infraspot.core.prediction import Prediction
from infraspot.core.sample import Sample
from infraspot.data import Frame
from infraspot.inference.frames import OVERLAP, TILE, prepare_frame, tiles
from infraspot.inference.run_times import open_graph
from infraspot.inference.scores import check_boxes, first_line

if TYPE_CHECKING:
    from infraspot.detection import Detector

FloatArray = NDArray[np.float32]

# Boxes of less than this on a side, in pixels, are none.
THINNEST = 1e-3


class BoxEngine:
    """An engine whose answer is a list of scored boxes; it stretches and tiles frames as score maps are.

    ``card["suppression"]`` says how boxes are thinned out.
    """

    name: str
    card: dict[str, Any]

    def propose(self, image: FloatArray) -> tuple[FloatArray, FloatArray]:
        """(K, 4) boxes and (K,) scores of an (H, W) image in [0, 1], before anything is thinned out."""
        raise NotImplementedError

    def predict(self, frame: Frame | Sample, id: str) -> Prediction:
        """Every target that stays after suppression, with its score.

        Raises
        ------
        InputError
            If the engine fails, or its answer is no list of scored boxes.
        """
        image = prepare_frame(frame.image, frame.bit_depth)
        options = self.card.get("suppression") or {}
        boxes, scores = self._thinned(image, options)
        return Prediction.from_boxes(id, boxes, scores, (image.shape[0], image.shape[1]))

    def _thinned(self, image: FloatArray, options: dict[str, Any]) -> tuple[FloatArray, FloatArray]:
        height, width = image.shape
        if max(height, width) <= TILE:
            return self._boxes_of(image, options)
        found = []
        for part in tiles((height, width), TILE, OVERLAP):
            boxes, scores = self._boxes_of(np.ascontiguousarray(image[part.rows, part.columns]), options)
            boxes = boxes + np.array([part.columns.start, part.rows.start] * 2, np.float32)
            x, y = (boxes[:, :2] + boxes[:, 2:]).T / 2
            own = (y >= part.kept_rows.start) & (y < part.kept_rows.stop)
            own &= (x >= part.kept_columns.start) & (x < part.kept_columns.stop)
            found.append((boxes[own], scores[own]))
        boxes, scores = (np.concatenate(part) for part in zip(*found, strict=True))
        # Across a cut, both tiles may have kept a box of one target.
        several = {**options, "most": len(scores) or 1, "before": len(scores) or 1}
        kept = _thin_out(boxes, scores, **several)
        return boxes[kept], scores[kept]

    def asked(self, image: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The same, checked.

        Raises
        ------
        InputError
            If the engine fails, or its answer is no list of scored boxes.
        """
        try:
            boxes, scores = self.propose(image)
        except InfraspotError:
            raise
        except Exception as error:  # the errors of torch and of ONNX Runtime share no public base class
            raise InputError(
                f"{self.name} failed on a frame of the shape {image.shape}: {first_line(error)}"
            ) from error
        check_boxes(boxes, scores, self.name)
        return boxes, scores

    def _boxes_of(self, image: FloatArray, options: dict[str, Any]) -> tuple[FloatArray, FloatArray]:
        boxes, scores = self.asked(image)
        height, width = image.shape
        boxes = np.clip(boxes, 0, np.array([width, height, width, height], np.float32))
        whole = (boxes[:, 2:] - boxes[:, :2] > THINNEST).all(axis=1)
        boxes, scores = boxes[whole], np.clip(scores[whole], 0, 1)
        kept = _thin_out(boxes, scores, **options)
        return boxes[kept], scores[kept]


def _thin_out(boxes: FloatArray, scores: FloatArray, **options: Any) -> NDArray[np.intp]:
    # Loads compiled loops, which engines of score maps need not wait for.
    from infraspot.inference.suppression import thin_out

    return thin_out(boxes, scores, **options)


class TorchBoxEngine(BoxEngine):
    """A detector in PyTorch, with its norms folded into its convolutions."""

    def __init__(
        self, detector: "Detector", card: dict[str, Any], name: str, device: str | None = None
    ) -> None:
        from infraspot.inference.prepared import prepare_for_inference

        self.name = name
        self.card = {"suppression": detector.suppression, **card}
        self._detector: Any = prepare_for_inference(detector)
        if device is not None:
            self._detector.to(device)
        self.runs_on = f"torch, {device or next(self._detector.parameters()).device}"

    def propose(self, image: FloatArray) -> tuple[FloatArray, FloatArray]:
        import torch

        device = next(self._detector.parameters()).device
        with torch.inference_mode():
            batch = torch.from_numpy(np.ascontiguousarray(image, np.float32))[None, None].to(device)
            output = self._detector(batch)
            scores = self._detector.scores(output)
        return output.boxes[0].float().cpu().numpy(), scores[0].float().cpu().numpy()


class OnnxBoxEngine(BoxEngine):
    """An exported detector: the graph takes (1, 1, H, W) and gives rows of a box and its score, (1, K, 5).

    It is opened by :func:`infraspot.inference.onnx_engines.open_onnx`, which has checked the file.
    """

    def __init__(self, path: Path, card: dict[str, Any], **options: Any) -> None:
        self.name, self.card = path.stem, card
        self._graph = open_graph(path, **options)
        self.runs_on = self._graph.runs_on
        self._stride = int(card["stride"])

    def propose(self, image: FloatArray) -> tuple[FloatArray, FloatArray]:
        height, width = image.shape
        padded = np.pad(image, ((0, -height % self._stride), (0, -width % self._stride)), mode="edge")
        rows = self._graph({"image": padded[None, None]})[0]
        return rows[:, :4], rows[:, 4]
