"""VGG-16 as SSD has it (2016): no norms, and two wide layers in place of the classifier."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.detection.backbones.base import Backbone

STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
WIDE = 1024


class VGG16(Backbone):
    """Levels at strides 2 and 4, at 8 with a learnt length of each place, and at 16 after the wide layers."""

    strides = (2, 4, 8, 16)
    channels = (128, 256, 512, WIDE)

    def __init__(self) -> None:
        super().__init__()
        stages, channels = [], 1
        for out, depth in STAGES:
            layers: list[nn.Module] = []
            for _ in range(depth):
                layers += [nn.Conv2d(channels, out, 3, padding=1), nn.ReLU(inplace=True)]
                channels = out
            stages.append(nn.Sequential(*layers))
        self.stages = nn.ModuleList(stages)
        self.wide = nn.Sequential(
            nn.MaxPool2d(3, 1, 1),
            nn.Conv2d(channels, WIDE, 3, padding=6, dilation=6),
            nn.ReLU(inplace=True),
            nn.Conv2d(WIDE, WIDE, 1),
            nn.ReLU(inplace=True),
        )
        self.length = nn.Parameter(torch.full((512,), 20.0))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    def forward(self, image: Tensor) -> list[Tensor]:
        x, levels = image, []
        for number, stage in enumerate(self.stages):
            x = stage(F.max_pool2d(x, 2) if number else x)
            if 0 < number < len(self.stages) - 1:
                levels.append(x)
        levels[-1] = F.normalize(levels[-1], dim=1) * self.length[:, None, None]
        return [*levels, self.wide(x)]
