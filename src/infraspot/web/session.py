"""One folder under annotation: its frames, its journal, and who has which image open."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from threading import Lock

from infraspot.core.errors import DataError, InfraspotError, InputError, UsageError, named
from infraspot.data import Frame, FrameKey, Reading, find_frames, frame_keys, numbered
from infraspot.web.actions import Action, History, State
from infraspot.web.journal import Journal
from infraspot.web.learning import Learning, starting_level

# A window says every few seconds that it still looks at its image; silent for this long, it has gone.
LEASE_SECONDS = 20.0
CACHED_FRAMES = 16


class RefusedError(InfraspotError):
    """The request makes sense, and cannot be granted as things stand."""


@dataclass
class Lease:
    """The right of one window to change one image."""

    window: str
    until: float


@dataclass
class Session:
    """Everything that the page works on.

    Parameters
    ----------
    folder
        Frames to annotate: a folder of images, stacks and videos, or one such file; nothing is written there.
    out
        Folder for the journal and the exports.
    recursive, reading
        Whether subfolders are read too, and how files are (see :class:`infraspot.data.Reading`).
    level
        What the masks of ``profile`` begin with, as ``annotate`` takes it.

    Raises
    ------
    DataError
        If the folder has no frame, two frames share a name, or the journal cannot be used.
    InputError, UsageError
        If the level is none, or ``out`` is the folder itself.

    Attributes
    ----------
    images
        Where each frame is, by its name: the path below the folder without suffix, and the number of the page
        in files of several (``night/film-0007``).
    skipped
        A sentence for what was passed over: files without frames, names that cannot be used, marks in the
        journal of frames that are not here.
    learning
        What the corrected targets teach.
    """

    folder: Path
    out: Path
    level: str = "auto"
    recursive: bool = False
    reading: Reading = field(default_factory=Reading)
    clock: Callable[[], float] = time.monotonic
    images: dict[str, FrameKey] = field(init=False)
    skipped: list[str] = field(init=False)
    journal: Journal = field(init=False)
    learning: Learning = field(init=False)
    _leases: dict[str, Lease] = field(default_factory=dict)
    _plain: dict[str, str] = field(init=False)
    _lock: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        if self.out.resolve() == self.folder.resolve():
            raise UsageError(
                f"--out {self.out} is the folder of the frames, and nothing is written there; name another"
            )
        found = find_frames(
            self.folder, recursive=self.recursive, raw=self.reading.raw is not None, leave_out=self.out
        )
        self.images, self._plain = {}, {}
        self.skipped = [*found.remarks, *map(str, found.errors)]
        for path, root in found.files:
            if _is_utf8(str(path)):
                self._add(path, path.relative_to(root).with_suffix("").as_posix())
            else:
                self.skipped.append(f"{os.fsencode(path)!r}: the name is not UTF-8; rename the file")
        if not self.images:
            raise DataError(self.skipped[0])
        start = starting_level(self.level)
        self.journal = Journal(self.out / "journal.jsonl")
        if absent := [image for image in self.journal.histories if image not in self.images]:
            self.skipped.append(
                f"{self.journal.path} has marks in {named(absent)}, and these are not among the frames; they"
                " stay in the journal, and no export has them (was --recursive or --raw given then, or is it"
                " the journal of another folder?)"
            )
        self.learning = Learning(self.journal, start)
        self.frame = lru_cache(maxsize=CACHED_FRAMES)(self._read)

    def _add(self, path: Path, name: str) -> None:
        """Take in every frame of a file; what cannot be read stays, and the page says what is wrong."""
        try:
            keys = frame_keys(path, self.reading)
        except InputError:
            keys = [FrameKey(path)]
        for key in keys:
            image = numbered(name, key.page)
            if (other := self._plain.setdefault(plain_name(image), image)) in self.images:
                raise DataError(f"{key} and {self.images[other]} share the name {image}; rename one of them")
            self.images[image] = key

    def named(self, name: str) -> str | None:
        """The frame of a name, or of the name that it has in an export; None where there is none."""
        return name if name in self.images else self._plain.get(name)

    def _read(self, image: str) -> Frame:
        return self.images[image].read(self.reading)

    def state(self, image: str) -> tuple[State, int]:
        """The annotation of an image and its version."""
        history = self.journal.history(image)
        return history.state(), history.version

    def open(self, image: str, window: str) -> tuple[State, int]:
        """Give an image to a window, unless another window has it.

        Raises
        ------
        RefusedError
            If another window has it open.
        """
        with self._lock:
            lease = self._leases.get(image)
            if lease and lease.window != window and lease.until > self.clock():
                raise RefusedError(
                    f"{image} is open in another window; close it there, or choose another image"
                )
            for other in [name for name, held in self._leases.items() if held.window == window]:
                del self._leases[other]
            self._leases[image] = Lease(window, self.clock() + LEASE_SECONDS)
        return self.state(image)

    def keep(self, image: str, window: str) -> None:
        """Renew the lease of a window that is still there."""
        with self._lock:
            self._check(image, window).until = self.clock() + LEASE_SECONDS

    def close(self, image: str, window: str) -> None:
        """Give an image back."""
        with self._lock:
            lease = self._leases.get(image)
            if lease and lease.window == window:
                del self._leases[image]

    def act(
        self, image: str, window: str, version: int, action: Action, seconds: float | None
    ) -> tuple[State, int]:
        """Do something to an image, on disk before this returns.

        Raises
        ------
        RefusedError
            If the window does not have the image, or has seen an older version of it.
        """
        with self._lock:
            self._check(image, window).until = self.clock() + LEASE_SECONDS
            seen = self.journal.history(image).version
            if version != seen:
                raise RefusedError(f"{image} has changed since this window read it; open it again")
            history: History = self.journal.add(image, window, action, seconds)
            return history.state(), history.version

    def switch_learning(self, window: str, on: bool) -> None:
        """Switch learning on or off for every window, on disk before this returns."""
        with self._lock:
            self.journal.switch_learning(window, on)

    def _check(self, image: str, window: str) -> Lease:
        lease = self._leases.get(image)
        if lease is None or lease.window != window or lease.until <= self.clock():
            raise RefusedError(f"this window no longer has {image}; open it again")
        return lease


def plain_name(image: str) -> str:
    """The name of a frame in an export, where ids are names of files: without its folders' slashes."""
    return image.replace("/", "__")


def _is_utf8(name: str) -> bool:
    """Whether a file's name is text; the system hands other bytes over as lone surrogates."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
