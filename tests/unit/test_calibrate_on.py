"""The threshold for one's own camera, and targets that are dark."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import numpy as np
import pytest

import infraspot
from infraspot.cli.main import main
from infraspot.core.errors import Caution, UsageError
from infraspot.core.prediction import Prediction
from infraspot.core.sample import Sample
from infraspot.data import Frame, write_grey
from infraspot.inference import predict
from infraspot.inference.false_alarms import calibrate_on, upper_rate
from infraspot.inference.frames import stretch
from infraspot.inference.operating_points import rate_at
from infraspot.inference.stream import NamedFile, StreamedFrame
from infraspot.jobs.detect import detect_in
from infraspot.jobs.empty_frames import calibrated


class Given:
    """Its scores are the frame itself."""

    name = "given"

    def __init__(self, polarity="bright"):
        self.polarity = polarity
        self.card = {"operating_points": {"balanced": {"threshold": 0.5, "fa_per_mpx": 2.0}}}

    def score(self, image):
        return image


def spotted(values, side=1000):
    """A frame of one megapixel with spots of these values."""
    image = np.zeros((side, side), np.float32)
    for k, value in enumerate(values):
        image[20 * k + 10, 50] = value
    return Sample("spotted.png", image)


def test_the_threshold_is_the_lowest_that_keeps_to_the_rate_in_empty_frames():
    frames = [spotted([0.9, 0.7]), spotted([0.8, 0.305]), spotted([])]
    found = calibrate_on(Given(), frames, 1.0)
    assert found["threshold"] == pytest.approx(0.31)
    assert (found["frames"], found["megapixels"], found["false_alarms"]) == (3, 3.0, 3)
    assert found["rate"] == 1.0


def test_the_bound_is_the_exact_one_of_a_poisson_count():
    # Tables of Garwood (1936): with 0, 1 and 10 counted, 95 % one-sided.
    for count, bound in ((0, 2.9957), (1, 4.7439), (10, 16.962)):
        assert upper_rate(count, 1.0) == pytest.approx(bound, abs=1e-3)
    assert upper_rate(10, 4.0) == pytest.approx(16.962 / 4, abs=1e-3)


def test_the_bound_holds_for_a_threshold_chosen_on_the_same_frames(rng):
    """Frames drawn again and again: the true rate lies below the bound about 95 times in 100."""
    megapixels, asked, true_rate, held = 10.0, 1.0, 20.0, 0
    for _ in range(400):
        scores = np.sort(rng.random(rng.poisson(true_rate * megapixels)))[::-1]
        kept = int(asked * megapixels)
        held += true_rate * (1 - scores[kept]) <= upper_rate(kept, megapixels)
    assert 0.92 <= held / 400 <= 0.98


def test_too_few_frames_are_refused_with_what_would_do():
    with pytest.raises(
        UsageError, match=r"2 frames of together 2 Mpx cannot show .* could still be 1\.5; .* 3 Mpx"
    ):
        calibrate_on(Given(), [spotted([]), spotted([])], 1.0)
    with pytest.raises(UsageError, match="0 frames of together 0 Mpx cannot show"):
        calibrate_on(Given(), [], 1.0)


def test_frames_that_likely_hold_a_target_by_calibrated_scores_are_named():
    engine = Given()
    frames = [spotted([0.95, 0.7]).replace(id="a"), spotted([0.5, 0.3]).replace(id="b")]
    assert calibrate_on(engine, frames, 2.0)["likely"] == []  # its scores say nothing about chances
    engine.card["calibration"] = {"error": 0.01}
    assert calibrate_on(engine, frames, 2.0)["likely"] == ["a"]


def test_doubtful_frames_to_calibrate_on_are_warned_of(rng):
    def noisy(name, deviation):
        image = 0.3 + deviation * rng.standard_normal((600, 600))
        write_grey(tmp / f"{name}.png", image.clip(0, 1), bits=8)

    with TemporaryDirectory() as place:
        tmp, told = Path(place), []
        for k in range(4):
            noisy(f"quiet-{k}", 0.005)
        engine = Given()
        engine.card["calibration"] = {"error": 0.01}
        calibrated(engine, tmp, 5.0, reading=None, tell=told.append)
        assert [isinstance(said, Caution) for said in told] == [False]
        for k in range(4):
            noisy(f"noisy-{k}", 0.025)
        target = np.full((600, 600), 0.3, np.float32)
        target[300:303, 300:303] = 1
        write_grey(tmp / "target.png", target, bits=8)
        calibrated(engine, tmp, 5.0, reading=None, tell=told.append)
        assert [isinstance(said, Caution) for said in told[1:]] == [False, True, True]
        assert "1 frame to calibrate on holds" in told[2]
        assert "(target.png)" in told[2]
        assert "2 cameras: 4 frames of 600x600, 8 bits, noise 0.02" in told[3]


def test_a_rate_that_no_threshold_keeps_to_is_refused():
    with pytest.raises(UsageError, match=r"cannot keep to 3 false alarms .* there are 20"):
        calibrate_on(Given(), [spotted([1.0] * 20)], 3.0)


def test_a_point_without_a_rate_is_a_sentence():
    assert rate_at("balanced", Given().card, "given") == 2.0
    for card in ({}, {"operating_points": {"balanced": {"threshold": 0.5}}}):
        with pytest.raises(UsageError, match="give --fa-per-mpx"):
            rate_at("balanced", card, "m")


@pytest.fixture
def empty_frames(tmp_path, rng):
    folder = tmp_path / "empty"
    folder.mkdir()
    for k in range(4):
        write_grey(folder / f"{k}.png", (0.4 + 0.02 * rng.standard_normal((700, 800))).clip(0, 1), bits=8)
    return folder


def test_one_calibrates_on_the_command_line_and_in_python(empty_frames, tmp_path, capsys):
    command = ["detect", str(empty_frames), "--out", str(tmp_path / "out"), "--format", "json"]
    assert main([*command, "--calibrate-on", str(empty_frames), "--fa-per-mpx", "2"]) == 0
    said = capsys.readouterr()
    assert "calibrated on 4 frames (2.24 Mpx): " in said.err + said.out
    detector = infraspot.load(calibrate_on=empty_frames, fa_per_mpx=2)
    known = detector.card["calibrated_on"]
    assert known["threshold"] == detector.threshold
    assert known["rate"] <= 2
    assert known["rate"] < known["upper"]
    assert f"threshold {detector.threshold:g}\n" in said.out
    assert "calibrated_on" not in infraspot.load().card


@pytest.mark.parametrize("other", [["--threshold", "0.5"], ["--sigmas", "5"]])
def test_calibrating_and_another_threshold_exclude_each_other(empty_frames, tmp_path, capsys, other):
    command = ["detect", str(empty_frames), "--out", str(tmp_path / "out")]
    assert main([*command, "--calibrate-on", str(empty_frames), *other]) == 2
    assert "each set the threshold" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_missing_folder_to_calibrate_on_is_a_sentence(empty_frames, tmp_path, capsys):
    command = ["detect", str(empty_frames), "--out", str(tmp_path / "out"), "--fa-per-mpx", "5"]
    assert main([*command, "--calibrate-on", str(tmp_path / "nowhere")]) != 0
    assert "nowhere" in capsys.readouterr().err


@pytest.mark.parametrize(("polarity", "found"), [("bright", {10}), ("dark", {30}), ("both", {10, 30})])
def test_polarity_says_which_targets_are_sought(polarity, found):
    image = np.full((40, 60), 0.5, np.float32)
    image[20, 10], image[20, 30] = 0.9, 0.1
    targets = predict(Given(polarity), Frame(image, 8)).find_targets(0.6)
    assert {round(target.x) for target in targets} == found


@pytest.mark.parametrize(("polarity", "found"), [("dark", {30}), ("both", {10, 30})])
def test_dark_targets_of_deep_frames_stand_out_as_far_as_bright_ones_would(polarity, found, rng):
    """Frames are turned and then stretched: a stretch before leaves dark targets a tenth of the scale."""
    image = (0.5 + 0.002 * rng.standard_normal((80, 100))).astype(np.float32)
    image[20, 10], image[20, 30] = 0.53, 0.47
    turned = {"dark": 1 - image, "both": np.maximum(image, 1 - image)}[polarity]
    engine, frame = Given(polarity), Frame(image, 16)
    scores = predict(engine, frame).score_map
    assert scores[20, 30] == pytest.approx(stretch(1 - image)[20, 30])
    assert scores[20, 30] > 0.9
    assert turned[20, 30] == turned.max()
    seen = detect_in(StreamedFrame(NamedFile(Path("a"), "a", "a"), None, frame), engine, 0.85)
    assert {round(target.x) for target in seen} == found


class Boxes:
    """Answers with one box at the brightest pixel."""

    name = "boxes"
    card: ClassVar[dict] = {}

    def __init__(self, polarity):
        self.polarity = polarity

    def predict(self, frame, id):
        y, x = np.unravel_index(frame.image.argmax(), frame.image.shape)
        return Prediction.from_boxes(id, [[x, y, x + 1, y + 1]], [0.9], frame.image.shape)


@pytest.mark.parametrize(("polarity", "found"), [("bright", {10}), ("dark", {30}), ("both", {10, 30})])
def test_polarity_holds_for_engines_of_boxes_too(polarity, found):
    image = np.full((40, 60), 0.5, np.float32)
    image[20, 10], image[20, 30] = 0.9, 0.1
    targets = predict(Boxes(polarity), Frame(image, 8)).find_targets(0.6)
    assert {round(target.x) for target in targets} == found


def test_a_polarity_that_is_none_is_refused():
    with pytest.raises(UsageError, match=r"polarity 'drak'.*'dark'"):
        infraspot.load(polarity="drak")
