"""Opening files that come from outside: regular files only, so that nothing waits for ever."""

import os
import stat
from pathlib import Path
from typing import BinaryIO

from infraspot.core.errors import InputError

MAX_TEXT_BYTES = 512 * 2**20

_KINDS = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def open_file(path: Path) -> BinaryIO:
    """A regular file, open for reading bytes. Symbolic links are followed.

    A named pipe would wait for a writer, and a device may never end: both are refused at once.

    Raises
    ------
    InputError
        If the file is absent, may not be read, or is not a regular file.
    """
    try:
        file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115 (Path.open takes no opener)
    except FileNotFoundError as error:
        raise InputError(f"there is no file {path}; check its name") from error
    except IsADirectoryError as error:
        raise InputError(f"{path} is a folder; expected a regular file") from error
    except PermissionError as error:
        raise InputError(f"cannot read {path}: permission denied; change its permissions") from error
    except (OSError, ValueError) as error:  # a socket, a circle of links, a zero byte in the name
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot open {path} ({reason}); expected a regular file") from error
    mode = os.fstat(file.fileno()).st_mode
    if stat.S_ISREG(mode):
        return file
    file.close()
    kind = next((name for test, name in _KINDS if test(mode)), "no regular file")
    raise InputError(f"{path} is {kind}; expected a regular file")


def size_of(file: BinaryIO) -> int:
    """Bytes of an open file, or of one in memory; its position stays."""
    position = file.tell()
    size = file.seek(0, os.SEEK_END)
    file.seek(position)
    return size


def is_regular(path: Path) -> bool:
    """Whether there is a regular file of that name, however odd the name is."""
    try:
        return path.is_file()
    except (OSError, ValueError):  # too long, or with a zero byte
        return False


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, with or without a byte-order mark; line ends become ``\\n``.

    Raises
    ------
    InputError
        If the file cannot be opened (see :func:`open_file`), is not text, or is larger than 512 MiB.
    """
    with open_file(path) as file:
        try:
            data = file.read(MAX_TEXT_BYTES + 1)
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror}; copy it anew") from error
    if len(data) > MAX_TEXT_BYTES:
        raise InputError(f"{path} is larger than {MAX_TEXT_BYTES // 2**20} MiB; divide it into several files")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a UTF-8 text file; save it as UTF-8") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
