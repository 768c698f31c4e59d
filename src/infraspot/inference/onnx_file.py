"""ONNX files that came from somewhere else, read without running them.

A graph is a program. What infraspot exports is a straight one: no loops, no branches, no operators of other
libraries, and all weights inside the file. Anything else is refused. What is left is tried out under limits
(:mod:`infraspot.inference.onnx_trial`).
"""

import json
import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from infraspot.core.errors import InputError
from infraspot.inference.second_look import decode_graph
from infraspot.weights import CARD, SECOND_LOOK, SELF_TEST, THRESHOLD

LARGEST_FILE = 300_000_000  # bytes
MOST_NODES = 15_000
MOST_FIELDS = 2_000_000
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
OWN_DOMAINS = ("", "ai.onnx")
_KEYS = [key.encode() for key in (CARD, SECOND_LOOK, SELF_TEST)]


class Span(NamedTuple):
    """Where the bytes of a field lie."""

    start: int
    end: int


class OnnxTexts(NamedTuple):
    """What infraspot wrote into an ONNX file beside its graph.

    Attributes
    ----------
    card
        JSON, as it stands there.
    second_look
        The graph of the second look in base64, or None.
    self_test
        A frame and its scores (:mod:`infraspot.inference.self_test`), or None.
    """

    card: str
    second_look: str | None
    self_test: str | None = None


def texts_for(card: dict[str, Any], second_look: str | None = None) -> dict[str, str]:
    """The texts of a file that is to be written, by their keys; a self-test is added to the finished file."""
    texts = {CARD: json.dumps(card), THRESHOLD: str(card.get("threshold", 0.5))}
    return texts if second_look is None else {**texts, SECOND_LOOK: second_look}


def read_onnx(path: Path) -> OnnxTexts:
    """The texts of an ONNX file whose graph is straight, in one walk and without running anything.

    Raises
    ------
    InputError
        If it is not ONNX, has no card, is larger than any that is loaded, or holds what infraspot never
        exports: subgraphs, functions, operators of other libraries, weights in other files.
    """
    size = path.stat().st_size
    if not 0 < size <= LARGEST_FILE:
        raise InputError(f"{path}: expected an ONNX model of up to {LARGEST_FILE} bytes, and it has {size}")
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        texts = _check(path, data, size)
    if CARD not in texts:
        raise InputError(f"{path}: this ONNX model has no infraspot card; export it with infraspot")
    return OnnxTexts(texts[CARD], texts.get(SECOND_LOOK), texts.get(SELF_TEST))


def second_look_graph(path: Path, texts: OnnxTexts) -> bytes:
    """The graph of the second look of a file; it must be as straight as the file's own.

    Raises
    ------
    InputError
        If there is none, or it holds what infraspot never exports.
    """
    if texts.second_look is None:
        raise InputError(f"{path}: its card names a second look, and the file holds none; export it again")
    try:
        graph = decode_graph(texts.second_look)
    except ValueError as error:
        raise InputError(f"{path}: its second look is not written in base64: {error}") from error
    _check(f"{path}: its second look", graph, len(graph))
    return graph


def _check(source: object, data: mmap.mmap | bytes, size: int) -> dict[str, str]:
    """The texts that infraspot keeps in the metadata, once every part of the model was seen."""
    try:
        return _Reader(data).model(Span(0, size))
    except (ValueError, IndexError, TypeError) as error:
        raise InputError(f"{source}: expected an ONNX model, and reading it failed: {error}") from error
    except _RefusedError as error:
        raise InputError(f"{source}: {error}; infraspot runs what it exports, and nothing else") from None


class _RefusedError(Exception):
    """The graph holds something that is not run."""


class _Reader:
    """Walks over the messages of an ONNX file; the numbers of their fields are those of onnx.proto."""

    def __init__(self, data: mmap.mmap | bytes):
        self.data = data
        self.seen = 0

    def model(self, whole: Span) -> dict[str, str]:
        """Check a ModelProto and return the texts of its metadata that are infraspot's."""
        texts, graphs = {}, 0
        for number, value in self._fields(whole):
            if number == 7:
                graphs += 1
                self._check_graph(_span(value))
            elif number == 14:
                key, text = self._strings(_span(value), 1, 2)
                if key in _KEYS:
                    texts[key.decode()] = text.decode()
            elif number in (20, 25):
                raise _RefusedError("it holds functions or training information")
        if graphs != 1:
            raise ValueError(f"it holds {graphs} graphs")
        return texts

    def _check_graph(self, graph: Span) -> None:
        nodes = 0
        for number, value in self._fields(graph):
            if number == 1:
                nodes += 1
                self._check_node(_span(value))
            elif number == 5:
                self._check_tensor(_span(value))
            elif number == 15:
                raise _RefusedError("it holds sparse weights")
        if nodes > MOST_NODES:
            raise _RefusedError(f"it has {nodes} operators, more than {MOST_NODES}")

    def _check_node(self, node: Span) -> None:
        kind, domain = (text[:50].decode("utf-8", "replace") for text in self._strings(node, 4, 7))
        if domain not in OWN_DOMAINS:
            raise _RefusedError(f"its operator {kind!r} belongs to the library {domain!r}")
        for number, value in self._fields(node):
            if number == 5:
                self._check_attribute(kind, _span(value))

    def _check_attribute(self, kind: str, attribute: Span) -> None:
        for number, value in self._fields(attribute):
            if number in (6, 11):
                raise _RefusedError(f"its operator {kind!r} is a loop or a branch")
            if number in (5, 10):
                self._check_tensor(_span(value))
            elif number in (22, 23):
                raise _RefusedError("it holds sparse weights")

    def _check_tensor(self, tensor: Span) -> None:
        for number, value in self._fields(tensor):
            if number == 13 or (number == 14 and value == 1):
                raise _RefusedError("its weights lie in another file")

    def _strings(self, message: Span, *wanted: int) -> list[bytes]:
        """The byte strings of some fields; empty where a field is absent."""
        found = dict.fromkeys(wanted, b"")
        for number, value in self._fields(message):
            if number in found:
                span = _span(value)
                found[number] = self.data[span.start : span.end]
        return list(found.values())

    def _fields(self, message: Span) -> Iterator[tuple[int, int | Span]]:
        """The fields of a message of protocol buffers: numbers, and the place of everything longer."""
        position, end = message
        while position < end:
            self.seen += 1
            if self.seen > MOST_FIELDS:
                raise ValueError(f"it holds more than {MOST_FIELDS} values outside its tensors")
            key, position = self._varint(position, end)
            number, kind = key >> 3, key & 7
            if kind == VARINT:
                value, position = self._varint(position, end)
                yield number, value
                continue
            if kind == BYTES:
                length, position = self._varint(position, end)
            elif kind in (FIXED32, FIXED64):
                length = 4 if kind == FIXED32 else 8
            else:
                raise ValueError(f"a field of the kind {kind}")
            if position + length > end:
                raise ValueError("it ends early")
            yield number, Span(position, position + length)
            position += length

    def _varint(self, position: int, end: int) -> tuple[int, int]:
        value = 0
        for shift in range(0, 70, 7):
            if position >= end:
                raise ValueError("it ends early")
            byte = self.data[position]
            position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, position
        raise ValueError("a number longer than ten bytes")


def _span(value: int | Span) -> Span:
    if not isinstance(value, Span):
        raise ValueError("a field of another kind than ONNX has there")
    return value
