"""Heat from a click: the equation, its limits, and its torch twin."""

import numpy as np
import pytest

from infraspot.annotators.dense_crf import Kernel, mean_field
from infraspot.annotators.diffusion_field import DiffusionParameters, diffuse, diffusivity, fuse
from infraspot.annotators.equalise import equalise
from infraspot.annotators.superpixels import superpixel_under
from infraspot.core.errors import UsageError


def laplacian(medium: np.ndarray) -> np.ndarray:
    """L_D as a matrix: minus the conductance between neighbours, rows that sum to zero."""
    height, width = medium.shape
    matrix = np.zeros((medium.size, medium.size))
    for y in range(height):
        for x in range(width):
            for v, u in ((y + 1, x), (y, x + 1)):
                if v < height and u < width:
                    a, b = y * width + x, v * width + u
                    conductance = (medium[y, x] + medium[v, u]) / 2
                    matrix[[a, b], [b, a]] -= conductance
                    matrix[[a, b], [a, b]] += conductance
    return matrix


def test_field_is_the_power_of_identity_minus_tau_laplacian() -> None:
    medium = np.random.default_rng(0).random((6, 7)).astype(np.float32)
    delta = np.zeros(medium.size)
    delta[2 * 7 + 3] = 1
    expected = np.linalg.matrix_power(np.eye(medium.size) - 0.2 * laplacian(medium), 15) @ delta
    field = diffuse(medium, (2, 3), DiffusionParameters(steps=15, tau=0.2))
    assert np.allclose(field.ravel(), expected / expected.max(), atol=1e-5)


def test_heat_does_not_cross_an_edge_as_it_crosses_flat_ground() -> None:
    window = np.zeros((11, 11), np.float32)
    window[:, :6] = 1
    medium = diffusivity(window, DiffusionParameters(beta=10))
    field = diffuse(medium, (5, 4), DiffusionParameters(steps=60))
    assert field[5, 1] > 10 * field[5, 7]


def test_fusion_weighs_field_and_superpixel_by_rho() -> None:
    field = np.array([[1.0, 0.5]], np.float32)
    prior = np.array([[True, False]])
    label = fuse(field, prior, DiffusionParameters(rho=0.8))
    assert np.allclose(label, [[1.0, 0.4]])


@pytest.mark.parametrize(
    "theta",
    [DiffusionParameters(), DiffusionParameters(d0=0.9, beta=3.0, alpha=0.4, rho=0.7, steps=12)],
)
def test_torch_twin_agrees_and_every_parameter_gets_a_gradient(theta: DiffusionParameters) -> None:
    torch = pytest.importorskip("torch")
    from infraspot.blocks.diffusion import HeatDiffusion

    window = np.random.default_rng(1).random((9, 9)).astype(np.float32)
    prior = window > 0.5
    expected = fuse(diffuse(diffusivity(window, theta), (4, 4), theta), prior, theta)
    twin = HeatDiffusion(theta)
    source = torch.zeros(1, 1, 9, 9)
    source[0, 0, 4, 4] = 1
    label = twin(torch.from_numpy(window)[None, None], source, torch.from_numpy(prior)[None, None].float())
    assert np.allclose(label.detach().numpy()[0, 0], expected, atol=2e-5)
    label.square().mean().backward()
    assert all(parameter.grad is not None and parameter.grad != 0 for parameter in twin.parameters())


def test_torch_twin_starts_where_the_annotator_stands_and_stays_stable() -> None:
    torch = pytest.importorskip("torch")
    from infraspot.blocks.diffusion import HeatDiffusion

    twin = HeatDiffusion()
    now, default = (vars(theta) for theta in (twin.parameters_now(), DiffusionParameters()))
    assert now == pytest.approx(default, rel=1e-5)
    with torch.no_grad():
        twin.logit_d0.fill_(9)
    assert twin.parameters_now().d0 * twin.tau <= 0.25


@pytest.mark.parametrize("wrong", [{"d0": 2.0}, {"rho": 1.5}, {"steps": 0}, {"beta": np.nan}, {"tau": "a"}])
def test_senseless_parameters_of_the_diffusion_are_refused(wrong: dict) -> None:
    with pytest.raises(UsageError):
        DiffusionParameters(**wrong)


def test_superpixel_follows_a_bright_square() -> None:
    window = np.zeros((24, 24), np.float32)
    window[9:15, 9:15] = 1
    found = superpixel_under(window, (11, 11), segments=16, compactness=0.1)
    assert found[11, 11]
    assert not (found & (window == 0)).any()


def test_mean_field_agrees_with_a_loop_over_pixels() -> None:
    rng = np.random.default_rng(0)
    probability, grey = rng.uniform(0.1, 0.9, (3, 4)), rng.uniform(0, 255, (3, 4))
    places = [(y, x) for y in range(3) for x in range(4)]
    weights = np.array(
        [
            [
                np.exp(-((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2) / 8 - 3 * (grey[a] - grey[b]) ** 2 / 800)
                for b in places
            ]
            for a in places
        ]
    )
    norm = weights.sum(1) ** -0.5
    belief = probability.ravel()
    logit = np.log(belief / (1 - belief))
    for _ in range(2):
        message = 4 * (norm[:, None] * weights * norm) @ np.stack([belief, 1 - belief], 1)
        belief = 1 / (1 + np.exp(-(logit + message[:, 0] - message[:, 1])))
    found = mean_field(probability.astype(np.float32), grey.astype(np.float32), [Kernel(2, 4, 20)], 2)
    assert np.allclose(found.ravel(), belief, atol=1e-4)


def test_equalised_frame_keeps_order_within_a_constant_tile_count() -> None:
    frame = np.linspace(0, 1, 64 * 64, dtype=np.float32).reshape(64, 64)
    found = equalise(frame, tiles=1)
    assert (np.diff(found.ravel()) >= 0).all()
    assert found.max() == pytest.approx(1)
