"""The second look: windows, the map that it writes, its files, its stage of training."""

from typing import ClassVar

import numpy as np
import pytest
import torch

from infraspot.cli.main import main
from infraspot.core.errors import DataError, InputError, UsageError
from infraspot.core.sample import Sample
from infraspot.data import write_dataset
from infraspot.inference import onnx_file, predict, score_frame
from infraspot.inference.engines import TorchEngine, locate, open_engine
from infraspot.inference.export import export_onnx
from infraspot.inference.onnx_engines import OnnxEngine
from infraspot.inference.operating_points import (
    choose_points,
    compare_asked,
    count_sets,
    in_halves,
    measure_at,
    threshold_at,
)
from infraspot.inference.second_look import (
    EVIDENCE,
    SecondLook,
    cut_windows,
    evidence_of,
    find_candidates,
    frame_for_windows,
    mirrored,
)
from infraspot.networks import NETWORKS
from infraspot.training import second_look as stage
from infraspot.training.calibration import as_counted, calibrate, calibration_error, chances, even_odds
from infraspot.training.candidates import (
    Remembering,
    begins,
    find_changed,
    find_examples,
    find_pasted,
)
from infraspot.training.settings import SecondLookPart
from infraspot.weights.files import load_network, load_second_look, read_card, save_weights
from infraspot.weights.second_look import SecondLookNetwork, with_second_look

LOOK = {"level": 0.2, "outline": 0.5, "look": 1.0, "peak": 0.0, "crowd": 0.0, "offset": 0.0}
OPTIONS = {"widths": [4, 4, 4, 4], "depths": [1, 1, 1, 1], "full_width": 2}
CARD = {
    "network": {"name": "compact", "options": OPTIONS},
    "threshold": 0.5,
    "second_look": {**LOOK, "widths": [2, 3, 4], "look": 0.7, "peak": 0.2, "crowd": -0.5, "offset": -0.25},
}


def brightest(near, wide):
    """Logits by the middle of the window: whoever stands out of its surroundings is a target."""
    return near[:, 0, 16, 16] - 3


class Given:
    """Its scores are the frame itself."""

    name = "given"
    card: ClassVar[dict] = {}
    second_look = SecondLook(LOOK, brightest, "given")

    def score(self, image):
        return image


def scene(shape=(60, 80)):
    """A point that stands out, the same value on a plateau, and one that is only half as sure."""
    frame = np.zeros(shape, np.float32)
    frame[10, 10] = 0.9
    frame[9:12, 11] = 0.4
    frame[20:60, 40:80] = 0.9
    frame[50, 5:7] = (0.3, 0.4)
    return frame


def leaning(near, wide):
    """Logits that mirrors change: how much the upper left corner of the window stands out."""
    return near[:, 0, 4, 4]


def test_doubtful_candidates_are_judged_by_the_mean_of_eight_forms_and_others_by_one_look():
    rng = np.random.default_rng(3)
    frame = rng.random((90, 120), np.float32)
    places = np.array([[20, 30], [60, 60], [45.4, 90.6]])
    near, _ = cut_windows(frame_for_windows(frame), places)
    corners = near[:, 0][:, [4, 27]][:, :, [4, 27]]  # mirrored and transposed, one of them is the upper left
    once, mean = corners[:, 0, 0], corners.mean((1, 2))
    look = SecondLook({**LOOK, "mirrored": True}, leaning, "given")
    assert np.allclose(
        look.chances(frame, places, np.zeros(3, np.float32)), 1 / (1 + np.exp(-mean)), atol=1e-6
    )
    unlikely = SecondLook({**LOOK, "mirrored": True, "offset": -9.0}, leaning, "given")
    found = unlikely.chances(frame, places, np.zeros(3, np.float32))
    assert np.allclose(found, 1 / (1 + np.exp(9 - once)), rtol=1e-4)
    sure = SecondLook({**LOOK, "mirrored": True, "offset": 9.0}, leaning, "given")
    found = sure.chances(frame, places, np.zeros(3, np.float32))
    assert np.allclose(found, 1 / (1 + np.exp(-9 - once)), rtol=1e-6)
    plain = SecondLook(LOOK, leaning, "given").chances(frame, places, np.zeros(3, np.float32))
    assert np.allclose(plain, 1 / (1 + np.exp(-once)), atol=1e-6)


