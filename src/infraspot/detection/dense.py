"""Dense detectors: backbone, pyramid, head and priors, taught by an assigner and three losses."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.core.catalog import find
from infraspot.detection.assigners import ASSIGNERS, IGNORED, Assignment, Said, boxes_taught
from infraspot.detection.backbones import BACKBONES
from infraspot.detection.base import BoxOutput, Detector, Wanted
from infraspot.detection.boxes import (
    LARGEST_POWER,
    NARROW,
    around,
    from_deltas,
    from_edges,
    overlaps,
    sides,
    to_deltas,
    to_edges,
)
from infraspot.detection.heads import HeadMaps, flat
from infraspot.detection.losses import (
    BOX_LOSSES,
    CLASS_LOSSES,
    centreness,
    cross_entropy,
    distribution_focal,
    smooth_absolute,
)
from infraspot.detection.priors import Anchors, Priors, SizedAnchors
from infraspot.detection.pyramid import FPN

Decoder = Callable[[Priors, Tensor], Tensor]

# Of the distribution of an edge's distance, in strides.
BINS = 17


def _edges_exp(priors: Priors, raw: Tensor) -> Tensor:
    return from_edges(priors.points, raw.clamp(max=10).exp())


def _edges_strides(priors: Priors, raw: Tensor) -> Tensor:
    return from_edges(priors.points, F.relu(raw) * priors.strides[:, None])


def _edges_exp_strides(priors: Priors, raw: Tensor) -> Tensor:
    return from_edges(priors.points, raw.clamp(max=10).exp() * priors.strides[:, None])


def _deltas(priors: Priors, raw: Tensor) -> Tensor:
    return from_deltas(priors.boxes, raw)


def _narrow_deltas(priors: Priors, raw: Tensor) -> Tensor:
    return from_deltas(priors.boxes, raw, NARROW)


def _in_cell(priors: Priors, raw: Tensor) -> Tensor:
    shift = (raw[..., :2].sigmoid() - 0.5) * priors.strides[:, None]
    size = sides(priors.boxes) * raw[..., 2:].clamp(max=LARGEST_POWER).exp()
    return around(priors.points + shift, size)


def _distribution(priors: Priors, raw: Tensor) -> Tensor:
    bins = torch.arange(BINS, device=raw.device, dtype=raw.dtype)
    edges = raw.unflatten(-1, (4, BINS)).softmax(-1) @ bins
    return from_edges(priors.points, edges * priors.strides[:, None])


DECODERS: dict[str, Decoder] = {
    "edges": _edges_exp,
    "edges_relu": _edges_strides,
    "edges_strides": _edges_exp_strides,
    "deltas": _deltas,
    "narrow_deltas": _narrow_deltas,
    "in_cell": _in_cell,
    "distribution": _distribution,
}
"""From the raw numbers of a head, (N, K, d), to boxes."""

NUMBERS = {"distribution": 4 * BINS}
"""Raw numbers of a box, where they are not 4."""


@dataclass(frozen=True, kw_only=True)
class Method:
    """What a dense detector is taught, in names of the literal dicts.

    Attributes
    ----------
    decoder, class_loss, box_loss
        Keys of DECODERS, CLASS_LOSSES, BOX_LOSSES; ``"deltas"`` is a smooth difference of shifts and scales.
    assigner
        A key of ASSIGNERS, and its options.
    labels
        What the score of a place with a target should be: ``"one"``; ``"overlap"``, of its box with the
        target; or ``"assigned"``, what the assigner says.
    weights
        What the box loss of a place is weighted by: ``"one"``, ``"centreness"``, ``"score"``, ``"overlap"``
        or ``"assigned"``.
    quality
        What the quality branch learns: ``"centreness"``, ``"overlap"``, or None where there is none.
    gains
        Weights of the losses of class, box, quality and distribution.
    """

    assigner: str
    decoder: str = "edges"
    class_loss: str = "focal"
    box_loss: str = "giou"
    labels: str = "one"
    weights: str = "one"
    quality: str | None = None
    gains: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 0.25)


class DenseDetector(Detector):
    """A detector that says something about every place of every level.

    Parameters
    ----------
    backbone
        A key of BACKBONES.
    strides
        Of the pyramid's levels, doubling.
    width
        Channels of pyramid and head.
    assigner
        Options of the method's assigner, or of another one with its ``name``.
    """

    method: Method
    anchors: Anchors | SizedAnchors = Anchors(scales=(8.0,))
    extra_from: ClassVar[str] = "output"

    def __init__(
        self,
        *,
        backbone: str = "resnet50",
        strides: tuple[int, ...] = (8, 16, 32, 64, 128),
        width: int = 256,
        assigner: dict[str, Any] | None = None,
    ):
        super().__init__()
        self.backbone = find("backbone", backbone, BACKBONES)()
        self.stride = self.backbone.strides[-1]
        self.strides = tuple(strides)
        self.neck = self.make_neck(width)
        self.head = self.make_head(width)
        options = dict(assigner or {})
        name = options.pop("name", self.method.assigner)
        self.assign = find("assigner", name, ASSIGNERS)(
            **({} if assigner else self.assigner_options()) | options
        )

    def make_neck(self, width: int) -> nn.Module:
        """The pyramid."""
        return FPN(self.backbone, self.strides, width, extra_from=self.extra_from)

    def make_head(self, width: int) -> nn.Module:
        """The head; its answer is :class:`HeadMaps`."""
        raise NotImplementedError

    def assigner_options(self) -> dict[str, Any]:
        """Options of the assigner that the method has by itself."""
        return {}

    def features(self, image: Tensor) -> list[Tensor]:
        """The pyramid's maps."""
        found: list[Tensor] = self.neck(self.backbone(image))
        return found

    def detect(self, image: Tensor) -> BoxOutput:
        maps = self.features(image)
        return self.read(self.head(maps), maps)

    def read(self, answer: HeadMaps, maps: Sequence[Tensor]) -> BoxOutput:
        """The head's maps as boxes."""
        priors = self.anchors(maps, self.strides)
        raw = flat(answer.boxes, NUMBERS.get(self.method.decoder, 4)).float()
        quality = None if answer.quality is None else flat(answer.quality)
        boxes = DECODERS[self.method.decoder](priors, raw)
        return BoxOutput(boxes, flat(answer.logits), quality, priors, parts={"raw": raw})

    def loss(self, output: BoxOutput, wanted: Wanted) -> Tensor:
        assert output.priors is not None
        said = self.scores(output).detach(), output.boxes.detach()
        assigned = [
            self.assign(output.priors, boxes, Said(said[0][k], said[1][k]))
            for k, boxes in enumerate(wanted.boxes)
        ]
        return self.taught(output, assigned, wanted)

    def taught(self, output: BoxOutput, assigned: Sequence[Assignment], wanted: Wanted) -> Tensor:
        """The losses of class, box and quality, over all frames, given what each place is taught."""
        method = self.method
        target = torch.stack([one.target for one in assigned])
        label = torch.stack([one.label for one in assigned])
        positive = target >= 0
        truth = boxes_taught(wanted.boxes, assigned)
        found = output.boxes[positive]
        fit = overlaps(found.detach(), truth)
        if method.labels == "overlap":
            label = torch.zeros_like(label).masked_scatter(positive, fit.to(label.dtype))
        weights = self._weights(output, positive, label, truth, fit)
        share = weights.sum().clamp(min=1e-6) if len(weights) else weights.sum() + 1
        over = label.sum() if method.labels == "assigned" else positive.sum()
        losses = find("class loss", method.class_loss, CLASS_LOSSES)(output.logits.float(), label)
        total = method.gains[0] * (losses * (target != IGNORED)).sum() / over.clamp(min=1)
        box = self._box_losses(output, positive, found, truth)
        total = total + method.gains[1] * (box * weights).sum() / share
        if method.quality is not None:
            assert output.quality is not None
            wish = fit if method.quality == "overlap" else self._centreness(output, positive, truth)
            quality = cross_entropy(output.quality[positive].float(), wish)
            total = total + method.gains[2] * quality.sum() / positive.sum().clamp(min=1)
        if method.decoder == "distribution":
            total = total + method.gains[3] * self._distribution(output, positive, truth, weights) / share
        return total

    def _box_losses(self, output: BoxOutput, positive: Tensor, found: Tensor, truth: Tensor) -> Tensor:
        """(P,) losses of the boxes of places with a target."""
        if self.method.box_loss != "deltas":
            return find("box loss", self.method.box_loss, BOX_LOSSES)(found, truth)
        assert output.priors is not None
        anchors = output.priors.boxes[positive.nonzero()[:, 1]]
        return smooth_absolute(output.parts["raw"][positive], to_deltas(anchors, truth))

    def _weights(
        self, output: BoxOutput, positive: Tensor, label: Tensor, truth: Tensor, fit: Tensor
    ) -> Tensor:
        kind = self.method.weights
        if kind == "centreness":
            return self._centreness(output, positive, truth)
        if kind == "score":
            return output.logits.detach().sigmoid()[positive].float()
        if kind == "assigned":
            return label[positive]
        return fit if kind == "overlap" else torch.ones_like(fit)

    def _places(self, output: BoxOutput, positive: Tensor) -> tuple[Tensor, Tensor]:
        """Points and strides of the places that are taught a target, frame after frame."""
        assert output.priors is not None
        place = positive.nonzero()[:, 1]
        return output.priors.points[place], output.priors.strides[place]

    def _centreness(self, output: BoxOutput, positive: Tensor, truth: Tensor) -> Tensor:
        return centreness(to_edges(self._places(output, positive)[0], truth))

    def _distribution(self, output: BoxOutput, positive: Tensor, truth: Tensor, weights: Tensor) -> Tensor:
        points, strides = self._places(output, positive)
        edges = to_edges(points, truth) / strides[:, None]
        raw = output.parts["raw"][positive].unflatten(-1, (4, BINS))
        return (distribution_focal(raw, edges.clamp(min=0)).mean(-1) * weights).sum()
