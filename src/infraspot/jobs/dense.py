"""DenseSIRST from any base set: clusters of targets in its skies, as a data set; a stopped run goes on."""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from infraspot.classical.sky import find_sky
from infraspot.core.errors import DataError, InfraspotError, InputError, UsageError, named, unknown_name
from infraspot.core.files import write_json
from infraspot.core.sample import Sample
from infraspot.data import Reader, open_dataset, read_mask, write_sample
from infraspot.data.densesirst import DENSESIRST_FILES, write_densesirst_lists, write_densesirst_sample
from infraspot.data.reader import open_split
from infraspot.data.store import SAMPLE_FILES, write_split_lists
from infraspot.jobs.growing import GrowingFolder, Record, digest_of, mapper
from infraspot.jobs.sky import mask_files
from infraspot.jobs.watching import Progress, Tell, no_progress, tell_nobody
from infraspot.synth.dense import Clustered, DenseOptions, add_clusters
from infraspot.synth.library import PATCH_SOURCES, Patches, PatchSource, build_library

MOST = 1_000_000
_ROLES = ("train", "val", "test")
_VAL_EVERY = 5
_LIBRARY_FRAMES = 1000  # more give no other distribution, and take time before the first frame
_WORTH_A_POOL = 32
_AT_ONCE = 16  # frames that a process makes for one copy of what it needs


@dataclass(frozen=True)
class _Form:
    """How a data set is written: its files of an image, and what writes them and the split lists."""

    files: tuple[str, ...]
    write: Callable[[Path, Sample], None]
    write_lists: Callable[[Path, Mapping[str, Sequence[str]]], None]


DENSE_LAYOUTS: Mapping[str, _Form] = {
    "infraspot": _Form(SAMPLE_FILES, write_sample, write_split_lists),
    "densesirst": _Form(DENSESIRST_FILES, write_densesirst_sample, write_densesirst_lists),
}


@dataclass(frozen=True)
class DenseRun:
    """What a run did: frames that were made and that were there before, and sentences about the others.

    ``unchanged`` counts frames of the whole set that got no cluster, because their sky has no room.
    """

    made: int
    kept: int
    unchanged: int
    targets: int
    problems: tuple[str, ...]


@dataclass(frozen=True)
class _Maker:
    """Makes one frame in any process: everything that it needs, and nothing else."""

    out: Path
    layout: str
    base: Reader
    skies: Mapping[str, Path] | None
    library: Patches
    options: DenseOptions
    seed: int

    def __call__(self, index: int) -> Record | InfraspotError:
        try:
            return self._make(index)
        except InputError as error:
            return error

    def _make(self, index: int) -> Record:
        place = _base_index(index, len(self.base), self.seed)
        sample, source = self._with_sky(self.base[place])
        rng = np.random.default_rng([self.seed, index])
        made = add_clusters(
            sample.replace(id=f"dense_{self.seed}_{index:06d}"), self.library, self.options, rng
        )
        DENSE_LAYOUTS[self.layout].write(self.out, made.sample)
        record = _record(made, index, sample.id, source)
        _folder(self.out, self.layout).add(record)
        return record

    def _with_sky(self, sample: Sample) -> tuple[Sample, str]:
        """The sample with its sky, and where that comes from."""
        if sample.mask is None:
            raise InputError(f"{sample.id} has no mask, so that its targets are not known; leave it out")
        if self.skies is not None:
            sky = read_mask(self.skies[sample.id])
            if sky.shape != sample.shape:
                raise InputError(
                    f"{self.skies[sample.id]} is {sky.shape[1]}x{sky.shape[0]}, and its image {sample.id} is "
                    f"{sample.shape[1]}x{sample.shape[0]}; replace one of them"
                )
            return sample.replace(sky=sky.astype(np.uint8)), "folder"
        if sample.sky is not None:
            return sample, "base"
        return sample.replace(sky=find_sky(sample.image).astype(np.uint8)), "automatic"


