"""What a second look learns from: candidates of the trained network, and of frames with pasted targets."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from hashlib import blake2b
from itertools import chain
from typing import Any, TypeVar

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from infraspot.augment.transforms import CopyPaste
from infraspot.core.errors import DataError
from infraspot.core.geometry import find_components
from infraspot.core.sample import Sample
from infraspot.inference import Engine, prepare_frame
from infraspot.inference.frames import segment_frame
from infraspot.inference.second_look import find_candidates, frame_for_windows, peaks_of
from infraspot.training.parts import build_transform
from infraspot.training.settings import SecondLookPart
from infraspot.training.sources import draw_scenes

NEAREST = 3.0  # pixels, within which a candidate is a target's
PASTED_PER_MPX, MOST_PASTED = 10.0, 8
MOST_OF_A_FRAME = 100  # candidates without a target: the likeliest

T = TypeVar("T")
Progress = Callable[[Iterable[T], int, str], Iterable[T]]
Sets = dict[str, Sequence[Sample]]


@dataclass(frozen=True, eq=False)
class Examples:
    """Candidates with their surroundings.

    Attributes
    ----------
    patches
        (N, H, H) float16 in [0, 1], of the wide windows' side.
    true
        (N,) bool: the candidate is within 3 pixels of a true target, or overlaps one.
    peaks
        (N,) the highest score of the segmentation within the candidate.
    counts
        (N,) how many candidates the frame has.
    frames
        (N,) names.
    donors
        (N,) names of the frames that pasted targets were cut out of; empty where nothing was pasted.
    """

    patches: NDArray[np.float16]
    true: NDArray[np.bool_]
    peaks: NDArray[np.float32]
    counts: NDArray[np.int64]
    frames: NDArray[np.str_]
    donors: NDArray[np.str_]

    def __getitem__(self, chosen: NDArray[np.bool_]) -> "Examples":
        return Examples(*(column[chosen] for column in self._columns()))

    def __add__(self, other: "Examples") -> "Examples":
        pairs = zip(self._columns(), other._columns(), strict=True)
        return Examples(*(np.concatenate(pair) for pair in pairs))

    def _columns(self) -> list[NDArray[Any]]:
        return [getattr(self, field.name) for field in fields(self)]

    def touch(self, prefixes: Sequence[str]) -> NDArray[np.bool_]:
        """(N,) bool: the name of the frame, or of the pasted target's, begins with one of ``prefixes``."""
        names = (self.frames, self.donors)
        return np.array([any(begins(name, prefixes) for name in pair) for pair in zip(*names, strict=True)])


def begins(name: str, prefixes: Sequence[str]) -> bool:
    """Whether the name of a frame, without its set's, begins with one of ``prefixes``."""
    return name.rpartition("/")[2].startswith(tuple(prefixes))


