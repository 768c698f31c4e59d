"""Weight files that strangers may send: odd cards, damaged files, names of code.

Each goes through the command line. It must end in a sentence, leave nothing behind and run no code.
"""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from model_files import OPTIONS, SOUND, refuse
from safetensors.torch import save_file

from infraspot.cli.main import main
from infraspot.data import write_grey
from infraspot.inference.engines import WEIGHTS
from infraspot.networks import NETWORKS
from infraspot.weights import CARD
from infraspot.weights.second_look import SecondLookNetwork

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("never_hangs")]

FALSE_ALARMS = {"data": "val", "megapixels": 2.0, "targets": 3, "curve": [[0.0, 9.0, 1.0], [0.5, 1.0, 0.9]]}

SECOND_LOOK = {
    "widths": [2, 2, 2],
    "level": 0.2,
    "outline": 0.5,
    "look": 1.0,
    "peak": 0.0,
    "crowd": 0.0,
    "offset": 0.0,
}


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return NETWORKS["compact"](**OPTIONS).state_dict()


def with_network(**changes: Any) -> dict[str, Any]:
    return {**SOUND, "network": {**SOUND["network"], **changes}}


def with_options(**changes: Any) -> dict[str, Any]:
    return with_network(options={**OPTIONS, **changes})


def with_false_alarms(**changes: Any) -> dict[str, Any]:
    return {**SOUND, "false_alarms": {**FALSE_ALARMS, **changes}}


PEAKS = {"level": 0.02, "share": 0.4, "saddle": 0.85, "peak": 1.0, "size": 0.0, "crowd": 0.0, "offset": 0.0}


def with_second_look(**changes: Any) -> dict[str, Any]:
    return {**SOUND, "second_look": {**SECOND_LOOK, **changes}}


def with_point(**changes: Any) -> dict[str, Any]:
    return {**SOUND, "operating_points": {"quiet": {"threshold": 0.9, **changes}}}


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


