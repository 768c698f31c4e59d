"""Channel pruning over any network, soft while it trains and for good afterwards (IRPruneDet, AAAI, 2024).

Which channels are prunable is read from the exported graph: a convolution writes them, and only channelwise
operations and further convolutions read them. Networks need no code of their own for it.

    groups = find_groups(network, torch.zeros(1, 1, 64, 64))
    ... each epoch: soften(network, choose(network, groups, keep=0.5))
    plan = choose(network, groups, keep=0.5)
    small = shrink(network, plan)

The card of the small network's weight file says how wide its layers are (:func:`widths`), so that the file
loads like any other.
"""

from collections import Counter
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.fx import Node

from infraspot.core.errors import UsageError
from infraspot.losses.sparsity import filter_bands
from infraspot.weights.narrow import narrow

Network = TypeVar("Network", bound=nn.Module)

# Operations that treat each channel by itself, and need nothing but their input.
CHANNELWISE = {
    "adaptive_avg_pool2d",
    "avg_pool2d",
    "clone",
    "contiguous",
    "dropout",
    "feature_dropout",
    "gelu",
    "hardswish",
    "leaky_relu",
    "max_pool2d",
    "pad",
    "relu",
    "relu_",
    "sigmoid",
    "silu",
    "tanh",
    "upsample_bilinear2d",
    "upsample_nearest2d",
}


@dataclass(frozen=True)
class Group:
    """Channels that are pruned together, by the names of the modules that hold them.

    Attributes
    ----------
    writer
        The convolution whose filters they are.
    followers
        Batch norms and depthwise convolutions between the writer and the readers.
    readers
        Convolutions that read them.
    kept
        Indices of the channels to keep, in order; None before :func:`choose`.
    """

    writer: str
    followers: tuple[str, ...]
    readers: tuple[str, ...]
    kept: tuple[int, ...] | None = None


def find_groups(network: nn.Module, image: Tensor) -> list[Group]:
    """The groups of prunable channels of ``network``, traced with an ``image`` (1, 1, H, W) of any size.

    Raises
    ------
    UsageError
        If the network cannot be traced.
    """
    copy = deepcopy(network).eval()
    program = _trace(copy, image)
    parameters = program.graph_signature.inputs_to_parameters
    holders = {
        node: parameters[node.args[1].name].rpartition(".")[0]
        for node in program.graph.nodes
        if _operation(node) in ("conv2d", "batch_norm") and getattr(node.args[1], "name", None) in parameters
    }
    uses = Counter(holders.values())
    found = (_follow(copy, node, holders) for node in holders if _operation(node) == "conv2d")
    return [group for group in found if group and all(uses[name] == 1 for name in _members(group))]


def _trace(network: nn.Module, image: Tensor) -> torch.export.ExportedProgram:
    try:
        return torch.export.export(network, (image,), strict=False)
    except Exception as error:  # the tracer's exceptions share no public base class
        reason = str(error).strip().split("\n", 1)[0]
        raise UsageError(
            f"{type(network).__name__} cannot be pruned, because its graph cannot be traced: {reason}"
        ) from error


def _members(group: Group) -> tuple[str, ...]:
    return (group.writer, *group.followers, *group.readers)


def _operation(node: Node) -> str:
    packet = getattr(node.target, "overloadpacket", None)
    return getattr(packet, "__name__", "")


def _follow(network: nn.Module, writer: Node, holders: dict[Node, str]) -> Group | None:
    """The group that ``writer`` heads, or None where its channels are added to others or are the answer."""
    if not _is_dense(network, holders[writer]):
        return None
    followers: list[str] = []
    readers: list[str] = []
    waiting = list(writer.users)
    while waiting:
        node = waiting.pop()
        if node in holders and _is_dense(network, holders[node]):
            readers.append(holders[node])
            continue
        if node in holders and _keeps_channels(network, holders[node]):
            followers.append(holders[node])
        elif _operation(node) not in CHANNELWISE:
            return None
        waiting.extend(node.users)
    return Group(holders[writer], tuple(followers), tuple(readers)) if readers else None


def _is_dense(network: nn.Module, name: str) -> bool:
    module = network.get_submodule(name)
    return isinstance(module, nn.Conv2d) and module.groups == 1


def _keeps_channels(network: nn.Module, name: str) -> bool:
    """Whether it is a batch norm or a depthwise convolution."""
    module = network.get_submodule(name)
    if isinstance(module, nn.Conv2d):
        return module.groups == module.in_channels == module.out_channels
    return isinstance(module, nn.BatchNorm2d)


