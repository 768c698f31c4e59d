"""Detection in an archive by the machines of a Ray cluster, from a folder or bucket into another one.

Each worker takes some files at a time, reads their bytes itself, and writes its rows itself, as one small
Parquet file after another: no rows pass through the driver, and no processor has to be kept free for reading
or writing. What stands in the results is done: a run that was killed goes on with the frames that are
missing.
"""

import hashlib
import os
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from tempfile import mkdtemp
from typing import Any

from infraspot.core.cores import available_cores
from infraspot.core.errors import DataError, InfraspotError, InputError, UsageError
from infraspot.core.lock import locked
from infraspot.data import Frame, Reading, open_frames
from infraspot.data.storage import Storage, is_url, open_storage
from infraspot.inference import Engine
from infraspot.inference.predictor import TargetEngine
from infraspot.inference.stream import NamedFile
from infraspot.jobs.choosing import choose_engine
from infraspot.jobs.rows import detected_row, refuse_other_settings, row_id, settings_of
from infraspot.jobs.watching import Progress, Tell, no_progress, tell_nobody
from infraspot.report.parquet import Row, parquet_bytes, read_parquet, row_of_error

FILES_AT_A_TIME = 16
ROWS_OF_A_PART = 256
IN_HAND = 2  # batches of a worker, so that it never waits
PATIENCE = 300.0  # seconds until a worker has started
PART = r"part-[0-9a-f]{16}\.parquet"
FINISHED = "finished"


@dataclass(frozen=True)
class Weights:
    """The weight file of the engine, as it travels to other machines; packaged models are there already."""

    name: str
    content: bytes

    @classmethod
    def of(cls, path: Path) -> "Weights":
        """A file, with the folder that a run is named by."""
        return cls(f"{path.resolve().parent.name or 'weights'}/{path.name}", path.read_bytes())

    def unpacked(self) -> str:
        """Its path on this machine."""
        place = Path(mkdtemp(prefix="infraspot-")) / self.name
        place.parent.mkdir()
        place.write_bytes(self.content)
        return str(place)


@dataclass(frozen=True)
class Plan:
    """What every worker is told.

    Attributes
    ----------
    source, out
        Places of :func:`infraspot.data.storage.open_storage`.
    engine
        Options of :func:`infraspot.jobs.choosing.choose_engine`, without the weights.
    threshold
        Of the driver's engine.
    reading
        How files are read.
    settings
        What every part of the results says that it came from.
    """

    source: str
    out: str
    engine: dict[str, Any]
    threshold: float
    reading: Reading
    settings: dict[str, Any]


@dataclass
class ArchiveRun:
    """What stands in the results now.

    Attributes
    ----------
    frames, targets, errors
        Rows, targets in them, and rows of frames that could not be used.
    before
        Rows that were there when the run began.
    """

    frames: int = 0
    targets: int = 0
    errors: int = 0
    before: int = 0

    def add(self, row: Row) -> None:
        """Count a row."""
        self.frames += 1
        self.targets += len(row["targets"] or ())
        self.errors += row["error"] is not None

    def plus(self, other: "ArchiveRun") -> None:
        """Count the rows that another one counted."""
        self.frames += other.frames
        self.targets += other.targets
        self.errors += other.errors


@dataclass
class Done:
    """What earlier runs wrote: the sums, the files that are finished, and the rows of those that are not."""

    run: ArchiveRun = field(default_factory=ArchiveRun)
    files: set[str] = field(default_factory=set)
    ids: dict[str, set[str]] = field(default_factory=dict)


class Worker:
    """One processor of the cluster, with an engine of its own."""

    def __init__(self, plan: Plan, weights: Weights | None) -> None:
        options = plan.engine if weights is None else {**plan.engine, "model": weights.unpacked()}
        self.engine, _ = choose_engine(**options, threads=1)
        self.plan = plan
        self.source, self.out = open_storage(plan.source), open_storage(plan.out)

    def ready(self) -> bool:
        """That the engine is open."""
        return True

    def work(self, paths: Sequence[str], done: Collection[str] = ()) -> ArchiveRun:
        """Detect in some files, but for rows that are done, and write what was found."""
        counted, rows, finished = ArchiveRun(), list[Row](), list[str]()
        for path in paths:
            for row in self._rows_of(path, done):
                counted.add(row)
                rows.append(row)
                if len(rows) >= ROWS_OF_A_PART:
                    write_part(self.out, rows, finished, self.plan.settings)
                    rows, finished = [], []
            finished.append(path)
        if rows or finished:
            write_part(self.out, rows, finished, self.plan.settings)
        return counted

    def _rows_of(self, path: str, done: Collection[str]) -> Iterator[Row]:
        file = NamedFile(Path(path), path, path)
        for page, frame in self._frames_of(path):
            if row_id(path, page) not in done:
                yield detected_row(file, page, frame, self.engine, self.plan.threshold)

    def _frames_of(self, path: str) -> Iterator[tuple[int | None, Frame | InputError]]:
        try:
            content = self.source.read(path)
        except InputError as error:
            yield None, error
            return
        for key, frame in open_frames(Path(path), self.plan.reading, content):
            yield key.page, frame