CARDS: dict[str, Any] = {
    "null": None,
    "a list": [],
    "a number": 3,
    "a word": "compact",
    "empty": {},
    "no network": {"threshold": 0.5},
    "network is null": {**SOUND, "network": None},
    "network is a word": {**SOUND, "network": "compact"},
    "network is a list": {**SOUND, "network": ["compact"]},
    "network without a name": {**SOUND, "network": {"options": {}}},
    "name is a number": with_network(name=7),
    "name is null": with_network(name=None),
    "name is empty": with_network(name=""),
    "name is very long": with_network(name="a" * 100_000),
    "name is unknown": with_network(name="compakt"),
    "name with a colon alone": with_network(name=":"),
    "a module without an attribute": with_network(name="os:"),
    "a key that no network has": with_network(path="/etc/passwd"),
    "options are a list": with_network(options=[1, 2]),
    "options are null": with_network(options=None),
    "an option that is unknown": with_options(depht=3),
    "an option that is a private argument": with_options(self=1),
    "a width that is negative": with_options(widths=[4, 4, 4, -4]),
    "a width that is zero": with_options(widths=[4, 4, 4, 0]),
    "a width that is a word": with_options(widths=[4, 4, 4, "four"]),
    "a width that is not whole": with_options(widths=[4, 4, 4, 4.5]),
    "a width that is a list": with_options(widths=[4, 4, 4, [4]]),
    "widths that are one number": with_options(widths=4),
    "too few widths": with_options(widths=[4]),
    "no widths": with_options(widths=[]),
    "too many widths": with_options(widths=[4] * 100_000),
    "a width of two to the power of 62": with_options(widths=[4, 4, 4, 2**62]),
    "a width of 4096 everywhere": with_options(widths=[4096] * 4),
    "a depth of 4096 everywhere": with_options(depths=[4096] * 4),
    "a depth of a billion": with_options(depths=[1, 1, 1, 10**9]),
    "an option nested 60 deep": with_options(widths=nested(60)),
    "stages without end": with_network(name="rpcanet", options={"stages": 4096, "channels": 1}),
    "a stride of two to the power of 40": with_network(name="unet", options={"widths": [1] * 41}),
    "another network's options": with_network(name="mshnet"),
    "another network": with_network(name="dnanet", options={}),
    "widths of pruning for no layer": with_network(widths={"nowhere": [1, 1]}),
    "widths of pruning that grow": with_network(widths={"stem.0": [800, 800]}),
    "widths of pruning that are words": with_network(widths={"stem.0": ["a", "b"]}),
    "widths of pruning that are negative": with_network(widths={"stem.0": [-1, 4]}),
    "widths of pruning that do not fit": with_network(widths={"stem.0": [8, 3]}),
    "widths of pruning are a list": with_network(widths=[["stem.0", 4, 4]]),
    "a threshold of 2": {**SOUND, "threshold": 2},
    "a threshold of -1": {**SOUND, "threshold": -1},
    "a threshold that is a word": {**SOUND, "threshold": "0.5"},
    "a threshold that is null": {**SOUND, "threshold": None},
    "a threshold that is true": {**SOUND, "threshold": True},
    "another preprocessing": {**SOUND, "preprocessing": "histogram"},
    "false alarms are a list": {**SOUND, "false_alarms": [1, 2, 3]},
    "false alarms of no pixels": with_false_alarms(megapixels=0),
    "false alarms of negative pixels": with_false_alarms(megapixels=-3.0),
    "false alarms without a curve": with_false_alarms(curve=[]),
    "a curve of pairs": with_false_alarms(curve=[[0.1, 2.0]]),
    "a curve that falls": with_false_alarms(curve=[[0.5, 1.0, 0.9], [0.1, 9.0, 1.0]]),
    "a curve beyond 1": with_false_alarms(curve=[[1.5, 1.0, 0.9]]),
    "peaks that are a word": {**SOUND, "peaks": "yes"},
    "peaks without weights": {**SOUND, "peaks": {"level": 0.02, "share": 0.4, "saddle": 0.85}},
    "peaks at every pixel": {**SOUND, "peaks": {**PEAKS, "level": 0.0}},
    "peaks that join everything": {**SOUND, "peaks": {**PEAKS, "saddle": 1.0}},
    "peaks of endless weight": {**SOUND, "peaks": {**PEAKS, "crowd": -1e300}},
    "peaks after a second look": {**SOUND, "second_look": SECOND_LOOK, "peaks": PEAKS},
    "a second look that is a word": {**SOUND, "second_look": "yes"},
    "a second look without tensors": with_second_look(),
    "a second look a million wide": with_second_look(widths=[10**6] * 3),
    "a second look of four widths": with_second_look(widths=[2] * 4),
    "a second look at everything": with_second_look(level=0.0),
    "a second look of endless weight": with_second_look(look=1e9),
    "a second look far off": with_second_look(offset=1e30),
    "a second look that names code": with_second_look(name="os:system"),
    "operating points are a list": {**SOUND, "operating_points": [0.5]},
    "an operating point beyond 1": with_point(threshold=1.5),
    "an operating point without a threshold": with_point(threshold=None),
    "an operating point of a thousand measures": with_point(measured=[{}] * 1000),
    "a curve of a million rows": with_false_alarms(curve=[[0.5, 1.0, 0.9]] * 1_000_000),
}

TEXTS = {
    "not JSON": "{network: compact}",
    "cut off": json.dumps(SOUND)[:-9],
    "NaN": json.dumps(SOUND).replace("0.5", "NaN"),
    "infinity": json.dumps(SOUND).replace("0.5", "1e999"),
    "a number of 5,000 digits": json.dumps(SOUND).replace("0.5", "9" * 5000),
    "a list nested 100,000 deep": '{"network": ' + "[" * 100_000 + "]" * 100_000 + "}",
    "empty": "",
}


