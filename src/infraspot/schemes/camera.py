"""What is measured of a camera: its grey values, its noise and its blur; and how frames get them.

Three schemes bring the images of known cameras, or generated scenes, to the look of a new one, and train on
their masks: ``fda`` swaps low frequencies, ``camera_match`` grey values and noise, ``camera_scenes`` blur as
well.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

from infraspot.core.noise import noise_of
from infraspot.core.options import require_number
from infraspot.core.sample import Sample
from infraspot.losses import Batch
from infraspot.schemes.adaptation import Adaptation
from infraspot.schemes.base import Trainee

LEVELS = np.linspace(0, 1, 65)
SHARPEST, BLURRIEST = 0.3, 3.0  # standard deviations of a blur, in pixels


@dataclass(frozen=True, eq=False)
class Camera:
    """The look of a camera.

    Attributes
    ----------
    greys
        (65,) grey values at even shares of the pixels, as a mean over frames.
    noise
        Standard deviation of the finest detail, in units of [0, 1].
    blur
        Standard deviation of the Gaussian that would give the finest structures their width, pixels.
    """

    greys: Tensor
    noise: float
    blur: float


def measure_camera(samples: Sequence[Sample]) -> Camera:
    """The look of the camera that took some frames."""
    greys = np.mean([np.quantile(sample.image, LEVELS) for sample in samples], axis=0)
    noise = float(np.median([noise_of(sample.image) for sample in samples]))
    blur = float(np.median([_blur_of(sample.image, noise) for sample in samples]))
    return Camera(torch.from_numpy(greys.astype(np.float32)), noise, blur)


def _blur_of(image: Any, noise: float) -> float:
    """From the curvature of the brightest details: a Gaussian peak of height a bends by a / sigma^2."""
    smooth = ndimage.gaussian_filter(np.asarray(image, np.float32), 0.7)
    height = smooth - ndimage.uniform_filter(smooth, 15)
    bend = -ndimage.laplace(smooth) / 2
    strong = (height > max(8 * noise, float(np.quantile(height, 0.999)))) & (bend > 0)
    if not strong.any():
        return 1.0
    width = np.sqrt(max(float(np.median(height[strong] / bend[strong])) - 0.49, 0.0))
    return float(np.clip(width, SHARPEST, BLURRIEST))


def match_greys(images: Tensor, greys: Tensor) -> Tensor:
    """(N, 1, H, W) images with the grey values of a camera, each pixel by its rank in its image."""
    shares = torch.linspace(0, 1, len(greys))
    matched = []
    for image in images:
        own = torch.quantile(
            image.flatten()[:: max(1, image.numel() // 4096)].float(), shares.to(image.device)
        )
        own = own + torch.arange(len(own), device=own.device) * 1e-7  # strictly rising
        place = torch.searchsorted(own, image.flatten().float()).clamp(1, len(own) - 1)
        low, high = own[place - 1], own[place]
        part = ((image.flatten() - low) / (high - low)).clamp(0, 1)
        to = greys.to(image.device)
        matched.append(torch.lerp(to[place - 1], to[place], part).view_as(image))
    return torch.stack(matched)


def swap_amplitudes(images: Tensor, others: Tensor, share: float) -> Tensor:
    """Images with the low frequencies' amplitudes of others, and phases of their own (FDA).

    Parameters
    ----------
    images, others
        (N, 1, H, W), of one size.
    share
        Of the spectrum's sides, around its centre, that is swapped.
    """
    ours, theirs = torch.fft.rfft2(images.float()), torch.fft.rfft2(others.float())
    height, width = ours.shape[-2:]
    rows, columns = max(int(share * height), 1), max(int(share * width), 1)
    amplitude = ours.abs()
    for part in (slice(0, rows), slice(height - rows + 1, height)):
        amplitude[..., part, :columns] = theirs.abs()[..., part, :columns]
    swapped = torch.polar(amplitude, ours.angle())
    return torch.fft.irfft2(swapped, s=images.shape[-2:]).clamp(0, 1)


class FDA(Adaptation):
    """Fourier domain adaptation (Yang and Soatto, CVPR 2020): amplitudes of low frequencies are the new
    camera's.

    Parameters
    ----------
    share
        Of the spectrum's sides that is swapped; 0.01 there.
    """

    def __init__(self, share: float = 0.01) -> None:
        require_number(0, 0.5, share=share)
        self.share = share

    def loss(self, run: Trainee, batch: Batch) -> Tensor:
        others = self.images_of(batch)
        places = torch.arange(len(batch), device=others.device) % len(others)
        images = swap_amplitudes(batch.images, others[places], self.share)
        return super().loss(run, replace(batch, images=images))


class CameraMatch(Adaptation):
    """Grey values and noise of the new camera on the images of known ones.

    Parameters
    ----------
    strength
        How far images go from their own look to the camera's, at most; each goes a random share of it.
    """

    blurs = False

    def __init__(self, strength: float = 1.0) -> None:
        require_number(0, 1, strength=strength)
        self.strength = strength
        self._camera: Camera | None = None

    def loss(self, run: Trainee, batch: Batch) -> Tensor:
        return super().loss(run, replace(batch, images=self._seen_by(self._measured(run), batch.images)))

    def _seen_by(self, camera: Camera, images: Tensor) -> Tensor:
        part = self.strength * torch.rand(len(images), 1, 1, 1).to(images)
        if self.blurs:
            images = torch.lerp(images, _blurred(images, camera.blur), part)
        own = (
            torch.tensor([noise_of(image[0].cpu().numpy()) for image in images]).to(images).view(-1, 1, 1, 1)
        )
        matched = torch.lerp(images, match_greys(images, camera.greys), part)
        missing = (camera.noise**2 - own**2).clamp(min=0).sqrt()
        return (matched + part * missing * torch.randn(images.shape).to(images)).clamp(0, 1)

    def _measured(self, run: Trainee) -> Camera:
        if self._camera is None:
            self._camera = measure_camera(run.unlabelled)
        return self._camera


class CameraScenes(CameraMatch):
    """The same with the camera's blur: for generated scenes (``data.scenes``), which are sharp and clean."""

    blurs = True


def _blurred(images: Tensor, sigma: float) -> Tensor:
    reach = max(1, int(np.ceil(3 * sigma)))
    kernel = torch.exp(-torch.arange(-reach, reach + 1, dtype=torch.float32).pow(2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).to(images)
    padded = F.pad(images, (reach,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, kernel.view(1, 1, -1, 1)), kernel.view(1, 1, 1, -1))