def write_part(out: Storage, rows: Sequence[Row], finished: Sequence[str], settings: dict[str, Any]) -> None:
    """Write a part of the results, named by the frames that it holds, so that it is never there twice."""
    held = "\n".join([*(row_id(row["path"], row["page"]) for row in rows), *finished])
    name = f"part-{hashlib.sha256(held.encode()).hexdigest()[:16]}.parquet"
    out.write(name, parquet_bytes(name, rows, {**settings, FINISHED: list(finished)}))


def detect_archive(
    source: str | Path,
    out: str | Path,
    engine: Engine | TargetEngine,
    threshold: float,
    options: dict[str, Any],
    *,
    weights: Path | None = None,
    ship: bool = False,
    address: str = "auto",
    actors: int | None = None,
    resume: bool = False,
    recursive: bool = False,
    reading: Reading | None = None,
    progress: Progress = no_progress,
    tell: Tell = tell_nobody,
) -> ArchiveRun:
    """Detect in every frame of a folder or bucket, and write rows as ``OUT/part-*.parquet``.

    Parameters
    ----------
    source, out
        Paths or URLs of folders (see :mod:`infraspot.data.storage`).
    engine, threshold
        What :func:`infraspot.jobs.choosing.choose_engine` gave for ``options``, which workers repeat.
    weights, ship
        The file of the engine's weights, and whether it is sent to the workers.
    address
        Of a Ray cluster; ``"auto"`` takes that of the variable RAY_ADDRESS, or starts one on this machine.
    actors
        Workers, one for each processor; by default as many as the cluster has.
    resume
        Go on with what an earlier run left in ``out``; without it, results there are refused.
    recursive, reading, progress, tell
        As in :func:`infraspot.jobs.detect.run_engine`.

    Raises
    ------
    UsageError
        If ``out`` holds results and ``resume`` is not given, or results of other settings; or the cluster has
        fewer processors than ``actors``.
    DataError
        If there is no frame, a place cannot be reached any more, or the cluster does not answer.
    """
    reading = reading or Reading()
    from_, to = open_storage(source), open_storage(out)
    settings = {**settings_of(engine, threshold, weights, reading), "source": from_.root}
    done = _read_done(to, settings, resume)
    files = from_.frames(recursive=recursive, raw=reading.raw is not None)
    missing = [path for path in files if path not in done.files and not _is_below(from_, path, to)]
    run = done.run
    if not missing:
        return run
    plan = Plan(str(source), str(out), options, threshold, reading, settings)
    shipped = Weights.of(weights) if weights is not None and ship else None
    batches = [missing[start : start + FILES_AT_A_TIME] for start in range(0, len(missing), FILES_AT_A_TIME)]
    lock = nullcontext() if is_url(out) else locked(out)
    with lock, _Cluster(address, actors, len(batches), plan, shipped) as cluster:
        for counted in progress(cluster.run(batches, done, tell), len(batches), "detecting"):
            run.plus(counted)
        if cluster.deaths:  # what a dead worker wrote was not counted
            run = replace(_read_done(to, settings, resume=True).run, before=run.before)
    return run


def _is_below(source: Storage, path: str, out: Storage) -> bool:
    """Whether a file lies in the folder of the results."""
    return type(source.files) is type(out.files) and PurePosixPath(source.root, path).is_relative_to(out.root)


