"""Exported files that take a camera's pixels: any size, either depth, several frames, nothing beside them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("onnx", reason="the extra export is not installed")

from infraspot.cli.main import main
from infraspot.core.errors import InfraspotError, InputError
from infraspot.data import Frame
from infraspot.inference import onnx_engines, open_engine
from infraspot.inference.engines import locate
from infraspot.inference.frames import score_frame, stretch
from infraspot.inference.onnx_engines import PixelEngine
from infraspot.inference.onnx_file import read_onnx
from infraspot.inference.predictor import predict
from infraspot.inference.self_contained import stretched
from infraspot.inference.self_test import check_self_test

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Files of the packaged model, by the type of their pixels."""
    folder = tmp_path_factory.mktemp("exported")
    for pixels in ("uint8", "uint16"):
        line = ["export", "compact-sirst1", "--self-contained", pixels, "--threshold", "0.5"]
        assert main([*line, "--out", str(folder / f"{pixels}.onnx"), "--triton", str(folder / "triton")]) == 0
    return folder


def scene(rng, shape, depth):
    ys, xs = np.mgrid[: shape[0], : shape[1]]
    image = 0.2 + 0.02 * rng.random(shape) + 0.001 * xs
    for y, x in ((12, 20), (shape[0] - 3, 40)):
        image += 0.3 * np.exp(-((ys - y) ** 2 + (xs - x) ** 2) / 3)
    return np.rint(image * (2**depth - 1)).astype("uint8" if depth == 8 else "uint16")


@pytest.mark.parametrize("values", ["noise", "few", "constant", "two"])
@pytest.mark.parametrize("count", [2, 3, 199, 200, 201, 1234, 50_000])
def test_the_stretch_in_the_graph_is_that_of_detection(rng, values, count):
    made = {
        "noise": rng.integers(100, 16_000, count),
        "few": rng.integers(700, 703, count),
        "constant": np.full(count, 9),
        "two": np.arange(count) == count // 2,
    }[values]
    frame = made.astype(np.uint16).reshape(1, count)
    wanted = stretch((frame / np.float64(65535)).astype(np.float32))
    found = stretched(torch.tensor(frame.astype(np.float32))[None, None])[0, 0].numpy()
    np.testing.assert_allclose(found, wanted, atol=2e-4 if values == "few" else 2e-5)


@pytest.mark.parametrize(("pixels", "depth"), [("uint8", 8), ("uint16", 14), ("uint16", 16)])
def test_pixels_of_any_size_get_the_scores_of_detection(exported, rng, pixels, depth):
    engine, whole = PixelEngine(exported / f"{pixels}.onnx", threads=1), open_engine(threads=1)
    whole.second_look = None
    for shape in [(64, 64), (61, 90), (33, 130)]:
        values = scene(rng, shape, depth)
        frame = Frame((values / np.float32(np.iinfo(pixels).max)).astype(np.float32), 8 * values.itemsize)
        wanted = score_frame(whole, frame.image, frame.bit_depth)
        np.testing.assert_allclose(engine.answer(values), wanted, atol=1e-4)
        np.testing.assert_array_equal(predict(engine, frame).score_map, engine.answer(values))
        assert wanted.max() > 0.5


