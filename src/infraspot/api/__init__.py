"""What Python callers use first: one call that takes frames of any kind and gives their targets."""

from infraspot.api.detecting import detect
from infraspot.api.detector import Detections, Detector, load

__all__ = ["Detections", "Detector", "detect", "load"]
