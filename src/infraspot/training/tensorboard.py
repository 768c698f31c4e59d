"""Curves for TensorBoard, an optional extra."""

from pathlib import Path

from infraspot.core.errors import UsageError
from infraspot.training.run import Row, Run


class TensorBoard:
    """Writes each epoch's numbers below ``folder``; a resumed run goes on in the same curves.

    Raises
    ------
    UsageError
        If tensorboard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise UsageError(
                "train.tensorboard needs the package tensorboard; install it with"
                " `pip install 'infraspot[tensorboard]'`, or read log.csv"
            ) from error
        self._writer = SummaryWriter(str(folder))

    def step(self, run: Run, loss: float) -> None:
        """Steps are too many to keep."""

    def epoch(self, run: Run, row: Row) -> None:
        for name, value in row.items():
            if name != "epoch":
                self._writer.add_scalar(name, value, int(row["epoch"]))
        self._writer.flush()
