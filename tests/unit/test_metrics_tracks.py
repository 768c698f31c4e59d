"""Scores of tracks: small cases by hand, and the authors' program where it is installed."""

import numpy as np
import pytest

import infraspot
from infraspot.cli.main import main
from infraspot.core.errors import DataError
from infraspot.jobs.evaluate_tracks import evaluate_tracks
from infraspot.jobs.track import track
from infraspot.metrics.tracks import TrackedSequence, count_points, score_tracks
from infraspot.synth import SceneRanges


def points(*members):
    """Frame of (id, y, x)."""
    table = np.array(members, float).reshape(-1, 3)
    return table[:, 0].astype(int), table[:, 1:]


def straight(count: int = 10, ids=None, off: float = 0.0):
    ids = ids or [1] * count
    return {k: points((ids[k - 1], 20 + k, 30 + off)) for k in range(1, count + 1)}


def scored(truth, found, **options):
    return score_tracks([TrackedSequence(truth, found)], **options)


def test_a_perfect_run_scores_one_everywhere() -> None:
    result = scored(straight(), straight(ids=[7] * 10), megapixels=1, seconds=1)
    assert [result[name] for name in ("pd", "track_pd", "mota", "idf1", "fragments")] == [1.0] * 5
    assert result["hota"] == pytest.approx(1)
    assert (result["false_tracks"], result["time_to_confirm"], result["position_error"]) == (0, 0.0, 0.0)


def test_nothing_found_and_nothing_there_differ() -> None:
    missed = scored(straight(), {})
    assert (missed["pd"], missed["track_pd"], missed["mota"], missed["idf1"], missed["hota"]) == (
        0,
        0,
        0,
        0,
        0,
    )
    assert missed["time_to_confirm"] is None
    empty = scored({}, {})
    assert [empty[name] for name in ("pd", "track_pd", "mota", "idf1", "hota")] == [None] * 5


def test_a_track_that_changes_its_id_halfway() -> None:
    result = scored(straight(), straight(ids=[1] * 5 + [2] * 5))
    assert (result["switches"], result["fragments"]) == (1, 2.0)
    assert result["mota"] == pytest.approx(0.9)
    assert result["idf1"] == pytest.approx(0.5)
    # Every hit agrees in 5 of the 10 frames in which either track is there.
    assert result["hota"] == pytest.approx(np.sqrt(0.5))


def test_two_pixels_beside_is_a_hit_and_costs_hota_its_strict_levels() -> None:
    result = scored(straight(), straight(off=2.0))
    assert (result["pd"], result["mota"], result["idf1"]) == (1, 1, 1)
    assert result["position_error"] == pytest.approx(2)
    assert result["hota"] == pytest.approx(16 / 19)  # the likeness is .8, and 16 of 19 levels are up to it


def test_four_pixels_beside_is_a_miss_and_a_false_alarm() -> None:
    result = scored(straight(), straight(off=4.0), megapixels=2.0, seconds=36.0)
    assert (result["pd"], result["mota"], result["false_per_mpx"]) == (0, -1, 5)
    assert (result["false_tracks"], result["false_tracks_per_hour"]) == (1, 100)


def test_the_time_to_confirm_counts_to_the_frame_in_which_a_hit_was_known() -> None:
    found = {frame: straight()[frame] for frame in range(4, 11)}
    assert scored(straight(), found)["time_to_confirm"] == 3
    known = {(frame, 1): frame + 6 for frame in found}
    assert score_tracks([TrackedSequence(straight(), found, known)])["time_to_confirm"] == 9


def test_a_detection_near_two_targets_hits_one() -> None:
    assert count_points(np.array([[10, 10], [10, 12]]), np.array([[10.0, 11.0]])) == (2, 1, 0)


def test_sequences_are_pooled_and_their_ids_do_not_meet() -> None:
    whole = score_tracks(
        [
            TrackedSequence(straight(), straight()),
            TrackedSequence(straight(), straight(ids=[1] * 5 + [2] * 5)),
        ]
    )
    assert (whole["true_tracks"], whole["true_points"], whole["switches"]) == (2, 20, 1)
    assert whole["idf1"] == pytest.approx(0.75)
    assert whole["hota"] == pytest.approx(np.sqrt((10 * 1 + 10 * 0.5) / 20))


