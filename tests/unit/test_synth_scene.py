"""Whole scenes: truth, contrast on demand, seeds, sequences."""

import numpy as np
import pytest

from infraspot.core.contrast import signal_to_clutter
from infraspot.core.errors import UsageError
from infraspot.core.geometry import find_components
from infraspot.synth import SceneRanges, SceneSpec, TargetSpec, generate, generate_scene, generate_sequence
from infraspot.synth.backgrounds import BACKGROUNDS, BUILT
from infraspot.synth.sensor import Sensor


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize(
    ("kind", "dark"),
    # the skies of the backgrounds that people built on are cold: dark targets have no room below them
    [(kind, dark) for kind in BACKGROUNDS for dark in (False, True) if not (dark and kind in BUILT)],
)
def test_the_wanted_scr_comes_out(kind, dark):
    # 16 bits and a faint target: neither rounding nor the ends of the scale interfere
    wanted, realised = 4.0, []
    for seed in range(6):
        spec = SceneSpec(
            kind=kind, height=120, width=140, targets=(TargetSpec(3.0, wanted, dark),), sensor=Sensor(bits=16)
        )
        sample = generate_scene(spec, rng(seed))
        parts = find_components(sample.mask)
        realised.append(signal_to_clutter(sample.image, parts)[0])
    assert np.median(realised) == pytest.approx(wanted, rel=0.02)


def test_bright_targets_are_brighter_and_dark_ones_darker_than_their_surroundings():
    for dark in (False, True):
        spec = SceneSpec(height=80, width=80, targets=(TargetSpec(4.0, 12.0, dark),))
        sample = generate_scene(spec, rng(2))
        y, x = np.rint(sample.points[0]).astype(int)
        around = np.median(sample.image[max(y - 12, 0) : y + 12, max(x - 12, 0) : x + 12])
        assert (sample.image[y, x] < around) == dark


def test_every_layer_of_the_truth_tells_the_same():
    spec = SceneSpec(kind="mixed", height=150, width=200, targets=tuple(TargetSpec(5.0) for _ in range(3)))
    sample = generate_scene(spec, rng(1), "one")
    parts = find_components(sample.mask)
    assert sample.id == "one"
    assert len(parts) == len(sample.points) == len(sample.boxes) == 3
    for (y, x), (x0, y0, x1, y1) in zip(sample.points, sample.boxes, strict=True):
        label = parts.labels[round(y), round(x)]
        assert label > 0
        assert (x0, y0, x1, y1) == tuple(parts.boxes[label - 1])
    assert sample.sky.shape == sample.shape


def test_a_scene_depends_on_seed_and_index_alone():
    ranges = SceneRanges(size=(60, 50))
    series = [scene.frames[0] for scene in generate(5, 7, ranges)]
    (fourth,) = generate(1, 7, ranges, first=3)
    np.testing.assert_array_equal(series[3].image, fourth.frames[0].image)
    assert series[3].id == fourth.frames[0].id
    assert not np.array_equal(series[0].image, series[1].image)
    (other,) = generate(1, 8, ranges, first=3)
    assert not np.array_equal(other.frames[0].image, fourth.frames[0].image)


def test_no_targets_means_an_empty_truth_and_not_an_unknown_one():
    sample = generate_scene(SceneSpec(height=40, width=40, targets=()), rng())
    assert not sample.mask.any()
    assert sample.points.shape == (0, 2)
    assert sample.boxes.shape == (0, 4)


@pytest.mark.parametrize("size", [(1, 1), (1, 30), (7, 5), (20, 20)])
@pytest.mark.filterwarnings("error")
def test_tiny_frames_are_made_without_complaint(size):
    for kind in ("sky", "sea", "ground", "mixed"):
        spec = SceneSpec(kind=kind, height=size[1], width=size[0], targets=(TargetSpec(3.0), TargetSpec(3.0)))
        sample = generate_scene(spec, rng())
        assert sample.shape == size[::-1]
        assert np.isfinite(sample.image).all()


def test_targets_of_a_sequence_move_by_their_velocity_and_leave_the_frame():
    still = (0.0, 0.0)
    spec = SceneSpec(
        height=60, width=60, targets=(TargetSpec(3.0, 20.0, velocity=(0.0, 2.5)),), frames=40, drift=still
    )
    frames = generate_sequence(spec, rng(), "walk")
    assert [frame.id for frame in frames[:2]] == ["walk_0000", "walk_0001"]
    seen = [frame for frame in frames if len(frame.points)]
    assert 0 < len(seen) < 40
    steps = np.diff([frame.points[0] for frame in seen], axis=0)
    np.testing.assert_allclose(steps, np.broadcast_to([0, 2.5], steps.shape), atol=1e-9)
    centroids = [find_components(frame.mask).centroids[0] for frame in seen[:5]]
    np.testing.assert_allclose(centroids, [frame.points[0] for frame in seen[:5]], atol=1.0)
    assert not any(frame.mask.any() for frame in frames[len(seen) :])


