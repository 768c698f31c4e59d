"""Detectors that need no training: the baseline of every table.

Each is a function ``(image, *, polarity="bright", ...) -> response``; :mod:`infraspot.classical.threshold`
turns a response into a score map.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from infraspot.classical.admd import admd
from infraspot.classical.directional import max_mean, max_median
from infraspot.classical.ilcm import ilcm
from infraspot.classical.ipi import ipi
from infraspot.classical.lcm import lcm
from infraspot.classical.mpcm import mpcm
from infraspot.classical.nolc import nolc
from infraspot.classical.nram import nram
from infraspot.classical.pstnn import pstnn
from infraspot.classical.ript import ript
from infraspot.classical.rlcm import rlcm
from infraspot.classical.top_hat import top_hat

CLASSICAL: dict[str, Callable[..., NDArray[np.float32]]] = {
    "tophat": top_hat,
    "maxmean": max_mean,
    "maxmedian": max_median,
    "lcm": lcm,
    "ilcm": ilcm,
    "rlcm": rlcm,
    "mpcm": mpcm,
    "admd": admd,
    "ipi": ipi,
    "nram": nram,
    "nolc": nolc,
    "ript": ript,
    "pstnn": pstnn,
}

# The k of k_sigma with the best pooled IoU on every sixth or eighth frame of SIRST-v1 train.
SIGMAS = {
    "tophat": 12.0,
    "maxmean": 12.0,
    "maxmedian": 20.0,
    "lcm": 5.0,
    "ilcm": 5.0,
    "rlcm": 12.0,
    "mpcm": 12.0,
    "admd": 12.0,
    "ipi": 20.0,
    "nram": 5.0,
    "nolc": 12.0,
    "ript": 12.0,
    "pstnn": 12.0,
}
