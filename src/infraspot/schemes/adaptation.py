"""What the schemes of adaptation share: labelled frames of known cameras, and frames of a new one without
labels.

The frames of ``[data]`` are those of known cameras, with masks. The frames of ``[unlabelled]`` are of the
new camera: a scheme sees their images alone.
"""

from torch import Tensor

from infraspot.core.errors import UsageError
from infraspot.losses import Batch
from infraspot.schemes.base import Trainee
from infraspot.schemes.full import Full


class Adaptation(Full):
    """Train on the masks of known cameras, and on images of a new one."""

    def begin(self, run: Trainee) -> None:
        super().begin(run)
        if not len(run.unlabelled):
            raise UsageError(
                f"the scheme {type(self).__name__} adapts to the frames of [unlabelled], and the recipe"
                f" names none;"
                " add --set unlabelled.path=FOLDER"
            )

    def images_of(self, batch: Batch) -> Tensor:
        """The batch's images of the new camera."""
        if batch.unlabelled is None:
            raise UsageError("a batch holds no frame of the new camera; set per_batch in [unlabelled]")
        return batch.unlabelled
