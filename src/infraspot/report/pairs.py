"""Predictions and truth side by side: which files belong together, and how each pair is read."""

import re
import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from infraspot.core.errors import DataError, InputError, UsageError
from infraspot.core.prediction import Prediction
from infraspot.data import (
    Reader,
    list_images,
    natural_key,
    open_dataset,
    read_image,
    read_mask,
    stray_mask_values,
)
from infraspot.data.decoding import decode
from infraspot.data.listing import is_image_name

ENDING = re.compile(r"(_pixels0|\.mask|_mask|\.prob|_prob)$")
NOT_PREDICTIONS = re.compile(r"\.overlay$")


@dataclass(frozen=True, eq=False)
class LoadedPair:
    """What was predicted for one frame, its truth (H, W) and, where there is one, its image (H, W)."""

    id: str
    prediction: Prediction
    truth: NDArray[np.bool_]
    image: NDArray[np.float32] | None = None
    remarks: tuple[str, ...] = ()

    @property
    def highest(self) -> float:
        """The highest score; 0 without any."""
        if self.prediction.score_map is not None:
            return float(self.prediction.score_map.max(initial=0))
        return max((target.score for target in self.prediction.candidates or ()), default=0.0)


@dataclass(frozen=True, eq=False)
class Pair:
    """One frame to score; ``load`` reads it and may raise an ``InfraspotError``."""

    id: str
    load: Callable[[], LoadedPair]


@dataclass(frozen=True, eq=False)
class PairList:
    """Frames to score in natural order, what is wrong with the others, and the files taken, in words."""

    pairs: list[Pair]
    missing: list[str] = field(default_factory=list)
    surplus: list[str] = field(default_factory=list)
    taken: str = ""


@dataclass(frozen=True, eq=False)
class Truth:
    """The truth of one frame, not yet read."""

    id: str
    read: Callable[[], tuple[NDArray[np.bool_], NDArray[np.float32] | None]]
    mask_path: Path | None = None


def stem_of(path: Path) -> str:
    """The name that a prediction and its truth share.

    >>> [stem_of(Path(name)) for name in ("Misc_1_pixels0.png", "Misc_1.mask.png", "Misc_1.png")]
    ['Misc_1', 'Misc_1', 'Misc_1']
    """
    return ENDING.sub("", path.stem)


def pair_files(
    predictions: Path,
    truth: Path,
    *,
    split: str | None = None,
    missing: Literal["leave-out", "empty"] = "leave-out",
    full_scale: float | None = None,
) -> PairList:
    """Pair the files of a folder of predictions with a folder of masks or with a data set.

    Parameters
    ----------
    predictions
        Folder of masks or score maps: PNG, BMP, TIFF, ``.npy``. Where a frame has both ``NAME.prob`` and a
        mask, the score map is taken.
    truth
        Folder of mask files, or anything that :func:`infraspot.data.open_dataset` reads.
    missing
        What a truth without prediction counts as: not at all, or as an empty prediction.
    full_scale
        The stored value that means 1; None takes the largest value of the stored depth.
    """
    known = open_truth(truth, split=split)
    found = find_predictions(predictions)
    pairs, absent, used = [], [], []
    for one in known:
        path = found.pop(one.id, None) or found.pop(stem_of(Path(f"{one.id}.png")), None)
        if path is None:
            absent.append(one.id)
        else:
            used.append(path)
        if path is not None or missing == "empty":
            pairs.append(Pair(one.id, _loader(one, path, full_scale)))
    if len(absent) == len(known):
        raise DataError(
            f"no file of {predictions} has the name of one of the {len(known)} truth masks of {truth}; "
            f"expected {known[0].id}.png or the like"
        )
    masks = _kinds([one.mask_path for one in known if one.mask_path is not None])
    taken = f"{_kinds(used)} of {predictions} against {masks or 'the annotation'} of {truth}"
    return PairList(pairs, absent, [path.name for path in found.values()], taken)


def _kinds(paths: Sequence[Path]) -> str:
    """How many files there are of each ending: ``80 NAME.prob.png, 5 NAME.png``."""
    endings = Counter(path.name.removeprefix(stem_of(path)) for path in paths)
    return ", ".join(f"{count} NAME{ending}" for ending, count in endings.items())


def pair_engine(
    spec: str, data: Path, *, split: str | None = None, trust: Collection[str] | str = ()
) -> PairList:
    """Pair a data set with what a model says about its images.

    ``spec`` is a packaged model, a weight file or a run folder; ``spec`` and ``trust`` are those of
    :func:`infraspot.inference.open_engine`.
    """
    from infraspot.inference import open_engine, predict

    engine = open_engine(spec, trust=trust)
    reader = _open_annotated(data, split)

    def loader(index: int) -> Callable[[], LoadedPair]:
        def load() -> LoadedPair:
            sample = reader[index]
            truth = _require_mask(sample.mask, sample.id)
            image = sample.image.astype(np.float32, copy=False)
            return LoadedPair(sample.id, predict(engine, sample), truth, image)

        return load

    pairs = [Pair(name, loader(index)) for index, name in enumerate(reader.ids)]
    taken = f"{engine.name} on {len(pairs)} images of {reader.name}, layout {reader.layout}"
    return PairList(pairs, taken=taken)