@pytest.mark.parametrize("card", CARDS)
def test_an_odd_card_is_refused_with_a_sentence(card, weights, frame, tmp_path, capsys):
    save_file(weights, tmp_path / "w.safetensors", metadata={CARD: json.dumps(CARDS[card])})
    refuse(frame, tmp_path / "w.safetensors", capsys)


@pytest.mark.parametrize("text", TEXTS)
def test_a_card_that_is_no_json_is_refused_with_a_sentence(text, weights, frame, tmp_path, capsys):
    save_file(weights, tmp_path / "w.safetensors", metadata={CARD: TEXTS[text]})
    refuse(frame, tmp_path / "w.safetensors", capsys)


def test_the_card_that_all_of_them_are_made_of_is_sound(weights, frame, tmp_path):
    card = {**with_network(), "false_alarms": FALSE_ALARMS}
    save_file(weights, tmp_path / "w.safetensors", metadata={CARD: json.dumps(card)})
    arguments = ["--model", str(tmp_path / "w.safetensors"), "--out", str(tmp_path / "out")]
    assert main(["detect", str(frame), *arguments]) == 0


def flood(weights: dict[str, torch.Tensor], value: float) -> dict[str, torch.Tensor]:
    spoilt = {key: tensor.clone() for key, tensor in weights.items()}
    spoilt["stem.0.weight"][0, 0, 0, 0] = value
    return spoilt


SPOILT: dict[str, Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]] = {
    "NaN": lambda w: flood(w, float("nan")),
    "infinite": lambda w: flood(w, float("inf")),
    "a negative variance": lambda w: {**w, "stem.1.running_var": -torch.ones(4)},
    "no tensors": lambda w: {},
    "one tensor less": lambda w: {key: value for key, value in w.items() if key != "stem.0.weight"},
    "one tensor more": lambda w: {**w, "extra": torch.zeros(3)},
    "fifty thousand more": lambda w: {**w, **{f"extra{k}": torch.zeros(1) for k in range(50_000)}},
    "another shape": lambda w: {**w, "stem.0.weight": torch.zeros(4, 4)},
    "an empty tensor": lambda w: {**w, "stem.0.weight": torch.zeros(4, 0, 3, 3)},
    "whole numbers": lambda w: {**w, "stem.0.weight": torch.zeros(4, 8, 3, 3, dtype=torch.int64)},
    "truth values": lambda w: {**w, "stem.0.weight": torch.zeros(4, 8, 3, 3, dtype=torch.bool)},
}


@pytest.mark.parametrize("what", SPOILT)
def test_broken_weights_are_refused_and_are_no_empty_sky(what, weights, frame, tmp_path, capsys):
    save_file(SPOILT[what](weights), tmp_path / "w.safetensors", metadata={CARD: json.dumps(SOUND)})
    refuse(frame, tmp_path / "w.safetensors", capsys)


def header(length: int, text: bytes = b"") -> bytes:
    return struct.pack("<Q", length) + text


JUDGE = {f"second_look.{name}": tensor for name, tensor in SecondLookNetwork([2, 2, 2]).state_dict().items()}

JUDGES = {
    "NaN": {**JUDGE, "second_look.head.1.bias": torch.full((2,), float("nan"))},
    "another shape": {**JUDGE, "second_look.near.0.0.weight": torch.zeros(2, 1, 5, 5)},
    "one tensor less": {key: value for key, value in JUDGE.items() if not key.endswith("head.3.bias")},
    "one tensor more": {**JUDGE, "second_look.extra": torch.zeros(3)},
    "whole numbers": {**JUDGE, "second_look.head.3.bias": torch.zeros(1, dtype=torch.int64)},
}


