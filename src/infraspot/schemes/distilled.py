"""Distilled: a small network learns from the answers of a larger one, or of several.

Hinton et al., 2015, for maps: the teacher's probability at each pixel stands for the label, in the loss of
the recipe, on the frames of the set and on those of ``[unlabelled]``. Several teachers answer together, by
the mean of their probabilities. Masks keep a share of the loss.

``features`` compares layers as well, by attention transfer (Zagoruyko and Komodakis, ICLR 2017): the mean
square over the channels of a layer, scaled to unit length, says where a network looks. Layers of different
widths and sizes can be compared, and nothing has to be learnt for it.
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from infraspot.core.errors import DataError, UsageError
from infraspot.core.options import require_number
from infraspot.inference.engines import DEFAULT_MODEL, locate
from infraspot.losses import Batch
from infraspot.networks import SegmentationNetwork, SegOutput
from infraspot.schemes.base import Trainee
from infraspot.schemes.full import Full
from infraspot.weights.files import load_network


class Distilled(Full):
    """Train on the masks and on what a teacher says.

    Parameters
    ----------
    teacher
        A weight file, run folder or packaged model; or several, whose probabilities are averaged.
    weight
        Share of the teacher's answers in the loss; the masks have the rest.
    temperature
        The teacher's logits are divided by it: above 1, its answers are softer.
    features
        Layers to compare, as ``{"student.layer" = "teacher.layer"}``, with the first teacher.
    feature_weight
        Weight of that comparison.

    Raises
    ------
    InfraspotError
        If a teacher cannot be loaded, or has no layer of a name.
    """

    def __init__(
        self,
        teacher: str | tuple[str, ...] = DEFAULT_MODEL,
        weight: float = 0.5,
        temperature: float = 1.0,
        features: Mapping[str, str] | None = None,
        feature_weight: float = 1.0,
    ) -> None:
        require_number(0, 1, weight=weight)
        require_number(0.05, 100, temperature=temperature)
        require_number(0, 10_000, feature_weight=feature_weight)
        names = (teacher,) if isinstance(teacher, str) else tuple(teacher)
        if not names:
            raise UsageError("the scheme distilled needs a teacher: a weight file, or a list of them")
        self.weight, self.temperature = weight, temperature
        self.features, self.feature_weight = dict(features or {}), feature_weight
        self.teachers: list[SegmentationNetwork] = [
            load_network(locate(name, "torch"))[0].requires_grad_(False) for name in names
        ]
        for layer in self.features.values():
            _layer(self.teachers[0], layer, "teacher")

    def begin(self, run: Trainee) -> None:
        """Take the masks as labels; see :meth:`Full.begin` for errors.

        Raises
        ------
        UsageError
            If the network has no layer of a name in ``features``.
        """
        for layer in self.features:
            _layer(run.module, layer, "network")
        super().begin(run)

    def loss(self, run: Trainee, batch: Batch) -> Tensor:
        labelled = len(batch)
        images = batch.images if batch.unlabelled is None else torch.cat([batch.images, batch.unlabelled])
        students = {name: _layer(run.module, name, "network") for name in self.features}
        with kept_outputs(students) as own:
            output = run.network(images)
        taught, theirs = self._ask(images)
        ids = (*batch.ids, *("" for _ in range(len(images) - labelled)))
        everything = replace(batch, ids=ids, images=images, labels=taught, negative=None, unlabelled=None)
        value = self.weight * run.loss(output, everything).mean()
        if self.weight < 1:
            known = replace(batch, unlabelled=None)
            value = value + (1 - self.weight) * run.loss(_first(output, labelled), known).mean()
        for name, layer in self.features.items():
            value = value + self.feature_weight * attention_distance(own[name], theirs[layer])
        return value

    def state_dict(self) -> dict[str, Any]:
        return {"teachers": [_fingerprint(teacher) for teacher in self.teachers]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Check that the teachers are those that the run was begun with.

        Raises
        ------
        DataError
            If a file holds other weights now.
        """
        if state["teachers"] != self.state_dict()["teachers"]:
            raise DataError(
                "the run was begun with other teachers than scheme.teacher names now; give the same weight"
                " files, or begin a new run"
            )

    @torch.no_grad()
    def _ask(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Probabilities (N, 1, H, W), the mean over the teachers, and layers of the first one."""
        layers = {name: _layer(self.teachers[0], name, "teacher") for name in self.features.values()}
        with kept_outputs(layers) as kept:
            answers = [
                (teacher.to(images.device)(images).logits.float() / self.temperature).sigmoid()
                for teacher in self.teachers
            ]
        return torch.stack(answers).mean(0), kept


def attention_distance(one: Tensor, other: Tensor) -> Tensor:
    """Mean square difference of two layers' attention maps of unit length, as a scalar.

    Parameters
    ----------
    one, other
        (N, C, h, w) features; channels and sizes may differ. The finer map is brought to the coarser size.
    """
    size = (min(one.shape[-2], other.shape[-2]), min(one.shape[-1], other.shape[-1]))
    maps = [
        F.normalize(F.adaptive_avg_pool2d(layer.float().square().mean(1, keepdim=True), size).flatten(1))
        for layer in (one, other)
    ]
    return (maps[0] - maps[1]).square().sum(1).mean()


@contextmanager
def kept_outputs(layers: Mapping[str, nn.Module]) -> Iterator[dict[str, Tensor]]:
    """What each layer answers within the block, by its name."""
    kept: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        return lambda module, given, answer: kept.__setitem__(name, answer)

    hooks = [layer.register_forward_hook(keep(name)) for name, layer in layers.items()]
    try:
        yield kept
    finally:
        for hook in hooks:
            hook.remove()


def _layer(network: nn.Module, name: str, owner: str) -> nn.Module:
    try:
        return network.get_submodule(name)
    except AttributeError:
        known = [child for child, _ in network.named_children()]
        raise UsageError(
            f"scheme.features names {name!r}, and the {owner} has no such layer; it begins with"
            f" {', '.join(known)}"
        ) from None


def _first(output: SegOutput, count: int) -> SegOutput:
    """The answer for the first frames of a batch."""
    return SegOutput(
        output.logits[:count],
        tuple(map_[:count] for map_ in output.aux),
        None if output.edge is None else output.edge[:count],
        None if output.background is None else output.background[:count],
        tuple((target[:count], rest[:count]) for target, rest in output.streams),
    )


def _fingerprint(network: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
