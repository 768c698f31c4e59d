"""Folders of files on this machine or in a bucket: ``night/``, ``file:///data/night``, ``s3://bucket/night``.

pyarrow serves ``s3``, ``gs``, ``hdfs`` and ``file`` itself, and fsspec the rest, such as ``memory`` or
``abfs``, where the package for it is installed.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from infraspot.core.errors import DataError, InputError, UsageError
from infraspot.data.listing import is_frame_name, natural_key

_URL = re.compile(r"([a-z][a-z0-9+.-]+)://", re.IGNORECASE)
_PASSWORD = re.compile(r"^([^/]*//)[^/@]*@")
LARGEST_FILE = 4 << 30  # bytes


def is_url(place: object) -> bool:
    """Whether a place is named by a URL."""
    return _URL.match(str(place)) is not None


@dataclass(frozen=True)
class Storage:
    """A folder by its name, and the file system that holds it.

    Attributes
    ----------
    name
        A path, or a URL without the password that it may hold.
    files
        A ``pyarrow.fs.FileSystem``.
    root
        The folder's path there.
    """

    name: str
    files: Any
    root: str

    def frames(self, *, recursive: bool = False, raw: bool = False) -> list[str]:
        """The files of frames below the folder, as paths relative to it, in natural order.

        Raises
        ------
        DataError
            If the folder cannot be listed, or holds no frame.
        """
        entries = self._list(recursive)
        below = [str(PurePosixPath(entry.path).relative_to(self.root)) for entry in entries]
        hidden = [any(part.startswith(".") for part in PurePosixPath(path).parts) for path in below]
        found = [
            path
            for path, unseen in zip(below, hidden, strict=True)
            if not unseen and is_frame_name(Path(path), raw=raw)
        ]
        if not found:
            hint = "" if recursive else "; subfolders are read with --recursive"
            raise DataError(f"{self.name} holds no image, stack or video{hint}")
        return sorted(found, key=lambda path: (path.count("/"), natural_key(path)))

    def names(self, pattern: str) -> list[str]:
        """Names of the files directly inside that match a regular expression; none where it is absent.

        Raises
        ------
        DataError
            If it cannot be asked, which is not the same as absent.
        """
        try:
            if not self._exists():
                return []
        except (OSError, ValueError) as error:
            raise DataError(f"cannot list {self.name}: {_reason(error)}") from error
        found = (PurePosixPath(entry.path).name for entry in self._list(recursive=False))
        return sorted(name for name in found if re.fullmatch(pattern, name))

    def _list(self, recursive: bool) -> list[Any]:
        from pyarrow import fs

        try:
            entries = self.files.get_file_info(fs.FileSelector(self.root, recursive=recursive))
        except (OSError, ValueError) as error:
            raise DataError(f"cannot list {self.name}: {_reason(error)}") from error
        return [entry for entry in entries if entry.type == fs.FileType.File]

    def is_there(self) -> bool:
        """Whether the folder can be listed now; a bucket may go away."""
        try:
            return self._exists()
        except (OSError, ValueError):
            return False

    def _exists(self) -> bool:
        from pyarrow import fs

        if self.files.get_file_info(self.root).type != fs.FileType.NotFound:
            return True
        try:
            # Object stores have no folders: one is there if something lies below it.
            return bool(self.files.get_file_info(fs.FileSelector(self.root)))
        except FileNotFoundError:
            return False

    def read(self, path: str) -> bytes:
        """The bytes of a file.

        Raises
        ------
        InputError
            If it cannot be read, or is larger than any that is.
        DataError
            If the whole folder is gone.
        """
        try:
            place = self._at(path)
            size = self.files.get_file_info(place).size or 0
            if size > LARGEST_FILE:
                raise InputError(f"{path} has {size} bytes, more than the {LARGEST_FILE} that are read")
            with self.files.open_input_stream(place) as stream:
                content: bytes = stream.read()
        except OSError as error:
            if not self.is_there():
                raise DataError(f"{self.name} cannot be reached any more: {_reason(error)}") from error
            raise InputError(f"cannot read {path}: {_reason(error)}") from error
        return content

    def write(self, name: str, content: bytes) -> None:
        """Write a file directly inside, all of it or nothing.

        Raises
        ------
        DataError
            If it cannot be written.
        """
        unfinished = self._at(f".{name}.{os.getpid()}.unfinished")
        try:
            self.files.create_dir(self.root, recursive=True)
            with self.files.open_output_stream(unfinished) as stream:
                stream.write(content)
            self.files.move(unfinished, self._at(name))
        except OSError as error:
            raise DataError(f"cannot write {self.name}/{name}: {_reason(error)}") from error

    def _at(self, path: str) -> str:
        return f"{self.root}/{path}"


def open_storage(place: str | Path) -> Storage:
    """The folder that a path or a URL names; nothing is asked of it yet.

    Raises
    ------
    UsageError
        If the kind of URL is unknown, or a package for it is missing.
    DataError
        If its bucket cannot be found.
    """
    from pyarrow import fs

    text = str(place)
    if not is_url(text):
        return Storage(text, fs.LocalFileSystem(), Path(os.path.abspath(text)).as_posix())  # noqa: PTH100 (links stay)
    name = _PASSWORD.sub(r"\1", text).rstrip("/")
    try:
        files, root = fs.FileSystem.from_uri(text)
    except ValueError:  # not one of pyarrow's own, or not in this build
        files, root = _by_fsspec(text, name)
    except OSError as error:
        raise DataError(f"cannot reach {name}: {_reason(error)}") from error
    return Storage(name, files, root.rstrip("/"))


def _by_fsspec(url: str, name: str) -> tuple[Any, str]:
    from pyarrow import fs

    try:
        import fsspec

        files, root = fsspec.core.url_to_fs(url)
    except Exception as error:  # each file system raises what it likes
        kinds = "s3://, gs://, file:// or one for which fsspec has a package"
        raise UsageError(
            f"cannot open {name}: {_reason(error)}; expected a path or a URL: {kinds}"
        ) from error
    return fs.PyFileSystem(fs.FSSpecHandler(files)), root


def _reason(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]
