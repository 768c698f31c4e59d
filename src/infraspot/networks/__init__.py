"""One file per network; :data:`NETWORKS` is the list of all of them."""

from collections.abc import Callable

from infraspot.networks.acm import ACM, acm_port
from infraspot.networks.base import SegmentationNetwork, SegOutput

__all__ = ["NETWORKS", "SegOutput", "SegmentationNetwork"]

NETWORKS: dict[str, Callable[..., SegmentationNetwork]] = {
    "acm": ACM,
    "acm-port": acm_port,
}
