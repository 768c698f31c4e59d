"""An exported network with its convolutions in 8-bit integers, kept only if it finds the same.

Convolutions are quantised, each with the ReLU that follows it, between the smallest and the largest value
that was seen. All else stays in float: sums of squares and standard deviations span decades, which 256 even
steps cannot hold, and a target is the brightest 1e-4 of the pixels, which any clipping cuts off. The first
convolutions stay in float, because the contrast of a frame has long tails, of which even steps keep little;
and so does the second look.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from numpy.typing import NDArray

from infraspot.core.errors import DataError, InfraspotError
from infraspot.core.files import replacing
from infraspot.core.sample import Sample
from infraspot.inference.export import keep_self_test, save_model
from infraspot.inference.false_alarms import measure_false_alarms
from infraspot.inference.onnx_engines import OnnxEngine, PixelEngine, check_onnx, open_onnx
from infraspot.inference.onnx_file import texts_for
from infraspot.inference.predictor import predict
from infraspot.metrics import Evaluation

CALIBRATION_FRAMES = 64
KEPT_IN_FLOAT = 3  # convolutions, counted from the frame
MOST_IOU_LOST = 0.005
MOST_FALSE_ADDED = 0.1  # of the false targets that there were; one more is always borne

Exported = OnnxEngine | PixelEngine


@dataclass(frozen=True)
class Compared:
    """What a file in float and one in integers find on the same frames.

    Attributes
    ----------
    data, frames
        Name and number of the frames.
    iou, false
        Pixels' intersection over union, and false targets: in float, and in integers.
    """

    data: str
    frames: int
    iou: tuple[float, float]
    false: tuple[int, int]

    @property
    def is_worse(self) -> bool:
        """Whether integers lose more than is borne."""
        (iou, new_iou), (false, new_false) = self.iou, self.false
        return iou - new_iou > MOST_IOU_LOST or new_false - false > max(1, MOST_FALSE_ADDED * false)

    def card(self) -> dict[str, Any]:
        """For the card of the file."""
        return {"data": self.data, "frames": self.frames, "iou": list(self.iou), "false": list(self.false)}


def export_int8(
    source: Path,
    path: Path,
    samples: Sequence[Sample],
    data: str,
    trust: Collection[str] = (),
    *,
    ranges: Sequence[Sample] = (),
) -> Compared:
    """Quantise an ONNX file of :mod:`infraspot.inference.export`, and compare the two.

    Parameters
    ----------
    source
        The file in float32.
    path
        The new one; written only if the comparison passes.
    samples
        Frames with masks; all of them are scored.
    data
        Name of these frames in the card.
    trust
        See :class:`infraspot.inference.onnx_engines.OnnxEngine`.
    ranges
        Frames that set the ranges, 64 of them, evenly spaced; ``samples`` where they are left out.

    Returns
    -------
    What the card says under ``int8``. The card's ``false_alarms`` are those of the new file, and named
    thresholds are left out.

    Raises
    ------
    DataError
        If there is no frame with a mask.
    InfraspotError
        If IoU falls by more than .005, or false targets rise by more than a tenth and more than one.
    """
    import onnx

    masked = [sample for sample in samples if sample.mask is not None]
    if not masked:
        raise DataError(f"{data}: expected frames with masks to compare on, and there are none")
    texts, card = check_onnx(source, trust)
    before: Exported = open_onnx(source, trust=trust)
    card = {name: value for name, value in card.items() if name != "operating_points"}
    with TemporaryDirectory() as folder, replacing(path) as temporary:
        trial = Path(folder) / "int8.onnx"
        seen = ranges or masked
        _quantise(source, trial, before, seen[:: -(-len(seen) // CALIBRATION_FRAMES)])
        model = onnx.load(trial)
        save_model(model, trial, texts_for(card, texts.second_look))
        after: Exported = open_onnx(trial, trust=trust)
        scored = [_scores(engine, masked) for engine in (before, after)]
        (iou, new_iou), (false, new_false) = zip(*scored, strict=True)
        found = Compared(data, len(masked), (iou, new_iou), (false, new_false))
        if found.is_worse:
            raise InfraspotError(
                f"{path}: in 8 bits the IoU on {data} goes from {iou:.4f} to {new_iou:.4f}, and the false"
                f" targets from {false} to {new_false}; at most {MOST_IOU_LOST} may be lost and a tenth"
                " added, so that it was not written: use the file in float"
            )
        curve = measure_false_alarms(after, masked, data)
        full = {**card, "int8": found.card(), "false_alarms": curve}
        save_model(model, trial, texts_for(full, texts.second_look))
        keep_self_test(trial, model, texts_for(full, texts.second_look), card.get("pixels") or "uint8")
        temporary.write_bytes(trial.read_bytes())
    return found


def _quantise(source: Path, path: Path, engine: Exported, samples: Sequence[Sample]) -> None:
    import onnx
    from onnxruntime import quantization

    class Frames(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            self._frames: Iterator[dict[str, NDArray[Any]]] = (engine.inputs_of(one) for one in samples)

        def get_next(self) -> dict[str, NDArray[Any]] | None:
            return next(self._frames, None)

    ready = path.with_name("ready.onnx")
    quantization.quant_pre_process(source, ready, skip_symbolic_shape=True)
    quantization.quantize_static(
        ready,
        path,
        Frames(),
        quant_format=quantization.QuantFormat.QDQ,
        op_types_to_quantize=["Conv", "Relu"],  # a convolution before a ReLU spends no steps below zero
        nodes_to_exclude=_first_convolutions(onnx.load(ready).graph),
        per_channel=True,
        activation_type=quantization.QuantType.QUInt8,  # signed ones are slower than float32
        weight_type=quantization.QuantType.QInt8,
        calibrate_method=quantization.CalibrationMethod.MinMax,
    )


def _first_convolutions(graph: Any) -> list[str]:
    """The convolutions that have fewer than :data:`KEPT_IN_FLOAT` others before them on every way."""
    before: dict[str, int] = {}  # a value's convolutions on the longest way from the frame
    found = []
    for node in graph.node:
        depth = max((before.get(name, 0) for name in node.input), default=0)
        if node.op_type == "Conv":
            depth += 1
            if depth <= KEPT_IN_FLOAT:
                found.append(node.name)
        before.update(dict.fromkeys(node.output, depth))
    return found


def _scores(engine: Exported, samples: Sequence[Sample]) -> tuple[float, int]:
    """IoU and the number of false targets at the threshold of the card."""
    evaluation = Evaluation(threshold=float(engine.card.get("threshold", 0.5)), thresholds=None)
    for sample in samples:
        evaluation.update(predict(engine, sample), sample)
    found = evaluation.compute()
    return round(found["iou"], 4), int(found["n_false_detections"])
