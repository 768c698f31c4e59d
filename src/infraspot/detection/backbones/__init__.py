"""Backbones, one family a file; :data:`BACKBONES` is the list of all of them."""

from collections.abc import Callable

from infraspot.detection.backbones.base import Backbone
from infraspot.detection.backbones.compact import CompactEncoder
from infraspot.detection.backbones.darknet import Darknet
from infraspot.detection.backbones.efficientnet import EfficientNet
from infraspot.detection.backbones.partial import CSPNeXt
from infraspot.detection.backbones.pvt import PVT
from infraspot.detection.backbones.resnet import BasicBlock, Bottleneck, ResNet
from infraspot.detection.backbones.vgg import VGG16

__all__ = ["BACKBONES", "Backbone", "ResNet"]

BACKBONES: dict[str, Callable[[], Backbone]] = {
    "resnet18": lambda: ResNet(BasicBlock, (2, 2, 2, 2)),
    "resnet34": lambda: ResNet(BasicBlock, (3, 4, 6, 3)),
    "resnet50": lambda: ResNet(Bottleneck, (3, 4, 6, 3)),
    "resnet101": lambda: ResNet(Bottleneck, (3, 4, 23, 3)),
    "resnet10": lambda: ResNet(BasicBlock, (1, 1, 1, 1), 16),
    "compact": CompactEncoder,
    "compact-wide": lambda: CompactEncoder((32, 48, 64, 96)),
    "cspnext-l": lambda: CSPNeXt(1.0, 1.0),
    "cspnext-s": lambda: CSPNeXt(0.33, 0.5),
    "cspnext-tiny": lambda: CSPNeXt(0.167, 0.375),
    "darknet53": Darknet,
    "efficientnet-b0": lambda: EfficientNet(1.0, 1.0),
    "efficientnet-b3": lambda: EfficientNet(1.2, 1.4),
    "pvt-tiny": PVT,
    "vgg16": VGG16,
}
