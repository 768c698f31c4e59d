"""Annotations out of the journal and into it, in the formats of the field."""

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from infraspot.annotators import annotate
from infraspot.core.errors import DataError, InfraspotError, InputError
from infraspot.core.files import write_json, write_text
from infraspot.core.geometry import find_components
from infraspot.core.sample import Sample
from infraspot.data import open_dataset, read_points, write_mask, write_points
from infraspot.data.conversion import convert
from infraspot.web.actions import Action, MarkedTarget, PutTarget, SetSky, SetStatus, State
from infraspot.web.export_folder import fresh_folder
from infraspot.web.label_studio import label_studio_task, read_label_studio
from infraspot.web.runs import to_mask, to_patch
from infraspot.web.session import Session

WINDOW = "import"
ANNOTATED = ("done", "empty", "doubtful")


@dataclass(frozen=True)
class Exported:
    """What an export wrote, in a sentence, and a sentence for each image that had to be left out."""

    sentence: str
    problems: tuple[str, ...] = ()


Export = Callable[[Session, Path], Exported]


@dataclass(frozen=True, eq=False)
class Annotated:
    """The images that a person has settled, and a sentence for each that cannot be read."""

    samples: list[Sample]
    problems: tuple[str, ...]


def annotated(session: Session) -> Annotated:
    """Every image that a person has settled, with its mask, clicks, boxes, and its sky where it has one.

    Raises
    ------
    DataError
        If none of the settled images can be read.
    """
    samples, problems = [], []
    for image in session.images:
        state, _ = session.state(image)
        if state.status not in ANNOTATED:
            continue
        try:
            samples.append(_sample(session, image, state))
        except InfraspotError as error:
            problems.append(str(error))
    if problems and not samples:
        raise DataError(f"none of the {len(problems)} annotated images can be read: {problems[0]}")
    return Annotated(samples, tuple(problems))


def _sample(session: Session, image: str, state: State) -> Sample:
    frame = session.frame(image)
    masks = [to_mask([target.patch], frame.image.shape) for target in state.targets]
    boxes = [target.patch.box for target in state.targets]
    return Sample(
        image,
        frame.image,
        mask=np.logical_or.reduce(masks) if masks else np.zeros(frame.image.shape, bool),
        points=np.array([(target.y, target.x) for target in state.targets], np.float64).reshape(-1, 2),
        boxes=np.array(boxes, np.float64).reshape(-1, 4),
        sky=None if state.sky is None else to_mask([state.sky], frame.image.shape).astype(np.uint8),
        bit_depth=frame.bit_depth,
    )


def _summary(session: Session, found: Annotated) -> Exported:
    samples = found.samples
    targets = sum(len(sample.points) for sample in samples if sample.points is not None)
    states = [session.state(image)[0] for image in session.images]
    left = sum(state.status == "open" and bool(state.targets) for state in states)
    note = f" ({left} open images with targets left out; mark them done)" if left else ""
    if found.problems:
        note += f" ({len(found.problems)} left out that cannot be read: {found.problems[0]})"
    return Exported(f"{len(samples)} images, {targets} targets{note}", found.problems)


def _form(name: str) -> Export:
    """An export in one of the forms of :data:`infraspot.data.conversion.FORMS`."""

    def write(session: Session, folder: Path) -> Exported:
        found = annotated(session)
        convert((_drawn_apart(sample) for sample in found.samples), name, folder, splits={})
        return _summary(session, found)

    return write


def _drawn_apart(sample: Sample) -> Sample:
    """Targets that touch are one in the mask; where there are such, boxes are taken as they were marked."""
    assert sample.mask is not None
    assert sample.boxes is not None
    apart = len(find_components(sample.mask)) == len(sample.boxes)
    return sample if apart else sample.replace(mask=None)


def _masks(session: Session, folder: Path) -> Exported:
    found = annotated(session)
    for sample in found.samples:
        assert sample.mask is not None
        write_mask(folder / f"{sample.id}.png", sample.mask)
        if sample.sky is not None:
            write_mask(folder / "sky" / f"{sample.id}.png", sample.sky)
    return _summary(session, found)


def _points(session: Session, folder: Path) -> Exported:
    found = annotated(session)
    points = {sample.id: sample.points for sample in found.samples if sample.points is not None}
    write_points(folder / "points.json", points)
    return _summary(session, found)


