"""Detection in an archive by the machines of a Ray cluster, from a folder or bucket into another one.

The driver shares out files among workers (:mod:`infraspot.jobs.archive_worker`). What stands in the results
is done: a run that was killed goes on with the frames that are missing.
"""

import os
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from infraspot.core.cores import available_cores
from infraspot.core.errors import DataError, InfraspotError, InputError, UsageError
from infraspot.core.lock import locked
from infraspot.data import Reading
from infraspot.data.storage import Storage, is_url, open_storage
from infraspot.inference import Engine
from infraspot.inference.predictor import TargetEngine
from infraspot.jobs.archive_worker import FINISHED, ArchiveRun, Plan, Weights, Worker, write_part
from infraspot.jobs.rows import refuse_other_settings, row_id, settings_of
from infraspot.jobs.watching import Progress, Tell, no_progress, tell_nobody
from infraspot.report.parquet import read_parquet, row_of_error

FILES_AT_A_TIME = 16
IN_HAND = 2  # batches of a worker, so that it never waits
PATIENCE = 300.0  # seconds until a worker has started
PART = r"part-[0-9a-f]{16}\.parquet"


@dataclass
class Done:
    """What earlier runs wrote: the sums, the files that are finished, and the rows of those that are not."""

    run: ArchiveRun = field(default_factory=ArchiveRun)
    files: set[str] = field(default_factory=set)
    ids: dict[str, set[str]] = field(default_factory=dict)


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
