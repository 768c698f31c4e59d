"""What each published program computes, as one literal table; every result names its protocol.

The numbers of two protocols are not comparable: the same predictions of one detector had Pd 1.000 at native
size and 0.866 after a resize to 256x256.
"""

from dataclasses import dataclass, replace
from typing import Literal

Rule = Literal["distance", "overlap", "shooting"]
Assignment = Literal["best", "greedy"]
EmptyImages = Literal["skip", "zero", "one"]
Bookkeeping = Literal["matched", "by_value"]
Interpolation = Literal["11-point", "area", "101-point"]


@dataclass(frozen=True)
class BoxRule:
    """How average precision over boxes is computed.

    ``legacy`` measures a side as ``x1 - x0 + 1`` (a 3x3 target counts as 4x4), as the published detectors of
    this field do with half-open boxes; the default is exact.
    """

    interpolation: Interpolation = "area"
    ious: tuple[float, ...] = (0.5,)
    legacy: bool = False
    limit: int | None = None


@dataclass(frozen=True)
class Protocol:
    """One way to score, with its written definition.

    Attributes
    ----------
    threshold, inclusive
        A pixel is predicted where its score is above (``inclusive``: at or above) the threshold.
    normalise
        Stretch each score map to [0, 1] before the threshold.
    grid
        (height, width) to which the score map (bilinear) and the truth (nearest) are resized; None keeps the
        native size.
    rule
        ``distance``: centroids closer than ``radius`` pixels (``closed``: at most). ``overlap``: intersection
        over union of at least ``overlap``. ``shooting``: any predicted pixel within ``hit_reach`` rows and
        columns of the target; false alarms lie further than ``miss_reach`` from every target.
    assignment
        ``best``: most pairs, then least distance. ``greedy``: in raster order.
    empty
        Images without target and without prediction in nIoU: left out, 0 (as in the papers) or 1. With
        ``zero`` and ``one`` every image counts.
    bookkeeping
        ``matched``: pixels of unmatched components are false. ``by_value``: a component is forgiven when its
        *area* equals that of a matched one.
    hierarchy
        ``gated`` or ``compat`` matching for hIoU (see :mod:`infraspot.metrics.hierarchy`).
    """

    name: str
    definition: str
    threshold: float = 0.5
    inclusive: bool = False
    normalise: bool = False
    grid: tuple[int, int] | None = None
    rule: Rule = "distance"
    assignment: Assignment = "best"
    radius: float = 3.0
    closed: bool = False
    overlap: float = 0.5
    hit_reach: int = 1
    miss_reach: int = 4
    connectivity: Literal[4, 8] = 8
    empty: EmptyImages = "skip"
    bookkeeping: Bookkeeping = "matched"
    hierarchy: Literal["gated", "compat"] = "gated"
    boxes: BoxRule = BoxRule()

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:
            raise ValueError(f"the threshold must lie in [0, 1], and it is {self.threshold}")
        if self.radius <= 0:
            raise ValueError(f"the radius must be more than 0 pixels, and it is {self.radius}")

    @property
    def limit(self) -> float:
        """Distance below which centroids match; a billionth of a pixel keeps 3 px from becoming 2.999...9."""
        return self.radius + (1e-9 if self.closed else -1e-9)

    def at(self, threshold: float) -> "Protocol":
        """The same protocol at another threshold, which its definition then names."""
        said = self.definition.replace(" (logit > 0)", "").replace(
            f"p > {self.threshold:g}", f"p > {threshold:g}"
        )
        return replace(self, threshold=float(threshold), definition=said)


_GREEDY = (
    "Pd: 8-connected components, centroids strictly closer than 3 px, one to one, greedy in raster order. "
)
_FALSE = "Fa: pixels of unmatched components over all pixels. "
_BY_VALUE = (
    "Fa: pixels of components whose area differs from every matched component's area, over all pixels, so "
    "that a false blob as large as a true one vanishes. "
)
_ZERO = "IoU pooled; nIoU over all images, an empty image without prediction counts 0. "
_SMALL_GRID = "Score map and truth resized to 256x256 (bilinear, nearest). "
_BOXES = (
    "Boxes of the 8-connected components of p > 0.5, scored by the highest p inside; exact coordinates; the "
    "other numbers as in the protocol infraspot. Equal scores enter the curve together. "
)

PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "infraspot",
            "p > 0.5 at native size. IoU pooled; nIoU over images with a target or a prediction. Pd: "
            "8-connected components, centroids strictly closer than 3 px, the largest one-to-one matching "
            "and among these the one of least distance. fa_area: pixels of unmatched components over all "
            "pixels.",
        ),
        Protocol(
            "basicirstd",
            "p > 0.5 at native size. " + _ZERO + _GREEDY + _FALSE,
            assignment="greedy",
            empty="zero",
        ),
        Protocol(
            "dnanet",
            _SMALL_GRID + "p > 0.5 (logit > 0). " + _ZERO + _GREEDY + _BY_VALUE,
            grid=(256, 256),
            assignment="greedy",
            empty="zero",
            bookkeeping="by_value",
        ),
        Protocol(
            "mshnet",
            _SMALL_GRID + "p > 0.5 (logit > 0). " + _ZERO + _GREEDY + _BY_VALUE,
            grid=(256, 256),
            assignment="greedy",
            empty="zero",
            bookkeeping="by_value",
        ),
        Protocol(
            "sctransnet",
            "p > 0.5 at native size. " + _ZERO + _GREEDY + _BY_VALUE,
            assignment="greedy",
            empty="zero",
            bookkeeping="by_value",
        ),
        Protocol(
            "lesps",
            "p > 0.5 at native size. " + _ZERO + _GREEDY + _FALSE,
            assignment="greedy",
            empty="zero",
        ),
        Protocol(
            "pal",
            "p > 0.5 at native size. " + _ZERO + _GREEDY + "Fa: all predicted pixels less those of matched "
            "components, over all pixels. ",
            assignment="greedy",
            empty="zero",
        ),
        Protocol(
            "d2d",
            _SMALL_GRID + "p > 0.5. " + _ZERO + _GREEDY + _FALSE,
            grid=(256, 256),
            assignment="greedy",
            empty="zero",
        ),
        Protocol(
            "uiunet",
            "Each score map stretched to [0, 1], then p > 0.22, native size. "
            + _ZERO
            + "The published program has "
            "neither Pd nor Fa; here they follow basicirstd. ",
            threshold=0.22,
            normalise=True,
            assignment="greedy",
            empty="zero",
        ),
        Protocol(
            "pim",
            "p > 0.5 at native size. "
            + _ZERO
            + _GREEDY
            + _FALSE
            + "hIoU with the released matching: assignment "
            "before the gate, and a phantom target or detection in images without any. ",
            assignment="greedy",
            empty="zero",
            hierarchy="compat",
        ),
        Protocol(
            "pim-shoot",
            "p > 0.5 at native size. "
            + _ZERO
            + "Pd: a predicted pixel within 1 px (rows and columns) of the target. "
            "Fa: predicted pixels further than 4 px from every target, over all pixels. ",
            rule="shooting",
            empty="zero",
            hierarchy="compat",
        ),
        Protocol(
            "voc07",
            _BOXES + "ap: IoU 0.5, mean of the best precision at the 11 recalls 0, 0.1, ... 1. ",
            boxes=BoxRule("11-point"),
        ),
        Protocol(
            "voc12",
            _BOXES + "ap: IoU 0.5, area under the precision envelope. ",
            boxes=BoxRule("area"),
        ),
        Protocol(
            "coco",
            _BOXES
            + "ap: mean of the 101-point precision over IoU 0.5, 0.55, ... 0.95, at most 100 boxes a frame. ",
            boxes=BoxRule("101-point", tuple(round(0.5 + 0.05 * k, 2) for k in range(10)), limit=100),
        ),
    )
}
