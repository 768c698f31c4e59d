"""Predictions and truth side by side: which files belong together, and how each pair is read."""

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from infraspot.core.errors import DataError, InfraspotError, InputError, UsageError, counted
from infraspot.core.prediction import Prediction
from infraspot.data import FrameKey, Reader, open_dataset, read_mask
from infraspot.data.detections import StoredBoxes, read_coco_boxes
from infraspot.data.images import read_stored_mask
from infraspot.data.listing import is_frame_name
from infraspot.report.score_maps import read_score_map
from infraspot.report.stored import Predictions, stem_of, stored_frames

MOST_GREY = 0.5  # of a mask's pixels, as soft edges may have them


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
    """Frames to score in natural order, what is wrong with the others, and the files taken, in words.

    Of a model also its name and the hash of its file (``model``), the ``threshold`` of its card, which
    `detect` takes, and those of its operating points.
    """

    pairs: list[Pair]
    missing: list[str] = field(default_factory=list)
    surplus: list[str] = field(default_factory=list)
    taken: str = ""
    model: Mapping[str, str] = field(default_factory=dict)
    threshold: float | None = None
    points: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Truth:
    """The truth of one frame, not yet read."""

    id: str
    read: Callable[[], tuple[NDArray[np.bool_], NDArray[np.float32] | None]]
    mask: FrameKey | None = None


