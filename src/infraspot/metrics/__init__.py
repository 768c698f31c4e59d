"""Scoring: what the field's programs compute, exactly, fast, and with the definition beside each number.

Pure counts of one frame come first (:mod:`~infraspot.metrics.frame`, :mod:`~infraspot.metrics.sweep`), and
thin accumulators reduce them to numbers. numba is imported when the first frame is counted, not before.
"""

from infraspot.metrics.average_precision import BoxPrecision
from infraspot.metrics.evaluation import Evaluation, FrameMeasure
from infraspot.metrics.frame import FrameRecord, score_frame
from infraspot.metrics.protocols import PROTOCOLS, BoxRule, Protocol
from infraspot.metrics.ranking import PixelRanking
from infraspot.metrics.reduction import jsonable

__all__ = [
    "PROTOCOLS",
    "BoxPrecision",
    "BoxRule",
    "Evaluation",
    "FrameMeasure",
    "FrameRecord",
    "PixelRanking",
    "Protocol",
    "jsonable",
    "score_frame",
]