def random_sequence(seed: int) -> TrackedSequence:
    rng = np.random.default_rng(seed)
    truth, found = {}, {}
    for frame in range(1, 25):
        true = [(k, 20 + 8 * k + frame, 30 + k * frame) for k in range(4) if rng.random() < 0.9]
        truth[frame] = points(*true)
        hits = [
            (k + 10 * (rng.random() < 0.1), y + rng.normal(0, 1.2), x + rng.normal(0, 1.2))
            for k, y, x in true
            if rng.random() < 0.8
        ]
        found[frame] = points(*hits, (50 + frame // 6, *rng.uniform(0, 100, 2)))
    return TrackedSequence(truth, found)


@pytest.mark.parametrize("seed", range(5))
def test_the_authors_program_gives_the_same_scores(seed) -> None:
    trackeval = pytest.importorskip("trackeval")
    sequence, config = random_sequence(seed), {"THRESHOLD": 0.7, "PRINT_CONFIG": False}
    true_ids = sorted({one for ids, _ in sequence.truth.values() for one in ids})
    found_ids = sorted({one for ids, _ in sequence.found.values() for one in ids})
    likeness = []
    for frame in sequence.frames:
        gaps = sequence.truth[frame][1][:, None] - sequence.found[frame][1][None]
        likeness.append(np.maximum(0, 1 - np.hypot(gaps[..., 0], gaps[..., 1]) / 10))
    data = {
        "num_timesteps": len(sequence.frames),
        "num_gt_ids": len(true_ids),
        "num_tracker_ids": len(found_ids),
        "num_gt_dets": sum(len(ids) for ids, _ in sequence.truth.values()),
        "num_tracker_dets": sum(len(ids) for ids, _ in sequence.found.values()),
        "gt_ids": [np.searchsorted(true_ids, sequence.truth[f][0]) for f in sequence.frames],
        "tracker_ids": [np.searchsorted(found_ids, sequence.found[f][0]) for f in sequence.frames],
        "similarity_scores": likeness,
    }
    ours = score_tracks([sequence])
    metrics = trackeval.metrics
    assert ours["hota"] == pytest.approx(metrics.HOTA().eval_sequence(data)["HOTA"].mean(), abs=1e-9)
    clear = metrics.CLEAR(config).eval_sequence(data)
    assert (ours["mota"], ours["switches"]) == (pytest.approx(clear["MOTA"]), clear["IDSW"])
    assert ours["idf1"] == pytest.approx(metrics.Identity(config).eval_sequence(data)["IDF1"])


def test_tracks_of_generated_scenes_are_scored_before_and_after(tmp_path, capsys) -> None:
    ranges = SceneRanges(size=(96, 96), frames=12, targets=(1, 2), scr=(12, 15), kinds=("sky",), weights=(1,))
    infraspot.write_scenes(tmp_path / "set", 2, 3, ranges)
    track(tmp_path / "set/images", tmp_path / "out", method="tophat", sigmas=6)
    assert main(["evaluate", "--tracks", str(tmp_path / "out"), str(tmp_path / "set")]) == 0
    shown = capsys.readouterr().out
    assert "single frames above 0.5" in shown
    assert "HOTA" in shown
    result = evaluate_tracks(tmp_path / "out", tmp_path / "set")
    assert result["after"]["pd"] > 0.5
    # The MOT text of a run, taken as truth, agrees with the run.
    (tmp_path / "mot").mkdir()
    for name in ("scene_3_000000", "scene_3_000001"):
        (tmp_path / "mot" / name).mkdir()
        (tmp_path / "mot" / name / "gt.txt").write_bytes((tmp_path / "out" / name / "mot.txt").read_bytes())
    own = evaluate_tracks(tmp_path / "out", tmp_path / "mot")["after"]
    assert (own["pd"], own["mota"], own["idf1"]) == (1, 1, 1)


@pytest.mark.parametrize("text", ["1,2,3\n", "1,1,a,2,3,4\n", "1,1,nan,2,3,4\n", "\0\0\0"])
def test_damaged_mot_text_is_refused_in_a_sentence(tmp_path, text) -> None:
    infraspot.write_scenes(tmp_path / "set", 1, 3, SceneRanges(size=(64, 64), frames=4))
    track(tmp_path / "set/images", tmp_path / "out", method="tophat", sigmas=6)
    (tmp_path / "gt.txt").write_text(text)
    with pytest.raises(DataError, match="line 1: expected frame"):
        evaluate_tracks(tmp_path / "out", tmp_path / "gt.txt")


def test_a_folder_that_holds_no_run_is_refused(tmp_path) -> None:
    with pytest.raises(DataError, match=r"holds no tracks\.json"):
        evaluate_tracks(tmp_path, tmp_path)