def test_frames_of_a_batch_are_stretched_each_by_itself(exported, rng):
    engine = PixelEngine(exported / "uint16.onnx", threads=1)
    frames = [scene(rng, (40, 70), 14), scene(rng, (40, 70), 14) // 3, np.full((40, 70), 7, np.uint16)]
    alone = [engine.answer(frame) for frame in frames]
    np.testing.assert_allclose(engine.answers(frames), alone, atol=1e-5)


def test_detect_finds_the_same_by_the_file_as_by_the_model_without_its_second_look(exported, rng, tmp_path):
    Image.fromarray(scene(rng, (61, 90), 8)).save(tmp_path / "a.png")
    line = ["detect", str(tmp_path / "a.png"), "--threads", "1", "--format", "json,mask", "--model"]
    assert main([*line, str(exported / "uint8.onnx"), "--out", str(tmp_path / "one")]) == 0
    assert main(["export", "compact-sirst1", "--out", str(tmp_path / "w.onnx"), "--threshold", "0.5"]) == 0
    first = open_engine(str(tmp_path / "w.onnx"), threads=1)
    first.second_look = None
    found = json.loads((tmp_path / "one" / "a.json").read_text())["targets"]
    image = np.asarray(Image.open(tmp_path / "a.png"), np.float32) / 255
    wanted = predict(first, Frame(image, 8)).find_targets(0.5)
    assert [t["area"] for t in found] == [t.area for t in wanted]
    places = [(t["x"], t["y"]) for t in found]
    np.testing.assert_allclose(places, [(t.x, t.y) for t in wanted], atol=0.051)
    assert len(found) == 2


def test_frames_of_the_other_depth_and_frames_too_large_are_refused(exported, monkeypatch):
    engine = PixelEngine(exported / "uint8.onnx", threads=1)
    with pytest.raises(InputError, match="takes frames of up to 8 bits, and one of 14 bits came"):
        predict(engine, Frame(np.zeros((40, 40), np.float32), 14))
    monkeypatch.setattr(onnx_engines, "MOST_PIXELS", 1000)
    with pytest.raises(InputError, match=r"takes frames of 2 to 1000 pixels, and one of 1600 came"):
        predict(engine, Frame(np.zeros((40, 40), np.float32), 8))


def test_dark_targets_are_found_by_turned_pixels(exported, rng):
    values = 255 - scene(rng, (64, 64), 8)
    engine = PixelEngine(exported / "uint8.onnx", threads=1)
    engine.polarity = "both"
    score_map = predict(engine, Frame((values / np.float32(255)).astype(np.float32), 8)).score_map
    np.testing.assert_array_equal(score_map, np.maximum(engine.answer(values), engine.answer(255 - values)))


def test_the_card_holds_nothing_of_the_second_look(exported):
    card = json.loads(read_onnx(exported / "uint8.onnx").card)
    assert (card["pixels"], card["threshold"]) == ("uint8", 0.5)
    assert not {"second_look", "operating_points", "false_alarms"} & set(card)


def test_a_file_that_answers_its_own_frame_wrongly_is_refused(exported):
    text = read_onnx(exported / "uint8.onnx").self_test
    assert text is not None
    engine = PixelEngine(exported / "uint8.onnx", threads=1)
    with pytest.raises(InfraspotError, match=r"m\.onnx: its own test frame gets scores that differ by 0\.0"):
        check_self_test(text, lambda frame: engine.answer(frame) + 0.01, "m.onnx", "a device", 1e-3)
    with pytest.raises(InfraspotError, match="differ by nan"):
        check_self_test(text, lambda frame: engine.answer(frame) * np.nan, "m.onnx", "a device", 1e-3)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"pixels": "uint8"}', '{"pixels": "int4", "shape": [1, 1]}']
)
def test_a_damaged_self_test_is_a_sentence(text):
    with pytest.raises(InputError, match="its self-test is damaged"):
        check_self_test(text, np.asarray, "m.onnx", "a device", 1e-3)


def test_triton_gets_the_file_and_the_types_of_its_ends(exported):
    config = (exported / "triton" / "uint16" / "config.pbtxt").read_text()
    assert 'name: "uint16"' in config
    assert 'input [ { name: "frame" data_type: TYPE_UINT16 dims: [ 1, -1, -1 ] } ]' in config
    model = exported / "triton" / "uint16" / "1" / "model.onnx"
    assert model.read_bytes() == (exported / "uint16.onnx").read_bytes()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--self-contained", "uint8"], "give it a --threshold"),
        (["--triton", "t"], "--triton needs --self-contained"),
        (["--self-contained", "uint8", "--threshold", "0.5", "--triton", "t"], "Triton takes names of"),
    ],
)
def test_what_cannot_be_exported_so_is_refused_before_work(tmp_path, monkeypatch, capsys, options, sentence):
    monkeypatch.chdir(tmp_path)
    assert main(["export", "compact-sirst1", "--out", "a b.onnx", *options]) == 2
    assert sentence in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def targets_of(output):
    """Lines of an example: x, y, area, score."""
    return sorted(tuple(float(value) for value in line.split()) for line in output.splitlines())


