"""Annotations into the journal: results of detection, own exports, data sets, points files."""

import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from infraspot.annotators import annotate
from infraspot.core.errors import DataError, InfraspotError, InputError, counted
from infraspot.core.geometry import find_components
from infraspot.core.sample import Sample
from infraspot.data import Reader, find_frames, open_dataset, read_mask, read_points
from infraspot.data.images import read_stored_mask
from infraspot.data.opening import read_text
from infraspot.web.actions import Batch, MarkedTarget, PutTarget, SetSky, SetStatus, Step
from infraspot.web.export_folder import is_export, is_untouched
from infraspot.web.findings import Finding, find_findings, marked, names_of, targets_of
from infraspot.web.label_studio import read_label_studio
from infraspot.web.learning import Level
from infraspot.web.marks import Marks, read_marks
from infraspot.web.runs import to_patch
from infraspot.web.session import Session

WINDOW = "import"


@dataclass(frozen=True)
class TakenIn:
    """What was taken in, in a sentence, and a sentence for each image that had to be left out."""

    sentence: str
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """Where annotations come from: what to do in each image, worked out when it is asked for.

    ``remark`` follows the numbers in the sentence that says what was taken in.
    """

    images: Iterable[tuple[str, Callable[[], list[Step]]]]
    remark: str = ""


def take_in(session: Session, path: Path) -> TakenIn:
    """Put annotations into the journal; all of an image at once, so that one undo takes them back.

    Images that were worked on already stay as they are. An own export comes back exactly as it went out.
    Results of detection, and points and boxes (which become masks by the default annotator) leave their
    images open, so that a person looks at them.

    Raises
    ------
    InputError, DataError
        If the file cannot be read, or names no image of this folder.
    """
    taken = bare = kept = 0
    problems = []
    source = _source(session, path)
    for image, steps_of in source.images:
        if session.journal.history(image).version:
            kept += 1
            continue
        try:
            steps = steps_of()
        except InfraspotError as error:
            problems.append(str(error))
            continue
        if steps:
            session.journal.add(image, WINDOW, Batch(actions=steps))
            taken += 1
        else:
            bare += 1
    known = taken + bare + kept
    if problems and not known:
        raise DataError(f"{path}: nothing could be taken in; the first error: {problems[0]}")
    if not known:
        raise DataError(f"{path}: names none of the {len(session.images)} images in {session.folder}")
    without = f", {bare} in which nothing was found" if bare else ""
    sentence = f"{counted(taken, 'image')} taken in{without}, {kept} left as they were{source.remark}"
    return TakenIn(sentence, tuple(problems))


def _source(session: Session, path: Path) -> Source:
    export = next((folder for folder in (path, *list(path.parents)[:2]) if is_export(folder)), None)
    if export is not None and is_untouched(export):
        return Source(_from_marks(session, read_marks(export)), ", exactly as they were exported")
    remark = "" if export is None else "; the export was changed since, so that its files were read"
    if findings := find_findings(path):
        return Source(_from_findings(session, findings), "; the images stay open until you have looked")
    if path.is_file() and (points := _points_of(path)) is not None:
        return Source(_from_points(session, points), remark)
    if path.is_dir() and (masks := _masks_of(session, path)):
        return Source(_from_masks(session, masks), remark)
    return Source(_from_dataset(session, path), remark)


def _from_marks(session: Session, marks: dict[str, Marks]) -> Iterator[tuple[str, Callable[[], list[Step]]]]:
    for name, found in marks.items():
        if image := session.named(name):
            yield image, partial(_steps_of_marks, session, image, found)


def _steps_of_marks(session: Session, image: str, marks: Marks) -> list[Step]:
    height, width = session.frame(image).image.shape
    for patch in [target.patch for target in marks.targets] + ([marks.sky] if marks.sky else []):
        if patch.box[2] > width or patch.box[3] > height:
            raise InputError(
                f"{session.images[image]} is {width}x{height}, and the export has marks beyond that; take the"
                " export in where it came from"
            )
    steps: list[Step] = [] if marks.sky is None else [SetSky(patch=marks.sky)]
    return [*steps, *(PutTarget(target=target) for target in marks.targets), SetStatus(status=marks.status)]


def _from_findings(
    session: Session, findings: list[Finding]
) -> Iterator[tuple[str, Callable[[], list[Step]]]]:
    by_name: dict[str, list[Finding]] = {}
    for finding in findings:
        by_name.setdefault(finding.image.name, []).append(finding)
    for image, key in session.images.items():
        place = key._replace(path=Path(os.path.abspath(key.path)))  # noqa: PTH100 (links stay, as in the results)
        named = {one for name in names_of(place) for one in by_name.get(name, ())}
        fitting = sorted((one for one in named if one.is_of(place)), key=lambda one: len(one.image.parts))
        if fitting:
            yield image, partial(_steps_of_finding, session, image, fitting[-1])


