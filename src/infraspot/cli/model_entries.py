"""What ``infraspot models`` lists: every network, method and packaged model, with what is known of it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from infraspot.core.errors import UsageError
from infraspot.core.extras import is_installed, require

if TYPE_CHECKING:
    from infraspot.networks import SegmentationNetwork
    from infraspot.networks.sheet import Sheet

AFRESH = "Apache-2.0, written afresh"
SAM_NOTE = "pip install 'infraspot[sam]', and give it weights that are on this machine"


@dataclass(frozen=True)
class Entry:
    """Something that can be listed; ``describe`` counts and measures it."""

    name: str
    family: str
    describe: Callable[[], dict[str, Any]]


def all_entries(threads: int | None, *, counted: bool) -> list[Entry]:
    """Everything that can be listed; without torch, what works without it.

    Parameters
    ----------
    threads
        Measure networks on so many threads (0: all); None measures none.
    counted
        Count the readings of the survey too, which takes longer than the rest.
    """
    if threads is not None:
        require("train", "`infraspot models --measure`")
    with_torch = is_installed("torch")
    entries = [*_weights(with_torch), *_methods(with_torch)]
    if not with_torch:
        return entries
    return [*_networks(threads), *_detectors(), *_readings(threads, counted=counted), *entries]


def _networks(threads: int | None) -> Iterator[Entry]:
    from infraspot.networks import NETWORKS

    for name, network in NETWORKS.items():
        yield Entry(name, network.sheet.family, partial(_network, name, network, network.sheet, threads))


def _detectors() -> Iterator[Entry]:
    """Detectors of boxes, with their parameters; what they compute hangs on what they find."""
    from infraspot.detection import DETECTORS

    for name, detector in DETECTORS.items():
        family = f"detector of boxes, {detector.sheet.family}"
        yield Entry(name, family, partial(_detector, name, family))


def _detector(name: str, family: str) -> dict[str, Any]:
    import torch

    from infraspot.detection import DETECTORS

    sheet = DETECTORS[name].sheet
    paper = _whole(sheet.paper_params)
    try:
        with torch.device("meta"):
            params = sum(parameter.numel() for parameter in DETECTORS[name]().parameters())
    except UsageError as error:  # it needs a package that is not here
        return _row(name, family, sheet.source, AFRESH, paper_params=paper, note=str(error))
    return _row(name, family, sheet.source, AFRESH, params=params, paper_params=paper, note=sheet.note)


def _readings(threads: int | None, *, counted: bool) -> Iterator[Entry]:
    """The readings of the survey; their figures take longer than the rest of the list, so they may wait."""
    from infraspot.networks.readings import survey_readings

    for name, reading in survey_readings().items():
        sheet = reading.sheet
        describe = partial(_row, name, sheet.family, sheet.source, sheet.licence, note=sheet.note)
        if counted:
            describe = partial(_network, name, reading.build, sheet, threads)
        yield Entry(name, sheet.family, describe)


def _network(
    name: str, build: "Callable[[], SegmentationNetwork]", sheet: "Sheet", threads: int | None
) -> dict[str, Any]:
    """One network, measured on ``threads`` threads (0: all) unless that is None."""
    from infraspot.weights.cost import cost

    counted = cost(build)
    return _row(
        name,
        sheet.family,
        sheet.source,
        sheet.licence,
        params=counted.params,
        flops_256=counted.flops,
        macs_256=counted.macs,
        paper_params=_whole(sheet.paper_params),
        paper_flops=_whole(sheet.paper_flops),
        note=sheet.note,
        **({} if threads is None else _measured(build, threads)),
    )


def _measured(build: Callable[[], Any], threads: int) -> dict[str, Any]:
    import torch

    from infraspot.inference.prepared import prepare_for_inference
    from infraspot.weights.cost import measure

    if threads:
        torch.set_num_threads(threads)
    measured = measure(prepare_for_inference(build()))
    return {"ms_256": round(measured.milliseconds, 2), "peak_bytes_256": measured.peak_bytes}


def _weights(with_torch: bool) -> Iterator[Entry]:
    """The models that ship with the package."""
    from infraspot.inference.engines import packaged_models

    for name in packaged_models():
        yield Entry(name, "packaged weights", partial(_packaged, name, counted=with_torch))


def _packaged(name: str, *, counted: bool) -> dict[str, Any]:
    """Packaged weights by their card; their cost is counted with torch."""
    from infraspot.inference.engines import open_engine

    card = open_engine(name).card
    return _row(
        name,
        "packaged weights",
        _origin(card),
        str(card.get("licence", "Apache-2.0")),
        **(_cost_of(card["network"]) if counted else {}),
        trained_on=card.get("trained_on"),
        operating_points=card.get("operating_points"),
        calibration=card.get("calibration"),
        asked_against_given=card.get("asked_against_given"),
    )


def _origin(card: dict[str, Any]) -> str:
    """What a packaged model is, and what it was trained on."""
    data = card.get("recipe", {}).get("data", {})
    sets = [name for name in (data.get("set"), *data.get("sets", ())) if name]
    return f"infraspot: {card['network']['name']}, trained on {' and '.join(sets) or 'generated scenes'}"


def _cost_of(network: dict[str, Any]) -> dict[str, Any]:
    from infraspot.weights.cost import cost
    from infraspot.weights.files import build_network

    counted = cost(partial(build_network, network))
    return {"params": counted.params, "flops_256": counted.flops, "macs_256": counted.macs}


def _methods(with_torch: bool) -> Iterator[Entry]:
    """What needs no training here: classical detectors and annotators."""
    from infraspot.annotators import ADAPTERS, ANNOTATORS, find_annotator
    from infraspot.classical import CLASSICAL
    from infraspot.classical.sequences import SEQUENCES

    adapters = {name: find_annotator(name) for name in ADAPTERS} if with_torch else {}
    for family, members, note in (
        ("classical detector", CLASSICAL, ""),
        ("detector of sequences", SEQUENCES, ""),
        ("annotator", ANNOTATORS, ""),
        ("annotator", adapters, SAM_NOTE),
    ):
        for name, method in members.items():
            first = (method.__doc__ or "").strip().split("\n", 1)[0].partition(";")[0]
            yield Entry(name, family, partial(_row, name, family, first, "Apache-2.0", note=note))


def _row(name: str, family: str, source: str, licence: str, **known: Any) -> dict[str, Any]:
    empty = dict.fromkeys(
        (
            "params",
            "flops_256",
            "macs_256",
            "ms_256",
            "peak_bytes_256",
            "paper_params",
            "paper_flops",
            "trained_on",
            "operating_points",
            "calibration",
            "asked_against_given",
        )
    )
    row = {"name": name, "family": family, "source": source, **empty, "note": "", "licence": licence}
    return row | known


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)
