"""Running trained networks and classical detectors on frames of any size."""

from infraspot.inference.engines import DEFAULT_MODEL, Engine, open_engine, packaged_models
from infraspot.inference.frames import prepare_frame, score_frame, stretch
from infraspot.inference.predictor import predict

__all__ = [
    "DEFAULT_MODEL",
    "Engine",
    "open_engine",
    "packaged_models",
    "predict",
    "prepare_frame",
    "score_frame",
    "stretch",
]
