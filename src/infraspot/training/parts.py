"""From the parts of a recipe to the objects that they name."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from infraspot.augment.geometric import Geometric
from infraspot.augment.transforms import TRANSFORMS, Compose
from infraspot.core.catalog import find
from infraspot.core.errors import UsageError
from infraspot.core.sample import Sample
from infraspot.detection import DETECTORS, Detector
from infraspot.losses import LOSSES, DeepSupervision, Edge, Loss, Weighted, weighted
from infraspot.networks import ALL_NETWORKS, SegmentationNetwork
from infraspot.schemes import SCHEMES, Boxes, Scheme
from infraspot.synth import SceneRanges
from infraspot.training.mistakes import misfits, unknown_option
from infraspot.training.prodigy import Prodigy
from infraspot.training.settings import LossPart, Named, NetworkPart, OptimiserPart, Recipe
from infraspot.training.validation import BOX_NUMBERS, NUMBERS
from infraspot.weights.building import build_detector, build_network, kind_of

OPTIMISERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "adagrad": torch.optim.Adagrad,
    "sgd": torch.optim.SGD,
    "prodigy": Prodigy,
}

# A transform that borrows targets of other frames names them so; the run gives it the training set.
DONORS = "donors"


def wrong_options(recipe: Recipe) -> list[str]:
    """Clauses for every name that is unknown and every option that does not fit what its name stands for."""
    optimiser = recipe.optimiser
    rate = {"lr": optimiser.lr, "weight_decay": optimiser.weight_decay}
    named: list[tuple[str, str, Mapping[str, Any], str, Mapping[str, Any], Sequence[str]]] = [
        (
            "network",
            "network",
            {**ALL_NETWORKS, **DETECTORS},
            recipe.network.name,
            recipe.network.options,
            (),
        ),
        ("scheme", "scheme", SCHEMES, recipe.scheme.name, recipe.scheme.options, ()),
        ("optimiser", "optimiser", OPTIMISERS, optimiser.name, optimiser.options | rate, ("params", "fused")),
        *(
            (f"{place}.{k}", "transform", TRANSFORMS, step.name, step.options, (DONORS,))
            for place, steps in (
                ("augment", recipe.augment),
                ("negatives.augment", recipe.negatives.augment if recipe.negatives else []),
                ("unlabelled.augment", recipe.unlabelled.augment if recipe.unlabelled else []),
                ("second_look.augment", recipe.second_look.augment if recipe.second_look else []),
            )
            for k, step in enumerate(steps)
        ),
        *(
            (f"loss.options.{name}", "loss", LOSSES, name, recipe.loss.options.get(name, {}), ())
            for name in recipe.loss.terms | recipe.loss.edge
        ),
    ]
    mistakes = []
    for place, kind, family, name, options, given in named:
        try:
            mistakes += misfits(place, find(kind, name, family), options, given=given)
        except UsageError as error:
            mistakes.append(f"{place}: {error}")
    mistakes += misfits("data.scene_options", SceneRanges, recipe.data.scene_options)
    if recipe.second_look is not None:
        mistakes += misfits("second_look.scene_options", SceneRanges, recipe.second_look.scene_options)
    numbers: tuple[str, ...] = NUMBERS
    if not mistakes and kind_of(recipe.network.name) == "detector":
        numbers = BOX_NUMBERS
        mistakes += _unfit_for_detectors(recipe)
    elif not mistakes and find("scheme", recipe.scheme.name, SCHEMES) is Boxes:
        mistakes.append(
            f"scheme: 'boxes' teaches detectors of boxes, and {recipe.network.name!r} is a segmentation"
            " network; name a detector, or leave the scheme out"
        )
    mistakes += [
        unknown_option(f"train.select.{name}", numbers) for name in selected(recipe) if name not in numbers
    ]
    unused = set(recipe.loss.options) - set(recipe.loss.terms | recipe.loss.edge)
    mistakes += [unknown_option(f"loss.options.{name}", recipe.loss.terms) for name in sorted(unused)]
    return mistakes


def _unfit_for_detectors(recipe: Recipe) -> list[str]:
    """Clauses for the parts that only segmentation networks have."""
    mistakes = []
    scheme: Any = find("scheme", recipe.scheme.name, SCHEMES)
    if not (inspect.isclass(scheme) and issubclass(scheme, Boxes)):
        mistakes.append(
            f"scheme: {recipe.scheme.name!r} teaches segmentation networks, and {recipe.network.name!r} is a"
            " detector of boxes; set scheme.name to 'boxes'"
        )
    for part, given in (("prune", recipe.prune), ("second_look", recipe.second_look)):
        if given is not None:
            mistakes.append(f"{part}: this is for segmentation networks; leave the part out")
    if recipe.train.select_on == "clicks":
        mistakes.append("train.select_on: a detector is chosen by boxes, which clicks do not have")
    return mistakes


def selected(recipe: Recipe) -> dict[str, float]:
    """The numbers of the validation that choose the best epoch, with their weights."""
    select = recipe.train.select
    return {select: 1.0} if isinstance(select, str) else select


def network_of(part: NetworkPart) -> SegmentationNetwork | Detector:
    """The network or detector of ``[network]``, with fresh weights."""
    options = {name: _frozen(value) for name, value in part.options.items()}
    build = build_detector if kind_of(part.name) == "detector" else build_network
    return _make("network", build, {"spec": part.spec | {"options": options}})


def build_scheme(part: Named) -> Scheme:
    """The scheme of ``[scheme]``."""
    return _make("scheme", find("scheme", part.name, SCHEMES), part.options)


def build_loss(part: LossPart) -> Loss:
    """The loss of ``[loss]``: a weighted sum, over auxiliary maps and on the edge map where it says so."""
    terms: Sequence[tuple[float, Loss]] = weighted(part.terms, part.options).terms
    if part.aux_weights is not None or part.warm_up:
        deep = DeepSupervision(
            Weighted([(weight, loss) for weight, loss in terms if loss.per_map]),
            0.0 if part.aux_weights is None else part.aux_weights,
            size=part.aux_size,
            normalise=part.aux_mean,
            warm_up=part.warm_up,
        )
        terms = [(1.0, deep), *((weight, loss) for weight, loss in terms if not loss.per_map)]
    if part.edge:
        terms = [*terms, (1.0, Edge(weighted(part.edge, part.options), part.edge_truth))]
    return Weighted(terms)


def build_transform(steps: Sequence[Named], donors: Sequence[Sample]) -> Compose:
    """The transforms of ``[[augment]]``, in their order."""
    return Compose([_build_step(k, step, donors) for k, step in enumerate(steps)])


def is_geometric(name: str) -> bool:
    """Whether a transform moves pixels and leaves their values: the frames of a clip can make it together."""
    made = find("transform", name, TRANSFORMS)
    return isinstance(made, type) and issubclass(made, Geometric)


def build_optimiser(part: OptimiserPart, network: nn.Module) -> torch.optim.Optimizer:
    """The optimiser of ``[optimiser]``; biases and normalisation decay only on demand."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    vectors = [p for p in parameters if p.ndim <= 1 and not part.decay_all]
    matrices = [p for p in parameters if p.ndim > 1 or part.decay_all]
    groups = [
        {"params": matrices, "weight_decay": part.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    options = {name: _frozen(value) for name, value in part.options.items()}
    make = find("optimiser", part.name, OPTIMISERS)
    if "fused" in inspect.signature(make).parameters:
        # One kernel for all parameters; on the CPU, a step of many small tensors is mostly overhead.
        options.setdefault("fused", all(p.device.type == "cpu" for p in parameters))
    return _make("optimiser", make, {"params": [g for g in groups if g["params"]], "lr": part.lr, **options})


def _build_step(position: int, step: Named, donors: Sequence[Sample]) -> Callable[..., Sample]:
    make = find("transform", step.name, TRANSFORMS)
    options = step.options
    if not misfits("", make, {DONORS: donors}):
        options[DONORS] = donors
    return _make(f"augment.{position}", make, options)


def _make(place: str, make: Callable[..., Any], options: Mapping[str, Any]) -> Any:
    """Call a constructor; its complaint about a value becomes a sentence."""
    try:
        return make(**{name: _frozen(value) for name, value in options.items()})
    except (TypeError, ValueError) as error:
        raise UsageError(f"{place} of the recipe: {error}") from error


def _frozen(value: Any) -> Any:
    """TOML knows lists only, and pairs of numbers are tuples here."""
    plain = isinstance(value, list) and not any(isinstance(item, dict) for item in value)
    return tuple(_frozen(item) for item in value) if plain else value