def pair_files(
    predictions: Path,
    truth: Path,
    *,
    split: str | None = None,
    missing: Literal["leave-out", "empty"] = "leave-out",
    full_scale: float | None = None,
    recursive: bool = False,
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
    recursive
        Read the subfolders of both folders as well; ``night/0001`` belongs to ``night/0001``.
    """
    known = open_truth(truth, split=split, recursive=recursive)
    found = Predictions(predictions, recursive=recursive)
    pairs, absent, used = [], [], []
    for one in known:
        key = found.take(one.id)
        if key is None:
            absent.append(one.id)
        else:
            used.append(key)
        if key is not None or missing == "empty":
            pairs.append(Pair(one.id, _loader(one, key, full_scale)))
    if len(absent) == len(known):
        raise DataError(
            f"no file of {predictions} has the name of one of the {len(known)} truth masks of {truth}; "
            f"expected {known[0].id}.png or the like"
        )
    masks = _kinds([one.mask for one in known if one.mask is not None])
    taken = f"{_kinds(used)} of {predictions} against {masks or 'the annotation'} of {truth}"
    return PairList(pairs, absent, found.surplus, taken)


def pair_boxes(
    predictions: Path,
    truth: Path,
    *,
    split: str | None = None,
    missing: Literal["leave-out", "empty"] = "leave-out",
) -> PairList:
    """Pair the images of a COCO file of detections with a folder of masks or with a data set.

    ``truth``, ``split`` and ``missing`` are those of :func:`pair_files`. An image of the file without a box
    is a prediction: nothing was found there.
    """
    known, found = open_truth(truth, split=split), read_coco_boxes(predictions)
    # Data sets of several folders put the folder's name before the id: night_0001.
    named = {name.replace("/", "_"): name for name in found} | {name: name for name in found}
    pairs, absent, used = [], [], set()
    for one in known:
        name = named.get(one.id) or named.get(stem_of(Path(one.id + ".png")))
        if name is not None:
            used.add(name)
        else:
            absent.append(one.id)
        if name is not None or missing == "empty":
            pairs.append(Pair(one.id, _box_loader(one, None if name is None else found[name])))
    if len(absent) == len(known):
        raise DataError(
            f"no image of {predictions} has the name of one of the {len(known)} truth masks of {truth};"
            f" expected {known[0].id}.png or the like"
        )
    surplus = [name for name in found if name not in used]
    return PairList(
        pairs, absent, surplus, f"boxes of {counted(len(used), 'image')} of {predictions} against {truth}"
    )


def _box_loader(truth: Truth, stored: StoredBoxes | None) -> Callable[[], LoadedPair]:
    def load() -> LoadedPair:
        mask, image = truth.read()
        boxes, scores = (np.zeros((0, 4)), np.zeros(0)) if stored is None else stored.read(mask.shape)
        prediction = Prediction.from_boxes(truth.id, boxes, scores, mask.shape)
        return LoadedPair(truth.id, prediction, mask, image, tuple(_remarks(truth.mask)))

    return load


def _kinds(keys: Sequence[FrameKey]) -> str:
    """How many frames there are of each ending: ``80 NAME.prob.png, 5 pages of NAME.tif``."""
    endings = Counter((key.path.name.removeprefix(stem_of(key.path)), key.page is None) for key in keys)
    return ", ".join(
        f"{count} {'' if whole else 'pages of '}NAME{ending}" for (ending, whole), count in endings.items()
    )


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
    taken = f"{engine.name} on {counted(len(pairs), 'image')} of {reader.name}, layout {reader.layout}"
    points = {name: float(at["threshold"]) for name, at in engine.card.get("operating_points", {}).items()}
    return PairList(
        pairs,
        taken=taken,
        model={"model": engine.name, **_digest(spec)},
        threshold=engine.card.get("threshold"),
        points=points,
    )


def _digest(spec: str) -> dict[str, str]:
    """The SHA-256 of the file that a model comes from; empty where it is no file."""
    from infraspot.inference.engines import locate

    try:
        return {"sha256": hashlib.sha256(locate(spec).read_bytes()).hexdigest()}
    except (InfraspotError, OSError):
        return {}


def open_truth(place: Path, *, split: str | None = None, recursive: bool = False) -> list[Truth]:
    """The truth of a folder of mask files (with ``recursive`` of a tree of them), or of a data set."""
    if split is None and place.is_dir() and any(is_frame_name(path) for path in place.iterdir()):
        return _stored_truth(place, recursive)
    try:
        reader = _open_annotated(place, split)
    except DataError as error:
        if split is not None or not place.is_dir():
            raise
        if not recursive:
            raise DataError(f"{error}; masks in subfolders are read with --recursive") from error
        return _stored_truth(place, recursive)
    return [_sample_truth(reader, index) for index in range(len(reader))]


def _stored_truth(place: Path, recursive: bool) -> list[Truth]:
    return [
        Truth(name, lambda key=key: (read_mask(key.path, key.page), None), key)  # type: ignore[misc]
        for name, key in stored_frames(place, recursive=recursive).items()
    ]


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

    path = reader.mask_path(index)
    return Truth(reader.ids[index], read, None if path is None else FrameKey(path))


def _require_mask(mask: NDArray[np.bool_] | None, name: str) -> NDArray[np.bool_]:
    if mask is None:
        raise InputError(f"{name} has no mask to score against; annotate it, or leave it out of the split")
    return mask


def _loader(truth: Truth, key: FrameKey | None, full_scale: float | None) -> Callable[[], LoadedPair]:
    def load() -> LoadedPair:
        mask, image = truth.read()
        remarks = tuple(_remarks(truth.mask))
        if key is None:
            nothing = Prediction(truth.id, np.zeros(mask.shape, np.float32))
            return LoadedPair(truth.id, nothing, mask, image, remarks)
        scores = read_score_map(key.path, key.page, full_scale=full_scale)
        return LoadedPair(truth.id, Prediction(truth.id, scores), mask, image, remarks)

    return load


def _remarks(mask: FrameKey | None) -> Iterable[str]:
    """What is odd about a mask file; one that is mostly grey is a picture, and refused."""
    if mask is None:
        return
    stored = read_stored_mask(mask.path, page=mask.page)
    name = mask.path.name if mask.page is None else f"{mask.path.name}#{mask.page}"
    if stored.grey_share > MOST_GREY:
        raise InputError(
            f"{name} is no mask: {100 * stored.grey_share:.0f} % of its pixels are neither 0 nor the largest"
            " value; name the folder of the masks, or a data set"
        )
    if grey := stored.strays:
        values = counted(len(grey), "grey value")
        yield f"{name}: {values} in the truth; above half of full scale is target"