def test_the_eight_forms_of_a_window_are_all_that_mirrors_and_transposing_make():
    window = np.arange(9, dtype=np.float32).reshape(1, 1, 3, 3)
    forms = {form.tobytes() for form in mirrored(window)}
    turned = [np.rot90(side, k) for side in (window[0, 0], window[0, 0].T) for k in range(4)]
    assert forms == {np.ascontiguousarray(one).tobytes() for one in turned}


def test_every_pixel_of_a_target_gets_the_score_of_the_second_look():
    frame = scene()
    scores = score_frame(Given(), frame)
    high, low, faint = scores[10, 10], scores[40, 60], scores[50, 5]
    assert 0.9 < high <= 1
    assert low < 0.1, "the plateau has no middle that stands out"
    assert (scores[9:12, 11] == 0).all(), "pixels under the outline are no part of a target"
    assert scores[50, 6] == faint > 0.5, "one without a pixel above the outline keeps half of its peak"
    assert set(np.unique(scores)) == {0, high, low, faint}
    found = predict(Given(), Sample("f", frame)).find_targets(0.5)
    assert {(target.x, target.y, target.area) for target in found} == {(10, 10, 1), (5.5, 50, 2)}


def test_the_second_look_sees_the_whole_frame_however_it_is_cut():
    frame = np.tile(scene(), (3, 3))
    np.testing.assert_array_equal(
        score_frame(Given(), frame), score_frame(Given(), frame, tile=96, overlap=32)
    )


def test_a_frame_without_candidates_scores_nothing():
    assert not score_frame(Given(), np.zeros((5, 7), np.float32)).any()


def test_windows_are_centred_normalised_and_repeat_the_border(rng):
    image = rng.random((40, 50)).astype(np.float32)
    near, wide = cut_windows(frame_for_windows(image), np.array([[0.0, 0.0], [20.4, 29.6]]))
    assert near.shape == (2, 1, 32, 32)
    assert wide.shape == (2, 1, 64, 64)
    part = image[4:36, 14:46]
    np.testing.assert_allclose(near[1, 0], (part - part.mean()) / (part.std() + 0.003), atol=1e-4)
    assert np.unique(near[0, 0, :17, :17]).size == 1
    assert abs(wide.mean((1, 2, 3))).max() < 1e-5


