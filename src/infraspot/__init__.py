"""infraspot: infrared small-target detection, from one click per target to a deployed detector.

The names below are loaded when they are first used, so that importing infraspot costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from infraspot.core.version import VERSION

if TYPE_CHECKING:
    from infraspot.annotators import annotate
    from infraspot.api import Detections, Detector, detect, load
    from infraspot.classical.sky import find_sky
    from infraspot.core.errors import InfraspotError
    from infraspot.core.prediction import Prediction, Target
    from infraspot.core.sample import Sample
    from infraspot.data import open_dataset, read_image, read_mask
    from infraspot.jobs.adapt import adapt
    from infraspot.jobs.calibrate import calibrate
    from infraspot.jobs.dense import write_dense
    from infraspot.jobs.detect import detect_files
    from infraspot.jobs.evaluate import evaluate
    from infraspot.jobs.generate import write_scenes
    from infraspot.jobs.pseudo import label_dataset
    from infraspot.jobs.sky import write_skies
    from infraspot.jobs.track import track
    from infraspot.jobs.train import train
    from infraspot.report.detection import Detection
    from infraspot.synth import generate

__version__ = VERSION

_PUBLIC = {
    "Detection": "infraspot.report.detection",
    "Detections": "infraspot.api",
    "Detector": "infraspot.api",
    "InfraspotError": "infraspot.core.errors",
    "Prediction": "infraspot.core.prediction",
    "Sample": "infraspot.core.sample",
    "Target": "infraspot.core.prediction",
    "adapt": "infraspot.jobs.adapt",
    "annotate": "infraspot.annotators",
    "calibrate": "infraspot.jobs.calibrate",
    "detect": "infraspot.api",
    "detect_files": "infraspot.jobs.detect",
    "evaluate": "infraspot.jobs.evaluate",
    "find_sky": "infraspot.classical.sky",
    "generate": "infraspot.synth",
    "load": "infraspot.api",
    "label_dataset": "infraspot.jobs.pseudo",
    "open_dataset": "infraspot.data",
    "read_image": "infraspot.data",
    "read_mask": "infraspot.data",
    "track": "infraspot.jobs.track",
    "train": "infraspot.jobs.train",
    "write_dense": "infraspot.jobs.dense",
    "write_scenes": "infraspot.jobs.generate",
    "write_skies": "infraspot.jobs.sky",
}

__all__ = [
    "Detection",
    "Detections",
    "Detector",
    "InfraspotError",
    "Prediction",
    "Sample",
    "Target",
    "__version__",
    "adapt",
    "annotate",
    "calibrate",
    "detect",
    "detect_files",
    "evaluate",
    "find_sky",
    "generate",
    "label_dataset",
    "load",
    "open_dataset",
    "read_image",
    "read_mask",
    "track",
    "train",
    "write_dense",
    "write_scenes",
    "write_skies",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'infraspot' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
