"""The card of a weight file: what it may say, checked before anything is built from it.

A card is JSON inside a safetensors or ONNX file::

    {"network": {"name": "compact", "options": {}}, "threshold": 0.5, "trained_on": "...", ...}

``kind`` is ``"detector"`` where the network answers with boxes; ``suppression`` then says how they are
thinned out. A pruned network has ``widths`` beside its options (see :mod:`infraspot.weights.narrow`), and one
that scales its image has ``input`` with ``mean`` and ``std``. A file whose graph takes a camera's pixels says
in ``pixels`` of which type. A model that looks twice has ``second_look``, and one that parts clusters has
``peaks``. ``operating_points`` are thresholds with names. Keys that are not in :class:`Card` are notes for
the reader.
"""

import json
from collections.abc import Collection, Mapping
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    field_validator,
    model_validator,
)

from infraspot.core.catalog import require_trust
from infraspot.core.errors import InputError

LONGEST_CARD = 4_000_000  # characters
LARGEST_OPTION = 4096
MOST_ITEMS = 64
DEEPEST = 4

Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Width = Annotated[int, Field(ge=1, le=1 << 16)]


class _Part(BaseModel):
    model_config = ConfigDict(strict=True)


class InputCard(_Part):
    """What the network takes out of the image first, in units of [0, 1]."""

    mean: float = Field(ge=-1e3, le=1e3)
    std: float = Field(ge=1e-3, le=1e3)


class NetworkCard(_Part):
    """How to build the network."""

    model_config = ConfigDict(strict=True, extra="forbid")

    name: str = Field(min_length=1, max_length=200)
    options: dict[str, JsonValue] = Field(default={}, max_length=MOST_ITEMS)
    widths: dict[str, Annotated[list[Width], Field(min_length=2, max_length=2)]] = Field(
        default={}, max_length=20_000
    )
    input: InputCard | None = None

    @field_validator("options")
    @classmethod
    def _bounded(cls, options: dict[str, JsonValue]) -> dict[str, JsonValue]:
        _check_option(options, DEEPEST)
        return options


Coefficient = Annotated[float, Field(ge=-1e3, le=1e3)]


class FalseAlarms(_Part):
    """What was measured on held-out frames; a row is (threshold, false alarms in 10^6 pixels, Pd)."""

    data: str = Field(max_length=1000)
    megapixels: float = Field(gt=0, allow_inf_nan=False)
    targets: int = Field(ge=1)
    curve: list[Annotated[list[Amount], Field(min_length=3, max_length=3)]] = Field(
        min_length=1, max_length=10_000
    )

    @field_validator("curve")
    @classmethod
    def _rises(cls, curve: list[list[float]]) -> list[list[float]]:
        if any(row[0] > 1 or row[2] > 1 for row in curve):
            raise ValueError("thresholds and Pd lie in [0, 1]")
        if any(low[0] >= high[0] for low, high in pairwise(curve)):
            raise ValueError("thresholds must rise from row to row")
        return curve


class SecondLookCard(_Part):
    """How candidates are found, judged and calibrated (see :mod:`infraspot.inference.second_look`)."""

    widths: Annotated[list[Annotated[int, Field(ge=1, le=256)]], Field(min_length=3, max_length=3)]
    level: float = Field(gt=0, lt=1)
    outline: float = Field(gt=0, lt=1)
    outlines: Literal["map", "levels"] = "map"
    mirrored: bool = False
    wide: Literal[128, 192, 256] = 128
    look: Coefficient
    peak: Coefficient
    crowd: Coefficient
    offset: Coefficient


class PeaksCard(_Part):
    """How touching targets are parted and scored (see :mod:`infraspot.inference.peaks`)."""

    level: float = Field(gt=0, lt=1)
    share: float = Field(gt=0, lt=1)
    saddle: float = Field(gt=0, lt=1)
    peak: Coefficient
    size: Coefficient
    crowd: Coefficient
    offset: Coefficient


class Measured(_Part):
    """What an operating point gave; ``clean`` is the share of frames without a false target."""

    data: str = Field(max_length=1000)
    frames: int = Field(ge=1)
    targets: int = Field(ge=0)
    pd: Share | None
    false_per_frame: Amount
    false_per_mpx: Amount
    clean: Share


class OperatingPoint(_Part):
    """A threshold with a name, what it gave, and the rate ``fa_per_mpx`` that it was chosen for, if any."""

    threshold: Share
    fa_per_mpx: Amount | None = None
    measured: list[Measured] = Field(default=[], max_length=MOST_ITEMS)


