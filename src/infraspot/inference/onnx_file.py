"""ONNX files that came from somewhere else: read without running them, then tried out under limits.

A graph is a program. What infraspot exports is a straight one: no loops, no branches, no operators of other
libraries, and all weights inside the file. Anything else is refused. What is left may still ask for too much
memory or time, so that it runs on a small frame first, in a session of its own with a bound on both.
"""

import json
import mmap
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from threading import Timer
from typing import Any, NamedTuple

import numpy as np

from infraspot.core.errors import InputError
from infraspot.inference.scores import check_boxes, check_scores, first_line
from infraspot.inference.second_look import NEAR, SEEN, decode_graph
from infraspot.weights import CARD, SECOND_LOOK, SELF_TEST, THRESHOLD

LARGEST_FILE = 300_000_000  # bytes
MOST_NODES = 15_000
MOST_FIELDS = 2_000_000
MOST_MEMORY = 512 << 20  # bytes, of the trial
LONGEST_TRIAL = 5.0  # seconds
TRIED_SIDE = 32

_TENSORS = {"float32": "tensor(float)", "uint8": "tensor(uint8)", "uint16": "tensor(uint16)"}
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


def try_out(path: Path, stride: int, pixels: str | None = None, frames: int = 1) -> None:
    """Run the model once on a small frame, with a bound on memory and time.

    Parameters
    ----------
    stride
        The sides of the frame are multiples of it.
    pixels
        The type of a camera's pixels, where the graph takes those in place of prepared frames.

    Raises
    ------
    InputError
        If it does not load, takes and gives something else than scores of an image, answers with another
        shape or with values outside [0, 1], or asks for too much.
    """
    side = TRIED_SIDE + -TRIED_SIDE % stride
    name, value = ("image", np.float32(0.5)) if pixels is None else ("frame", np.dtype(pixels).type(100))
    frame = np.full((1, frames, side, side), value)
    scores = _run_once(path, str(path), {name: frame}, {"scores": 4}, f"a frame of {side}x{side}")
    if scores.shape != (1, 1, side, side):
        raise InputError(
            f"{path}: expected scores of the shape {(1, 1, side, side)} for a frame of {side}x{side}, and the"
            f" model answers with the shape {scores.shape}"
        )
    check_scores(scores[0, 0], (side, side), str(path))


def try_out_boxes(path: Path, stride: int) -> None:
    """Run a detector of boxes once on a small frame, with the bounds of :func:`try_out`.

    Raises
    ------
    InputError
        As in :func:`try_out`, of rows that are a box and its score.
    """
    side = TRIED_SIDE + -TRIED_SIDE % stride
    frame = np.full((1, 1, side, side), 0.5, np.float32)
    rows = _run_once(path, str(path), {"image": frame}, {"boxes": 3}, f"a frame of {side}x{side}")
    if len(rows) != 1 or rows.shape[2] != 5:
        raise InputError(
            f"{path}: expected rows of five numbers for one frame, and the model answers with the shape"
            f" {rows.shape}"
        )
    check_boxes(rows[0, :, :4], rows[0, :, 4], str(path))


def try_out_stateful(path: Path, stride: int, channels: int) -> None:
    """Run a file with a state once on a small frame, with the bounds of :func:`try_out`.

    Raises
    ------
    InputError
        If it does not load, takes and gives something else than a frame, scores and a state, or asks for too
        much.
    """
    side = TRIED_SIDE + -TRIED_SIDE % stride
    inputs = {
        "image": np.full((1, 1, side, side), 0.5, np.float32),
        "state": np.zeros((1, channels, side, side), np.float32),
    }
    answer = _run_once(path, str(path), inputs, {"scores": 4}, f"a frame of {side}x{side}")
    if answer.shape != (1, 1 + channels, side, side):
        raise InputError(f"{path}: expected scores and a state, and maps of the shape {answer.shape} came")
    check_scores(answer[0, 0], (side, side), str(path))


def try_out_second_look(path: Path, graph: bytes) -> None:
    """Run the second look of a file once on three candidates, with the bounds of :func:`try_out`.

    Raises
    ------
    InputError
        If it does not load, takes and gives something else than windows and logits, or asks for too much.
    """
    sides = {"near": NEAR, "wide": SEEN}
    windows = {name: np.zeros((3, 1, side, side), np.float32) for name, side in sides.items()}
    logits = _run_once(f"{path}: its second look", graph, windows, {"logits": 1}, "three candidates")
    if logits.shape != (3,) or not np.isfinite(logits).all():
        raise InputError(f"{path}: its second look gives no finite logit for each of three candidates")


def _run_once(
    source: object, graph: str | bytes, inputs: dict[str, Any], outputs: dict[str, int], what: str
) -> Any:
    """The only output of a graph for small inputs; the values of ``outputs`` are numbers of axes."""
    import onnxruntime

    _bounded_memory()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.add_session_config_entry("session.disable_prepacking", "1")
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    limits = onnxruntime.RunOptions()
    limits.log_severity_level = 4
    limits.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    alarm = Timer(LONGEST_TRIAL, setattr, (limits, "terminate", True))
    alarm.daemon = True
    try:
        session = onnxruntime.InferenceSession(graph, options, ["CPUExecutionProvider"])
        kinds = {name: (_TENSORS[value.dtype.name], value.ndim) for name, value in inputs.items()}
        kinds |= {name: (_TENSORS["float32"], rank) for name, rank in outputs.items()}
        _check_ends(source, session, kinds)
        alarm.start()
        (answer,) = session.run(None, inputs, limits)
    except InputError:
        raise
    except Exception as error:  # onnxruntime's exceptions share no public base class
        reason = f"it ran for more than {LONGEST_TRIAL:g} s" if limits.terminate else first_line(error)
        raise InputError(
            f"{source}: expected an ONNX model, and running it on {what} failed: {reason}"
        ) from error
    finally:
        alarm.cancel()
    return answer


def _check_ends(source: object, session: Any, wanted: dict[str, tuple[str, int]]) -> None:
    """The inputs and outputs by their names, types and numbers of axes."""
    ends = [(end.name, end.type, len(end.shape)) for end in (*session.get_inputs(), *session.get_outputs())]
    if ends != [(name, *end) for name, end in wanted.items()]:
        expected = ", ".join(f"{name} ({kind}, {rank} axes)" for name, (kind, rank) in wanted.items())
        came = ", ".join(f"{name[:50]} ({kind}, {rank} axes)" for name, kind, rank in ends)
        raise InputError(f"{source}: expected an ONNX model of {expected}, and it has {came}")


@lru_cache(maxsize=1)
def _bounded_memory() -> None:
    """Give the sessions of trials an allocator that says no; it is made once for the process."""
    import onnxruntime

    place = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    bound = onnxruntime.OrtArenaCfg({"max_mem": MOST_MEMORY, "arena_extend_strategy": 1})
    onnxruntime.create_and_register_allocator(place, bound)
