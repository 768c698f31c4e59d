"""Full supervision of a detector: every frame has its boxes."""

from torch import Tensor

from infraspot.core.errors import DataError, counted, named
from infraspot.data.clicks import filled_boxes
from infraspot.detection import Detector, Wanted
from infraspot.losses import Batch
from infraspot.schemes.base import Scheme, Trainee

# How many frames an error names before it only counts.


class Boxes(Scheme):
    """Teach a detector the boxes of the targets, with the detector's own loss.

    Boxes are those around the components of a frame's mask; a frame without mask brings its own.
    """

    needs_truth = True
    reads = ("boxes",)

    def begin(self, run: Trainee) -> None:
        """Take the masks as labels, or the boxes filled; transforms paste and crop by them.

        Raises
        ------
        DataError
            If a frame has neither mask nor boxes, or none of them holds a target.
        """
        missing = [sample.id for sample in run.samples if sample.boxes is None]
        if missing:
            raise DataError(
                f"a detector needs boxes or a mask for every frame, and {len(missing)} of"
                f" {counted(len(run.samples), 'frame has', 'frames have')} neither: {named(missing)};"
                " annotate them, or leave them out"
            )
        count = 0
        for sample in run.samples:
            assert sample.boxes is not None
            count += len(sample.boxes)
            run.labels[sample.id] = (
                filled_boxes(sample.boxes, sample.shape) if sample.mask is None else sample.mask
            )
        if not count:
            raise DataError(
                f"a detector needs targets to learn from, and the {len(run.samples)} frames hold none; add"
                " frames with targets"
            )
        run.labels.active = [sample.id for sample in run.samples]

    def loss(self, run: Trainee, batch: Batch) -> Tensor:
        """The detector's own loss of the batch."""
        assert isinstance(run.module, Detector)
        assert batch.boxes is not None
        return run.module.loss(run.network(batch.images), Wanted(batch.boxes, batch.sky))