class SuppressionCard(_Part):
    """How one box is chosen for a target.

    Of the ``before`` highest scores from ``least`` on, a box is left out where a better one overlaps it by
    more than ``iou``; ``most`` are kept.
    """

    iou: float = Field(default=0.5, gt=0, le=1)
    least: float = Field(default=0.01, ge=0, le=1)
    before: int = Field(default=1000, ge=1, le=100_000)
    most: int = Field(default=300, ge=1, le=100_000)


def refuse_start_only(card: Mapping[str, Any], path: object) -> None:
    """Refuse weights to detect with that a training may begin from and whose answer is no score of targets.

    Raises
    ------
    InputError
        If the card says so.
    """
    if card.get("start_only"):
        raise InputError(
            f"{path}: these weights were pre-trained on another task, and their answer is no score of"
            " targets; train from them first, with `infraspot train RECIPE --set network.start=...`"
        )


class Card(_Part):
    """What every card says."""

    model_config = ConfigDict(strict=True, extra="allow")

    kind: Literal["segmentation", "detector", "backbone"] = "segmentation"
    network: NetworkCard
    suppression: SuppressionCard | None = None
    threshold: Share = 0.5
    start_only: bool = False
    stride: int | None = Field(default=None, ge=1, le=1024)
    frames: int | None = Field(default=None, ge=1, le=64)
    state_channels: int | None = Field(default=None, ge=1, le=512)
    preprocessing: Literal["stretch"] = "stretch"
    pixels: Literal["uint8", "uint16"] | None = None
    false_alarms: FalseAlarms | None = None
    second_look: SecondLookCard | None = None
    peaks: PeaksCard | None = None
    operating_points: dict[Annotated[str, Field(max_length=50)], OperatingPoint] = Field(
        default={}, max_length=MOST_ITEMS
    )

    @model_validator(mode="after")
    def _judged_once(self) -> "Card":
        if self.second_look is not None and self.peaks is not None:
            raise ValueError("a model has second_look or peaks, and this one has both")
        return self


def parse_card(text: str, source: object, trust: Collection[str] | str = ()) -> dict[str, Any]:
    """The card in ``text``, checked.

    Parameters
    ----------
    text
        JSON.
    source
        The file, for messages.
    trust
        Names of code outside infraspot that the card may name (see :mod:`infraspot.core.catalog`).

    Raises
    ------
    InputError
        If the card is too long, not JSON, or a value is missing, unknown or out of range; all of them are
        named. If it names code that is not trusted.
    """
    if len(text) > LONGEST_CARD:
        raise InputError(
            f"{source}: its card is {len(text)} characters long; at most {LONGEST_CARD} are read"
        )
    try:
        card = json.loads(text, parse_constant=_refuse_constant)
        Card.model_validate(card)
    except ValidationError as error:
        raise InputError(f"{source}: its card is wrong; {'; '.join(_clauses(error))}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{source}: its card cannot be read as JSON: {error}") from None
    require_trust(card["network"], trust, source)
    found: dict[str, Any] = card
    return found


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number that JSON knows")


def _clauses(error: ValidationError) -> list[str]:
    """One clause for each of the first mistakes."""
    details = error.errors(include_url=False, include_context=False)
    clauses = []
    for detail in details[:5]:
        place = ".".join(str(key)[:100] for key in detail["loc"]) or "the card"
        message = detail["msg"].removeprefix("Value error, ")
        came = "" if detail["type"] == "missing" else f" (it is {repr(detail['input'])[:60]})"
        clauses.append(f"{place}: {message[0].lower()}{message[1:]}{came}")
    return clauses + ([f"and {len(details) - 5} more"] if len(details) > 5 else [])


def _check_option(value: JsonValue, depth: int) -> None:
    """Refuse options that no network needs and that would be slow to build."""
    if isinstance(value, dict | list):
        if depth == 0 or len(value) > MOST_ITEMS:
            raise ValueError(f"lists hold at most {MOST_ITEMS} items and nest at most {DEEPEST} deep")
        for item in value.values() if isinstance(value, dict) else value:
            _check_option(item, depth - 1)
    elif isinstance(value, str) and len(value) > 200:
        raise ValueError("words have at most 200 characters")
    elif isinstance(value, int | float) and not 0 <= value <= LARGEST_OPTION:
        raise ValueError(f"numbers lie between 0 and {LARGEST_OPTION}")
