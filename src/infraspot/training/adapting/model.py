"""A model in parts that can be tuned: its network, its second look, and its card."""

import copy
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from infraspot.core.errors import UsageError
from infraspot.inference.engines import TorchEngine, locate
from infraspot.inference.second_look import WIDE
from infraspot.networks import SegmentationNetwork
from infraspot.training.settings import SecondLookPart
from infraspot.weights.files import load_network, load_second_look, save_weights
from infraspot.weights.second_look import SecondLookNetwork, with_second_look


@dataclass(frozen=True, eq=False)
class Model:
    """What a weight file holds.

    Attributes
    ----------
    spec
        The file, or the name of the package, that it was opened by.
    network, look
        The segmentation, and its second look if it has one.
    card
        See :mod:`infraspot.weights.card`.
    """

    spec: str
    network: SegmentationNetwork
    look: SecondLookNetwork | None
    card: dict[str, Any]

    @property
    def engine(self) -> TorchEngine:
        """The model as a detector that runs."""
        return TorchEngine(self.network, self.card, Path(self.spec).stem, self.look)

    @property
    def outlines(self) -> str | None:
        """Where its targets get their outlines, where a second look decides it: "levels" or "map"."""
        look = self.card.get("second_look")
        return None if not look else str(look.get("outlines", "map"))

    @property
    def part(self) -> SecondLookPart:
        """How its second look finds candidates."""
        card = self.card["second_look"]
        return SecondLookPart(
            level=card["level"],
            outline=card["outline"],
            outlines=card.get("outlines", "map"),
            mirrored=card.get("mirrored", False),
            wide=card.get("wide", WIDE),
            widths=tuple(card["widths"]),
        )

    def with_weights(self, state: dict[str, Tensor]) -> "Model":
        """The same model with other weights of the segmentation."""
        network = copy.deepcopy(self.network)
        network.load_state_dict(state)
        return replace(self, network=network.eval())

    def with_look(self, look: SecondLookNetwork, **card: Any) -> "Model":
        """The same model with another second look, and changes of the card's ``second_look``."""
        return replace(
            self, look=look, card={**self.card, "second_look": {**self.card["second_look"], **card}}
        )

    def save(self, path: Path) -> None:
        """Write the weight file in one step."""
        save_weights(path, with_second_look(self.network.state_dict(), self.look), self.card)


def open_model(spec: str, trust: Collection[str] = ()) -> Model:
    """Open a packaged model, weight file or run folder to tune it.

    Raises
    ------
    UsageError
        If it is an ONNX file, whose weights cannot be trained.
    InputError
        If the file is damaged, or names code that is not trusted.
    """
    path = locate(spec, "torch")
    if path.suffix == ".onnx":
        raise UsageError(
            f"{spec}: the weights of an ONNX file cannot be tuned; give the .safetensors file that it was"
            " exported from"
        )
    network, card = load_network(path, trust=trust)
    return Model(spec, network, load_second_look(path, card), card)
