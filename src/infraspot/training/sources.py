"""Where the frames of a recipe come from."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from infraspot.core.errors import DataError, InfraspotError, UsageError
from infraspot.core.sample import Sample
from infraspot.data import FrameFile, FrameKey, find_frames, frame_keys, numbered, open_dataset, read_points
from infraspot.data.clicks import sample_boxes, sample_points
from infraspot.data.finding import Found
from infraspot.data.places import DATA_FOLDER, place_of
from infraspot.synth import SceneRanges, generate
from infraspot.training.frames import Frames
from infraspot.training.settings import DataPart, FurtherPart

DIVIDE = "`infraspot data split` divides a set, and split, val_split and test_split in [data] name its parts"

# Scenes to validate on come from far along the same endless series, so that none is trained on.
VALIDATION_SCENES = 1_000_000

# The split that is every frame, for schemes that learn from frames alone.
ALL = "all"

# What the generated frames of a run are called, beside its sets.
SCENES = "scenes"


def open_training(part: DataPart) -> Sequence[Sample]:
    """The frames to train on: those read, those with a target in further sets, those generated.

    Raises
    ------
    DataError
        If a set is not there, or a further one has no frame with a target.
    """
    frames = _together(part, part.split, part.scenes, first=0)
    further = [frame for name in part.sets for frame in _with_targets(name, part.split)]
    return [*frames, *further] if further else frames


def open_validation(part: DataPart, split: str) -> Sequence[Sample]:
    """The frames of a split, then generated ones that no training sees."""
    return _together(part, split, part.val_scenes, first=VALIDATION_SCENES)


class Unannotated(Frames):
    """Frames of which nothing is known, each read when it is asked for."""

    def __init__(self, keys: Mapping[str, FrameKey]) -> None:
        self._keys = list(keys.items())

    def __len__(self) -> int:
        return len(self._keys)

    def frame(self, index: int) -> Sample:
        id, key = self._keys[index]
        frame = key.read()
        return Sample(id, frame.image, bit_depth=frame.bit_depth)


def open_unannotated(part: DataPart) -> Sequence[Sample]:
    """The frames of a split without their annotation; of the split ``"all"``, every frame of any kind.

    ``"all"`` reads images, stacks and videos, of subfolders too; of a data set, its images alone.

    Raises
    ------
    InfraspotError
        If there is no frame, or a file of several frames cannot be read.
    """
    if part.split != ALL:
        frames = open_training(part)
        return [Sample(frame.id, frame.image, bit_depth=frame.bit_depth) for frame in frames]
    place = locate_data(part)
    found = find_frames(place)
    if not found.files and place.is_dir():
        found = _images_of_set(place) or find_frames(place, recursive=True)
    for error in found.errors:
        raise error
    keys: dict[str, FrameKey] = {}
    for file in found.files:
        name = file.path.relative_to(file.root)
        for key in frame_keys(file.path):
            # Two files may differ in their endings alone.
            id = numbered(name.with_suffix("").as_posix(), key.page)
            keys[id if id not in keys else numbered(name.as_posix(), key.page)] = key
    return Unannotated(keys)


def _images_of_set(folder: Path) -> Found | None:
    """The images of a data set, without its masks; None where the folder holds none."""
    try:
        reader = open_dataset(folder)
    except InfraspotError:
        return None
    if not any(reader.has_mask(index) for index in range(len(reader))):
        return None  # folders of images alone may lie side by side, and all are read
    paths = [reader.image_path(index) for index in range(len(reader))]
    return Found([FrameFile(path, path.parent) for path in paths])


def _together(part: DataPart, split: str, scenes: int, first: int) -> Sequence[Sample]:
    """Frames read and frames generated.

    Raises
    ------
    DataError
        If the recipe names no data, or they are not there.
    """
    if part.set is None and part.path is None and not part.merge and scenes:
        return _generated(part, scenes, first)
    try:
        frames = _read(part, split)
    except UsageError as error:
        raise UsageError(f"{error}; {DIVIDE}") from error
    if not len(frames) + scenes:
        raise DataError(f"the split {split!r} holds no frame; {DIVIDE}")
    return [*frames, *_generated(part, scenes, first)] if scenes else frames


def _with_targets(name: str, split: str) -> list[Sample]:
    """Frames of a further set; their ids begin with its folder's name."""
    folder = locate_set(name)
    frames = [sample for sample in open_dataset(folder, split=split) if _has_target(sample)]
    if not frames:
        raise DataError(
            f"data.sets names {name}, and no frame of its split {split!r} holds a target; leave it out, or"
            " name it in [negatives]"
        )
    return [sample.replace(id=f"{name_of_set(folder)}/{sample.id}") for sample in frames]


def _has_target(sample: Sample) -> bool:
    if sample.mask is not None:
        return bool(sample.mask.any())
    return any(rows is not None and len(rows) > 0 for rows in (sample.points, sample.boxes))


def _read(part: DataPart, split: str) -> Sequence[Sample]:
    if part.path is not None or part.set is not None or not part.merge:
        return open_dataset(locate_data(part), split=split, layout=part.layout)
    folders = [locate_set(name) for name in part.merge]
    names = [name_of_set(folder) for folder in folders]
    if len(set(map(column_name, names))) < len(names):
        raise DataError(f"data.merge has folders of one name: {', '.join(names)}; rename one")
    read = (open_dataset(folder, split=split, layout=part.layout) for folder in folders)
    return MergedSets(dict(zip(names, read, strict=True)))


