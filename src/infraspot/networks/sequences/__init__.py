"""Networks of sequences: they take clips of registered frames, and search the last one.

:data:`SEQUENCE_NETWORKS` is the list of all of them.
"""

from infraspot.networks.base import SegmentationNetwork
from infraspot.networks.sequences.compact_clip import CompactClip
from infraspot.networks.sequences.deeppro import DeepPro
from infraspot.networks.sequences.dtum import DTUM
from infraspot.networks.sequences.rfr import RFR

__all__ = ["RFR", "SEQUENCE_NETWORKS"]

SEQUENCE_NETWORKS: dict[str, type[SegmentationNetwork]] = {
    "compact-clip": CompactClip,
    "deeppro": DeepPro,
    "dtum": DTUM,
    "rfr": RFR,
}
