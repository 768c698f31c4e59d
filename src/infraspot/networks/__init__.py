"""One file per network; :data:`NETWORKS` lists them, and :data:`SEQUENCE_NETWORKS` those that take clips."""

from collections import ChainMap
from collections.abc import Mapping
from typing import Any

from infraspot.networks.acm import ACM, ACMPort
from infraspot.networks.agpcnet import AGPCNet
from infraspot.networks.alclnet import ALCLNet
from infraspot.networks.alcnet import ALCNet, ALCNetPort
from infraspot.networks.base import SegmentationNetwork, SegOutput
from infraspot.networks.compact import Compact
from infraspot.networks.dnanet import DNANet
from infraspot.networks.fddbanet import FDDBANet
from infraspot.networks.gglnet import GGLNet
from infraspot.networks.hcfnet import HCFNet
from infraspot.networks.irsam import IRSAM
from infraspot.networks.isnet import ISNet
from infraspot.networks.mim_istd import MiMISTD
from infraspot.networks.mlclnet import MLCLNet
from infraspot.networks.mrf3net import MRF3Net
from infraspot.networks.msdanet import MSDANet
from infraspot.networks.mshnet import MSHNet
from infraspot.networks.mtunet import MTUNet
from infraspot.networks.rpcanet import RPCANet
from infraspot.networks.sctransnet import SCTransNet
from infraspot.networks.sequences import SEQUENCE_NETWORKS
from infraspot.networks.uiunet import UIUNet
from infraspot.networks.unet import UNet

__all__ = ["ALL_NETWORKS", "NETWORKS", "SEQUENCE_NETWORKS", "SegOutput", "SegmentationNetwork"]

NETWORKS: dict[str, type[SegmentationNetwork]] = {
    "acm": ACM,
    "acm-port": ACMPort,
    "agpcnet": AGPCNet,
    "alclnet": ALCLNet,
    "alcnet": ALCNet,
    "alcnet-port": ALCNetPort,
    "compact": Compact,
    "dnanet": DNANet,
    "fddbanet": FDDBANet,
    "gglnet": GGLNet,
    "hcfnet": HCFNet,
    "irsam": IRSAM,
    "isnet": ISNet,
    "mim-istd": MiMISTD,
    "mlclnet": MLCLNet,
    "mrf3net": MRF3Net,
    "msdanet": MSDANet,
    "mshnet": MSHNet,
    "mtunet": MTUNet,
    "rpcanet": RPCANet,
    "sctransnet": SCTransNet,
    "uiunet": UIUNet,
    "unet": UNet,
}

# A network over packages of an extra, or over other networks, stands here by its place, and is imported when
# it is asked for.
OPTIONAL_NETWORKS: dict[str, type[SegmentationNetwork] | str] = {
    "clip": "infraspot.networks.clip:PromptedCLIP",
    "compared": "infraspot.networks.compared:Compared",
    "sam": "infraspot.networks.sam:TunedSAM",
}

# What joins one of these later is seen here as well.
ALL_NETWORKS: Mapping[str, Any] = ChainMap[str, Any](NETWORKS, SEQUENCE_NETWORKS, OPTIONAL_NETWORKS)