def test_faults_of_the_array_stay_through_a_sequence_while_noise_changes():
    sensor = Sensor(faults=0.01, read=0.02)
    frames = generate_sequence(SceneSpec(height=50, width=50, targets=(), sensor=sensor, frames=3), rng(3))
    first, second, third = (frame.image for frame in frames)
    assert not np.array_equal(first, second)
    dead = (first == 0) & (second == 0) & (third == 0)
    assert dead.any()


def test_senseless_ranges_are_named_all_at_once():
    with pytest.raises(UsageError, match=r"9 bits.*targets \(3, 1\).*SCR"):
        SceneRanges(bits=9, targets=(3, 1), scr=(0, 5))
    with pytest.raises(UsageError, match="unknown kind"):
        SceneSpec(kind="moon")


def test_scenes_of_every_seed_and_number_have_ids_of_their_own():
    ranges = SceneRanges(size=(16, 16), targets=(0, 0))
    ids = [scene.frames[0].id for seed in (0, 1, 10) for scene in generate(2, seed, ranges)]
    assert ids == [f"scene_{seed}_00000{index}" for seed in (0, 1, 10) for index in range(2)]


def sequence(frames=9, kind="sky", **options):
    targets = options.pop("targets", (TargetSpec(4.0, 30.0, velocity=(0.5, 1.0)),))
    spec = SceneSpec(kind=kind, height=80, width=100, targets=targets, frames=frames, **options)
    return generate_sequence(spec, rng(5))


def test_the_true_way_is_the_pan_and_the_shake_and_targets_share_the_shake():
    frames = sequence(drift=(0.4, -0.2), jitter=1.0)
    ways = np.array([frame.way for frame in frames])
    pan = -np.arange(9)[:, None] * np.array([0.4, -0.2])
    shake = ways - pan
    assert np.allclose(shake[0], 0)
    assert 0.3 < shake[1:].std() < 2
    points = np.array([frame.points[0] for frame in frames])
    assert np.allclose(points - points[0] - np.arange(9)[:, None] * np.array([0.5, 1.0]), shake)


def test_the_background_moves_by_the_true_way():
    frames = sequence(
        kind="ground", targets=(), drift=(2.0, -3.0), sensor=Sensor(read=0.0, well=1e9, pattern=0.0)
    )
    first, last = frames[0].image, frames[3].image
    assert frames[3].way == (-6.0, 9.0)
    np.testing.assert_allclose(last[:-6, 9:], first[6:, :-9], atol=0.01)


def test_a_target_that_hovers_goes_with_the_background():
    ranges = SceneRanges(size=(90, 90), targets=(1, 1), frames=6, pan=1.0, hover=1.0)
    for scene in generate(3, 2, ranges):
        points = np.array([frame.points[0] for frame in scene.frames if len(frame.points)])
        ways = np.array([frame.way for frame in scene.frames])[: len(points)]
        np.testing.assert_allclose(points - points[0], ways, atol=1e-9)


def test_two_targets_that_cross_meet_halfway_and_keep_their_numbers():
    targets = tuple(TargetSpec(3.0, 20.0, velocity=(0.3, 0.0)) for _ in range(2))
    frames = sequence(targets=targets, crossing=True)
    middle = frames[4].points
    np.testing.assert_allclose(middle[0], middle[1], atol=1e-9)
    assert all(frame.tracks.tolist() == [1, 2] for frame in frames[:5])


def test_a_target_that_blinks_is_gone_from_frame_and_truth_and_comes_back_with_its_number():
    steady = sequence(frames=20, targets=(TargetSpec(4.0, 40.0),))
    blinking = sequence(frames=20, targets=(TargetSpec(4.0, 40.0, blink=0.4),))
    seen = [len(frame.points) for frame in blinking]
    assert seen[0] == 1
    assert 0 < sum(seen) < 20
    assert {tuple(frame.tracks) for frame in blinking} == {(), (1,)}
    y, x = np.rint(steady[0].points[0]).astype(int)
    for number, frame in enumerate(blinking):
        lit = frame.image[y, x] > (steady[0].image[y, x] + np.median(steady[0].image)) / 2
        assert lit == seen[number]


def test_parallax_moves_the_ground_further_than_the_sky():
    frames = sequence(kind="mixed", targets=(), drift=(0.0, 1.0), parallax=1.0, frames=7)
    assert frames[6].way == (0.0, -6.0)
    assert 0 < frames[0].sky.mean() < 1
    np.testing.assert_array_equal(frames[6].sky[:, :-12], frames[0].sky[:, 12:])


@pytest.mark.parametrize("wrong", [{"hover": 1.5}, {"jitter": -1.0}, {"pan": 1e9}, {"parallax": 11.0}])
def test_motion_that_cannot_be_is_refused(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        SceneRanges(frames=4, **wrong)
