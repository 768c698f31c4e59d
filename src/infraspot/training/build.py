"""From a recipe to a run that has not begun."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import torch

from infraspot.blocks.fitted import FittedLayer
from infraspot.core.catalog import imported_names
from infraspot.core.errors import UsageError
from infraspot.core.sample import Sample
from infraspot.detection import Detector
from infraspot.inference.engines import locate
from infraspot.inference.prepared import channels_last
from infraspot.networks import SegmentationNetwork
from infraspot.networks.compared import Compared
from infraspot.networks.fitting import fit_layers
from infraspot.schemes import LabelStore, Scheme
from infraspot.training import parts
from infraspot.training.balance import Balance, BySets, ByTargets
from infraspot.training.batching import Further, Loader
from infraspot.training.choosing import chosen_frames
from infraspot.training.clips import Clips
from infraspot.training.devices import open_devices, precision_of
from infraspot.training.ema import EMA
from infraspot.training.frames import CachedFrames, LabelledFrames, WithoutTruth
from infraspot.training.label_state import LabelWatch
from infraspot.training.run import Run
from infraspot.training.settings import DataPart, FurtherPart, Recipe
from infraspot.training.sources import (
    WithBoxes,
    WithClicks,
    open_negatives,
    open_training,
    open_unannotated,
    open_unlabelled,
    open_validation,
    set_of,
)
from infraspot.weights.files import load_backbone, load_detector, load_network, read_card

# Layers that no gradient trains are fitted to about as many frames.
FITTED_FRAMES = 64


@dataclass(frozen=True)
class Sources:
    """Frames for a run, where they do not come from the places that the recipe names.

    Attributes
    ----------
    training, validation
        Frames to train on and to select on.
    negatives, unlabelled
        What joins each batch as ``[negatives]`` and ``[unlabelled]`` of the recipe say; none where empty.
    """

    training: Sequence[Sample]
    validation: Sequence[Sample] = ()
    negatives: Sequence[Sample] = ()
    unlabelled: Sequence[Sample] = ()


def build_run(recipe: Recipe, folder: Path | str, sources: Sources | None = None) -> Run:
    """Read the data and build every part with fresh weights; nothing is written.

    ``sources`` stand in for the places that the recipe names.

    Raises
    ------
    InfraspotError
        If the data are absent or unusable, or an option has a value that its part refuses.
    """
    scheme = parts.build_scheme(recipe.scheme)
    recipe = _decided(recipe, scheme)
    data, train = recipe.data, recipe.train
    fabric = open_devices(train)
    on_test = train.select_on == "test"
    training = _training(data, scheme) if sources is None else sources.training
    if data.choice is not None:
        training = chosen_frames(training, data.choice, data.points, train.seed)
    frames = _cached(training, recipe, scheme)
    validation = _clips(_validation(recipe, scheme), data) if sources is None else sources.validation
    val_frames = _cached(validation, recipe, scheme)
    # What is trained on may choose nothing: a scheme that learns from val never sees the test split.
    own_val = on_test and scheme.uses_val
    scheme_val = (
        _cached(_clips(open_validation(data, data.val_split), data), recipe, scheme)
        if own_val
        else val_frames
    )
    # Initial weights and dropout draw from torch's global generator, which checkpoints save.
    torch.manual_seed(train.seed)
    module = parts.network_of(recipe.network)
    _check_clips(module, recipe)
    if train.channels_last:
        channels_last(module)
    optimiser = parts.build_optimiser(recipe.optimiser, module.to(fabric.device))
    network, wrapped = fabric.setup(module, optimiser)
    loss = parts.build_loss(recipe.loss)
    loss.begin(module)
    labels, val_labels = LabelStore(), LabelStore()
    samples, val = (part if scheme.needs_truth else WithoutTruth(part) for part in (frames, scheme_val))
    donors, val_donors = LabelledFrames(samples, labels), LabelledFrames(val, val_labels)
    loader = Loader(
        samples,
        labels,
        parts.build_transform(recipe.augment, donors),
        train.batch,
        train.seed,
        train.drop_last,
        negatives=_further(
            recipe.negatives,
            _open_further(recipe.negatives, open_negatives, sources, "negatives"),
            donors,
            boxes="boxes" in scheme.reads,
        ),
        unlabelled=_further(
            recipe.unlabelled,
            _open_further(recipe.unlabelled, open_unlabelled, sources, "unlabelled"),
            donors,
        ),
        parts=(*scheme.reads, *getattr(module, "reads", ())),
        rank=fabric.global_rank,
        world=fabric.world_size,
        balance=_balance(data, frames, labels),
    )
    val_loader = Loader(
        val,
        val_labels,
        parts.build_transform(recipe.augment, val_donors),
        train.batch,
        train.seed,
        parts=scheme.reads,
    )
    return Run(
        recipe=recipe,
        folder=Path(folder),
        fabric=fabric,
        module=module,
        network=network,
        optimiser=wrapped,
        ema=EMA(module, train.ema) if train.ema else None,
        loss=loss,
        scheme=scheme,
        frames=frames,
        val_frames=val_frames,
        labels=labels,
        val_labels=val_labels,
        loader=loader,
        val_loader=val_loader,
        watches=_watches(scheme, frames, scheme_val),
    )


def _validation(recipe: Recipe, scheme: Scheme) -> Sequence[Sample]:
    """The frames to validate on; none where nothing is chosen by them and no scheme learns from them."""
    chosen_on = recipe.train.select_on
    if chosen_on == "none" and not scheme.uses_val:
        return ()
    return open_validation(
        recipe.data, recipe.data.test_split if chosen_on == "test" else recipe.data.val_split
    )


def _watches(scheme: Scheme, frames: CachedFrames, val: CachedFrames) -> tuple[LabelWatch, ...]:
    """What labels are compared with, where a scheme makes them without seeing it."""
    makes_labels = not (scheme.needs_truth or scheme.self_supervised)
    return (LabelWatch.over(frames), LabelWatch.over(val)) if makes_labels else ()


def _clips(frames: Sequence[Sample], part: DataPart) -> Sequence[Sample]:
    return frames if part.clip == 1 or not len(frames) else Clips(frames, part.clip, part.clip_every)


def _check_clips(module: SegmentationNetwork | Detector, recipe: Recipe) -> None:
    """Refuse what does not fit clips, or a network that takes others."""
    length = recipe.data.clip
    if module.frames != length:
        raise UsageError(
            f"the network {recipe.network.name} takes {module.frames} frames at a time, and data.clip is"
            f" {length}; make them equal"
        )
    single = [step.name for step in recipe.augment if not parts.is_geometric(step.name)]
    if length > 1 and single:
        raise UsageError(
            f"[[augment]] names {', '.join(single)}, which would change the last frame of a clip alone; clips"
            " take crop, scale, flip, transpose and rot90"
        )
    if length > 1 and (recipe.negatives or recipe.unlabelled):
        raise UsageError(
            "[negatives] and [unlabelled] are single frames; leave them out where data.clip is set"
        )


def _training(data: DataPart, scheme: Scheme) -> Sequence[Sample]:
    """The frames to train on, from the places that the recipe names."""
    return _clips(open_unannotated(data) if scheme.self_supervised else open_training(data), data)


def _cached(frames: Sequence[Sample], recipe: Recipe, scheme: Scheme) -> CachedFrames:
    """Frames in memory, with clicks where something is made of them."""
    by_clicks = not (scheme.needs_truth or scheme.self_supervised)
    if by_clicks or recipe.train.select_on == "clicks":
        frames = WithClicks(frames, recipe.data.points, recipe.train.seed)
    if "boxes" in scheme.reads:
        frames = WithBoxes(frames)
    return CachedFrames(frames, recipe.data.cache_gb * 2**30)


def _balance(part: DataPart, frames: CachedFrames, labels: LabelStore) -> Balance | None:
    """How often each frame is drawn; None where each is drawn once.

    Raises
    ------
    UsageError
        If sets shall come equally often, and there is one.
    """
    if part.balance == "none":
        return None
    if part.balance == "targets":
        return ByTargets(labels)
    names = {set_of(part, id) for id in frames.ids}
    if len(names) < 2:
        raise UsageError(
            "data.balance is 'sets', and all frames to train on are from one; name several in data.merge, or"
            " further ones in data.sets"
        )
    return BySets(partial(set_of, part))


def _decided(recipe: Recipe, scheme: Scheme) -> Recipe:
    """The recipe with every "auto" decided, so that a run resumed on another machine computes the same."""
    train = recipe.train
    decided: dict[str, Any] = {"precision": precision_of(train)}
    if train.select_on == "auto":
        judged = "val" if scheme.needs_truth else "clicks"
        decided["select_on"] = "none" if scheme.self_supervised else judged
    if recipe.second_look is not None and decided.get("select_on", train.select_on) == "none":
        raise UsageError(
            "[second_look] needs frames to validate on, and train.select_on is 'none'; change one"
        )
    return recipe.model_copy(update={"train": train.model_copy(update=decided)})


def begin_run(run: Run) -> None:
    """Give a fresh run its first weights and labels, and fit the layers that no gradient trains.

    Raises
    ------
    UsageError
        If the recipe starts from weights that are not there, or are another network's.
    """
    _load_start(run)
    run.scheme.begin(run)
    if any(isinstance(layer, FittedLayer) for layer in run.module.modules()):
        _fit_layers(run)
    if run.ema is not None:
        run.ema.network.load_state_dict(run.module.state_dict())
    run.at.begun = True


def _fit_layers(run: Run) -> None:
    """Fit to the first frames of the first epoch, on every process alike."""
    batches = list(islice(run.loader.epoch(0), -(-FITTED_FRAMES // run.recipe.train.batch)))
    alike = [batch for batch in batches if batch.images.shape[1:] == batches[0].images.shape[1:]]
    images, labels = (
        torch.cat(layers) for layers in zip(*((b.images, b.labels) for b in alike), strict=True)
    )
    assert isinstance(run.module, SegmentationNetwork)
    fit_layers(run.module, images.to(run.device), labels.to(run.device))
    if run.fabric.world_size > 1:
        run.module.load_state_dict(run.fabric.broadcast(run.module.state_dict()))


def _load_start(run: Run) -> None:
    start = run.recipe.network.start
    if start is None:
        return
    path, trust = locate(start, "torch"), [*imported_names(run.recipe.network.spec)]
    source: SegmentationNetwork | Detector
    if isinstance(run.module, Detector):
        if read_card(path, trust=trust).get("kind") == "backbone":
            _load_backbone(run.module, path)
            return
        source, card = load_detector(path, trust=trust)
    else:
        source, card = load_network(path, trust=trust)
    try:
        state = source.state_dict()
        adopted = run.module.adopt(state) if isinstance(run.module, Compared) else _widened(state, run.module)
        run.module.load_state_dict(adopted)
    except RuntimeError as error:
        raise UsageError(
            f"network.start {start} holds weights of {card['network']}, and the recipe trains"
            f" {run.recipe.network.spec}; `infraspot train --start {start}` takes the network from the file"
        ) from error


def _widened(
    state: dict[str, torch.Tensor], module: SegmentationNetwork | Detector
) -> dict[str, torch.Tensor]:
    """A frame's weights for a network of sequences: layers that take more have them first, then zeros."""
    if module.frames == 1:
        return state
    wanted = module.state_dict()
    for name, value in state.items():
        shape = wanted[name].shape if name in wanted else value.shape
        more = shape[1] - value.shape[1] if len(shape) == value.ndim > 1 else 0
        if more > 0:
            state[name] = torch.cat([value, value.new_zeros(shape[0], more, *shape[2:])], 1)
    return state


