"""ONNX files that strangers may send, through the command line: each must end in a sentence.

A graph leads from "image" to "scores", (1, 1, H, W) both.
"""

import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import onnx
import pytest
from model_files import SOUND, refuse
from onnx import TensorProto, helper, numpy_helper

from infraspot.cli.main import main
from infraspot.inference.second_look import encode_graph
from infraspot.weights import CARD, SECOND_LOOK

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("never_hangs")]

ONNX_CARD = {**SOUND, "stride": 1}
Node = Any


def graph(
    nodes: list[Node],
    *,
    weights: dict[str, np.ndarray] | None = None,
    card: Any = ONNX_CARD,
    names: tuple[str, str] = ("image", "scores"),
    kinds: tuple[int, int] = (TensorProto.FLOAT, TensorProto.FLOAT),
    shape: tuple[Any, ...] = (1, 1, "height", "width"),
    domains: tuple[str, ...] = ("",),
) -> onnx.ModelProto:
    ends = [helper.make_tensor_value_info(name, kind, shape) for name, kind in zip(names, kinds, strict=True)]
    constants = [numpy_helper.from_array(value, name) for name, value in (weights or {}).items()]
    made = helper.make_graph(nodes, "graph", ends[:1], ends[1:], constants)
    opsets = [helper.make_opsetid(domain, 17 if not domain else 1) for domain in domains]
    model = helper.make_model(made, opset_imports=opsets, ir_version=8)
    if card is not None:
        helper.set_model_props(model, {CARD: card if isinstance(card, str) else json.dumps(card)})
    return model


def node(kind: str, inputs: str, outputs: str, **attributes: Any) -> Node:
    return helper.make_node(kind, inputs.split(), outputs.split(), **attributes)


def scaled(value: float) -> list[Node]:
    factor = node("Constant", "", "factor", value=numpy_helper.from_array(np.float32(value)))
    return [factor, node("Mul", "image factor", "scores")]


def body(count: int = 1) -> onnx.GraphProto:
    """A loop's body that goes on for ever."""
    ends = [
        helper.make_tensor_value_info(name, kind, shape)
        for name, kind, shape in (
            ("turn", TensorProto.INT64, []), ("go", TensorProto.BOOL, []), ("x", TensorProto.FLOAT, None),
            ("on", TensorProto.BOOL, []), ("y", TensorProto.FLOAT, None),
        )
    ]  # fmt: skip
    return helper.make_graph(
        [node("Identity", "go", "on"), *[node("Sin", "x", "y")] * count], "body", ends[:3], ends[3:]
    )


def branch(name: str) -> onnx.GraphProto:
    end = helper.make_tensor_value_info("scores", TensorProto.FLOAT, None)
    return helper.make_graph([node("Sigmoid", "image", "scores")], name, [], [end])


def shape_of(*sides: int) -> dict[str, np.ndarray]:
    return {"shape": np.array(sides, np.int64)}


def through_mean(nodes: list[Node], last: str) -> list[Node]:
    """Nodes whose outcome ``last`` reaches the scores as one number."""
    return [*nodes, node("ReduceMean", last, "mean", keepdims=0), node("Mul", "image mean", "scores")]


def external() -> onnx.ModelProto:
    model = graph([node("Mul", "image w", "scores")], weights={"w": np.ones(1, np.float32)})
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "/etc/passwd"), ("offset", "0"), ("length", "4")):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    return model


def function() -> onnx.ModelProto:
    model = graph([helper.make_node("Mine", ["image"], ["scores"], domain="own")], domains=("", "own"))
    inner = helper.make_function(
        "own", "Mine", ["a"], ["b"], [node("Sigmoid", "a", "b")], [helper.make_opsetid("", 17)]
    )
    model.functions.append(inner)
    return model


def long_chain(count: int) -> list[Node]:
    names = ["image", *(f"x{k}" for k in range(count - 1)), "scores"]
    return [node("Sigmoid", low, high) for low, high in pairwise(names)]


def heavy(count: int) -> onnx.ModelProto:
    """Products of a large matrix that is made while the graph runs."""
    nodes = [node("ReduceMean", "image", "small", keepdims=0), node("Expand", "small shape", "x")]
    for k in range(count):
        nodes.append(node("MatMul", "x x" if not k else f"y{k - 1} x", f"y{k}"))
    return graph(through_mean(nodes, f"y{count - 1}"), weights=shape_of(2048, 2048))


def lying_tensor() -> onnx.ModelProto:
    model = graph([node("Mul", "image w", "scores")], weights={"w": np.ones(1, np.float32)})
    model.graph.initializer[0].dims[0] = 10**12
    return model


SIGMOID = [node("Sigmoid", "image", "scores")]

