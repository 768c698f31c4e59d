"""Tracks from detections: registration of the background, filter, association, confirmation.

Everything here works on points and frames; the detector and the files belong to :mod:`infraspot.jobs.track`.
"""

from infraspot.tracking.confirmation import Likelihood, OfLast, parse_rule
from infraspot.tracking.registration import Motion, Registrar
from infraspot.tracking.tracker import ROW, STATES, STILL, Settings, Tracker

__all__ = [
    "ROW",
    "STATES",
    "STILL",
    "Likelihood",
    "Motion",
    "OfLast",
    "Registrar",
    "Settings",
    "Tracker",
    "parse_rule",
]
