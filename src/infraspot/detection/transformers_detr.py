"""DETR and its descendants; their transformers are those of the package `transformers` (extra ``detr``).

A backbone of ours is read at one stride or several. A transformer brings its cells together, and each of a
fixed number of queries asks it for one box. The loss of a set, of each layer, teaches them, and nothing is
thinned out. All begin with random weights; nothing is downloaded.

Departures: one loss serves all but DETR itself. So RT-DETR and D-FINE do without denoising queries and
varifocal loss, and D-FINE without the losses of its distributions of edges. Both stand on a plain ResNet-50.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from infraspot.core.catalog import find
from infraspot.core.extras import require
from infraspot.detection.backbones import BACKBONES, Backbone
from infraspot.detection.base import BoxOutput, Detector, Wanted
from infraspot.detection.boxes import around, within
from infraspot.detection.heads import begin_rare
from infraspot.detection.matching import FOCAL, SOFTMAX, set_loss
from infraspot.detection.pyramid import levels_at
from infraspot.networks.sheet import Sheet

# Layers whose logits begin with the chance that targets have.
CLASSIFIERS = ("class_labels_classifier", "class_embed", "enc_score_head")


@dataclass(frozen=True)
class Form:
    """What sets a detector of the family apart.

    Attributes
    ----------
    name
        Of its classes in `transformers`, without ``Config`` and ``ForObjectDetection``.
    strides, queries, hidden
        By default: levels of the backbone, boxes of a frame, and width within a layer.
    width
        What its configuration calls the channels of the transformer.
    hybrid
        Whether one layer over the coarsest level and a pyramid take the place of the encoder (RT-DETR).
    softmax
        Whether its scores are of target against nothing, and taught so (DETR).
    options
        Further values of its configuration.
    """

    name: str
    strides: tuple[int, ...]
    queries: int
    hidden: int
    width: str = "d_model"
    hybrid: bool = False
    softmax: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)


class SetDetector(Detector):
    """A detector of the family.

    Parameters
    ----------
    strides
        Levels of the backbone that are read, up to its coarsest: as many as published.
    width, heads
        Channels of the transformer, and heads of its attention.
    hidden
        Width within its layers.
    layers
        Of the decoder, and of the encoder where it has several.
    queries
        The most boxes of a frame.

    Raises
    ------
    UsageError
        If `transformers` is not installed.
    """

    form: ClassVar[Form]
    suppression = Detector.suppression | {"iou": 1.0}

    def __init__(
        self,
        *,
        backbone: str = "resnet50",
        strides: tuple[int, ...] | None = None,
        width: int = 256,
        heads: int = 8,
        hidden: int | None = None,
        layers: int = 6,
        queries: int | None = None,
    ):
        super().__init__()
        require("detr", f"the detector {type(self).__name__}")
        import transformers

        form = self.form
        strides = tuple(strides or form.strides)
        if len(strides) != len(form.strides):
            raise ValueError(f"this detector reads {len(form.strides)} strides, and {len(strides)} came")
        if width % 64 or width % (4 * heads):
            raise ValueError(f"width is a multiple of 64 and of four times {heads} heads, and {width} came")
        whole = find("backbone", backbone, BACKBONES)()
        self.stride, levels = whole.strides[-1], levels_at(whole, strides)
        channels = [whole.channels[k] for k in levels]
        hidden = hidden or form.hidden
        options: dict[str, Any] = {
            form.width: width,
            "num_labels": 1,
            "auxiliary_loss": True,
            "num_queries": queries or form.queries,
            "decoder_layers": layers,
            **dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim"), hidden),
            **dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), heads),
            **form.options,
        }
        options |= _hybrid(width, channels, strides) if form.hybrid else {"encoder_layers": layers}
        # Theirs reads the channels of its levels from a backbone that it builds; ours then takes its place.
        small = transformers.ResNetConfig(
            num_channels=1,
            embedding_size=8,
            hidden_sizes=channels,
            depths=[1] * len(channels),
            out_indices=list(range(1, len(channels) + 1)),
        )
        config = getattr(transformers, f"{form.name}Config")(backbone_config=small, **options)
        self.transformer: Any = getattr(transformers, f"{form.name}ForObjectDetection")(config)
        self.transformer.loss_function = _noted
        model, ours = self.transformer.model, _Levels(whole, levels)
        if hasattr(model.backbone, "conv_encoder"):  # DAB-DETR keeps positions beside it
            model.backbone.conv_encoder = ours
        else:
            model.backbone = ours
        for name, layer in self.transformer.named_modules():
            if not form.softmax and isinstance(layer, nn.Linear) and set(name.split(".")) & set(CLASSIFIERS):
                begin_rare(layer)

    @property
    def backbone(self) -> Backbone:
        """The backbone, wherever the transformer keeps it."""
        holder = self.transformer.model.backbone
        found: Backbone = getattr(holder, "conv_encoder", holder).model
        return found

    def detect(self, image: Tensor) -> BoxOutput:
        shape = image.shape[-2], image.shape[-1]
        # Asked for a loss, it says what each layer answers; see _noted.
        answer = self.transformer(image, labels=[] if self.training else None)
        pairs = [(answer.logits, answer.pred_boxes)]
        if self.training:
            noted, axis = answer.loss_dict, 1 if self.form.hybrid else 0
            layers = zip(noted["classes"].unbind(axis), noted["boxes"].unbind(axis), strict=True)
            pairs = [*noted["first"], *layers]
        said = [(self._logits(logits), _in_pixels(boxes, shape)) for logits, boxes in pairs]
        return BoxOutput(within(said[-1][1], shape), said[-1][0], parts={"said": said, "shape": shape})

    def _logits(self, logits: Tensor) -> Tensor:
        """(N, Q): DETR's are of target and of nothing."""
        return logits[..., 0] - logits[..., 1] if self.form.softmax else logits[..., 0]

    def loss(self, output: BoxOutput, wanted: Wanted) -> Tensor:
        """Of every layer, as published."""
        said, shape = output.parts["said"], output.parts["shape"]
        teaching = SOFTMAX if self.form.softmax else FOCAL
        return torch.stack([set_loss(logits, boxes, wanted, shape, teaching) for logits, boxes in said]).sum()