def _steps_of_finding(session: Session, image: str, finding: Finding) -> list[Step]:
    frame = session.frame(image)
    mask, targets = targets_of(finding, frame)
    if mask is not None:
        return [PutTarget(target=target) for target in marked(mask, targets)]
    points = np.array([(target.y, target.x) for target in targets], np.float64).reshape(-1, 2)
    return list(_clicked(frame.image, points, session.learning.level()))


def _points_of(path: Path) -> dict[str, NDArray[np.float64]] | None:
    """The clicks in a file, or None for a file that is a data set of its own (COCO)."""
    if path.suffix.lower() == ".csv":
        return read_points(path)
    try:
        content = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: expected JSON or CSV, and reading it failed: {error}") from error
    if isinstance(content, list):
        return read_label_studio(path)
    return None if "images" in content and "annotations" in content else read_points(path)


def _from_points(
    session: Session, points: dict[str, NDArray[np.float64]]
) -> Iterator[tuple[str, Callable[[], list[Step]]]]:
    for name, clicks in points.items():
        if image := session.named(name):
            yield image, partial(_steps_of_points, session, image, clicks)


def _steps_of_points(session: Session, image: str, clicks: NDArray[np.float64]) -> list[Step]:
    frame = session.frame(image)
    sample = Sample(image, frame.image, points=clicks, bit_depth=frame.bit_depth)
    return _steps_of(sample, session.learning.level())


def _masks_of(session: Session, folder: Path) -> dict[str, Path]:
    """The files of a folder that holds masks under the names of the images, and nothing but masks."""
    try:
        found = find_frames(folder, recursive=session.recursive).files
        paths = (
            (session.named(path.relative_to(root).with_suffix("").as_posix()), path) for path, root in found
        )
        named = {image: path for image, path in paths if image is not None}
        return {} if any(read_stored_mask(path).strays for path in named.values()) else named
    except InfraspotError:  # no folder of masks; what it is comes out where data sets are read
        return {}


def _from_masks(session: Session, masks: dict[str, Path]) -> Iterator[tuple[str, Callable[[], list[Step]]]]:
    for image, path in masks.items():
        yield image, partial(_steps_of_mask, session, image, path)


def _steps_of_mask(session: Session, image: str, path: Path) -> list[Step]:
    frame, mask = session.frame(image), read_mask(path)
    if mask.shape != frame.image.shape:
        (height, width), (high, wide) = frame.image.shape, mask.shape
        raise InputError(f"the mask {path} is {wide}x{high}, and its image is {width}x{height}; replace one")
    return _steps_of(Sample(image, frame.image, mask=mask, bit_depth=frame.bit_depth))


def _from_dataset(session: Session, path: Path) -> Iterator[tuple[str, Callable[[], list[Step]]]]:
    reader = open_dataset(path)
    for index, name in enumerate(reader.ids):
        if image := session.named(name):
            yield image, partial(_steps_at, session, reader, index)


def _steps_at(session: Session, reader: Reader, index: int) -> list[Step]:
    return _steps_of(reader[index], session.learning.level())


def _steps_of(sample: Sample, level: Level = "auto") -> list[Step]:
    steps: list[Step] = [] if sample.sky is None else [SetSky(patch=to_patch(sample.sky))]
    if sample.mask is not None:
        parts = find_components(sample.mask)
        for index in range(len(parts)):
            y, x = parts.centroids[index]
            x0, y0 = (int(side) for side in parts.boxes[index][:2])
            patch = to_patch(parts.mask(index), (x0, y0))
            steps.append(PutTarget(target=MarkedTarget(id=index + 1, x=x, y=y, method="import", patch=patch)))
        return [*steps, SetStatus(status="done" if len(parts) else "empty")]
    points = sample.points
    if points is None and sample.boxes is not None:
        points = (sample.boxes[:, [1, 0]] + sample.boxes[:, [3, 2]] - 1) / 2
    if points is None:
        return steps
    return [*steps, *(_clicked(sample.image, points, level) if len(points) else [SetStatus(status="empty")])]


def _clicked(image: NDArray[np.float32], points: NDArray[np.floating], level: Level) -> Iterator[Step]:
    """A mark for each point (y, x), by ``profile``."""
    for number, (y, x) in enumerate(points, 1):
        found = annotate(image, np.array([[y, x]]), level=level)
        click = found.clicks[0]
        yield PutTarget(
            target=MarkedTarget(
                id=number,
                x=x,
                y=y,
                method="profile",
                level=click.level,
                confidence=click.confidence,
                patch=to_patch(found.mask),
            )
        )
