"""Detectors that need no training: the baseline of every table.

Each is a function ``(image, *, polarity="bright", ...) -> response``; :mod:`infraspot.classical.threshold`
turns a response into a score map.
"""

from infraspot.classical.top_hat import top_hat

CLASSICAL = {
    "tophat": top_hat,
}