def _label_studio(session: Session, folder: Path) -> Exported:
    found = annotated(session)
    tasks = []
    for sample in found.samples:
        assert sample.points is not None
        assert sample.boxes is not None
        name = session.images[sample.id].name
        tasks.append(label_studio_task(name, sample.shape, sample.points, sample.boxes))
    write_json(folder / "label-studio.json", tasks)
    return _summary(session, found)


def _timing(session: Session, folder: Path) -> Exported:
    """Seconds of work per image, from the first look to the last action, and per target."""
    seconds = session.journal.seconds
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["image", "targets", "seconds", "seconds_per_target"])
    total_targets = 0
    for image, spent in seconds.items():
        targets = len(session.state(image)[0].targets)
        total_targets += targets
        table.writerow([image, targets, f"{spent:.1f}", f"{spent / targets:.1f}" if targets else ""])
    write_text(folder / "timing.csv", text.getvalue())
    spent = sum(seconds.values())
    pace = f", {spent / total_targets:.1f} s a target" if total_targets else ""
    return Exported(f"{len(seconds)} images, {total_targets} targets, {spent:.0f} s{pace}")


def _replacing(write: Export) -> Export:
    """The same export in place of the last one (see :func:`infraspot.web.export_folder.fresh_folder`)."""

    def export(session: Session, folder: Path) -> Exported:
        with fresh_folder(folder) as fresh:
            return write(session, fresh)

    return export


EXPORTS: Mapping[str, Export] = {
    "masks": _replacing(_masks),
    "points": _replacing(_points),
    "coco": _replacing(_form("coco")),
    "yolo": _replacing(_form("yolo")),
    "voc": _replacing(_form("voc")),
    "label-studio": _replacing(_label_studio),
    "timing": _replacing(_timing),
}
"""Each writes what is finished now into a folder, in place of the last export, and says what that is."""


def take_in(session: Session, path: Path) -> str:
    """Put the annotation of a data set, a points file or an export into the journal.

    Images that were worked on already stay as they are. Points and boxes become masks by the default
    annotator, and such images stay open, so that a person looks at them.

    Raises
    ------
    InputError, DataError
        If the file cannot be read, or names no image of this folder.
    """
    taken = kept = 0
    for sample in _incoming(session, path):
        if session.journal.history(sample.id).version:
            kept += 1
            continue
        for action in _actions(sample):
            session.journal.add(sample.id, WINDOW, action)
        taken += 1
    if not taken + kept:
        raise DataError(f"{path}: names none of the {len(session.images)} images in {session.folder}")
    return f"{taken} images taken in, {kept} left as they were"


def _incoming(session: Session, path: Path) -> Iterator[Sample]:
    points = _points_of(path) if path.is_file() else None
    if points is None:
        yield from (sample for sample in open_dataset(path) if sample.id in session.images)
        return
    for image, clicks in points.items():
        if image in session.images:
            frame = session.frame(image)
            yield Sample(image, frame.image, points=clicks, bit_depth=frame.bit_depth)


def _points_of(path: Path) -> dict[str, np.ndarray] | None:
    """The clicks in a file, or None for a file that is a data set of its own (COCO)."""
    if path.suffix.lower() == ".csv":
        return read_points(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: expected JSON or CSV, and reading it failed: {error}") from error
    if isinstance(content, list):
        return read_label_studio(path)
    return None if "images" in content and "annotations" in content else read_points(path)


def _actions(sample: Sample) -> Iterator[Action]:
    if sample.sky is not None:
        yield SetSky(patch=to_patch(sample.sky))
    if sample.mask is not None:
        parts = find_components(sample.mask)
        for number in range(len(parts)):
            y, x = parts.centroids[number]
            patch = to_patch(parts.labels == number + 1)
            yield PutTarget(target=MarkedTarget(id=number + 1, x=x, y=y, method="import", patch=patch))
        yield SetStatus(status="done" if len(parts) else "empty")
        return
    points = sample.points
    if points is None and sample.boxes is not None:
        points = (sample.boxes[:, [1, 0]] + sample.boxes[:, [3, 2]] - 1) / 2
    for number, (y, x) in enumerate(() if points is None else points, 1):
        found = annotate(sample.image, np.array([[y, x]]))
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
    if points is not None and not len(points):
        yield SetStatus(status="empty")
