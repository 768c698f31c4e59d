"""Annotations out of the journal, in the formats of the field."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from infraspot.annotators import save_level
from infraspot.core.errors import DataError, InfraspotError, counted
from infraspot.core.files import write_json, write_text
from infraspot.core.geometry import find_components
from infraspot.core.sample import Sample
from infraspot.data import write_dataset, write_mask, write_points
from infraspot.data.conversion import convert
from infraspot.data.inspection import Inspection, pixel_digest
from infraspot.data.splitting import stratified_split
from infraspot.web.actions import State
from infraspot.web.export_folder import fresh_folder
from infraspot.web.label_studio import label_studio_task
from infraspot.web.marks import write_marks
from infraspot.web.runs import to_mask
from infraspot.web.session import Session, plain_name

# Of the settled images, to train on and to validate on.
SHARES = {"train": 4, "val": 1}
LEVEL = "level.json"
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
        If no image is settled, or none of those that are can be read.
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
    if not problems and not samples:
        raise DataError(f"no image is done, empty or doubtful yet; {_left(session)}Enter marks one as done")
    if problems and not samples:
        raise DataError(f"none of the {len(problems)} annotated images can be read: {problems[0]}")
    return Annotated(samples, tuple(problems))


def _sample(session: Session, image: str, state: State) -> Sample:
    frame = session.frame(image)
    masks = [to_mask([target.patch], frame.image.shape) for target in state.targets]
    boxes = [target.patch.box for target in state.targets]
    return Sample(
        plain_name(image),
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
    note = f" ({left}mark them done)" if (left := _left(session)) else ""
    if found.problems:
        note += f" ({len(found.problems)} left out that cannot be read: {found.problems[0]})"
    images, marked = counted(len(samples), "image"), counted(targets, "target")
    return Exported(f"{images}, {marked}{note}", found.problems)


def _left(session: Session) -> str:
    """The beginning of a sentence about open images with targets; nothing where there is none."""
    states = [session.state(image)[0] for image in session.images]
    left = sum(state.status == "open" and bool(state.targets) for state in states)
    return f"{left} open images with targets left out; " if left else ""


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


def _dataset(session: Session, folder: Path) -> Exported:
    """Images, masks, sky, boxes, clicks and split lists: what `infraspot train --data` takes as it is."""
    found = annotated(session)
    splits = _splits(found.samples)
    write_dataset(folder, found.samples, splits=splits)
    counts = ", ".join(
        f"{len(ids)} to {what}" for ids, what in zip(splits.values(), ("train", "validate"), strict=True)
    )
    summary = _summary(session, found)
    return Exported(f"{summary.sentence} ({counts})", summary.problems)


def _splits(samples: Sequence[Sample]) -> dict[str, list[str]]:
    """Lists of images that are alike in number and size of targets; twins stay together."""
    inspections = []
    for sample in samples:
        assert sample.mask is not None
        areas = find_components(sample.mask).areas.astype(np.float64)
        inspections.append(Inspection(sample.id, digest=pixel_digest(sample.image), areas=areas))
    train, val = stratified_split(inspections, list(SHARES.values()), seed=0)
    if not val and len(train) > 1:
        val = [train.pop()]
    return dict(zip(SHARES, (train, val), strict=True))


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
        image = session.named(sample.id)
        assert image is not None
        key = session.images[image]
        name = key.path.name if "/" not in image and key.page is None else f"{sample.id}.png"
        tasks.append(label_studio_task(name, sample.shape, sample.points, sample.boxes))
    write_json(folder / "label-studio.json", tasks)
    return _summary(session, found)


def _level(session: Session, folder: Path) -> Exported:
    """What the corrected targets taught, as a level that `pseudo`, `annotate` and Python take."""
    learned = session.learning.convention()
    count = len(learned.observed)
    if not count:
        raise DataError(
            "nothing was learned yet; grow or shrink the mask of a target by [ and ], and export again"
        )
    convention = replace(learned, about={"frames": session.folder.resolve().name, "targets": count})
    save_level(convention, folder / LEVEL)
    return Exported(f"the level of {count} corrected target{'' if count == 1 else 's'}, for --level {LEVEL}")


def _timing(session: Session, folder: Path) -> Exported:
    """Seconds of work per image, from the first look to the last action, and per target.

    Images that came in from elsewhere and were only looked at cost nobody time.
    """
    seconds = {image: spent for image, spent in session.journal.seconds.items() if spent}
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
    images, marked = counted(len(seconds), "image"), counted(total_targets, "target")
    return Exported(f"{images}, {marked}, {spent:.0f} s{pace}")


def _replacing(write: Export, marks: bool = True) -> Export:
    """The same export in place of the last one (see :func:`infraspot.web.export_folder.fresh_folder`).

    With ``marks``, the marks themselves lie beside it, so that it can be taken in again exactly.
    """

    def export(session: Session, folder: Path) -> Exported:
        with fresh_folder(folder) as fresh:
            exported = write(session, fresh)
            if marks:
                states = {image: session.state(image)[0] for image in session.images}
                write_marks(
                    fresh, {image: state for image, state in states.items() if state.status in ANNOTATED}
                )
            return exported

    return export


EXPORTS: Mapping[str, Export] = {
    "dataset": _replacing(_dataset),
    "masks": _replacing(_masks),
    "points": _replacing(_points),
    "coco": _replacing(_form("coco")),
    "yolo": _replacing(_form("yolo")),
    "voc": _replacing(_form("voc")),
    "label-studio": _replacing(_label_studio),
    "level": _replacing(_level, marks=False),
    "timing": _replacing(_timing, marks=False),
}
"""Each writes what is finished now into a folder, in place of the last export, and says what that is."""
