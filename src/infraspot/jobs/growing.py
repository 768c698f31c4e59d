"""Folders of made frames that grow: each piece leaves a record, and a stopped run goes on where it was."""

import json
import multiprocessing
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

from infraspot.core.errors import DataError
from infraspot.core.files import clear_leftovers, write_json
from infraspot.data.opening import read_text
from infraspot.jobs.workers import follow_parent

Record = dict[str, Any]


@dataclass(frozen=True)
class GrowingFolder:
    """A folder with an index of what was made in it and with which options.

    Each piece writes a record of its own when its files are complete; :meth:`close` gathers the records in
    the index.

    Attributes
    ----------
    out
        The folder.
    name
        Of the index: it is ``NAME.json``.
    what
        Its pieces, in the plural: the index lists them under that name.
    complete
        Whether the files of a record are all there.
    """

    out: Path
    name: str
    what: str
    complete: Callable[[Record], bool]

    def open(self, options: Mapping[str, Any]) -> dict[int, Record]:
        """The records of complete pieces by number; an empty folder gets its index.

        Raises
        ------
        DataError
            If the folder holds other files, pieces of other options or damaged records, or cannot be written
            to.
        """
        clear_leftovers(self.out)
        if not self.out.exists() or (self.out.is_dir() and not any(self.out.iterdir())):
            write_json(self._index, {"options": options, self.what: []})
            return {}
        index = _read_json(self._index, self.what) if self._index.is_file() else None
        if not isinstance(index, dict) or not {"options", self.what} <= index.keys():
            raise DataError(
                f"{self.out} holds files that are not {self.what}; choose a new folder, so that nothing is "
                "lost"
            )
        if index["options"] != options:
            raise DataError(
                f"{self.out} holds {self.what} made with other options; choose a new folder, or the same "
                "options"
            )
        try:
            records = {**{record["index"]: record for record in index[self.what]}, **self._parts()}
            return {number: record for number, record in records.items() if self.complete(record)}
        except (TypeError, KeyError, AttributeError) as error:
            raise DataError(
                f"{self._index} or a file in {self._folder} is damaged; delete it to make its {self.what} "
                "again"
            ) from error

    def add(self, record: Record) -> None:
        """Write the record of a piece whose files are complete; safe in several processes."""
        write_json(self._folder / f"{record['index']}.json", record)

    def gathered(self, records: Mapping[int, Record]) -> list[Record]:
        """These records and those that were added since, in the order of their numbers."""
        found = {**self._parts(), **records}
        return [found[number] for number in sorted(found)]

    def close(self, options: Mapping[str, Any], records: list[Record]) -> None:
        """Write the index, and remove the single records."""
        write_json(self._index, {"options": options, self.what: records})
        for path in self._part_files():
            path.unlink(missing_ok=True)
        clear_leftovers(self._folder)
        with suppress(OSError):  # absent, or somebody put a file there
            self._folder.rmdir()

    @property
    def _index(self) -> Path:
        return self.out / f"{self.name}.json"

    @property
    def _folder(self) -> Path:
        return self.out / f".{self.name}"

    def _parts(self) -> dict[int, Record]:
        """The records that are not in the index yet, by number."""
        return {int(path.stem): _read_json(path, self.what) for path in self._part_files()}

    def _part_files(self) -> list[Path]:
        return [path for path in self._folder.glob("*.json") if path.stem.isdecimal()]


def _read_json(path: Path, what: str) -> Any:
    try:
        return json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is damaged ({error}); delete it to make these {what} again") from error


def digest_of(ids: Iterable[str]) -> str:
    """A few characters that differ for other images, or another order of them."""
    return blake2b("\n".join(ids).encode(errors="surrogateescape"), digest_size=8).hexdigest()


@contextmanager
def mapper(workers: int, at_once: int = 1) -> Iterator[Any]:
    """A ``map`` that runs in order, in this process or in several; on any error the rest is dropped.

    The function is copied into a process anew for every ``at_once`` items.
    """
    if workers == 1:
        yield map
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=follow_parent)
    try:
        yield partial(pool.map, chunksize=at_once)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