def _read_done(out: Storage, settings: dict[str, Any], resume: bool) -> Done:
    done = Done()
    names = out.names(PART)
    if names and not resume:
        raise UsageError(
            f"{out.name} holds results of an earlier run; go on with them by --resume, or choose another"
            " --out"
        )
    for name in names:
        place = f"{out.name}/{name}"
        written, rows = read_parquet(place, out.read(name))
        refuse_other_settings(place, written, settings)
        done.files.update(written.get(FINISHED, ()))
        for row in rows:
            done.run.add(row)
            done.ids.setdefault(row["path"], set()).add(row_id(row["path"], row["page"]))
    done.run.before = done.run.frames
    return done


class _Cluster:
    """Workers on a Ray cluster, for as long as the block lasts."""

    def __init__(
        self, address: str, actors: int | None, batches: int, plan: Plan, weights: Weights | None
    ) -> None:
        self._ray = _quiet_ray()
        self._connect(address)
        processors = int(self._ray.cluster_resources().get("CPU", 0))
        if actors is not None and actors > processors:
            self._ray.shutdown()
            raise UsageError(f"the cluster has {processors} processors; ask for as many --actors or fewer")
        self._count = min(actors or processors, batches)
        self._plan, self._weights = plan, weights
        self.deaths = 0

    def _connect(self, address: str) -> None:
        named = os.environ.get("RAY_ADDRESS") if address == "auto" else address
        own = {"num_cpus": available_cores(), "include_dashboard": False, "_node_ip_address": "127.0.0.1"}
        options: dict[str, Any] = {"address": named} if named else {"address": "local", **own}
        try:
            self._ray.init(log_to_driver=False, logging_level="ERROR", **options)
        except Exception as error:  # Ray raises whatever its parts do
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise DataError(f"no Ray cluster answers at {named or 'this machine'}: {reason[:200]}") from error

    def __enter__(self) -> "_Cluster":
        return self

    def __exit__(self, *_: object) -> None:
        self._ray.shutdown()

    def run(self, batches: Sequence[Sequence[str]], done: Done, tell: Tell) -> Iterator[ArchiveRun]:
        """The sums of each batch as it is finished. A file of which a worker dies twice becomes an error."""
        weights = None if self._weights is None else self._ray.put(self._weights)
        idle = deque(self._started(weights) * IN_HAND)
        waiting, under_way = deque(batches), dict[Any, tuple[Any, Sequence[str]]]()
        while waiting or under_way:
            while waiting and idle:
                worker, paths = idle.popleft(), waiting.popleft()
                known = set[str]().union(*(done.ids.get(path, ()) for path in paths))
                under_way[worker.work.remote(paths, known)] = worker, paths
            (finished,), _ = self._ray.wait(list(under_way))
            worker, paths = under_way.pop(finished)
            idle.append(worker)
            try:
                yield self._ray.get(finished)
            except self._ray.exceptions.RayActorError:
                self.deaths += 1
                done = _read_done(open_storage(self._plan.out), self._plan.settings, resume=True)
                left = [path for path in paths if path not in done.files]
                if len(left) > 1 or len(paths) > 1:
                    waiting.extend([path] for path in left)
                elif left:
                    self._give_up(left[0], tell)
            except self._ray.exceptions.RayTaskError as error:
                raise error.cause if isinstance(error.cause, InfraspotError) else error from None

    def _started(self, weights: Any) -> list[Any]:
        kind = self._ray.remote(num_cpus=1, max_restarts=-1)(Worker)
        workers = [kind.remote(self._plan, weights) for _ in range(self._count)]
        try:
            self._ray.get([worker.ready.remote() for worker in workers], timeout=PATIENCE)
        except self._ray.exceptions.GetTimeoutError as error:
            raise DataError(
                f"not all of {self._count} workers started within {PATIENCE:g} s; the cluster is busy: give"
                " fewer --actors, or try again later"
            ) from error
        except self._ray.exceptions.RayError as error:
            reason = str(error).strip().splitlines()[-1][:300]
            raise DataError(
                f"a worker did not start ({reason}); infraspot of one version has to be installed on every"
                " machine of the cluster"
            ) from error
        return workers

    def _give_up(self, path: str, tell: Tell) -> None:
        """Write the row of a file of which two workers died, the second one with this file alone."""
        broken = InputError(f"{path}: two workers died of it; it may ask for more memory than there is")
        tell(broken)
        row = row_of_error(path, None, broken)
        write_part(open_storage(self._plan.out), [row], [path], self._plan.settings)


def _quiet_ray() -> Any:
    """Ray, which otherwise reports how it is used."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    return ray