ONNX_FILES: dict[str, Callable[[], onnx.ModelProto]] = {
    "no card": lambda: graph(SIGMOID, card=None),
    "a card that is null": lambda: graph(SIGMOID, card="null"),
    "a card that is no JSON": lambda: graph(SIGMOID, card="{"),
    "a card without a stride": lambda: graph(SIGMOID, card=SOUND),
    "a stride of 0": lambda: graph(SIGMOID, card={**ONNX_CARD, "stride": 0}),
    "a stride of -4": lambda: graph(SIGMOID, card={**ONNX_CARD, "stride": -4}),
    "a stride of a billion": lambda: graph(SIGMOID, card={**ONNX_CARD, "stride": 10**9}),
    "a stride that is a word": lambda: graph(SIGMOID, card={**ONNX_CARD, "stride": "16"}),
    "a threshold of 2": lambda: graph(SIGMOID, card={**ONNX_CARD, "threshold": 2}),
    "code in the card": lambda: graph(SIGMOID, card={**ONNX_CARD, "network": {"name": "os:system"}}),
    "another input": lambda: graph([node("Sigmoid", "x", "scores")], names=("x", "scores")),
    "another output": lambda: graph([node("Sigmoid", "image", "y")], names=("image", "y")),
    "numbers of 64 bits": lambda: graph(SIGMOID, kinds=(TensorProto.DOUBLE, TensorProto.DOUBLE)),
    "three axes": lambda: graph(SIGMOID, shape=(1, "height", "width")),
    "words in": lambda: graph(
        [node("Identity", "image", "scores")], kinds=(TensorProto.STRING, TensorProto.STRING)
    ),
    "one score for a frame": lambda: graph(
        [node("GlobalAveragePool", "image", "scores")], shape=(1, 1, None, None)
    ),
    "a map of another size": lambda: graph(
        [node("MaxPool", "image", "scores", kernel_shape=[2, 2], strides=[2, 2])], shape=(1, 1, None, None)
    ),
    "a fixed size": lambda: graph(SIGMOID, shape=(1, 1, 64, 64)),
    "two channels in": lambda: graph(SIGMOID, shape=(1, 2, "height", "width")),
    "logits": lambda: graph(scaled(-9.0)),
    "values above 1": lambda: graph(scaled(255.0)),
    "NaN": lambda: graph(scaled(float("nan"))),
    "infinity": lambda: graph(scaled(float("inf"))),
    "a loop without end": lambda: graph(
        [node("Loop", "count go image", "scores", body=body())],
        weights={"count": np.array(2**62), "go": np.array(True)},
    ),
    "a branch": lambda: graph(
        [node("If", "go", "scores", then_branch=branch("a"), else_branch=branch("b"))],
        weights={"go": np.array(True)},
    ),
    "a function": function,
    "an operator of another library": lambda: graph(
        [helper.make_node("Inverse", ["image"], ["scores"], domain="com.microsoft")],
        domains=("", "com.microsoft"),
    ),
    "an operator that does not exist": lambda: graph([node("Conjure", "image", "scores")]),
    "weights in another file": external,
    "a tensor that lies about its size": lying_tensor,
    "a terabyte of zeros": lambda: graph(
        through_mean([node("ConstantOfShape", "shape", "x")], "x"), weights=shape_of(10**6, 10**6)
    ),
    "gigabytes of zeros": lambda: graph(
        through_mean([node("ConstantOfShape", "shape", "x")], "x"), weights=shape_of(30_000, 30_000)
    ),
    "a tile of a terabyte": lambda: graph(
        through_mean([node("Tile", "image shape", "x")], "x"), weights=shape_of(1, 1, 10**5, 10**5)
    ),
    "an image enlarged a thousandfold": lambda: graph(
        through_mean([node("Resize", "image  scales", "x")], "x"),
        weights={"scales": np.array([1, 1, 1000, 1000], np.float32)},
    ),
    "a range without end": lambda: graph(
        through_mean([node("Range", "low high step", "x")], "x"),
        weights={"low": np.float32(0), "high": np.float32(1e12), "step": np.float32(1)},
    ),
    "products for minutes": lambda: heavy(400),
    "forty thousand operators": lambda: graph(long_chain(40_000)),
    "a circle": lambda: graph([node("Sigmoid", "a", "scores"), node("Sigmoid", "scores", "a")]),
    "no operators": lambda: graph([]),
    "an input that nothing gives": lambda: graph([node("Add", "image nowhere", "scores")]),
    "a division by zero": lambda: graph(
        [
            node("Constant", "", "zero", value=numpy_helper.from_array(np.float32(0))),
            node("Div", "image zero", "scores"),
        ]
    ),
}