class Remembering:
    """An engine that scores no tile twice: of its scores, those above ``level`` are kept."""

    def __init__(self, engine: Engine, level: float) -> None:
        self.name, self.card = engine.name, engine.card
        self._engine, self._level = engine, level
        self._known: dict[bytes, tuple[NDArray[np.intp], NDArray[np.float32]]] = {}

    def score(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        key = blake2b(image.tobytes(), digest_size=16, key=repr(image.shape).encode()).digest()
        if key not in self._known:
            scores = self._engine.score(image).ravel()
            places = np.flatnonzero(scores > self._level)
            self._known[key] = places, scores[places]
        places, values = self._known[key]
        scores = np.zeros(image.size, np.float32)
        scores[places] = values
        return scores.reshape(image.shape)


def examples_to_learn(
    engine: Engine, sets: Sets, part: SecondLookPart, seed: int, progress: Progress[Any]
) -> Examples:
    """Candidates in the frames of sets, in the same frames changed, in generated ones, and at pasted targets.

    Raises
    ------
    DataError
        If the frames as they are have no candidate with a target, or none without.
    """
    found = find_examples(engine, stream(sets, progress, "to learn from"), part)
    if part.augment:
        frames = stream(sets, progress, "changed")
        found += find_changed(engine, frames, part, np.random.default_rng((seed, 1)))
    if part.scenes:
        scenes = draw_scenes(part.scenes, seed, part.scene_options)
        found += examples_in(engine, progress(scenes, part.scenes, "generated"), part)
    if part.pasted:
        everything = chain.from_iterable(sets.values())
        donors = [sample for sample in everything if sample.mask is not None and sample.mask.any()]
        frames = chain.from_iterable(stream(sets, progress, "pasted into") for _ in range(part.pasted))
        found += find_pasted(engine, frames, donors, part, np.random.default_rng(seed))
    return found


def stream(sets: Sets, progress: Progress[Any], what: str) -> Iterable[Sample]:
    """The frames of sets one after another, with their progress shown."""
    return progress(chain.from_iterable(sets.values()), sum(map(len, sets.values())), what)


def find_examples(engine: Engine, samples: Iterable[Sample], part: SecondLookPart) -> Examples:
    """The candidates of an engine in frames with masks; of those without a target, 100 of a frame at most.

    Raises
    ------
    DataError
        If there are none with a target, or none without.
    """
    found = examples_in(engine, samples, part)
    if not len(found.true) or found.true.all() or not found.true.any():
        raise DataError(
            f"a second look learns from candidates with and without a target, and of {len(found.true)} there"
            f" are {found.true.sum()} with one; name frames without targets in second_look.sets"
        )
    return found


def examples_in(engine: Engine, samples: Iterable[Sample], part: SecondLookPart) -> Examples:
    """As :func:`find_examples`, of whichever kinds there are."""
    return _gather(engine, ((sample, "") for sample in samples if sample.mask is not None), part)


def find_changed(engine: Engine, samples: Iterable[Sample], part: SecondLookPart, rng: Generator) -> Examples:
    """The candidates of frames with masks, each changed as ``part.augment`` says."""
    change = build_transform(part.augment, donors=())
    whole = (sample for sample in samples if sample.mask is not None)
    return examples_in(engine, (_as_stored(change(sample, rng)) for sample in whole), part)


def find_pasted(
    engine: Engine, samples: Iterable[Sample], donors: Sequence[Sample], part: SecondLookPart, rng: Generator
) -> Examples:
    """The candidates at targets of ``donors`` that were pasted into frames, one donor for each frame."""
    found = _gather(engine, _paste(samples, donors, part, rng), part)
    return found[found.true]


def _paste(
    samples: Iterable[Sample], donors: Sequence[Sample], part: SecondLookPart, rng: Generator
) -> Iterator[tuple[Sample, str]]:
    """Frames with pasted targets, whose masks show these alone, and the name of the donor."""
    for sample in samples:
        if sample.mask is None:
            continue
        donor = donors[int(rng.integers(len(donors)))]
        count = int(np.clip(PASTED_PER_MPX * sample.image.size / 1e6, 3, MOST_PASTED))
        paste = CopyPaste(
            donors=[donor], count=(count, count), p=1.0, scr=part.pasted_scr, zoom=part.pasted_zoom
        )
        changed = paste(Sample(sample.id, sample.image, sample.mask, bit_depth=sample.bit_depth), rng)
        assert changed.mask is not None
        yield _as_stored(changed).replace(mask=changed.mask & ~sample.mask), donor.id


def _as_stored(sample: Sample) -> Sample:
    """The frame as a file of its depth would hold it."""
    steps = float((1 << sample.bit_depth) - 1)
    stored = np.rint(sample.image * steps) / np.float32(steps)
    return sample.replace(image=stored.astype(np.float32))


def _gather(engine: Engine, frames: Iterable[tuple[Sample, str]], part: SecondLookPart) -> Examples:
    rows = [(*row, sample.id, donor) for sample, donor in frames for row in _of_frame(engine, sample, part)]
    patches, true, peaks, counts, names, donors = zip(*rows, strict=True) if rows else ((),) * 6
    shaped = np.array(patches, np.float16).reshape(-1, part.wide, part.wide)
    judged = np.array(true, bool), np.array(peaks, np.float32), np.array(counts, np.int64)
    return Examples(shaped, *judged, np.array(names, str), np.array(donors, str))


def _of_frame(
    engine: Engine, sample: Sample, part: SecondLookPart
) -> Iterator[tuple[NDArray[np.float16], bool, float, int]]:
    image = prepare_frame(sample.image, sample.bit_depth)
    scores = segment_frame(engine, image)
    found = find_candidates(scores, part.level, part.outline)
    peaks = peaks_of(scores, found)
    assert sample.mask is not None
    truth = find_components(sample.mask)
    framed = frame_for_windows(image, part.wide)
    likely = set(np.argsort(-peaks, kind="stable")[:MOST_OF_A_FRAME].tolist())
    for number, place in enumerate(found.centroids):
        near = len(truth) > 0 and np.hypot(*(truth.centroids - place).T).min() < NEAREST
        x0, y0, x1, y1 = found.boxes[number]
        true = bool(near or sample.mask[y0:y1, x0:x1][found.mask(number)].any())
        if not true and number not in likely:
            continue
        y, x = np.rint(place).astype(int)
        patch = framed[y : y + part.wide, x : x + part.wide].astype(np.float16)
        yield patch, true, float(peaks[number]), len(found)
