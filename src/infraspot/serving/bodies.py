"""The files in the body of a request: the whole body, or the parts of a form."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from infraspot.core.errors import InputError

MOST_FILES = 64
LONGEST_NAME = 200
_BOUNDARY = re.compile(r'boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))', re.IGNORECASE)
_FILE_NAME = re.compile(rb'filename="([^"\r\n]*)"', re.IGNORECASE)
_LONGEST_HEAD = 8192
_BREAK = b"\r\n"


class SentFile(NamedTuple):
    """A file of a request: the name that its results mention, and its bytes."""

    name: str
    content: bytes


def files_of(content_type: str, body: bytes, name: str) -> list[SentFile]:
    """The files of a body; those of a form (``multipart/form-data``, as ``curl -F`` sends it) have names.

    Parameters
    ----------
    content_type
        The header of the request; a body of any type but a form is one file.
    name
        Of the one file.

    Raises
    ------
    InputError
        If the body is empty, or a form that is damaged, empty or of more than 64 files.
    """
    if not body:
        raise InputError("the request has no body; send the bytes of an image")
    if not is_form(content_type):
        return [SentFile(name, body)]
    found = _BOUNDARY.search(content_type)
    if found is None:
        raise InputError("the form has no boundary in its Content-Type; send it as `curl -F a=@a.png` does")
    mark = b"--" + (found[1] or found[2]).encode("latin-1", "replace")
    files = []
    for part in _parts(body, mark):
        files.append(part)
        if len(files) > MOST_FILES:
            raise InputError(f"the form holds more than {MOST_FILES} files; send several requests")
    if not files:
        raise InputError("the form holds no file; send it as `curl -F a=@a.png` does")
    return files


def is_form(content_type: str) -> bool:
    """Whether a body of this type holds several files."""
    return content_type.lower().startswith("multipart/")


def _parts(body: bytes, mark: bytes) -> Iterator[SentFile]:
    """The files between the boundaries; fields without a file name are passed over."""
    position = 0 if body.startswith(mark) else body.find(_BREAK + mark) + len(_BREAK)
    if position == 1:
        raise InputError("the form does not hold its own boundary; it was cut off: send it again")
    while not body.startswith(b"--", position := position + len(mark)):
        end = body.find(_BREAK + mark, position)
        head_end = body.find(_BREAK * 2, position, position + _LONGEST_HEAD)
        if end < 0 or not 0 <= head_end <= end:
            raise InputError("the form is cut off or damaged; send it again")
        if found := _FILE_NAME.search(body, position, head_end):
            content = body[head_end + 2 * len(_BREAK) : max(end, head_end + 2 * len(_BREAK))]
            yield SentFile(found[1].decode("utf-8", "replace")[-LONGEST_NAME:] or "image", content)
        position = end + len(_BREAK)
