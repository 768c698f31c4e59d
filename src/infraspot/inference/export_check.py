"""Whether an exported file answers as torch does, on noise of odd sizes and on real frames."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infraspot.core.catalog import imported_names
from infraspot.core.errors import InfraspotError, InputError
from infraspot.core.sample import Sample
from infraspot.data import Frame
from infraspot.inference.engines import TorchEngine
from infraspot.inference.frames import prepare_frame, segment_frame
from infraspot.inference.onnx_engines import OnnxEngine, PixelEngine
from infraspot.inference.onnx_file import read_onnx
from infraspot.inference.scores import first_line
from infraspot.networks import SegmentationNetwork
from infraspot.weights.second_look import SecondLookNetwork

TOLERANCE = 1e-4
CHECKED_PLACES = 20
NOISE_SHAPES = ((97, 131), (64, 50))


def checked_gap(path: Path | str, measure: Any, *arguments: Any) -> float:
    """The difference that was measured, if it is small."""
    try:
        difference: float = measure(*arguments)
    except InputError as error:  # the file does not load, or fails on a frame
        raise not_exported(path, error) from error
    if difference > TOLERANCE:
        raise InfraspotError(
            f"{path}: the exported model differs from torch by {difference:.1e}, more than"
            f" {TOLERANCE:.0e}; it was not written"
        )
    return difference


def not_exported(path: Path | str, error: Exception) -> InfraspotError:
    return InfraspotError(
        f"{path}: this network could not be exported for frames of any size; its weights run in torch"
        f" ({type(error).__name__}: {first_line(error)})"
    )


def noise() -> list[Frame]:
    rng = np.random.default_rng(0)
    return [Frame(rng.random(shape, np.float32), 8) for shape in NOISE_SHAPES]


def difference_of_scores(
    network: SegmentationNetwork,
    path: Path,
    frames: Iterable[Sample | Frame],
    second_look: SecondLookNetwork | None,
) -> float:
    """The largest difference between torch and the file, loaded as a stranger's would be.

    The scores of pixels are compared, and the scores of candidates, each at places of the same frames: a map
    after the second look may jump where a pixel lies on an outline.
    """
    rng = np.random.default_rng(0)
    card = json.loads(read_onnx(path).card)
    engines = (
        TorchEngine(network, card, "torch", second_look),
        OnnxEngine(path, trust=[*imported_names(card["network"])]),
    )
    gaps = []
    for frame in (*noise(), *frames):
        image = prepare_frame(frame.image, frame.bit_depth)
        stack = image
        if network.frames > 1:
            past = rng.normal(0, 0.02, (network.frames, *image.shape))
            stack = np.clip(image + past, 0, 1).astype(np.float32)
        reference, exported = (segment_frame(engine, stack) for engine in engines)
        gaps.append(np.abs(reference - exported).max())
        if second_look is not None:
            places = rng.random((CHECKED_PLACES, 2)) * (np.array(image.shape) - 1)
            looks = (engine.second_look for engine in engines)
            peaks = np.full(len(places), 0.9, np.float32)
            judged, again = (look.probabilities(look.logits(image, places), peaks) for look in looks if look)
            gaps.append(np.abs(judged - again).max())
    return float(max(gaps))


def difference_of_pixels(
    network: SegmentationNetwork, path: Path, pixels: str, frames: Iterable[Sample | Frame]
) -> float:
    """The largest difference between torch and a self-contained file, frame by frame and two at a time."""
    card = json.loads(read_onnx(path).card)
    reference = TorchEngine(network, card, "torch")
    exported = PixelEngine(path, trust=[*imported_names(card["network"])])
    most = np.iinfo(pixels).max
    depth = 8 * np.dtype(pixels).itemsize
    gaps = []
    for frame in (*noise(), *frames):
        whole = np.rint(frame.image * most).astype(pixels)
        image = (whole / np.float32(most)).astype(np.float32)
        wanted = segment_frame(reference, image, depth, tile=max(image.shape))
        pair: Sequence[NDArray[Any]] = (whole, whole[:, ::-1])
        alone, turned = (exported.answer(one) for one in pair)
        gaps += [np.abs(wanted - alone).max(), *np.abs(exported.answers(pair) - (alone, turned)).max((1, 2))]
    return float(max(gaps))
