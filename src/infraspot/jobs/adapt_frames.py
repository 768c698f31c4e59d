"""The frames that an adaptation works on: read, checked, and told apart by camera."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from infraspot.core.errors import Caution, DataError, InfraspotError, counted, named
from infraspot.core.sample import Sample
from infraspot.data import open_dataset
from infraspot.inference.stream import NamedFile, stream_frames
from infraspot.jobs.cameras import cameras_of
from infraspot.jobs.places import frames_at
from infraspot.jobs.watching import Tell

if TYPE_CHECKING:
    from infraspot.training.adapting.tuning import Known

MOST_FRAMES = 200  # of --to that are kept in memory
LOOKED_AT = 32  # of them that every model judges
MOST_SHOTS = 100
MOST_OLD = 32  # frames of --source
SCENES = 16  # that stand in for them
MANY = 20
NAMED = 3


@dataclass(frozen=True, eq=False)
class Gathered:
    """Everything that is known of the new camera.

    Attributes
    ----------
    frames, looked_at
        Of ``--to``: those in memory, and an even choice of them.
    shots, empties
        Labelled frames with targets, and frames without any.
    cameras
        A sentence for each kind of frame in ``--to``, where there are several.
    """

    frames: list[Sample]
    shots: list[Sample]
    empties: list[Sample]
    old: list[Sample]
    assume_empty: bool
    cameras: list[str] = field(default_factory=list)

    @property
    def looked_at(self) -> list[Sample]:
        return evenly(self.frames, LOOKED_AT)

    @property
    def known(self) -> "Known":
        from infraspot.training.adapting.tuning import Known

        return Known(self.shots, evenly(self.empties, MOST_SHOTS), self.frames, self.old)


def gather(
    to: str | Path,
    *,
    shots: str | Path | None,
    empty: str | Path | None,
    assume_empty: bool,
    source: str | Path | None,
    seed: int,
    tell: Tell,
) -> Gathered:
    """Read the frames of an adaptation, and say what is odd about them.

    Raises
    ------
    DataError
        If a folder holds no frame that can be read, or no shot has a mask with a target.
    """
    frames = read_frames_of(to, "--to", tell)
    cameras = cameras_of(frames)
    if cameras:
        tell(
            Caution(
                f"{to} seems to hold frames of {len(cameras)} cameras: {'; '.join(cameras)}; a model for each"
                " of them, from a folder of its own, will do better"
            )
        )
    labelled, without = ([], []) if shots is None else _read_shots(shots, frames, tell)
    empties = without + ([] if empty is None else read_frames_of(empty, "--empty", tell))
    if assume_empty:
        empties = empties + frames
    old = generated_frames(seed) if source is None else _read_source(source)
    return Gathered(frames, labelled, empties, old, assume_empty, cameras)


def read_frames_of(place: str | Path, option: str, tell: Tell) -> list[Sample]:
    """Frames of a place, evenly chosen where there are many; those that cannot be read are told.

    Raises
    ------
    DataError
        If there is none.
    """
    found = frames_at(place)
    for error in found.errors:
        raise DataError(f"{option}: {error}") from error
    files = evenly(found.files, MOST_FRAMES)
    if len(files) < len(found.files):
        tell(f"{place} has {len(found.files)} files; {len(files)} of them, evenly chosen, are enough")
    samples: list[Sample] = []
    for item in stream_frames([NamedFile(file.path, file.path.stem, str(file.path)) for file in files]):
        if isinstance(item, InfraspotError):
            tell(item)
        elif len(samples) < MOST_FRAMES:
            samples.append(
                Sample(_name(item.file.path, item.page), item.frame.image, bit_depth=item.frame.bit_depth)
            )
    if not samples:
        raise DataError(f"{option} {place} holds no frame that can be read; nothing can be adapted to")
    return samples


def _name(path: Path, page: int | None) -> str:
    return f"{path}" if page is None else f"{path}#{page}"


def _read_shots(place: str | Path, frames: Sequence[Sample], tell: Tell) -> tuple[list[Sample], list[Sample]]:
    """Shots with targets, and those without; each image once."""
    reader = open_dataset(place)
    if len(reader) > MOST_SHOTS:
        raise DataError(
            f"--shots {place} has {len(reader)} frames, and adapting is made for 1 to {MANY}; train on so"
            " many with `infraspot train compact --start MODEL --data DIR`"
        )
    samples = [reader[index] for index in range(len(reader))]
    bare = [sample.id for sample in samples if sample.mask is None]
    if bare:
        some = counted(len(bare), "frame has", "frames have")
        raise DataError(
            f"--shots {place}: {some} no mask ({named(bare, NAMED)}); label with `infraspot annotate`, or"
            " leave out"
        )
    samples = _once(samples, tell)
    shots = [sample for sample in samples if sample.mask is not None and sample.mask.any()]
    if not shots:
        raise DataError(
            f"--shots {place} has no target in {counted(len(samples), 'frame')}; name frames without targets"
            " with --empty, and label some that hold one"
        )
    without = [sample for sample in samples if sample.mask is not None and not sample.mask.any()]
    if without:
        some = counted(len(without), "shot holds no target and counts", "shots hold no target and count")
        tell(f"of {len(samples)} shots, {some} as without targets")
    if len(shots) == 1:
        tell(
            Caution(
                "there is one shot with targets: nothing can be held out, and nothing shows whether adapting"
                " helps"
            )
        )
    elif len(shots) > MANY:
        tell(
            f"there are {len(shots)} shots; from about {MANY} on, `infraspot train --start` learns more from"
            " them"
        )
    _compare(shots, frames, tell)
    return shots, without


def _once(samples: Sequence[Sample], tell: Tell) -> list[Sample]:
    """Each image once, by its content."""
    seen: dict[bytes, Sample] = {}
    for sample in samples:
        key = blake2b(np.ascontiguousarray(sample.image).tobytes(), digest_size=16).digest()
        if key in seen:
            first = seen[key].id
            tell(Caution(f"the shots {first} and {sample.id} are the same frame; the second is left out"))
        else:
            seen[key] = sample
    return list(seen.values())


def _compare(shots: Sequence[Sample], frames: Sequence[Sample], tell: Tell) -> None:
    """Say where shots are of another size or depth than every frame of the camera."""
    for what, of in (
        ("size", lambda one: f"{one.shape[1]}x{one.shape[0]}"),
        ("depth", lambda one: f"{one.bit_depth} bits"),
    ):
        known = {of(frame) for frame in frames}
        others = [shot for shot in shots if of(shot) not in known]
        if others:
            tell(
                Caution(
                    f"{counted(len(others), 'shot has', 'shots have')} a {what} that no frame of --to has"
                    f" ({of(others[0])}, such as {others[0].id}; --to has {named(sorted(known), NAMED)}):"
                    " is it the same camera?"
                )
            )


def _read_source(place: str | Path) -> list[Sample]:
    """Old frames with a mask, evenly chosen."""
    reader = open_dataset(place)
    places = [index for index in range(len(reader)) if reader.has_mask(index)]
    if not places:
        raise DataError(
            f"--source {place} has no frame with a mask; give the data set that the start was trained on"
        )
    return [reader[index] for index in evenly(places, MOST_OLD)]


def generated_frames(seed: int, count: int = SCENES) -> list[Sample]:
    """Scenes that stand in for the frames that the start was trained on."""
    from infraspot.synth import generate

    return [frame for scene in generate(count, seed) for frame in scene.frames]


def evenly(items: Sequence[Any], most: int) -> list[Any]:
    """At most so many of them, at even distances."""
    if len(items) <= most:
        return list(items)
    return [items[int(k)] for k in np.linspace(0, len(items) - 1, most).round()]