class _Levels(nn.Module):
    """A backbone of ours where theirs was: a map for each level, and where it holds the frame."""

    def __init__(self, backbone: Backbone, levels: list[int]):
        super().__init__()
        self.model, self.levels = backbone, levels

    def forward(self, image: Tensor, mask: Tensor) -> list[tuple[Tensor, Tensor]]:
        maps = self.model(image)
        chosen = [maps[k] for k in self.levels]
        return [(map_, torch.ones_like(map_[:, 0], dtype=torch.bool)) for map_ in chosen]


def _noted(
    logits: Tensor, labels: Any, device: Any, boxes: Tensor, config: Any, *layers: Tensor, **more: Any
) -> tuple[Tensor, dict[str, Any], None]:
    """Stands where their loss is, and hands out what each layer says."""
    first = more.get("enc_topk_logits")
    chosen = [] if first is None else [(first, more["enc_topk_bboxes"])]
    return logits.sum() * 0, {"classes": layers[0], "boxes": layers[1], "first": chosen}, None


def _in_pixels(boxes: Tensor, shape: tuple[int, int]) -> Tensor:
    """(..., 4) edges in pixels, from centres and sides as shares of the frame."""
    x, y, width, height = boxes.unbind(-1)  # sides stay free in an exported graph
    middle = torch.stack([x * shape[1], y * shape[0]], -1)
    return around(middle, torch.stack([width * shape[1], height * shape[0]], -1))


def _hybrid(width: int, channels: list[int], strides: tuple[int, ...]) -> dict[str, Any]:
    return {
        "encoder_hidden_dim": width,
        "encoder_in_channels": channels,
        "feat_strides": list(strides),
        "decoder_in_channels": [width] * len(channels),
        "encode_proj_layers": [len(channels) - 1],
        "num_feature_levels": len(channels),
        "num_denoising": 0,
    }


class DETR(SetDetector):
    """Carion et al., ECCV 2020: one level, every cell sees every other."""

    sheet = Sheet(family="set", source="Carion et al., ECCV 2020", paper_params=41.555e6)
    form = Form("Detr", (32,), queries=100, hidden=2048, softmax=True)


class ConditionalDETR(SetDetector):
    """Meng et al., ICCV 2021: each query looks around a place of its own."""

    sheet = Sheet(
        family="set",
        source="Meng et al., ICCV 2021",
        paper_params=40.297e6,
        note="as published; the table's form has 1024 in place of 2048 in its encoder or its decoder",
    )
    form = Form("ConditionalDetr", (32,), queries=300, hidden=2048)


class DABDETR(SetDetector):
    """Liu et al., ICLR 2022: queries are boxes, which each layer moves."""

    sheet = Sheet(family="set", source="Liu et al., ICLR 2022", paper_params=43.702e6)
    form = Form("DabDetr", (32,), queries=300, hidden=2048, width="hidden_size")


class DeformableDETR(SetDetector):
    """Zhu et al., ICLR 2021: three levels and a fourth, each query reads a few places of each."""

    sheet = Sheet(family="set", source="Zhu et al., ICLR 2021", paper_params=40.099e6)
    form = Form("DeformableDetr", (8, 16, 32), queries=300, hidden=1024)


class RTDETR(SetDetector):
    """Zhao et al., CVPR 2024: a light encoder, and queries that begin at its best places."""

    sheet = Sheet(family="set", source="Zhao et al., CVPR 2024")
    form = Form("RTDetr", (8, 16, 32), queries=300, hidden=1024, hybrid=True)


class DFINE(SetDetector):
    """Peng et al., ICLR 2025: edges are distributions, which each layer sharpens."""

    sheet = Sheet(family="set", source="Peng et al., ICLR 2025")
    form = Form("DFine", (8, 16, 32), queries=300, hidden=1024, hybrid=True)
