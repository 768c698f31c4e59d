"""How good the predictions for a set of frames are."""

from collections.abc import Iterable, Sequence

from infraspot.core.errors import DataError
from infraspot.core.prediction import Prediction
from infraspot.core.sample import Sample
from infraspot.metrics import Evaluation

NUMBERS = ("iou", "niou", "pd", "fa_area")


def validate(predictions: Iterable[Prediction], samples: Sequence[Sample], protocol: str) -> dict[str, float]:
    """IoU, nIoU, Pd and Fa as fractions, under a protocol of ``infraspot.metrics``.

    Raises
    ------
    DataError
        If a frame has no mask.
    """
    evaluation = Evaluation(protocol, thresholds=None)
    for prediction, sample in zip(predictions, samples, strict=True):
        if sample.mask is None:
            raise DataError(
                f"{sample.id}: validation needs a mask for every frame, and this one has none; add it, or"
                " leave the frame out of the split"
            )
        evaluation.add(evaluation.measure(prediction, sample.mask, id=sample.id))
    numbers = evaluation.compute()
    return {name: float(numbers[name]) for name in NUMBERS}