def test_a_wider_window_sees_further_and_the_near_one_stays(rng):
    frame = rng.random((200, 300), np.float32) / 10
    frame[100, 250] = 1.0  # 100 pixels from the candidate
    place = np.array([[100.0, 150.0]])
    near, wide = {}, {}
    for side in (128, 192, 256):
        near[side], wide[side] = cut_windows(frame_for_windows(frame, side), place, side)
        assert wide[side].shape == (1, 1, 64, 64)
        np.testing.assert_array_equal(near[side], near[128])
    assert np.unravel_index(wide[256].argmax(), (64, 64)) == (32, (250 - (150 - 128)) // 4)
    assert wide[128].max() < 4 < wide[256].max(), "only the widest window holds the bright pixel"
    seen = []
    look = SecondLook({**LOOK, "wide": 256}, lambda *windows: seen.append(windows) or np.zeros(1), "given")
    look.logits(frame, place)
    np.testing.assert_array_equal(seen[0][1], wide[256])


@pytest.mark.parametrize("answer", [np.zeros(5), np.array([np.nan]), np.zeros((1, 1))])
def test_a_broken_second_look_is_no_empty_sky(answer):
    frame = np.zeros((9, 9), np.float32)
    frame[4, 4] = 1
    with pytest.raises(InputError, match="second look of odd answers"):
        SecondLook(LOOK, lambda near, wide: answer, "odd").rescore(frame, frame)


@pytest.fixture
def networks():
    torch.manual_seed(0)
    look = SecondLookNetwork([2, 3, 4], norms=True).train()
    look(torch.rand(8, 1, 32, 32), torch.rand(8, 1, 64, 64))
    return NETWORKS["compact"](**OPTIONS).eval(), look.eval()


def test_folding_the_norms_changes_nothing_but_rounding(networks):
    look = networks[1]
    windows = torch.rand(4, 1, 32, 32), torch.rand(4, 1, 64, 64)
    torch.testing.assert_close(look.folded()(*windows), look(*windows), atol=5e-3, rtol=5e-3)


def test_weights_and_graph_carry_the_second_look(networks, tmp_path, rng):
    network, look = networks[0], networks[1].folded()
    save_weights(tmp_path / "w.safetensors", with_second_look(network.state_dict(), look), CARD)
    loaded, card = load_network(tmp_path / "w.safetensors")
    again = load_second_look(tmp_path / "w.safetensors", card)
    assert export_onnx(loaded, card, tmp_path / "w.onnx", second_look=again) < 1e-4
    onnx, plain = OnnxEngine(tmp_path / "w.onnx"), open_engine(str(tmp_path / "w.safetensors"))
    image, places = rng.random((50, 60)).astype(np.float32), np.array([[3.0, 4.0], [25.0, 55.0]])
    reference = TorchEngine(network, CARD, "t", look).second_look.logits(image, places)
    for engine in (onnx, plain):
        np.testing.assert_allclose(engine.second_look.logits(image, places), reference, atol=1e-5)


def test_one_walk_over_the_file_gives_the_card_and_the_second_look(monkeypatch):
    walked = []
    check = onnx_file._check
    monkeypatch.setattr(onnx_file, "_check", lambda *given: walked.append(given[2]) or check(*given))
    path = locate("compact-sirst1", "onnx")
    assert OnnxEngine(path).second_look is not None
    assert len(walked) == 2, "the file, and the graph that came out of it"
    assert walked[0] == path.stat().st_size > walked[1]


def test_weights_without_a_second_look_work_as_before(networks, tmp_path):
    card = {key: value for key, value in CARD.items() if key != "second_look"}
    save_weights(tmp_path / "w.safetensors", networks[0].state_dict(), card)
    assert open_engine(str(tmp_path / "w.safetensors")).second_look is None
    export_onnx(networks[0], card, tmp_path / "w.onnx")
    assert OnnxEngine(tmp_path / "w.onnx").second_look is None


def test_an_operating_point_is_a_name_for_a_threshold():
    card = {"operating_points": {"quiet": {"threshold": 0.8}, "keen": {"threshold": 0.2}}}
    assert threshold_at("keen", card, "m") == 0.2
    with pytest.raises(UsageError, match=r"quite.*did you mean.*quiet"):
        threshold_at("quite", card, "m")
    with pytest.raises(UsageError, match="names no operating points"):
        threshold_at("quiet", {}, "m")


def test_a_map_full_of_candidates_gets_outlines_for_the_likeliest_alone(monkeypatch):
    drawn = []

    class Noted:
        def __init__(self, image, belief): ...

        def outline(self, found, place):
            drawn.append((place[0].start, place[1].start))

    monkeypatch.setattr("infraspot.annotators.profile.outline.Outliner", Noted)
    scores = np.zeros((90, 90), np.float32)
    scores[1::4, 1::4] = np.linspace(0.6, 0.9, 23 * 23, dtype=np.float32).reshape(23, 23)

    def by_peak(near, wide):
        return near[:, 0, 16, 16]

    look = SecondLook({**LOOK, "outlines": "levels", "look": 0.0, "peak": 1.0}, by_peak, "given")
    looked = look.rescore(scores, scores)
    assert len(drawn) == 256
    assert min(drawn) > (1 + 4 * ((529 - 256) // 23 - 1), 0), "the likeliest lie lowest"
    assert (looked > 0).sum() == 529


def test_candidates_are_cut_at_the_outline_or_at_half_of_their_peak():
    scores = np.zeros((20, 40), np.float32)
    scores[5, 5:12] = (0.9, 0.6, 0.3, 0.1, 0.3, 0.7, 0.3)
    scores[5, 20:24] = (0.3, 0.16, 0.14, 0.12)
    scores[15, 5] = 0.04
    found = find_candidates(scores, 0.05, 0.5)
    assert found.areas.tolist() == [2, 1, 2], "joined at the level only; half of 0.3 is 0.15"
    assert found.centroids[:, 1].tolist() == [5.5, 10, 20.5]
    assert not len(find_candidates(scores, 0.95, 0.97))


def plain_counts(*values_and_targets):
    """Counts of frames of 1000 pixels with points of these scores; the first so many are targets."""

    class Plain(Given):
        second_look = None

    samples = []
    for number, (values, targets) in enumerate(values_and_targets):
        frame, mask = np.zeros((10, 100), np.float32), np.zeros((10, 100), bool)
        for k, value in enumerate(values):
            frame[5, 10 * k + 5] = value
            mask[5, 10 * k + 5] = k < targets
        samples.append(Sample(f"f{number:02}", frame, mask))
    return count_sets(Plain(), {"made up": samples})


def test_points_are_the_lowest_thresholds_that_keep_to_a_rate():
    counted = plain_counts(([0.9, 0.705, 0.605], 1), ([0.805, 0.305], 0), ([], 0))
    points, false_alarms = choose_points(counted, {"quiet": 400.0, "keen": 700.0, "silent": 1.0})
    assert points["quiet"] == {"threshold": pytest.approx(0.71), "fa_per_mpx": 400.0}
    assert points["keen"]["threshold"] == pytest.approx(0.61)
    assert points["silent"]["threshold"] == pytest.approx(0.81)
    assert false_alarms["targets"] == 1
    (row,) = measure_at(counted, points)["keen"]
    assert (row["pd"], row["false_per_frame"], row["false_per_mpx"]) == (1.0, 0.6667, 666.6667)
    assert row["clean"] == pytest.approx(1 / 3, abs=1e-4)


def test_what_was_asked_is_compared_with_what_other_frames_gave():
    known = plain_counts(([0.905], 0), ([0.505], 0))
    judged = plain_counts(([0.95, 0.7], 1), ([0.6, 0.95], 1))
    row = compare_asked([(known, judged)], "d")["rows"]
    assert [asked for asked, _, _ in row] == [0.1, 0.2, 0.5, 1.0, 2.0]
    # None of these rates leaves a false alarm: the threshold is 0.91, and one false point lies above.
    assert row[-1] == [2.0, 500.0, 0.5]
    halves = in_halves({"d": list(range(20))})
    assert halves[0]["d"] == [0, 1, 4, 5, 8, 9, 12, 13, 16, 17]
    assert sorted(halves[0]["d"] + halves[1]["d"]) == list(range(20))


def test_points_are_measured_by_hand():
    class Plain(Given):
        second_look = None

    first, second = np.zeros((10, 100), np.float32), np.zeros((10, 100), np.float32)
    first[5, 5], first[5, 50], first[5, 90], second[5, 50] = 0.9, 0.6, 0.7, 0.3
    mask = np.zeros((10, 100), bool)
    mask[5, 5] = mask[5, 90] = True
    samples = [Sample("a", first, mask), Sample("b", second, np.zeros_like(mask))]
    counted = count_sets(Plain(), {"made up": samples})
    measured = measure_at(counted, {"quiet": {"threshold": 0.65}, "keen": {"threshold": 0.25}})
    assert measured["keen"] == [
        {
            "data": "made up",
            "frames": 2,
            "targets": 2,
            "pd": 1.0,
            "false_per_frame": 1.0,
            "false_per_mpx": 1000.0,
            "clean": 0.0,
        }
    ]
    assert measured["quiet"][0]["clean"] == 1.0


def test_calibration_finds_the_weights_that_the_truth_was_drawn_from(rng):
    evidence = np.stack([rng.normal(0, 4, 20000), rng.normal(2, 3, 20000), rng.exponential(1, 20000)], axis=1)
    logits = evidence @ [0.5, 0.3, -0.8] - 0.4
    true = rng.random(20000) < 1 / (1 + np.exp(-logits))
    card = calibrate(evidence, true)
    assert [card[name] for name in EVIDENCE] == pytest.approx([0.5, 0.3, -0.8], rel=0.1)
    error, bins = calibration_error(chances(evidence, card), true, as_counted(true))
    assert error < 0.02
    assert sum(row[2] for row in bins) == pytest.approx(1, abs=1e-3)


def test_no_evidence_counts_against_its_meaning(rng):
    true = rng.random(500) < 0.5
    backwards = np.stack([-1.0 * true, -2.0 * true, 3.0 * true], axis=1) + rng.normal(0, 0.1, (500, 3))
    card = calibrate(backwards, true)
    assert [card[name] for name in EVIDENCE] == [0, 0, 0]


def test_evidence_is_the_look_the_peak_and_the_crowd():
    known = evidence_of(np.array([1.5, -2.0]), np.array([0.5, 1.0]), np.array([1, 20]))
    np.testing.assert_allclose(known, [[1.5, 0.0, 0.0], [-2.0, 16.0, np.log(12)]], atol=1e-6)


def test_a_crowd_of_candidates_lowers_the_chances_of_each_up_to_a_point():
    look = SecondLook(LOOK | {"crowd": -1.0}, brightest, "given")
    alone, crowd, flood = (
        look.probabilities(np.full(n, 2.0), np.full(n, 0.9, np.float32))[0] for n in (1, 12, 500)
    )
    assert alone > 0.8
    assert crowd == flood < 0.4


def test_calibration_error_is_the_mean_gap_between_said_and_seen():
    true = np.array([True, True, False, False])
    error, bins = calibration_error(np.array([0.9, 0.9, 0.9, 0.1]), true, np.full(4, 0.25))
    assert error == pytest.approx(0.75 * (0.9 - 2 / 3) + 0.25 * 0.1)
    assert bins == [[0.1, 0.0, 0.25], [0.9, 0.6667, 0.75]]
    assert even_odds(np.array([True, False, False])).tolist() == [0.5, 0.25, 0.25]


def spotted(count, seed):
    """Frames with four bright spots, of which the first is a target."""
    rng = np.random.default_rng(seed)
    for k in range(count):
        image = (0.3 + 0.01 * rng.standard_normal((120, 140))).astype(np.float32)
        mask = np.zeros(image.shape, bool)
        for number, (y, x) in enumerate([(30, 30), (30, 100), (90, 30), (90, 100)]):
            place = slice(y, y + 3), slice(x, x + 3)
            image[place] += 0.3
            mask[place] = number == 0
        yield Sample(f"{'cam' if k % 2 else 'day'}{seed}-{k}", image.clip(0, 1), mask)


@pytest.fixture(scope="module")
def looked_twice(tmp_path_factory):
    """A run folder: a second look for the packaged weights."""
    folder = tmp_path_factory.mktemp("stage")
    samples = [*spotted(4, 0), *spotted(4, 1)]
    ids = [sample.id for sample in samples]
    write_dataset(folder / "data", samples, splits={"train": ids[:4], "val": ids[4:], "test": []})
    assert main(look_at(folder, folder / "run")) == 0
    return folder


def look_at(folder, out):
    """The command that trains a second look on the frames of ``folder``."""
    scenes = ("scenes=2", "scene_options={kinds=['sky'], weights=[1.0], targets=[2,2], scr=[20,30]}")
    options = ("steps=3", "batch=4", "widths=[2,2,2]", "wide=192", "left_out=['cam']", *scenes)
    options += ("points={balanced=20, keen=200}",)
    changes = [word for option in options for word in ("--set", f"second_look.{option}")]
    arguments = ["--start", "compact-sirst1", "--data", str(folder / "data"), "--out", str(out)]
    return ["train", "second_look", *arguments, *changes]


def test_a_stage_of_its_own_gives_existing_weights_a_second_look(looked_twice, capsys):
    card = read_card(looked_twice / "run/last.safetensors")
    points = card["operating_points"]
    assert card["threshold"] == points["balanced"]["threshold"] >= points["keen"]["threshold"]
    assert points["balanced"]["fa_per_mpx"] == 20
    measured = points["keen"]["measured"]
    assert [(row["data"], row["frames"]) for row in measured] == [("data val", 4), ("cam*, left out", 4)]
    assert card["second_look"]["wide"] == 192
    trained = card["second_look_trained"]
    assert trained["candidates"][0] >= 4
    assert (trained["scenes"], trained["frames"]) == (2, 6), "four frames of the set, two generated"
    before, _ = load_network(looked_twice / "run/last.safetensors")
    packaged = open_engine(engine="torch")
    frame = next(iter(spotted(1, 5))).image
    np.testing.assert_allclose(TorchEngine(before, {}, "t").score(frame), packaged.score(frame), atol=1e-6)


def test_a_stage_that_was_done_is_not_done_again(looked_twice, monkeypatch, capsys):
    first = (looked_twice / "run/last.safetensors").read_bytes()
    monkeypatch.setattr(stage, "fit_network", _stopped)
    assert main(["train", "--resume", "--out", str(looked_twice / "run")]) == 0
    assert "second look  calibration error" in capsys.readouterr().out
    assert (looked_twice / "run/last.safetensors").read_bytes() == first


def test_a_stage_that_was_stopped_ends_as_if_it_had_not_been(looked_twice, monkeypatch, capsys):
    again = looked_twice / "again"
    with monkeypatch.context() as patch:
        patch.setattr(stage, "fit_network", _stopped)
        assert main(look_at(looked_twice, again)) == 130
    assert f"train --resume --out {again}" in capsys.readouterr().out
    assert main(["train", "--resume", "--out", str(again)]) == 0
    first, second = ((place / "last.safetensors").read_bytes() for place in (looked_twice / "run", again))
    assert first == second


def _stopped(*_):
    raise KeyboardInterrupt


def test_detection_takes_the_operating_point_and_its_default(looked_twice, tmp_path, capsys):
    frames = [str(looked_twice / "data/images"), "--out", str(tmp_path), "--format", "json"]
    model = ["--model", str(looked_twice / "run")]
    points = read_card(looked_twice / "run/last.safetensors")["operating_points"]
    for option, name in (([], "balanced"), (["--operating-point", "keen"], "keen")):
        assert main(["detect", *frames, *model, *option]) == 0
        assert f"threshold {points[name]['threshold']:g}\n" in capsys.readouterr().out
    assert main(["detect", *frames, *model, "--operating-point", "kean"]) == 2
    assert "did you mean 'keen'" in capsys.readouterr().err
    assert main(["detect", *frames, "--method", "tophat", "--operating-point", "keen"]) == 2
    assert "has no operating points" in capsys.readouterr().err


def test_an_export_carries_the_second_look_and_a_pruned_network_leaves_it_behind(looked_twice, tmp_path):
    out = tmp_path / "w.onnx"
    assert main(["export", str(looked_twice / "run"), "--out", str(out)]) == 0
    frame = next(iter(spotted(1, 7))).image
    one, other = (
        score_frame(open_engine(str(out.with_suffix(end))), frame) for end in (".onnx", ".safetensors")
    )
    np.testing.assert_allclose(one, other, atol=1e-4)
    pruned = tmp_path / "p.safetensors"
    assert main(["prune", str(looked_twice / "run"), "--keep", "0.9", "--out", str(pruned)]) == 0
    assert open_engine(str(pruned)).second_look is None


def test_no_epochs_and_no_weights_to_begin_with_are_a_sentence(looked_twice, tmp_path, capsys):
    arguments = ["--data", str(looked_twice / "data"), "--out", str(tmp_path / "run")]
    assert main(["train", "second_look", *arguments]) == 2
    assert "add --start" in capsys.readouterr().err


def test_candidates_of_one_kind_teach_nothing():
    frame = np.zeros((9, 9), np.float32)
    with pytest.raises(DataError, match="with and without a target, and of 0 there are 0 with one"):
        find_examples(Given(), [Sample("a", frame, np.zeros((9, 9), bool))], SecondLookPart())


def test_of_a_map_full_of_candidates_the_likeliest_and_the_targets_are_learnt_from():
    image = np.zeros((100, 100), np.float32)
    image[2::5, 2::5] = np.linspace(0.3, 0.9, 400).reshape(20, 20)
    mask = np.zeros(image.shape, bool)
    mask[2, 2] = True  # the faintest
    found = find_examples(Given(), [Sample("a", image, mask)], SecondLookPart(level=0.2))
    assert found.true.sum() == 1
    assert len(found.true) == 1 + 100
    assert set(found.counts) == {400}
    assert np.sort(found.peaks)[1] > 0.7, "the brightest quarter"


def test_pasted_targets_are_candidates_that_know_their_frame_and_their_donor(rng):
    donor, empty = list(spotted(2, 3))
    empty = empty.replace(id="set/night-1", mask=np.zeros(empty.shape, bool))
    found = find_pasted(Given(), [empty, donor], [donor], SecondLookPart(level=0.35), rng)
    assert len(found.true) > 3
    assert found.true.all()
    assert set(found.frames) == {"set/night-1", donor.id}
    assert set(found.donors) == {donor.id}
    assert found.touch([donor.id[:3]]).all(), "a target of a camera left out is left out everywhere"
    assert found.touch(["night"]).tolist() == [name == "set/night-1" for name in found.frames]
    assert begins("set/night-1", ["day", "night"])
    assert not begins("night/day-1", ["night"])
    both = found + find_examples(Given(), [donor], SecondLookPart(level=0.35))
    assert (both.donors != "").sum() == len(found.true) < len(both.true)


def test_changed_frames_keep_their_names_and_their_truth(rng):
    (frame,) = spotted(1, 4)
    augment = [{"name": "scale", "zoom": [2.0, 2.0]}, {"name": "blur", "p": 1.0, "sigma": [0.5, 0.5]}]
    unlabelled = Sample("unlabelled", frame.image)
    part = SecondLookPart(level=0.35, augment=augment)
    found = find_changed(Given(), [frame, unlabelled], part, rng)
    assert found.true.tolist() == [True, False, False, False]
    assert set(found.frames) == {frame.id}
    assert not (found.donors != "").any()
    area = (found.patches[0, 54:74, 54:74] > 0.45).sum()
    assert 30 <= area <= 42, "9 pixels are 36 at twice the size"


def test_wrong_options_of_a_second_look_are_named(tmp_path, capsys):
    place = ["--data", str(tmp_path), "--out", str(tmp_path / "run")]
    wrong = ["second_look.augment=[{name='blur', sigm=[1,2]}]", "second_look.scene_options={sizes=[3,4]}"]
    options = [word for change in wrong for word in ("--set", change)]
    assert main(["train", "second_look", "--start", "compact-sirst1", *place, *options]) == 2
    said = capsys.readouterr().err
    assert "second_look.augment.0" in said
    assert "sigm" in said
    assert "second_look.scene_options" in said


def test_no_tile_is_scored_twice(rng):
    class Counting(Given):
        calls = 0

        def score(self, image):
            self.calls += 1
            return image

    engine = Counting()
    remembering = Remembering(engine, 0.5)
    frames = [rng.random(shape, np.float32) for shape in ((30, 40), (40, 30), (30, 40))]
    for frame in (*frames, *frames):
        np.testing.assert_array_equal(remembering.score(frame), np.where(frame > 0.5, frame, 0))
    assert engine.calls == 3
