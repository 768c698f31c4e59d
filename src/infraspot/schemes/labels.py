"""The labels in force while a network trains."""

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from infraspot.core.errors import DataError, UsageError


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

    The store is frozen while the batches of an epoch are made, because they are made ahead: labels and the
    pool change in ``begin``, ``begin_epoch`` and ``end_epoch`` of a scheme.
    """

    def __init__(self) -> None:
        self._labels: dict[str, _Sparse] = {}
        self._active: tuple[str, ...] = ()
        self._frozen = False

    @property
    def active(self) -> tuple[str, ...]:
        """Ids that the network trains on, in their order; a scheme may begin with the easy ones."""
        return self._active

    @active.setter
    def active(self, ids: Iterable[str]) -> None:
        self._check_open("the pool of active frames")
        self._active = tuple(dict.fromkeys(ids))

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Refuse every change within the block."""
        self._frozen = True
        try:
            yield
        finally:
            self._frozen = False

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
        self._check_open(f"the label of {id}")
        flat = np.ascontiguousarray(label).ravel()
        index = np.flatnonzero(flat).astype(np.int32)
        values = None if flat.dtype == np.bool_ else flat[index].astype(np.float32)
        if values is not None and not ((values > 0) & (values <= 1)).all():
            raise DataError(f"{id}: a label must lie in [0, 1], and this one does not")
        if values is not None and (values == 1).all():
            values = None
        height, width = label.shape
        self._labels[id] = _Sparse((height, width), index, values)

    def mass(self, id: str) -> float:
        """Sum of a label over its pixels: its area, where it is hard."""
        sparse = self._labels[id]
        return float(len(sparse.index) if sparse.values is None else sparse.values.sum(dtype=np.float64))

    def pixels(self, id: str) -> NDArray[np.int32]:
        """Flat indices, ascending, of the pixels that are as likely as not a target's: 0.5 and above."""
        sparse = self._labels[id]
        return sparse.index if sparse.values is None else sparse.index[sparse.values >= 0.5]

    def fingerprint(self) -> str:
        """SHA-256 of the pool and of every label."""
        digest = hashlib.sha256("\n".join(self._active).encode())
        for id, sparse in sorted(self._labels.items()):
            digest.update(f"{id} {sparse.shape}".encode())
            digest.update(sparse.index.tobytes())
            digest.update(b"-" if sparse.values is None else sparse.values.tobytes())
        return digest.hexdigest()

    def state_dict(self) -> dict[str, Any]:
        """Everything as strings and tensors."""
        return {
            "active": list(self._active),
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
        self._active = tuple(state["active"])
        self._labels = {
            id: _Sparse(
                tuple(part["shape"]),
                part["index"].numpy(),
                None if part["values"] is None else part["values"].numpy(),
            )
            for id, part in state["labels"].items()
        }

    def _check_open(self, what: str) -> None:
        if self._frozen:
            raise UsageError(
                f"{what} cannot change within an epoch, because batches are made ahead; change it in begin,"
                " begin_epoch or end_epoch of the scheme"
            )