def targets_by_detect(file, values, threshold=0.5):
    engine = PixelEngine(file, threads=1)
    frame = Frame((values / np.float32(np.iinfo(values.dtype).max)).astype(np.float32), 8 * values.itemsize)
    found = predict(engine, frame).find_targets(threshold)
    return sorted((round(t.x, 2), round(t.y, 2), float(t.area), round(t.score, 4)) for t in found)


@pytest.mark.parametrize(("pixels", "depth"), [("uint8", 8), ("uint16", 14)])
def test_twenty_lines_of_python_reach_the_targets_of_detect(exported, rng, tmp_path, pixels, depth):
    values = scene(rng, (61, 90), depth)
    np.save(tmp_path / "a.npy", values)
    example, model = EXAMPLES / "detect_pixels.py", exported / f"{pixels}.onnx"
    command = [sys.executable, str(example), str(model), str(tmp_path / "a.npy")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert len(targets_of(done.stdout)) == 2
    assert "left out of" in done.stderr
    assert "the second look" in done.stderr
    np.testing.assert_allclose(targets_of(done.stdout), targets_by_detect(model, values), atol=0.011)


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The C++ example, made with the library of the wheel and the headers that ONNXRUNTIME_INCLUDE names."""
    from shutil import which

    import onnxruntime

    places = [os.environ.get("ONNXRUNTIME_INCLUDE", ""), "/usr/include/onnxruntime", "/usr/include"]
    include = next((p for p in places if p and (Path(p) / "onnxruntime_c_api.h").is_file()), None)
    libraries = sorted((Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*"))
    if include is None or not libraries or which("g++") is None:
        pytest.skip("g++, or the headers of ONNX Runtime (ONNXRUNTIME_INCLUDE), are not at hand")
    made = tmp_path_factory.mktemp("program") / "detect_pixels"
    source, library = EXAMPLES / "detect_pixels.cpp", made.with_name("libonnxruntime.so.1")
    library.symlink_to(libraries[0])  # the name that the library gives itself
    flags = ["-std=c++17", "-Wall", "-Wextra", "-Werror", f"-I{include}", f"-Wl,-rpath,{made.parent}"]
    subprocess.run(["g++", *flags, str(source), str(library), "-o", str(made)], check=True)
    return made


@pytest.mark.parametrize(("pixels", "depth"), [("uint8", 8), ("uint16", 14)])
def test_sixty_lines_of_cpp_reach_the_targets_of_detect(program, exported, rng, tmp_path, pixels, depth):
    values, model = scene(rng, (61, 90), depth), exported / f"{pixels}.onnx"
    values.tofile(tmp_path / "a.raw")
    command = [str(program), str(model), str(tmp_path / "a.raw"), "90", "61"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert len(targets_of(done.stdout)) == 2
    assert "the second look" in done.stderr
    np.testing.assert_allclose(targets_of(done.stdout), targets_by_detect(model, values), atol=0.011)
    short = subprocess.run([*command[:3], "91", "61"], capture_output=True, text=True, check=False)
    assert (short.returncode, "does not hold 91x61 pixels" in short.stderr) == (2, True)


def test_the_packaged_file_has_no_self_test_and_goes_on_loading():
    assert open_engine(threads=1).card["network"]["name"] == "compact"
    assert read_onnx(locate("compact-sirst1")).second_look is not None
