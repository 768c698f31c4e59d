"""The batch that losses read."""

import pytest
import torch

from infraspot.losses import Batch, Loss, SegLike
from infraspot.losses.combine import DeepSupervision, Weighted
from infraspot.losses.edges import Edge
from infraspot.networks import SegOutput


def _batch() -> Batch:
    labels = torch.zeros(2, 1, 4, 6)
    labels[0, 0, 1, 2] = 1
    images = torch.arange(48.0).view(2, 1, 4, 6) / 48
    return Batch(("a", "b"), images, labels, points=(torch.ones(1, 2), torch.zeros(0, 2)), sky=labels)


def test_a_batch_moves_with_all_its_parts() -> None:
    moved = _batch().to("meta")
    assert moved.points is not None
    assert moved.sky is not None
    for part in (moved.images, moved.labels, moved.sky, *moved.points):
        assert part.device.type == "meta"
    assert moved.boxes is None
    assert moved.ids == ("a", "b")
    assert len(moved) == 2


def test_a_smaller_batch_keeps_every_target_and_the_mean_of_the_image() -> None:
    small = _batch().shrunk((2, 3))
    assert torch.equal(small.labels[:, 0], torch.tensor([[[0.0, 1, 0], [0, 0, 0]], [[0.0, 0, 0], [0, 0, 0]]]))
    # Pixels 0, 1, 6 and 7 of 48
    assert small.images[0, 0, 0, 0].item() == pytest.approx(14 / 4 / 48)


class _Reading(Loss):
    """Keeps what it was given."""

    def __init__(self) -> None:
        self.seen: list[Batch] = []

    def __call__(self, output: SegLike | torch.Tensor, batch: Batch) -> torch.Tensor:
        self.seen.append(batch)
        return torch.zeros(len(batch))


def test_losses_within_losses_see_the_images() -> None:
    reading, batch = _Reading(), _batch()
    output = SegOutput(torch.zeros(2, 1, 4, 6), (torch.zeros(2, 1, 2, 3),), torch.zeros(2, 1, 4, 6))
    Weighted([(1.0, DeepSupervision(reading, 0.5)), (1.0, Edge(reading))])(output, batch)
    answer, coarse, edge = reading.seen
    assert answer is batch
    assert torch.equal(coarse.images, batch.shrunk((2, 3)).images)
    assert torch.equal(edge.images, batch.images)
    assert not torch.equal(edge.labels, batch.labels)
