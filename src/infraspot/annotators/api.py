"""From clicks to a mask: the one entry to every annotator."""

import inspect
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.annotators.inputs import as_image, as_points
from infraspot.annotators.labelled_mask import LabelledMask
from infraspot.annotators.profile.learning import Convention
from infraspot.annotators.region import Region, merge_regions, record
from infraspot.core.catalog import find
from infraspot.core.errors import UsageError, unknown_name
from infraspot.core.options import shown
from infraspot.core.version import VERSION

Annotator = Callable[..., list[Region]]


def annotate(image: NDArray[Any], points: Any, method: str = "profile", **options: Any) -> LabelledMask:
    """Grow a mask from one click per target.

    Parameters
    ----------
    image
        (H, W) grey frame: uint8, uint16, or floats in [0, 1].
    points
        (N, 2) clicks as (y, x) in pixels; none gives an empty mask. Two clicks on one target share it: each
        pixel goes to the nearest click, on a tie to the earlier one.
    method
        A key of :data:`infraspot.annotators.ANNOTATORS`, ``"sam"`` or ``"sam2"``, or ``"module:function"``.
    options
        Those of the method: ``level`` of ``profile``; ``size_prior="oracle"`` with ``areas`` of ``mclc`` and
        ``diffusion-mc``; ``seed`` where a method is random; ``weights`` of ``sam`` and ``sam2``.

    Raises
    ------
    InputError
        If the image or a click cannot be used; every wrong click is named.
    UsageError
        If the method or an option is unknown or has a wrong value.
    """
    annotator = find_annotator(method)
    _check_options(method, annotator, options)
    frame = as_image(image)
    clicks = as_points(points, (frame.shape[0], frame.shape[1]))
    regions = annotator(frame, clicks, **options) if len(clicks) else []
    mask, soft, owner = merge_regions((frame.shape[0], frame.shape[1]), clicks, regions)
    records = tuple(
        record(frame, owner, index, point, region)
        for index, (point, region) in enumerate(zip(clicks, regions, strict=True))
    )
    return LabelledMask(mask, soft, records, method, options, _stamp(method, options))


def find_annotator(method: str) -> Annotator:
    """The function behind a method's name.

    Raises
    ------
    UsageError
        If there is none; the nearest name is suggested.
    """
    from infraspot.annotators import ADAPTERS, ANNOTATORS

    if not isinstance(method, str):
        raise UsageError(f"the annotator is given by its name, and {shown(method)} came")
    if method not in ANNOTATORS and method not in ADAPTERS and ":" not in method:
        raise unknown_name("annotator", method, [*ANNOTATORS, *ADAPTERS])
    annotator: Any = find("annotator", ADAPTERS.get(method, method), ANNOTATORS)
    if not callable(annotator):
        raise UsageError(f"the annotator {method!r} is {shown(annotator)}, which is no function")
    return annotator


def _check_options(method: str, annotator: Annotator, options: dict[str, Any]) -> None:
    if not options:
        return
    known = _options_of(annotator)
    unknown = [name for name in options if name not in known]
    if unknown:
        takes = f"it takes {', '.join(known)}" if known else "it takes none"
        raise UsageError(f"the annotator {method!r} has no option {', '.join(unknown)}; {takes}")


@lru_cache(maxsize=64)
def _options_of(annotator: Annotator) -> tuple[str, ...]:
    parameters = inspect.signature(annotator).parameters.values()
    return tuple(p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY)


def _stamp(method: str, options: dict[str, Any]) -> dict[str, Any]:
    written = {name: _plain(value) for name, value in options.items()}
    return {
        "method": method,
        "options": written,
        "size_prior": options.get("size_prior", "none"),
        "infraspot": VERSION,
    }


def _plain(option: Any) -> Any:
    if isinstance(option, Convention):
        return option.plain()
    return option.tolist() if isinstance(option, np.ndarray) else option
