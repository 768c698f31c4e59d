"""Teacher and student."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from training_fakes import make_recipe, write_data

from infraspot.core.errors import DataError, UsageError
from infraspot.losses import LOSSES, Batch
from infraspot.networks import NETWORKS, SegOutput
from infraspot.schemes.distilled import Distilled, attention_distance
from infraspot.training import build_run, fit, read_state, restore_run
from infraspot.weights.files import save_weights

SMALL = {"widths": (4, 4, 8, 8), "depths": (1, 1, 1, 1), "full_width": 4}


def _weights(path: Path, seed: int) -> Path:
    torch.manual_seed(seed)
    network = NETWORKS["compact"](**SMALL)
    with torch.no_grad():
        for parameter in network.head.parameters():
            parameter.normal_()
    card = {"network": {"name": "compact", "options": {key: SMALL[key] for key in SMALL}}, "threshold": 0.5}
    save_weights(path, network.state_dict(), card)
    return path


class _Run:
    """A student that answers as it is told, and a loss by cross-entropy."""

    def __init__(self, logits: Tensor) -> None:
        self.module = self.network = _Fixed(logits)
        self.loss = LOSSES["bce"]()


class _Fixed(nn.Module):
    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, images: Tensor) -> SegOutput:
        return SegOutput(self.logits)


def _batch(unlabelled: int = 0) -> Batch:
    images = torch.rand(2 + unlabelled, 1, 32, 32, generator=torch.Generator().manual_seed(3))
    labels = torch.zeros(2, 1, 32, 32)
    labels[:, :, 4:7, 5:8] = 1
    return Batch(("a", "b"), images[:2], labels, unlabelled=images[2:] if unlabelled else None)


def test_two_teachers_answer_by_the_mean_of_their_probabilities(tmp_path: Path) -> None:
    files = [str(_weights(tmp_path / f"{seed}.safetensors", seed)) for seed in (1, 2)]
    batch = _batch()
    each = [Distilled(file)._ask(batch.images)[0] for file in files]
    both, _ = Distilled(tuple(files))._ask(batch.images)
    assert not torch.equal(*each)
    torch.testing.assert_close(both, (each[0] + each[1]) / 2)


def test_the_loss_is_lowest_where_the_student_answers_as_the_teacher_on_unlabelled_frames_too(
    tmp_path: Path,
) -> None:
    scheme, batch = Distilled(str(_weights(tmp_path / "t.safetensors", 1)), weight=1.0), _batch(unlabelled=3)
    images = torch.cat([batch.images, batch.unlabelled])
    same = scheme._ask(images)[0].logit()
    assert same.shape == (5, 1, 32, 32)
    run = _Run(same)
    scheme.loss(run, batch).backward()
    assert run.network.logits.grad.abs().max() < 1e-7
    # A change on an unlabelled frame alone costs something.
    other = same.clone()
    other[4] += 1
    assert scheme.loss(_Run(other), batch) > scheme.loss(run, batch)


def test_masks_keep_their_share_of_the_loss(tmp_path: Path) -> None:
    file, batch = str(_weights(tmp_path / "t.safetensors", 1)), _batch()
    logits = torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    taught = Distilled(file, weight=1.0)
    bce = LOSSES["bce"]()
    by_masks = bce(SegOutput(logits), batch).mean()
    by_teacher = bce(SegOutput(logits), replace(batch, labels=taught._ask(batch.images)[0])).mean()
    mixed = Distilled(file, weight=0.25).loss(_Run(logits), batch)
    assert float(mixed) == pytest.approx(float(0.75 * by_masks + 0.25 * by_teacher), rel=1e-5)
    assert float(taught.loss(_Run(logits), batch)) == pytest.approx(float(by_teacher), rel=1e-5)


def test_attention_maps_are_compared_whatever_their_width_size_and_scale() -> None:
    one = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert float(attention_distance(one, 7 * one.repeat(1, 2, 1, 1))) == pytest.approx(0, abs=1e-6)
    left, right = torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)
    left[..., 0], right[..., 1] = 1, 3
    # Two unit vectors at right angles.
    assert float(attention_distance(left, right)) == pytest.approx(2)


def test_layers_that_are_not_there_and_other_teachers_on_resuming_are_sentences(tmp_path: Path) -> None:
    file = str(_weights(tmp_path / "t.safetensors", 1))
    with pytest.raises(UsageError, match=r"'nowhere', and the teacher has no such layer; it begins with"):
        Distilled(file, features={"first": "nowhere"})
    data = write_data(tmp_path / "data")
    scheme = {"name": "distilled", "teacher": file, "features": {"first": "stem"}}
    recipe = make_recipe(data, scheme=scheme)
    run = build_run(recipe, tmp_path / "run")
    assert fit(run)
    assert run.at.rows[-1]["loss"] > 0
    _weights(Path(file), 2)
    with pytest.raises(DataError, match="begun with other teachers"):
        restore_run(build_run(recipe, tmp_path / "run"), read_state(tmp_path / "run"))
    wrong = build_run(
        make_recipe(data, scheme=scheme | {"features": {"nowhere": "stem"}}), tmp_path / "other"
    )
    with pytest.raises(UsageError, match="and the network has no such layer"):
        fit(wrong)
    with pytest.raises(UsageError, match="needs a teacher"):
        Distilled(())