def find_predictions(folder: Path) -> dict[str, Path]:
    """Files of predictions by stem; score maps (``.prob``, ``.npy``) go before masks.

    Raises
    ------
    DataError
        If the folder is absent or holds none.
    """
    if not folder.is_dir():
        raise DataError(f"there is no folder {folder}; expected a folder of masks or score maps")
    files = [path for path in folder.iterdir() if is_image_name(path) or path.suffix.lower() == ".npy"]
    found: dict[str, Path] = {}
    for path in sorted(files, key=lambda path: (_is_score_map(path), natural_key(path.name))):
        if not NOT_PREDICTIONS.search(path.stem):
            found[stem_of(path)] = path
    if not found:
        raise DataError(f"{folder} holds no prediction; expected PNG, BMP, TIFF or .npy files")
    return found


def _is_score_map(path: Path) -> bool:
    return path.suffix.lower() == ".npy" or path.stem.endswith(("prob",))


def open_truth(place: Path, *, split: str | None = None) -> list[Truth]:
    """The truth of a folder of mask files, or of a data set."""
    if split is None and place.is_dir() and any(is_image_name(path) for path in place.iterdir()):
        return [
            Truth(stem_of(path), lambda path=path: (read_mask(path), None), path)  # type: ignore[misc]
            for path in list_images(place)
        ]
    reader = _open_annotated(place, split)
    return [_sample_truth(reader, index) for index in range(len(reader))]


def _open_annotated(place: Path, split: str | None) -> Reader:
    """A data set of which at least one image has a mask."""
    reader = open_dataset(place, split=split)
    if not any(reader.has_mask(index) for index in range(len(reader))):
        raise UsageError(
            f"{place} has no masks to score against; give a folder of masks, or a data set that has them"
        )
    return reader


def _sample_truth(reader: Reader, index: int) -> Truth:
    def read() -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
        sample = reader[index]
        return _require_mask(sample.mask, sample.id), sample.image.astype(np.float32, copy=False)

    return Truth(reader.ids[index], read, reader.mask_path(index))


def _require_mask(mask: NDArray[np.bool_] | None, name: str) -> NDArray[np.bool_]:
    if mask is None:
        raise InputError(f"{name} has no mask to score against; annotate it, or leave it out of the split")
    return mask


def _loader(truth: Truth, path: Path | None, full_scale: float | None) -> Callable[[], LoadedPair]:
    def load() -> LoadedPair:
        mask, image = truth.read()
        remarks = tuple(_remarks(truth.mask_path))
        if path is None:
            nothing = Prediction(truth.id, np.zeros(mask.shape, np.float32))
            return LoadedPair(truth.id, nothing, mask, image, remarks)
        scores = read_score_map(path, full_scale=full_scale)
        return LoadedPair(truth.id, Prediction(truth.id, scores), mask, image, remarks)

    return load


def _remarks(mask_path: Path | None) -> Iterable[str]:
    if mask_path is not None and (grey := stray_mask_values(mask_path)):
        yield (f"{mask_path.name}: {len(grey)} grey values in the truth; above half of full scale is target")


def read_score_map(path: Path, *, full_scale: float | None = None) -> NDArray[Any]:
    """A stored score map or mask, (H, W) in [0, 1].

    Integers are divided by the largest value of their depth, or by ``full_scale``; floating-point files are
    taken as they are, so that logits are noticed instead of being stretched.

    Raises
    ------
    InputError
        If the file cannot be read, or is not (H, W).
    """
    if path.suffix.lower() == ".npy":
        scores = _read_array(path)
    elif path.suffix.lower() in (".tif", ".tiff") and (raster := decode(path)).values.dtype.kind == "f":
        scores = raster.values
    else:
        frame = read_image(path)
        largest = float(2**frame.bit_depth - 1)
        scores = frame.image if full_scale is None else frame.image * np.float32(largest / full_scale)
        return np.minimum(scores, 1.0)
    if scores.ndim != 2:
        raise InputError(f"{path}: a score map must be (height, width), and its shape is {scores.shape}")
    if scores.dtype.kind in "iu" and full_scale is None:
        full_scale = float(np.iinfo(scores.dtype).max) if scores.size and scores.max() > 1 else 1.0
    return scores if full_scale is None else scores.astype(np.float32) / np.float32(full_scale)


def _read_array(path: Path) -> NDArray[Any]:
    try:
        with warnings.catch_warnings(action="ignore"):
            array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError, MemoryError) as error:
        raise InputError(f"{path} is not a readable .npy file ({error}); write it with numpy.save") from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
        raise InputError(f"{path} does not hold one array of numbers; write the score map with numpy.save")
    squeezed: NDArray[Any] = (
        array.reshape(array.shape[-2:]) if array.size == np.prod(array.shape[-2:]) else array
    )
    return squeezed
