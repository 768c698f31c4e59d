"""Detectors of boxes: one file per method; :data:`DETECTORS` is the list of all of them."""

from infraspot.detection.atss import ATSS, GFL, PAA
from infraspot.detection.autoassign import AutoAssign
from infraspot.detection.backbones import BACKBONES
from infraspot.detection.bafe import BAFENet
from infraspot.detection.base import BoxOutput, Detector, Wanted
from infraspot.detection.centernet import CenterNet
from infraspot.detection.ddod import DDOD
from infraspot.detection.dyhead import DyHead
from infraspot.detection.dynamic_rcnn import DynamicRCNN
from infraspot.detection.efficientdet import EfficientDet
from infraspot.detection.fcos import FCOS
from infraspot.detection.grid_rcnn import GridRCNN
from infraspot.detection.libra_rcnn import LibraRCNN
from infraspot.detection.rcnn import CascadeRCNN, FasterRCNN
from infraspot.detection.retinanet import RetinaNet
from infraspot.detection.rtmdet import RTMDet
from infraspot.detection.sabl import SABL
from infraspot.detection.sparse_rcnn import SparseRCNN
from infraspot.detection.ssd import SSD
from infraspot.detection.tood import TOOD
from infraspot.detection.transformers_detr import (
    DABDETR,
    DETR,
    DFINE,
    RTDETR,
    ConditionalDETR,
    DeformableDETR,
)
from infraspot.detection.trident import TridentNet
from infraspot.detection.vfnet import VFNet
from infraspot.detection.yolof import YOLOF
from infraspot.detection.yolov3 import YOLOv3
from infraspot.detection.yolox import YOLOX

__all__ = ["BACKBONES", "DETECTORS", "BoxOutput", "Detector", "Wanted"]

DETECTORS: dict[str, type[Detector]] = {
    "atss": ATSS,
    "autoassign": AutoAssign,
    "bafe": BAFENet,
    "cascade-rcnn": CascadeRCNN,
    "centernet": CenterNet,
    "conditional-detr": ConditionalDETR,
    "d-fine": DFINE,
    "dab-detr": DABDETR,
    "ddod": DDOD,
    "deformable-detr": DeformableDETR,
    "detr": DETR,
    "dyhead": DyHead,
    "dynamic-rcnn": DynamicRCNN,
    "efficientdet": EfficientDet,
    "faster-rcnn": FasterRCNN,
    "fcos": FCOS,
    "gfl": GFL,
    "grid-rcnn": GridRCNN,
    "libra-rcnn": LibraRCNN,
    "paa": PAA,
    "retinanet": RetinaNet,
    "rt-detr": RTDETR,
    "rtmdet": RTMDet,
    "sabl": SABL,
    "sparse-rcnn": SparseRCNN,
    "ssd": SSD,
    "tood": TOOD,
    "tridentnet": TridentNet,
    "vfnet": VFNet,
    "yolof": YOLOF,
    "yolov3": YOLOv3,
    "yolox": YOLOX,
}
