"""Full supervision: every frame has its mask."""

from infraspot.core.errors import DataError, counted, named
from infraspot.schemes.base import Scheme, Trainee

# How many frames an error names before it only counts.


class Full(Scheme):
    """Train on the masks themselves, with the mean of the loss over the batch."""

    needs_truth = True

    def begin(self, run: Trainee) -> None:
        """Take the masks as labels.

        Raises
        ------
        DataError
            If a frame has no mask, or none of them holds a target.
        """
        missing = []
        for sample in run.samples:
            if sample.mask is None:
                missing.append(sample.id)
            else:
                run.labels[sample.id] = sample.mask
        if missing:
            raise DataError(
                f"full supervision needs a mask for every frame, and {len(missing)} of"
                f" {counted(len(run.samples), 'frame has', 'frames have')} none: {named(missing)}; add them,"
                " or make them from clicks with `infraspot pseudo`"
            )
        if not any(run.labels.mass(sample.id) for sample in run.samples):
            raise DataError(
                "full supervision needs targets to learn from, and the masks of all"
                f" {len(run.samples)} frames are empty; add frames with targets"
            )
        run.labels.active = [sample.id for sample in run.samples]
