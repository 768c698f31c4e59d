"""ONNX files that came from somewhere else, tried out under limits.

A graph that was read and not refused (:mod:`infraspot.inference.onnx_file`) may still ask for too much memory
or time, so that it runs on a small frame first, in a session of its own with a bound on both.
"""

from functools import lru_cache
from pathlib import Path
from threading import Timer
from typing import Any

import numpy as np

from infraspot.core.errors import InputError
from infraspot.inference.scores import check_boxes, check_scores, first_line
from infraspot.inference.second_look import NEAR, SEEN

MOST_MEMORY = 512 << 20  # bytes, of the trial
LONGEST_TRIAL = 5.0  # seconds
TRIED_SIDE = 32

_TENSORS = {"float32": "tensor(float)", "uint8": "tensor(uint8)", "uint16": "tensor(uint16)"}


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
