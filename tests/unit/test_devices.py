"""A model runs where it was told to, says so, and never somewhere else in silence."""

import sys

import numpy as np
import onnxruntime
import pytest

from infraspot.cli.main import main
from infraspot.core.errors import UsageError
from infraspot.core.extras import is_installed
from infraspot.data import write_grey
from infraspot.inference import open_engine, run_times, score_frame
from infraspot.inference.run_times import check_device
from infraspot.jobs.choosing import choose_engine


@pytest.fixture
def image(rng):
    ys, xs = np.mgrid[:61, :90]
    target = 0.5 * np.exp(-((ys - 20) ** 2 + (xs - 31) ** 2) / 3)
    return (0.3 + 0.02 * rng.random((61, 90)) + target).astype(np.float32)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"device": "gpu"}, "'gpu'"),
        ({"device": "cpu", "precision": "bfloat16"}, "the device cpu computes in the precision of the file"),
        ({"device": "openvino", "precision": "int4"}, "'int4'"),
    ],
)
def test_what_no_device_is_or_offers_is_refused(options, sentence):
    with pytest.raises(UsageError, match=sentence):
        check_device(**options)


@pytest.mark.parametrize(
    ("device", "provider"), [("cuda", "CUDAExecutionProvider"), ("tensorrt", "TensorrtExecutionProvider")]
)
def test_a_device_that_is_not_there_is_refused_and_not_replaced(device, provider, image, tmp_path, capsys):
    if provider in onnxruntime.get_available_providers():
        pytest.skip(f"{provider} is at hand")
    write_grey(tmp_path / "a.png", image)
    assert main(["detect", str(tmp_path / "a.png"), "--device", device, "--out", str(tmp_path / "out")]) == 2
    assert f"the device {device} needs {provider}, and this ONNX Runtime has" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_provider_that_does_not_load_is_refused_too(monkeypatch):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    with pytest.raises(UsageError, match=r"needs CUDAExecutionProvider, and this ONNX Runtime has CPU"):
        open_engine(device="cuda", threads=1)


def test_the_run_says_what_ran_it(image, tmp_path, capsys):
    write_grey(tmp_path / "a.png", image)
    line = ["detect", str(tmp_path / "a.png"), "--out", str(tmp_path / "out"), "--device", "cpu"]
    assert main(line) == 0
    told = "".join(capsys.readouterr())
    assert f"compact-sirst1 runs on ONNX Runtime {onnxruntime.__version__}, CPUExecutionProvider" in told


def test_methods_and_engines_of_ones_own_take_no_device():
    with pytest.raises(UsageError, match="a classical method runs on the CPU alone"):
        choose_engine(method="tophat", device="cpu")
    with pytest.raises(UsageError, match="an engine of your own runs where it runs"):
        choose_engine(model=open_engine(threads=1), device="cpu")


def test_openvino_is_asked_for_by_name_where_it_is_not_installed(monkeypatch):
    monkeypatch.setitem(run_times.require.__globals__, "is_installed", lambda module: False)
    with pytest.raises(UsageError, match=r"the device openvino needs openvino.*infraspot\[openvino\]"):
        check_device("openvino")


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-4), ("bfloat16", 0.1)])
def test_openvino_gives_the_scores_of_onnx_runtime_in_the_precision_that_was_asked_for(
    image, precision, tolerance
):
    if not is_installed("openvino"):  # importing it here would bring its telemetry
        pytest.skip("the extra openvino is not installed")
    reference = open_engine(threads=1)
    engine = open_engine(device="openvino", precision=precision, threads=1)
    wanted = {"float32": "f32", "bfloat16": "bf16"}[precision]
    assert engine.runs_on.startswith("OpenVINO")
    assert engine.runs_on.endswith((wanted, "f32"))  # a CPU without bf16 stays in float32, and says so
    reference.second_look = engine.second_look = None
    np.testing.assert_allclose(score_frame(engine, image), score_frame(reference, image), atol=tolerance)
    assert sys.modules["openvino_telemetry"] is None  # its import fails, and nothing is reported
