"""DDOD: disentangle your dense object detector (Chen et al., ACM MM 2021).

The tasks are parted: each tower has a deformable layer of its own, and places are chosen once for scores and
once for boxes, by ATSS. Those for scores are chosen by a quality that holds the score too. The reweighting of
levels by how many places they had so far is left out.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from infraspot.detection.assigners import Assignment, Said, adaptive
from infraspot.detection.atss import ATSS
from infraspot.detection.base import BoxOutput, Wanted
from infraspot.detection.dense import Method
from infraspot.detection.heads import TowerHead
from infraspot.detection.losses import focal
from infraspot.detection.sampling import LearntMovesConv2d
from infraspot.networks.sheet import Sheet

# Of the score, in the quality by which places are chosen for scores; boxes take the overlap alone.
SHARE = 0.8


class DDOD(ATSS):
    """DDOD as published by default."""

    sheet = Sheet(
        family="dense",
        source="Chen et al., ACM MM 2021",
        paper_params=32.378e6,
        note="32.196 M; the table's figure counts the scores of 80 classes",
    )
    method = Method(assigner="atss", decoder="narrow_deltas", quality="overlap", gains=(0.0, 2.0, 1.0, 0.0))

    def make_head(self, width: int) -> nn.Module:
        head = TowerHead(width, len(self.strides), depth=self.depth, norm=self.norm, quality="box")
        head.class_tower[0] = LearntMovesConv2d(width, width)
        head.box_tower[0] = LearntMovesConv2d(width, width)
        return head

    def taught(self, output: BoxOutput, assigned: Sequence[Assignment], wanted: Wanted) -> Tensor:
        assert output.priors is not None
        choose, said = adaptive(by_score=SHARE), (self.scores(output).detach(), output.boxes.detach())
        loss, count = output.logits.new_zeros((), dtype=output.boxes.dtype), 0
        for k, boxes in enumerate(wanted.boxes):
            own = choose(output.priors, boxes, Said(said[0][k], said[1][k]))
            loss = loss + focal(output.logits[k].float(), own.label).sum()
            count += int(own.positive.sum())
        return super().taught(output, assigned, wanted) + loss / max(count, 1)