def _load_backbone(detector: Detector, path: Path) -> None:
    """Begin a detector with the weights of its backbone."""
    source, card = load_backbone(path)
    own = getattr(detector, "backbone", None)
    try:
        if own is None:
            raise RuntimeError("it has no backbone of its own")
        own.load_state_dict(source.state_dict())
    except RuntimeError as error:
        raise UsageError(
            f"network.start {path} holds the backbone {card['network']['name']}, and the recipe's detector"
            f" has another ({str(error).splitlines()[0]}); name it with network.backbone"
        ) from error


def _open_further(
    part: FurtherPart | None,
    open_frames: Callable[[FurtherPart], Sequence[Sample]],
    sources: Sources | None,
    kind: Literal["negatives", "unlabelled"],
) -> Sequence[Sample]:
    if sources is not None:
        return sources.negatives if kind == "negatives" else sources.unlabelled
    named = part is not None and (part.path is not None or part.set is not None)
    return open_frames(part) if part is not None and named else ()


def _further(
    part: FurtherPart | None, frames: Sequence[Sample], donors: LabelledFrames, *, boxes: bool = False
) -> Further | None:
    if part is None or not frames:
        return None
    cached = CachedFrames(WithBoxes(frames) if boxes else frames, math.inf)
    return Further(cached, parts.build_transform(part.augment, donors), part.per_batch)
