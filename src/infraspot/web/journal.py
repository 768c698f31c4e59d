"""An append-only file of everything that was done, one JSON line each, on disk before it is answered."""

import os
import time
from pathlib import Path
from typing import TextIO

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from infraspot.core.errors import DataError
from infraspot.web.actions import Action, History


class Entry(BaseModel):
    """One line: when (s since 1970), in which window, on which image, what, and the seconds of work."""

    model_config = ConfigDict(extra="forbid")

    time: float
    window: str = Field(max_length=64)
    image: str
    action: Action = Field(discriminator="kind")
    seconds: float | None = None


class Journal:
    """The journal of one folder of images.

    A process that was killed while it wrote may leave half a last line: it was never answered, so it is cut
    off when the journal is opened next. Damage anywhere else is an error, because labels would be lost.

    Raises
    ------
    DataError
        If the file is damaged, not writable, or open in another process.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: list[Entry] = []
        self.histories: dict[str, History] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: TextIO = path.open("a+", encoding="utf-8")
        except OSError as error:
            raise DataError(
                f"cannot write the journal {path}: {error.strerror}; give another --out"
            ) from error
        self._lock()
        self._replay()

    def add(self, image: str, window: str, action: Action, seconds: float | None = None) -> History:
        """Write one action down, then take it in; returns the history of its image."""
        entry = Entry(time=time.time(), window=window, image=image, action=action, seconds=seconds)
        try:
            self._file.write(entry.model_dump_json(exclude_none=True) + "\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise DataError(
                f"cannot write the journal {self.path}: {error.strerror}; free the disk"
            ) from error
        return self._take(entry)

    def history(self, image: str) -> History:
        """The history of an image, empty for one that was never touched."""
        return self.histories.get(image, History())

    def close(self) -> None:
        """Let another process have the journal."""
        self._file.close()

    def _take(self, entry: Entry) -> History:
        self.entries.append(entry)
        history = self.histories.setdefault(entry.image, History())
        history.apply(entry.action)
        return history

    def _lock(self) -> None:
        try:
            import fcntl
        except ImportError:  # Windows: the second server would still refuse the port
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise DataError(
                f"{self.path} is in use by another `infraspot annotate`; close it, or give another --out"
            ) from error

    def _replay(self) -> None:
        self._file.seek(0)
        text = self._file.read()
        whole = text.rfind("\n") + 1
        if whole < len(text):
            self._file.truncate(len(text[:whole].encode()))
        for number, line in enumerate(text[:whole].splitlines(), 1):
            try:
                self._take(Entry.model_validate_json(line))
            except ValidationError as error:
                self._file.close()
                raise DataError(
                    f"{self.path}, line {number}: expected one action, and it is damaged; restore the file"
                    f" from a copy, or delete that line ({error.errors()[0]['msg']})"
                ) from error