def _filters(network: nn.Module, group: Group) -> Tensor:
    writer = network.get_submodule(group.writer)
    assert isinstance(writer, nn.Conv2d)
    return writer.weight


@torch.no_grad()
def importance(network: nn.Module, group: Group) -> Tensor:
    """One number a channel: the energy of its filter's Haar low band, times the scale of its norm.

    The wavelet is IRPruneDet's idea: a filter of structure keeps its energy in the low band, noise loses half
    of it. Judgement: one level, along the flattened filter. The loss ``wavelet_sparsity`` shrinks the same
    bands while the network trains.
    """
    low, _ = filter_bands(_filters(network, group))
    score = low.norm(dim=1)
    for name in group.followers:
        follower = network.get_submodule(name)
        if isinstance(follower, nn.BatchNorm2d):
            score = score * follower.weight.abs()
    return score


def choose(network: nn.Module, groups: Sequence[Group], *, keep: float, least: int = 4) -> list[Group]:
    """The same groups with the channels to keep: the most important ``keep`` share of the network, 0 to 1.

    Importance is divided by the mean of its group, so that layers can be compared. Each group keeps at least
    ``least`` channels.

    Raises
    ------
    UsageError
        If ``keep`` is not in (0, 1] or there is nothing to prune.
    """
    if not 0 < keep <= 1:
        raise UsageError(f"expected a share of channels to keep above 0 and up to 1, got {keep}")
    if not groups:
        raise UsageError("no channels of this network can be pruned: all of them are added to others")
    scores = [importance(network, group) for group in groups]
    relative = [score / score.mean().clamp_min(1e-12) for score in scores]
    together = torch.cat(relative)
    border = together.sort(descending=True).values[max(round(keep * len(together)), 1) - 1]
    plan = []
    for group, score in zip(groups, relative, strict=True):
        count = max(int((score >= border).sum()), min(least, len(score)))
        best = score.argsort(descending=True, stable=True)[:count]
        plan.append(replace(group, kept=tuple(sorted(best.tolist()))))
    return plan


@torch.no_grad()
def soften(network: nn.Module, plan: Sequence[Group]) -> None:
    """Set the filters that would be pruned to 0, in place; further training may bring them back."""
    for group in plan:
        weight = _filters(network, group)
        gone = torch.ones(len(weight), dtype=torch.bool)
        gone[list(_kept(group))] = False
        weight[gone.to(weight.device)] = 0


@torch.no_grad()
def shrink(network: Network, plan: Sequence[Group]) -> Network:
    """A copy of ``network`` without the channels that the plan drops, with the weights of the others."""
    state = network.state_dict()
    for group in plan:
        kept = torch.tensor(_kept(group))
        for name in (group.writer, *group.followers):
            _take(state, name, kept, axis=0)
        for name in group.readers:
            _take(state, name, kept, axis=1)
    small = narrow(deepcopy(network), widths(network, plan))
    small.load_state_dict(state)
    return small


def widths(network: nn.Module, plan: Sequence[Group]) -> dict[str, list[int]]:
    """Input and output channels of the layers that the plan changes, by the names of their modules.

    This is what a weight file's card needs for :func:`infraspot.weights.files.load_network`.
    """
    found: dict[str, list[int]] = {}
    for group in plan:
        count = len(_kept(group))
        for name in (group.writer, *group.readers):
            layer = network.get_submodule(name)
            assert isinstance(layer, nn.Conv2d)
            found.setdefault(name, [layer.in_channels, layer.out_channels])
        found[group.writer][1] = count
        for name in group.readers:
            found[name][0] = count
        found |= {name: [count, count] for name in group.followers}
    return found


def _kept(group: Group) -> tuple[int, ...]:
    if group.kept is None:
        raise UsageError(f"no channels were chosen for {group.writer!r}: call choose() first")
    return group.kept


def _take(state: dict[str, Tensor], name: str, kept: Tensor, *, axis: int) -> None:
    """Keep some channels of a module's tensors: of its output (``axis`` 0) or of its input (1)."""
    of_output = ("bias", "running_mean", "running_var") if axis == 0 else ()
    for key in (f"{name}.{suffix}" for suffix in ("weight", *of_output)):
        if key in state:
            state[key] = state[key].index_select(axis, kept.to(state[key].device))
