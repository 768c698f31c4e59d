"""Taught: when a teacher corrects a label, and what the boundary is compared with."""

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from infraspot.core.errors import UsageError
from infraspot.core.prediction import Prediction
from infraspot.core.sample import Sample
from infraspot.losses import LOSSES, Batch
from infraspot.schemes import LabelStore, Taught
from infraspot.schemes.taught import step_across

SIDE = 32


def _square(half: int, y: int = 16, x: int = 16) -> np.ndarray[Any, Any]:
    mask = np.zeros((SIDE, SIDE), bool)
    mask[y - half : y + half + 1, x - half : x + half + 1] = True
    return mask


class _Run(SimpleNamespace):
    def predict(self, frames: Sequence[Sample]) -> Iterator[Prediction]:
        return (Prediction(sample.id, self.answer.astype(np.float32)) for sample in frames)


def _label(taught: np.ndarray[Any, Any], target: np.ndarray[Any, Any], **options: Any) -> Any:
    """What a label of 5x5 pixels becomes when the image shows a target and the teacher answers."""
    image = (0.2 + 0.6 * target).astype(np.float32)
    sample = Sample("a", image, points=np.array([[16.0, 16.0]]))
    run = _Run(samples=[sample], answer=taught, labels=LabelStore(), epochs=20, epoch=6)
    scheme = Taught(**options)
    scheme._grown = {"a": _square(2)}
    scheme.begin(run)
    numbers = scheme.begin_epoch(run)
    assert numbers is not None
    return run.labels["a"], numbers["corrected"]


def test_a_label_is_corrected_where_teacher_and_image_agree_against_it() -> None:
    label, corrected = _label(_square(1), target=_square(1), largest=3.0)
    assert np.array_equal(label, _square(1))
    assert corrected == 1
    label, corrected = _label(_square(3), target=_square(3))
    assert np.array_equal(label, _square(3))


@pytest.mark.parametrize(
    ("taught", "target", "options"),
    [
        (_square(3), _square(2), {}),  # the image agrees with the label
        (_square(4), _square(4), {}),  # 81 pixels are more than twice 25
        (_square(1), _square(1), {}),  # 9 pixels are less than half of 25
        (_square(3), _square(3), {"agreement": 0.5}),  # 25 of 49 agree well enough
        (_square(2, 6, 6), _square(2, 6, 6), {}),  # elsewhere
        (np.zeros((SIDE, SIDE), bool), _square(3), {}),  # the teacher sees nothing
    ],
)
def test_every_other_label_stays(taught: Any, target: Any, options: dict[str, Any]) -> None:
    label, corrected = _label(taught, target, **options)
    assert np.array_equal(label, _square(2))
    assert corrected == 0


def test_corrections_do_not_add_up_over_updates() -> None:
    image = (0.2 + 0.6 * _square(4)).astype(np.float32)
    run = _Run(
        samples=[Sample("a", image, points=np.array([[16.0, 16.0]]))],
        labels=LabelStore(),
        answer=_square(3),
        epochs=20,
        epoch=6,
    )
    scheme = Taught()
    scheme._grown = {"a": _square(2)}
    for half in (3, 4, 5, 6):
        run.answer = _square(half)
        scheme.begin_epoch(run)
        assert run.labels.mass("a") <= 2 * 25


def test_the_step_across_an_outline_by_hand() -> None:
    image = np.where(_square(2), 0.8, 0.2)
    assert step_across(image, _square(2)) == pytest.approx(0.6)
    assert step_across(image, _square(1)) == pytest.approx(0)
    assert step_across(np.full((4, 4), 0.5), np.ones((4, 4), bool)) == 0


def test_boundaries_are_compared_with_a_mixture_and_the_rest_with_the_label() -> None:
    labels = torch.zeros(1, 1, 8, 8)
    labels[..., 2:6, 2:6] = 1
    batch = Batch(("a",), torch.zeros(1, 1, 8, 8), labels)
    seen: list[torch.Tensor] = []

    def loss(output: Any, given: Batch) -> torch.Tensor:
        seen.append(given.labels)
        return LOSSES["bce"]()(output, given)

    run = _Run(network=lambda images: SimpleNamespace(logits=torch.zeros(1, 1, 8, 8)), loss=loss, epochs=20)
    for epoch in (0, 6):
        run.epoch = epoch
        Taught(trust=0.5).loss(run, batch)
    assert torch.equal(seen[0], labels)
    mixed = seen[1][0, 0]
    assert mixed[3, 3] == 1
    assert mixed[0, 0] == 0
    assert mixed[2, 3] == 0.75
    assert mixed[1, 3] == 0.25


def test_options_are_checked() -> None:
    with pytest.raises(UsageError, match="trust is 3"):
        Taught(trust=3)
    with pytest.raises(UsageError, match="largest"):
        Taught(largest=0.5)
