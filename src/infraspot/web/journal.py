"""An append-only file of everything that was done, one JSON line each, on disk before it is answered."""

import os
import time
from pathlib import Path
from typing import BinaryIO

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from infraspot.core.errors import DataError
from infraspot.web.actions import Action, History


class Entry(BaseModel):
    """One line: when (s since 1970), in which window, on which image, what, and the seconds of work."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    time: float
    window: str = Field(max_length=64)
    image: str
    action: Action = Field(discriminator="kind")
    seconds: float | None = None


class Switch(BaseModel):
    """One line: learning was switched on or off. It is no step that undo takes back."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    time: float
    window: str = Field(max_length=64)
    learning: bool


Line = Entry | Switch
_LINE: TypeAdapter[Line] = TypeAdapter(Line)


class Journal:
    """The journal of one folder of images.

    A line ends with the byte \\n and with nothing else, whatever the names in it contain. A process that was
    killed while it wrote may leave half a last line. That action was never confirmed: the half line moves to
    a file of its own beside the journal, and ``notice`` says so. Damage anywhere else is an error, because
    labels would be lost.

    Attributes
    ----------
    seconds
        Of work on each image that was worked on.
    learning
        Whether masks follow what corrected targets teach.
    notice
        A sentence about half a line that was set aside, or None.

    Raises
    ------
    DataError
        If the file is damaged, not writable, or open in another process.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: list[Entry] = []
        self.histories: dict[str, History] = {}
        self.seconds: dict[str, float] = {}
        self.learning = True
        self.notice: str | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Unbuffered: bytes that a full disk refuses must not be written later.
            self._file: BinaryIO = path.open("a+b", buffering=0)
        except OSError as error:
            raise DataError(
                f"cannot write the journal {path}: {error.strerror}; give another --out"
            ) from error
        self._lock()
        try:
            self._size = self._replay()
        except BaseException:
            self._file.close()
            raise

    def add(self, image: str, window: str, action: Action, seconds: float | None = None) -> History:
        """Write one action down, then take it in; returns the history of its image.

        Raises
        ------
        DataError
            If the disk refuses it, or the file was deleted meanwhile. Then nothing of the action stays.
        """
        self._put(Entry(time=time.time(), window=window, image=image, action=action, seconds=seconds))
        return self.histories[image]

    def switch_learning(self, window: str, on: bool) -> None:
        """Switch learning on or off; errors are those of :meth:`add`."""
        self._put(Switch(time=time.time(), window=window, learning=on))

    def history(self, image: str) -> History:
        """The history of an image, empty for one that was never touched."""
        return self.histories.get(image, History())

    def close(self) -> None:
        """Let another process have the journal."""
        self._file.close()

    def _put(self, line: Line) -> None:
        """Write a line down, then take it in."""
        if os.fstat(self._file.fileno()).st_nlink == 0:
            raise DataError(
                f"the journal {self.path} was deleted while it was open, and nothing can be saved any more;"
                " put it back from a copy, and start `infraspot annotate` again"
            )
        data = line.model_dump_json(exclude_none=True).encode() + b"\n"
        try:
            self._write(data)
        except OSError as error:
            raise DataError(
                f"cannot write the journal {self.path}: {error.strerror}; free the disk, and do it again"
            ) from error
        self._size += len(data)
        self._take(line)

    def _write(self, line: bytes) -> None:
        """All of the line on disk, or none of it."""
        # An earlier attempt may have failed together with the cutting below.
        self._file.truncate(self._size)
        try:
            written = 0
            while written < len(line):
                written += self._file.write(line[written:])
            os.fsync(self._file.fileno())
        except OSError:
            self._file.truncate(self._size)
            raise

    def _take(self, line: Line) -> None:
        if isinstance(line, Switch):
            self.learning = line.learning
            return
        self.entries.append(line)
        self.seconds[line.image] = self.seconds.get(line.image, 0.0) + (line.seconds or 0.0)
        self.histories.setdefault(line.image, History()).apply(line.action)

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

    def _replay(self) -> int:
        """Take in every whole line; returns the length of the file in bytes."""
        self._file.seek(0)
        data = self._file.read()
        *lines, torn = data.split(b"\n")
        for number, line in enumerate(lines, 1):
            try:
                self._take(_LINE.validate_json(line))
            except ValidationError as error:
                raise DataError(
                    f"{self.path}, line {number}: expected one action, and it is damaged; restore the file"
                    f" from a copy, or delete that line ({error.errors()[0]['msg']})"
                ) from error
        if torn:
            self._set_aside(torn, len(data) - len(torn))
        return len(data) - len(torn)

    def _set_aside(self, torn: bytes, whole: int) -> None:
        place = self.path.with_suffix(".torn")
        try:
            with place.open("ab") as file:
                file.write(torn + b"\n")
            self._file.truncate(whole)
        except OSError as error:
            raise DataError(
                f"cannot write {place}: {error.strerror}; free the disk, and try again"
            ) from error
        self.notice = (
            f"the last action in {self.path} was only half written when the program stopped; it was not"
            f" confirmed, and its {len(torn)} bytes are now in {place}"
        )