@pytest.mark.parametrize("what", JUDGES)
def test_a_broken_second_look_is_refused(what, weights, frame, tmp_path, capsys):
    card = {CARD: json.dumps(with_second_look())}
    save_file({**weights, **JUDGES[what]}, tmp_path / "w.safetensors", metadata=card)
    refuse(frame, tmp_path / "w.safetensors", capsys)


def test_a_second_look_that_the_card_does_not_name_is_refused(weights, frame, tmp_path, capsys):
    save_file({**weights, **JUDGE}, tmp_path / "w.safetensors", metadata={CARD: json.dumps(SOUND)})
    assert "second_look" in refuse(frame, tmp_path / "w.safetensors", capsys)


def test_the_second_look_that_all_of_them_are_made_of_is_sound(weights, frame, tmp_path):
    card = {CARD: json.dumps(with_second_look())}
    save_file({**weights, **JUDGE}, tmp_path / "w.safetensors", metadata=card)
    arguments = ["--model", str(tmp_path / "w.safetensors"), "--out", str(tmp_path / "out")]
    assert main(["detect", str(frame), *arguments]) == 0


BEYOND = json.dumps({"t": {"dtype": "F32", "shape": [9**9], "data_offsets": [0, 4 * 9**9]}}).encode()

BYTES = {
    "nothing": b"",
    "a header cut off": header(1000, b'{"a"'),
    "a header of all memory": header(2**63),
    "a header of 90 million blanks": header(90_000_000, b" " * 90_000_000),
    "a header that is a list": header(2, b"[]"),
    "tensors beyond the end": header(
        len(
            text := json.dumps(
                {"t": {"dtype": "F32", "shape": [9**9], "data_offsets": [0, 4 * 9**9]}}
            ).encode()
        ),
        text,
    ),
    "a pickle": b"\x80\x04cos\nsystem\n(X\x04\x00\x00\x00trueR.",
    "a picture": b"\x89PNG\r\n\x1a\n" + b"\0" * 100,
}


@pytest.mark.parametrize("what", BYTES)
@pytest.mark.parametrize("suffix", [".safetensors", ".onnx", ".pth"])
def test_a_damaged_file_is_refused_with_a_sentence(what, suffix, frame, tmp_path, capsys):
    (tmp_path / f"w{suffix}").write_bytes(BYTES[what])
    refuse(frame, tmp_path / f"w{suffix}", capsys)


# ---------------------------------------------------------------------------------------------------------
# Code in files