class MergedSets(Frames):
    """Several sets as one; the ids begin with the name of the set and a slash."""

    def __init__(self, sets: Mapping[str, Sequence[Sample]]) -> None:
        self._places = [(name, frames, k) for name, frames in sets.items() for k in range(len(frames))]

    def __len__(self) -> int:
        return len(self._places)

    def frame(self, index: int) -> Sample:
        name, frames, place = self._places[index]
        sample = frames[place]
        return sample.replace(id=f"{name}/{sample.id}")


def name_of_set(folder: Path | str) -> str:
    """What the frames of a set are called by: the name of its folder, as it was given."""
    return Path(os.path.abspath(folder)).name  # noqa: PTH100 (resolve() would follow a link to another name)


def set_of(part: DataPart, id: str) -> str:
    """The set that a frame of ``[data]`` is from: the name of its folder, or "scenes" of generated frames."""
    own = part.path or part.set
    for name in (*(part.merge if own is None else ()), *part.sets):
        folder = name_of_set(name)
        if id.startswith(f"{folder}/"):
            return folder
    if own is None or ((part.scenes or part.val_scenes) and id.startswith(f"scene_{part.scene_seed}_")):
        return SCENES
    return name_of_set(own)


def column_name(name: str) -> str:
    """The name of a set as files of numbers hold it: letters, digits, dots, dashes and underscores."""
    return re.sub(r"[^\w.-]", "_", name)


def _generated(part: DataPart, count: int, first: int) -> list[Sample]:
    return list(draw_scenes(count, part.scene_seed, part.scene_options, first))


def draw_scenes(count: int, seed: int, options: Mapping[str, Any], first: int = 0) -> Iterator[Sample]:
    """The frames of ``count`` scenes, from the one numbered ``first`` on; ``options`` of the ranges."""
    drawn: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in options.items()
    }
    ranges = SceneRanges(**drawn)
    for scene in generate(count, seed, ranges, first=first):
        yield from scene.frames


class WithClicks(Frames):
    """Frames with the clicks that ``data.points`` asks for; ``seed`` draws the coarse ones.

    Raises
    ------
    InfraspotError
        If the points file cannot be read; when a frame is asked for, if clicks are made of masks and it has
        none.
    """

    def __init__(self, frames: Sequence[Sample], points: str, seed: int) -> None:
        self._frames, self._points, self._seed = frames, points, seed
        self._file = None if points in ("auto", "centroid", "coarse") else read_points(points)

    def __len__(self) -> int:
        return len(self._frames)

    def frame(self, index: int) -> Sample:
        sample = self._frames[index]
        if self._file is not None:
            return sample.replace(points=self._file.get(sample.id))
        if self._points == "auto" and (sample.points is not None or sample.mask is None):
            return sample
        if sample.mask is None:
            raise DataError(
                f"{sample.id}: data.points = {self._points!r} makes clicks of masks, and this frame has none;"
                " name a points file, or leave data.points out"
            )
        kind = "coarse" if self._points == "coarse" else "centroid"
        return sample.replace(points=sample_points(sample, kind, self._seed))


class WithBoxes(Frames):
    """Frames with the boxes around the components of their mask; one without mask keeps the boxes it has.

    Boxes that come with a set count from zero or from one, and include the last pixel or not, as the set has
    it; those of a mask are what they say.
    """

    def __init__(self, frames: Sequence[Sample]) -> None:
        self._frames = frames

    def __len__(self) -> int:
        return len(self._frames)

    def frame(self, index: int) -> Sample:
        sample = self._frames[index]
        if sample.mask is None:
            return sample
        # Rows of tracks and classes belong to the boxes or points that the set has.
        return sample.replace(boxes=sample_boxes(sample), **dict.fromkeys(sample.given("per_target")))


def open_negatives(part: FurtherPart) -> list[Sample]:
    """The frames whose mask is empty, labelled so; their ids begin with ``negatives/``.

    Raises
    ------
    DataError
        If there is none.
    """
    frames = open_dataset(locate_data(part), split=part.split, layout=part.layout)
    empty = [sample for sample in frames if sample.mask is not None and not sample.mask.any()]
    if not empty:
        raise DataError(
            f"[negatives] needs frames with an empty mask, and the {len(frames)} of the split {part.split!r}"
            f" of {locate_data(part)} have none; name another set or split"
        )
    nothing = {"points": np.empty((0, 2)), "boxes": np.empty((0, 4)), "tracks": None, "classes": None}
    return [
        sample.replace(id=f"negatives/{sample.id}", mask=None, label=sample.mask, **nothing)
        for sample in empty
    ]


def open_unlabelled(part: FurtherPart) -> list[Sample]:
    """Frames without their annotation; their ids begin with ``unlabelled/``."""
    frames = open_dataset(locate_data(part), split=part.split, layout=part.layout)
    return [Sample(f"unlabelled/{sample.id}", sample.image, bit_depth=sample.bit_depth) for sample in frames]


def locate_set(name: str) -> Path:
    """The folder ``name``, else the set of that name within the folder that INFRASPOT_DATA names."""
    return Path(name) if Path(name).is_dir() else locate_data(FurtherPart(set=name))


def locate_data(part: DataPart | FurtherPart) -> Path:
    """The folder of the set: ``path``, else ``set`` within the folder that INFRASPOT_DATA names."""
    if part.path is not None:
        return Path(part.path)
    if part.set is None:
        raise DataError("the recipe names no data; give a folder with --data, or set path in [data]")
    folder = place_of(part.set)
    if folder is None:
        raise DataError(
            f"the recipe trains on the set {part.set!r}, and its place is not known; give its folder with"
            f" --data, or set {DATA_FOLDER} to the folder that holds it"
        )
    if not folder.is_dir():
        raise DataError(
            f"the recipe trains on the set {part.set!r}, and {DATA_FOLDER} has no folder {folder}; give its"
            " folder with --data"
        )
    return folder
