"""An exported network with its convolutions in 8-bit integers, kept only if it finds the same.

Convolutions alone are quantised, between the smallest and the largest value that was seen: sums of squares
and standard deviations span decades, which 256 even steps cannot hold, and a target is the brightest 1e-4 of
the pixels, which any clipping cuts off. The second look stays in float.
"""

import json
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.core.errors import DataError, InfraspotError
from infraspot.core.files import replacing
from infraspot.core.sample import Sample
from infraspot.inference.engines import OnnxEngine
from infraspot.inference.false_alarms import measure_false_alarms
from infraspot.inference.frames import prepare_frame
from infraspot.inference.onnx_file import read_onnx
from infraspot.inference.predictor import predict
from infraspot.metrics import Evaluation
from infraspot.weights import CARD, SECOND_LOOK

CALIBRATION_FRAMES = 64
MOST_IOU_LOST = 0.005
MOST_FALSE_ADDED = 0.1  # of the false targets that there were; one more is always borne


def export_int8(
    source: Path, path: Path, samples: Sequence[Sample], data: str, trust: Collection[str] = ()
) -> dict[str, Any]:
    """Quantise an ONNX file of :func:`infraspot.inference.export.export_onnx`, and compare the two.

    Parameters
    ----------
    source
        The file in float32.
    path
        The new one; written only if the comparison passes.
    samples
        Frames with masks; 64 of them, evenly spaced, set the ranges, and all of them are scored.
    data
        Name of these frames in the card.
    trust
        See :class:`infraspot.inference.engines.OnnxEngine`.

    Returns
    -------
    What the card says under ``int8``: ``data``, ``frames``, and ``iou`` and ``false`` of both files, that in
    float first. The card's ``false_alarms`` are those of the new file, and named thresholds are left out.

    Raises
    ------
    DataError
        If there is no frame with a mask.
    InfraspotError
        If IoU falls by more than .005, or false targets rise by more than a tenth and more than one.
    """
    masked = [sample for sample in samples if sample.mask is not None]
    if not masked:
        raise DataError(f"{data}: expected frames with masks to compare on, and there are none")
    texts = read_onnx(source)
    card = json.loads(texts.card)
    with TemporaryDirectory() as folder, replacing(path) as temporary:
        trial = Path(folder) / "int8.onnx"
        _quantise(source, trial, masked[:: -(-len(masked) // CALIBRATION_FRAMES)], int(card["stride"]))
        card.pop("operating_points", None)
        _write_with(trial, {CARD: json.dumps(card), SECOND_LOOK: texts.second_look})
        before, after = OnnxEngine(source, trust=trust), OnnxEngine(trial, trust=trust)
        (iou, false), (new_iou, new_false) = (_scores(engine, masked) for engine in (before, after))
        if iou - new_iou > MOST_IOU_LOST or new_false - false > max(1, MOST_FALSE_ADDED * false):
            raise InfraspotError(
                f"{path}: in 8 bits the IoU on {data} goes from {iou:.4f} to {new_iou:.4f}, and the false"
                f" targets from {false} to {new_false}; at most {MOST_IOU_LOST} may be lost and a tenth"
                " added, so that it was not written: use the file in float"
            )
        told = {"data": data, "frames": len(masked), "iou": [iou, new_iou], "false": [false, new_false]}
        curve = measure_false_alarms(after, masked, data)
        full = {**card, "int8": told, "false_alarms": curve}
        _write_with(trial, {CARD: json.dumps(full), SECOND_LOOK: texts.second_look})
        temporary.write_bytes(trial.read_bytes())
    return told


def _quantise(source: Path, path: Path, samples: Sequence[Sample], stride: int) -> None:
    from onnxruntime import quantization

    class Frames(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self._frames: Iterator[NDArray[np.float32]] = (_padded(one, stride) for one in samples)

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            frame = next(self._frames, None)
            return None if frame is None else {"image": frame}

    ready = path.with_name("ready.onnx")
    quantization.quant_pre_process(source, ready, skip_symbolic_shape=True)
    quantization.quantize_static(
        ready,
        path,
        Frames(),
        quant_format=quantization.QuantFormat.QDQ,
        op_types_to_quantize=["Conv"],
        per_channel=True,
        activation_type=quantization.QuantType.QUInt8,  # signed ones are slower than float32
        weight_type=quantization.QuantType.QInt8,
        calibrate_method=quantization.CalibrationMethod.MinMax,
    )


def _padded(sample: Sample, stride: int) -> NDArray[np.float32]:
    image = prepare_frame(sample.image, sample.bit_depth)
    height, width = image.shape
    return np.pad(image, ((0, -height % stride), (0, -width % stride)), mode="edge")[None, None]


def _scores(engine: OnnxEngine, samples: Sequence[Sample]) -> tuple[float, int]:
    """IoU and the number of false targets at the threshold of the card."""
    evaluation = Evaluation(threshold=float(engine.card.get("threshold", 0.5)), thresholds=None)
    for sample in samples:
        evaluation.update(predict(engine, sample), sample)
    found = evaluation.compute()
    return round(found["iou"], 4), int(found["n_false_detections"])


def _write_with(path: Path, texts: dict[str, str | None]) -> None:
    import onnx

    model = onnx.load(path)
    onnx.helper.set_model_props(model, {name: text for name, text in texts.items() if text is not None})
    onnx.save(model, path)
