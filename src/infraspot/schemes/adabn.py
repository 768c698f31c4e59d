"""Norms alone: statistics of the new camera, mixed with those of known ones, and surer answers.

AdaBN (Li et al., 2016) takes the statistics of batch norms from the new camera. Taken wholly, they raise
recall and false alarms together on our frames; so they are mixed, with n / (n + prior) for n images, as in
Schneider et al. (NeurIPS 2020). TENT (Wang et al., ICLR 2021) then lowers the entropy of the answers by the
norms' weights. Over all pixels it would say "background" everywhere; here it is taken over candidates.
"""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from infraspot.core.options import require_number
from infraspot.losses import Batch
from infraspot.schemes.adaptation import Adaptation
from infraspot.schemes.base import Trainee
from infraspot.schemes.features import MOST
from infraspot.schemes.learning import choose_learning, freeze_norms


class AdaBN(Adaptation):
    """Mixed statistics at the start; then, if ``entropy`` is above 0, norms that make candidates surer.

    Parameters
    ----------
    prior
        Images of the new camera that weigh as much as the known cameras.
    entropy
        Weight of the candidates' entropy.
    """

    def __init__(self, prior: float = 16.0, entropy: float = 0.0) -> None:
        require_number(0, 1e9, prior=prior)
        require_number(0, 1e6, entropy=entropy)
        self.prior, self.entropy = prior, entropy

    def begin(self, run: Trainee) -> None:
        super().begin(run)
        images = [torch.from_numpy(sample.image)[None, None].float() for sample in run.unlabelled]
        mix_statistics(run.module, [image.to(run.device) for image in images], self.prior)

    def loss(self, run: Trainee, batch: Batch) -> Tensor:
        choose_learning(run.module, "norms-and-biases")
        freeze_norms(run.module)
        logits = run.network(self.images_of(batch)).logits.float()[:, 0].flatten(1)
        likely = logits.topk(min(MOST, logits.shape[1]), dim=1).values
        chance = likely.sigmoid()
        entropy = -(
            chance * nn.functional.logsigmoid(likely) + (1 - chance) * nn.functional.logsigmoid(-likely)
        )
        return self.entropy * entropy.mean()


@torch.no_grad()
def mix_statistics(network: nn.Module, images: list[Tensor], prior: float) -> None:
    """Move the statistics of batch norms towards those of images (1, 1, H, W), by n / (n + prior)."""
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    before = [{name: value.clone() for name, value in norm.state_dict().items()} for norm in norms]
    rates = [norm.momentum for norm in norms]
    states = {module: module.training for module in network.modules()}
    network.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean over the images
        norm.train()
    for image in images:
        network(image)
    share = len(images) / (len(images) + prior)
    for norm, old, rate in zip(norms, before, rates, strict=True):
        new = norm.state_dict()
        mixed = {name: old[name].lerp(new[name], share) for name in ("running_mean", "running_var")}
        norm.load_state_dict({**old, **mixed})
        norm.momentum = rate
    for module, state in states.items():
        module.training = state
