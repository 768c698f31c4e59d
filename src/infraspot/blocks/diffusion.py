"""The diffusion of "Diffuse to Detect" (Liu et al., 2026, Eqs. 2-4) with gradients with respect to theta.

The torch twin of :mod:`infraspot.annotators.diffusion_field`: the same medium, the same explicit steps, the
same fusion, for a batch of windows.
"""

import torch
from torch import Tensor, nn

from infraspot.annotators.diffusion_field import DiffusionParameters


class HeatDiffusion(nn.Module):
    """Soft labels of windows from a point source, differentiable in d0, beta, alpha and rho.

    Parameters
    ----------
    start
        Where the four begin, and the fixed ``steps`` and ``tau``; None takes the defaults. Learning keeps
        beta positive, alpha and rho in (0, 1), and d0 in (0, 1 / (4 tau)), so that the steps stay stable.
    """

    def __init__(self, start: DiffusionParameters | None = None) -> None:
        super().__init__()
        start = DiffusionParameters() if start is None else start
        self.logit_d0 = nn.Parameter(torch.tensor(4 * start.tau * start.d0).logit(eps=1e-6))
        self.log_beta = nn.Parameter(torch.tensor(start.beta).log())
        self.logit_alpha = nn.Parameter(torch.tensor(start.alpha).logit(eps=1e-6))
        self.logit_rho = nn.Parameter(torch.tensor(start.rho).logit(eps=1e-6))
        self.steps, self.tau = start.steps, start.tau

    def parameters_now(self) -> DiffusionParameters:
        """The parameters as numbers, to hand to the annotator."""
        d0, alpha, rho = (
            logit.sigmoid().item() for logit in (self.logit_d0, self.logit_alpha, self.logit_rho)
        )
        return DiffusionParameters(
            d0 / (4 * self.tau), self.log_beta.exp().item(), alpha, rho, steps=self.steps, tau=self.tau
        )

    def forward(
        self, window: Tensor, source: Tensor, prior: Tensor, yielding: Tensor | float = 1.0
    ) -> Tensor:
        """(N, 1, H, W) soft labels with maximum 1.

        Parameters
        ----------
        window
            (N, 1, H, W): background 0, peak 1.
        source
            (N, 1, H, W) u(0): one at the click, zero elsewhere.
        prior
            (N, 1, H, W) in [0, 1]: the superpixel C of the click.
        yielding
            (N, 1, 1, 1) what beta is multiplied by in each window.
        """
        field = diffuse(self._medium(window, yielding), source, self.tau, self.steps)
        rho = self.logit_rho.sigmoid()
        label = rho * field + (1 - rho) * prior
        return label / label.amax((2, 3), keepdim=True)

    def _medium(self, window: Tensor, yielding: Tensor | float) -> Tensor:
        slope_y, slope_x = torch.gradient(window, dim=(2, 3))
        slope = (slope_y.square() + slope_x.square() + 1e-12).sqrt()
        alpha = self.logit_alpha.sigmoid()
        hindrance = alpha * slope + (1 - alpha) * (1 - window)
        return (
            self.logit_d0.sigmoid() / (4 * self.tau) * torch.exp(-self.log_beta.exp() * yielding * hindrance)
        )


def diffuse(medium: Tensor, source: Tensor, tau: float, steps: int) -> Tensor:
    """u(K) of Eq. 3 for (N, 1, H, W), divided by its maximum; heat stays inside the window."""
    down = tau * (medium[..., 1:, :] + medium[..., :-1, :]) / 2
    right = tau * (medium[..., 1:] + medium[..., :-1]) / 2
    field = source
    for _ in range(steps):
        fall_y, fall_x = down * field.diff(dim=-2), right * field.diff(dim=-1)
        field = (
            field
            + nn.functional.pad(fall_y, (0, 0, 0, 1))
            - nn.functional.pad(fall_y, (0, 0, 1, 0))
            + nn.functional.pad(fall_x, (0, 1))
            - nn.functional.pad(fall_x, (1, 0))
        )
    return field / field.amax((2, 3), keepdim=True)
