"""The labels in force while a network trains."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from infraspot.core.errors import DataError


@dataclass(frozen=True, eq=False)
class _Sparse:
    """The pixels of a label that are not zero: flat indices, and their values unless all are 1."""

    shape: tuple[int, int]
    index: NDArray[np.int32]
    values: NDArray[np.float32] | None


class LabelStore:
    """From the id of a frame to its label; the only thing that point supervision evolves.

    A label is (H, W): bool, or float32 in [0, 1] where it is soft. Targets are small, so only pixels above
    zero are kept, and a thousand frames take a few megabytes, in memory and in a checkpoint.

    Attributes
    ----------
    active
        Ids that the network trains on, in their order; a scheme may begin with the easy ones.
    """

    def __init__(self) -> None:
        self._labels: dict[str, _Sparse] = {}
        self.active: list[str] = []

    def __len__(self) -> int:
        return len(self._labels)

    def __iter__(self) -> Iterator[str]:
        return iter(self._labels)

    def __contains__(self, id: str) -> bool:
        return id in self._labels

    def __getitem__(self, id: str) -> NDArray[Any]:
        """(H, W) bool if every value is 0 or 1, else float32; a fresh array."""
        if id not in self._labels:
            raise DataError(f"{id}: there is no label to train on; the scheme must give one to every frame")
        sparse = self._labels[id]
        label: NDArray[Any] = np.zeros(sparse.shape, bool if sparse.values is None else np.float32)
        label.ravel()[sparse.index] = True if sparse.values is None else sparse.values
        return label

    def __setitem__(self, id: str, label: NDArray[Any]) -> None:
        flat = np.ascontiguousarray(label).ravel()
        index = np.flatnonzero(flat).astype(np.int32)
        values = None if flat.dtype == np.bool_ else flat[index].astype(np.float32)
        if values is not None and not ((values > 0) & (values <= 1)).all():
            raise DataError(f"{id}: a label must lie in [0, 1], and this one does not")
        if values is not None and (values == 1).all():
            values = None
        height, width = label.shape
        self._labels[id] = _Sparse((height, width), index, values)

    def state_dict(self) -> dict[str, Any]:
        """Everything as strings and tensors."""
        return {
            "active": list(self.active),
            "labels": {
                id: {
                    "shape": list(sparse.shape),
                    "index": torch.from_numpy(sparse.index),
                    "values": None if sparse.values is None else torch.from_numpy(sparse.values),
                }
                for id, sparse in self._labels.items()
            },
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.active = list(state["active"])
        self._labels = {
            id: _Sparse(
                tuple(part["shape"]),
                part["index"].numpy(),
                None if part["values"] is None else part["values"].numpy(),
            )
            for id, part in state["labels"].items()
        }