@pytest.fixture
def module(tmp_path, monkeypatch) -> Path:
    """A module that leaves a mark when it is imported."""
    mark = tmp_path / "imported"
    (tmp_path / "stranger.py").write_text(
        f"import pathlib; pathlib.Path({str(mark)!r}).touch()\n"
        "from infraspot.networks import NETWORKS\n"
        "class Mine(NETWORKS['compact']):\n"
        f"    def __init__(self): super().__init__(**{OPTIONS!r})\n"
        "def function(): return Mine()\n"
        "class Other: pass\n"
        "from infraspot.blocks.residual import ResidualBlock as Block\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(__import__("sys").modules, "stranger", raising=False)
    return mark


def write_stranger(path: Path, weights: dict[str, torch.Tensor], name: str = "stranger:Mine") -> Path:
    save_file(weights, path, metadata={CARD: json.dumps({"network": {"name": name}})})
    return path


COMMANDS = {
    "detect": ["detect", "{frame}", "--model", "{file}", "--out", "{out}/found"],
    "evaluate": ["evaluate", "{file}", "--data", "{data}"],
    "train": ["train", "smoke", "--data", "{data}", "--start", "{file}", "--out", "{out}/run"],
    "export": ["export", "{file}", "--out", "{out}/m.onnx"],
    "prune": ["prune", "{file}", "--keep", "0.5", "--out", "{out}/p.safetensors"],
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("place", ["file", "run folder"])
def test_no_command_imports_what_a_file_names(command, place, module, weights, frame, tmp_path, capsys):
    file = tmp_path / "given" / "best.safetensors"
    file.parent.mkdir()
    write_stranger(file, weights)
    places = {
        "file": file if place == "file" else file.parent,
        "frame": frame,
        "data": tmp_path / "data",
        "out": tmp_path,
    }
    (tmp_path / "data" / "images").mkdir(parents=True)
    (tmp_path / "data" / "masks").mkdir()
    for k in range(4):
        write_grey(tmp_path / "data" / "images" / f"{k}.png", np.full((32, 32), 0.5))
        write_grey(tmp_path / "data" / "masks" / f"{k}.png", np.eye(32))
    assert main([word.format(**places) for word in COMMANDS[command]]) == 1
    assert "allow it with --trust stranger:Mine" in capsys.readouterr().err
    assert not module.exists()


def test_a_command_in_a_card_does_not_run(weights, frame, tmp_path, capsys):
    mark = tmp_path / "mark"
    spec = {"name": "os:system", "options": {"command": f"touch {mark}"}}
    save_file(weights, tmp_path / "w.safetensors", metadata={CARD: json.dumps({"network": spec})})
    for options in ([], ["--trust", "stranger:Mine"], ["--trust", "os"], ["--trust", "os:system"]):
        refuse(frame, tmp_path / "w.safetensors", capsys, *options)
    assert not mark.exists()


@pytest.mark.parametrize("option", ["local", "context", "fusion", "decoder", "attention"])
def test_a_block_from_outside_needs_trust_as_well(option, module, weights, frame, tmp_path, capsys):
    spec = {"name": "unet", "options": {option: "stranger:Block"}}
    save_file(weights, tmp_path / "w.safetensors", metadata={CARD: json.dumps({"network": spec})})
    assert "--trust stranger:Block" in refuse(frame, tmp_path / "w.safetensors", capsys)
    assert not module.exists()


def test_what_the_caller_names_is_imported_if_it_is_a_network(module, weights, frame, tmp_path, capsys):
    out = ["--out", str(tmp_path / "out")]
    file = write_stranger(tmp_path / "w.safetensors", weights)
    assert main(["detect", str(frame), "--model", str(file), *out, "--trust", "stranger:Mine"]) == 0
    assert module.exists()
    onnx_file = tmp_path / "m.onnx"
    assert main(["export", str(file), "--out", str(onnx_file), "--trust", "stranger:Mine"]) == 0
    assert main(["detect", str(frame), "--model", str(onnx_file), *out, "--trust", "stranger:Mine"]) == 0
    capsys.readouterr()
    (tmp_path / "out").rename(tmp_path / "before")
    assert "--trust stranger:Mine" in refuse(frame, onnx_file, capsys)
    for name in ("stranger:function", "stranger:Other", "stranger:absent"):
        refuse(frame, write_stranger(tmp_path / "w.safetensors", weights, name), capsys, "--trust", name)


@pytest.mark.parametrize("seed", range(40))
def test_a_damaged_copy_of_a_sound_file_ends_in_a_sentence_or_in_results(
    seed, weights, frame, tmp_path, capsys
):
    rng = np.random.default_rng(seed)
    save_file(weights, tmp_path / "m.safetensors", metadata={CARD: json.dumps(SOUND)})
    (tmp_path / "m.onnx").write_bytes((WEIGHTS / "compact-sirst1.onnx").read_bytes())
    for name in ("m.safetensors", "m.onnx"):
        data = bytearray((tmp_path / name).read_bytes())
        for place in rng.integers(0, min(len(data), 2000), 5):
            data[place] = rng.integers(256)
        (tmp_path / name).write_bytes(data[: rng.integers(len(data))] if seed % 2 else data)
        arguments = ["--model", str(tmp_path / name), "--out", str(tmp_path / "out")]
        assert main(["detect", str(frame), *arguments]) in (0, 1, 2)
        assert "Traceback" not in capsys.readouterr().err