def write_dense(
    base: str | Path,
    out: str | Path,
    count: int,
    seed: int = 0,
    options: DenseOptions | None = None,
    *,
    sky: str | Path = "auto",
    layout: str = "infraspot",
    patches: PatchSource = "background",
    workers: int = 1,
    progress: Progress = no_progress,
    tell: Tell = tell_nobody,
) -> DenseRun:
    """Write ``count`` frames of a base set with clusters of targets in their skies.

    Every frame of the base is used once before any is used again. The patches come from its training split,
    where it has one. Frame i depends on the base, the seed, the options and i alone. Splits are those of the
    base; without any, every fifth of its frames is for validation.

    Parameters
    ----------
    base
        A data set with masks, in any layout.
    out
        Folder of the new set.
    sky
        ``"auto"``: the sky of the base where it has one, and otherwise that of
        :func:`infraspot.classical.sky.find_sky`; or a folder with a mask for each image.
    layout
        A key of :data:`DENSE_LAYOUTS`: ours, or that of the released DenseSIRST.
    patches
        See :func:`infraspot.synth.library.cut_patches`.
    workers
        Processes; their number changes no byte.

    Raises
    ------
    UsageError
        If an option is none.
    DataError
        If the base has no masks, no targets or no sky masks where a folder of them was given; or if ``out``
        holds other files, frames of other options, or cannot be written to. Nothing was written then.
    """
    if not 1 <= count <= MOST:
        raise UsageError(f"the count must be 1 to {MOST:,} frames, and {count:,} came")
    if layout not in DENSE_LAYOUTS:
        raise unknown_name("layout", layout, DENSE_LAYOUTS)
    if patches not in PATCH_SOURCES:
        raise unknown_name("source of patches", patches, PATCH_SOURCES)
    options, out = options or DenseOptions(), Path(out)
    whole = open_dataset(base)
    reader = _masked(whole)
    skies = None if str(sky) == "auto" else _skies(reader, Path(sky))
    splits = _splits(whole, set(reader.ids))
    library = _library(reader, splits.get("train") or reader.ids, patches, options.side, seed)
    stored = json.loads(
        json.dumps(
            {
                "base": digest_of(reader.ids),
                "seed": seed,
                "clusters": asdict(options),
                "patches": patches,
                "sky": "auto" if skies is None else Path(sky).name,
                "layout": layout,
            }
        )
    )
    folder = _folder(out, layout)
    records = folder.open(stored)
    missing = [index for index in range(count) if index not in records]
    kept, problems = len(records), []
    make = _Maker(out, layout, reader, skies, library, options, seed)
    try:
        with mapper(workers if len(missing) >= _WORTH_A_POOL else 1, _AT_ONCE) as run:
            for record in progress(run(make, missing), len(missing), "frames"):
                if isinstance(record, InfraspotError):
                    tell(record)
                    problems.append(str(record))
                else:
                    records[record["index"]] = record
    finally:
        ordered = folder.gathered(records)
        if ordered:
            DENSE_LAYOUTS[layout].write_lists(out, _members(ordered, splits))
            if layout == "infraspot":
                write_json(out / "points.json", {record["id"]: record["points"] for record in ordered})
            folder.close(stored, ordered)
    return DenseRun(
        made=len(missing) - len(problems),
        kept=kept,
        unchanged=sum(not record["areas"] for record in ordered),
        targets=sum(len(record["points"]) for record in ordered),
        problems=tuple(problems),
    )


def _base_index(index: int, length: int, seed: int) -> int:
    """Which frame of the base frame ``index`` is made of: each in turn, in a new order every round."""
    turn, place = divmod(index, length)
    return int(np.random.default_rng([seed, turn, length]).permutation(length)[place])


def _record(made: Clustered, index: int, source: str, sky: str) -> Record:
    assert made.sample.points is not None
    return {
        "index": index,
        "id": made.sample.id,
        "base": source,
        "sky": sky,
        "areas": [list(corner) for corner in made.areas],
        "pasted": made.pasted,
        "points": [[round(float(x), 3), round(float(y), 3)] for y, x in made.sample.points],
    }


def _folder(out: Path, layout: str) -> GrowingFolder:
    files = DENSE_LAYOUTS[layout].files
    return GrowingFolder(
        out,
        "dense",
        "frames",
        lambda record: all((out / place.format(record["id"])).is_file() for place in files),
    )


def _masked(reader: Reader) -> Reader:
    """The frames that have masks; a DataError if none has."""
    ids = [name for index, name in enumerate(reader.ids) if reader.has_mask(index)]
    if not ids:
        raise DataError(
            f"{reader.root} has no masks, so that its targets are not known; make them with "
            "'infraspot pseudo' or 'infraspot annotate', or choose another base set"
        )
    return reader.select(ids)


def _skies(reader: Reader, folder: Path) -> dict[str, Path]:
    """The sky mask of every frame in a folder; a DataError if any is missing."""
    files = mask_files(folder)
    lacking = [name for name in reader.ids if name not in files]
    if lacking:
        raise DataError(
            f"{folder} has no sky mask for {len(lacking)} of {len(reader)} images ({named(lacking)}); make"
            " them with 'infraspot sky', or take --sky auto"
        )
    return {name: files[name] for name in reader.ids}


def _splits(base: Reader, masked: Collection[str]) -> dict[str, list[str]]:
    """The masked frames of each split: by the base's lists or folders, or every fifth for validation."""
    found = {}
    for role in _ROLES:
        with suppress(UsageError):
            found[role] = [name for name in open_split(base, role).ids if name in masked]
    if found:
        return found
    ids = [name for name in base.ids if name in masked]
    val = ids[_VAL_EVERY - 1 :: _VAL_EVERY]
    return {"train": [name for name in ids if name not in set(val)], "val": val}


def _members(records: Sequence[Record], splits: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """The made frames of each split."""
    role_of = {name: role for role, ids in splits.items() for name in ids}
    return {role: [one["id"] for one in records if role_of.get(one["base"]) == role] for role in splits}


def _library(reader: Reader, ids: Sequence[str], patches: PatchSource, side: int, seed: int) -> Patches:
    rng = np.random.default_rng([seed, len(ids)])
    chosen = rng.permutation(len(ids))[:_LIBRARY_FRAMES]
    return build_library(
        _readable(reader.select([ids[place] for place in sorted(chosen)])), patches, side, rng
    )


def _readable(reader: Reader) -> Iterator[Sample]:
    """Its samples without those that cannot be read; each is told of when its own frame is made."""
    for index in range(len(reader)):
        with suppress(InputError):
            yield reader[index]
