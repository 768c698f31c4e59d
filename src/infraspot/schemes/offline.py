"""Offline pseudo-labels: an annotator grows masks from the clicks once, and the network trains on them.

What MCLC (Li et al., ICCV 2023), COM (Li et al., SPL 2024) and the rows A2-A4 of Table 3 of "Diffuse to
Detect" (Liu et al., 2026) do: labels are made before the first epoch and never change. Only the annotator
differs, so it is an option here.

Where the authors' programs differ: those of MCLC and Diffuse to Detect look up each target's true area to
choose a window. A scheme without masks has no areas, so ``size_prior = "oracle"`` is refused.
"""

from collections.abc import Mapping
from typing import Any

from infraspot.core.errors import UsageError
from infraspot.schemes.base import Scheme, Trainee
from infraspot.schemes.clicks import masks_from_clicks, require_clicks


class Offline(Scheme):
    """Train on masks grown from clicks, with the mean of the loss over the batch.

    Parameters
    ----------
    annotator
        A name in :data:`infraspot.annotators.ANNOTATORS`, or ``"module:function"``.
    options
        Those of the annotator, such as ``{level = "preset:sirst-v1"}`` of ``profile``.
    soft
        Train on the annotator's soft masks instead of masks of 0 and 1.
    """

    def __init__(
        self, annotator: str = "profile", options: Mapping[str, Any] | None = None, soft: bool = False
    ) -> None:
        self.annotator, self.options, self.soft = annotator, dict(options or {}), soft
        if self.options.get("size_prior", "none") != "none" or "areas" in self.options:
            raise UsageError(
                "size_prior='oracle' reads the true area of each target, and this scheme sees clicks alone;"
                " leave it out, or make masks with `infraspot pseudo --size-prior oracle` and train on them"
            )

    def begin(self, run: Trainee) -> None:
        """Grow the masks of all frames.

        Raises
        ------
        InfraspotError
            If a frame has no clicks, a click lies outside its frame, or an option is refused.
        """
        require_clicks(run.samples, "the scheme offline")
        for id, label in masks_from_clicks(run.samples, self.annotator, self.options, soft=self.soft).items():
            run.labels[id] = label
        run.labels.active = [sample.id for sample in run.samples]
