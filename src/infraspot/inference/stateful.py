"""Networks that carry a state along a sequence, as files: (frame, state) in, (scores, state) out.

The graph has the inputs ``image`` (1, 1, H, W) and ``state`` (1, C, H, W) and one output (1, 1 + C, H, W):
the scores, then the state for the next frame. A state of zeros begins a sequence.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.inference.run_times import open_graph
from infraspot.inference.sequences import FrameByFrame


class StatefulEngine(FrameByFrame):
    """Runs an exported network frame by frame, and keeps its state.

    Open one with :func:`infraspot.inference.open_engine`, which checks the file.

    Parameters
    ----------
    path
        A file that :func:`infraspot.inference.stateful_export.export_stateful` wrote.
    card
        Its card.
    options
        Of :func:`infraspot.inference.run_times.open_graph`.
    """

    def __init__(self, path: Path | str, card: dict[str, Any], **options: Any) -> None:
        self.name, self.card = Path(path).stem, card
        self._channels, self._stride = int(card["state_channels"]), int(card["stride"])
        self._graph = open_graph(Path(path), **options)
        self.runs_on = self._graph.runs_on
        super().__init__()

    def begin(self) -> None:
        self._state: NDArray[np.float32] | None = None

    def score(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """(H, W) scores of the next frame of the sequence."""
        height, width = image.shape
        padded = np.pad(image, ((0, -height % self._stride), (0, -width % self._stride)), mode="edge")
        before = self._state
        if before is None or before.shape[-2:] != padded.shape:
            before = np.zeros((1, self._channels, *padded.shape), np.float32)
        answer = self._graph({"image": padded[None, None], "state": before})
        self._state = np.ascontiguousarray(answer[:, 1:])
        scores: NDArray[np.float32] = answer[0, 0, :height, :width]
        return scores

    def state(self) -> dict[str, NDArray[Any]]:
        return {"state": np.zeros((0,), np.float32) if self._state is None else self._state}

    def restore(self, state: dict[str, NDArray[Any]]) -> None:
        kept = np.asarray(state["state"], np.float32)
        self._state = kept if kept.ndim == 4 and kept.shape[1] == self._channels else None