@pytest.mark.parametrize("what", ONNX_FILES)
def test_an_odd_onnx_file_is_refused_with_a_sentence(what, frame, tmp_path, capsys):
    (tmp_path / "m.onnx").write_bytes(ONNX_FILES[what]().SerializeToString())
    refuse(frame, tmp_path / "m.onnx", capsys)


def test_the_graph_that_all_of_them_are_made_of_is_sound(frame, tmp_path):
    (tmp_path / "m.onnx").write_bytes(graph(SIGMOID).SerializeToString())
    assert (
        main(["detect", str(frame), "--model", str(tmp_path / "m.onnx"), "--out", str(tmp_path / "out")]) == 0
    )


def test_a_model_that_breaks_on_the_real_frame_alone_is_no_empty_sky(frame, tmp_path, capsys):
    """0.5 goes through, as in the trial; anything else becomes NaN."""
    nodes = [
        node("Constant", "", "half", value=numpy_helper.from_array(np.float32(0.5))),
        node("Sub", "half image", "difference"),
        node("Sub", "image half", "other"),
        node("Max", "difference other", "distance"),
        node("Neg", "distance", "negative"),
        node("Sqrt", "negative", "scores"),
    ]
    (tmp_path / "m.onnx").write_bytes(graph(nodes).SerializeToString())
    assert "nan" in refuse(frame, tmp_path / "m.onnx", capsys)


def judge(*nodes: Node, last: str = "logits", domains: tuple[str, ...] = ("",)) -> onnx.ModelProto:
    """A second look: the mean of both windows, which further nodes may change."""
    shapes = {"near": ["n", 1, 32, 32], "wide": ["n", 1, 64, 64], last: ["n"]}
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    means = [node("ReduceMean", end, f"{end[0]}", axes=[1, 2, 3], keepdims=0) for end in ("near", "wide")]
    made = helper.make_graph([*means, *nodes], "judge", ends[:2], ends[2:])
    opsets = [helper.make_opsetid(domain, 17 if not domain else 1) for domain in domains]
    return helper.make_model(made, opset_imports=opsets, ir_version=8)


ADD = node("Add", "n w", "logits")
JUDGES: dict[str, Callable[[], str | None]] = {
    "none": lambda: None,
    "no base64": lambda: "ÄÖÜ, no base64",
    "base64 of nothing": lambda: "",
    "base64 of noise": lambda: encode_graph(bytes(range(256)) * 9),
    "cut off": lambda: encode_graph(judge(ADD).SerializeToString()[:-40]),
    "a loop without end": lambda: encode_graph(
        judge(
            node("Constant", "", "count", value=numpy_helper.from_array(np.array(2**62))),
            node("Constant", "", "go", value=numpy_helper.from_array(np.array(True))),
            node("Loop", "count go n", "logits", body=body()),
        ).SerializeToString()
    ),
    "an operator of another library": lambda: encode_graph(
        judge(
            helper.make_node("Inverse", ["n"], ["logits"], domain="com.microsoft"),
            domains=("", "com.microsoft"),
        ).SerializeToString()
    ),
    "another output": lambda: encode_graph(judge(node("Add", "n w", "y"), last="y").SerializeToString()),
    "the segmentation again": lambda: encode_graph(graph(SIGMOID).SerializeToString()),
    "NaN": lambda: encode_graph(
        judge(ADD_X, node("Sub", "x x", "zero"), node("Div", "zero zero", "logits")).SerializeToString()
    ),
    "one logit for all": lambda: encode_graph(
        judge(ADD_X, node("ReduceMean", "x", "logits", keepdims=1)).SerializeToString()
    ),
}
ADD_X = node("Add", "n w", "x")
LOOKING = {
    **ONNX_CARD,
    "second_look": {
        "widths": [2, 2, 2],
        "level": 0.2,
        "outline": 0.5,
        "look": 1.0,
        "peak": 0.0,
        "crowd": 0.0,
        "offset": 0.0,
    },
}


def with_judge(text: str | None) -> bytes:
    model = graph(SIGMOID, card=LOOKING)
    if text is not None:
        entry = model.metadata_props.add()
        entry.key, entry.value = SECOND_LOOK, text
    return model.SerializeToString()


@pytest.mark.parametrize("what", JUDGES)
def test_an_odd_second_look_is_refused_with_a_sentence(what, frame, tmp_path, capsys):
    (tmp_path / "m.onnx").write_bytes(with_judge(JUDGES[what]()))
    assert "second look" in refuse(frame, tmp_path / "m.onnx", capsys)


def test_the_second_look_that_all_of_them_are_made_of_is_sound(frame, tmp_path):
    (tmp_path / "m.onnx").write_bytes(with_judge(encode_graph(judge(ADD).SerializeToString())))
    out = ["--out", str(tmp_path / "out")]
    assert main(["detect", str(frame), "--model", str(tmp_path / "m.onnx"), *out]) == 0
