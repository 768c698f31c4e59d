"""Registration, association, confirmation and tracks on points whose truth is known."""

import numpy as np
import pytest
from scipy import ndimage

from infraspot.core.errors import UsageError
from infraspot.tracking import STILL, Motion, OfLast, Registrar, Settings, Tracker, parse_rule
from infraspot.tracking.kalman import TRACK, predict, update
from infraspot.tracking.tracker import MOTIONS, STATES

SHAPE = (128, 160)
STILL_CAMERA = Motion()


def texture(seed: int = 0, side: int = 220) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(side, side))
    return ndimage.gaussian_filter(noise, 3) * 0.5 + 0.4


def seen(
    scene: np.ndarray, dy: float, dx: float, rng: np.random.Generator, noise: float = 0.005
) -> np.ndarray:
    moved = ndimage.shift(scene, (dy, dx), order=3, mode="nearest")[20:148, 20:180]
    return moved + rng.normal(0, noise, moved.shape)


@pytest.mark.parametrize("way", [(0.0, 0.0), (0.3, -0.4), (-4.6, 3.2), (9.5, -11.25)])
def test_the_motion_of_a_textured_background_is_found_to_a_fraction_of_a_pixel(way) -> None:
    rng, scene = np.random.default_rng(1), texture()
    registrar = Registrar()
    registrar.step(seen(scene, 0, 0, rng))
    motion = registrar.step(seen(scene, *way, rng))
    assert motion.known
    assert np.hypot(motion.dy - way[0], motion.dx - way[1]) < 0.1


def test_a_change_of_gain_and_level_is_no_motion() -> None:
    rng, scene = np.random.default_rng(1), texture()
    registrar = Registrar()
    registrar.step(seen(scene, 0, 0, rng))
    motion = registrar.step(0.1 + 0.4 * seen(scene, 1.5, -0.5, rng))
    assert motion.known
    assert np.hypot(motion.dy - 1.5, motion.dx + 0.5) < 0.1


def test_dead_pixels_do_not_hold_the_motion_at_zero() -> None:
    rng, scene = np.random.default_rng(2), texture()
    dead = rng.random(SHAPE) < 0.005
    registrar = Registrar()
    registrar.step(np.where(dead, 1.0, seen(scene, 0, 0, rng)))
    motion = registrar.step(np.where(dead, 1.0, seen(scene, 2.5, -1.5, rng)))
    assert motion.known
    assert np.hypot(motion.dy - 2.5, motion.dx + 1.5) < 0.2


def test_empty_sky_gives_no_motion_and_says_so() -> None:
    rng = np.random.default_rng(3)
    registrar = Registrar()
    known = [registrar.step(0.4 + rng.normal(0, 0.01, SHAPE)).known for _ in range(6)]
    assert known == [
        True,
        False,
        False,
        False,
        False,
        False,
    ]  # the first frame has nothing to be compared with


def test_halves_of_a_frame_that_ask_for_different_ways_make_the_error_larger() -> None:
    rng, scene = np.random.default_rng(4), texture()
    errors = []
    for apart in (0.0, 0.6):  # pixels between the ways of the left and of the right half
        registrar = Registrar()
        registrar.step(seen(scene, 0, 0, rng))
        left, right = seen(scene, 1.0, -apart / 2, rng), seen(scene, 1.0, apart / 2, rng)
        errors.append(registrar.step(np.concatenate([left[:, :80], right[:, 80:]], axis=1)).error)
    assert errors[0] < 0.03
    assert 0.05 < errors[1] < 0.3


def test_the_way_over_frames_that_cannot_be_registered_is_known_again_after_them() -> None:
    rng, scene = np.random.default_rng(4), texture()
    registrar = Registrar()
    ways = [(0, 0), (1, 0.5), (2, 1), None, (4, 2), (5, 2.5)]
    total = np.zeros(2)
    for way in ways:
        motion = registrar.step(rng.random(SHAPE) if way is None else seen(scene, *way, rng))
        total += (motion.dy, motion.dx)
        assert motion.known == (way is not None)
        if way is not None:
            assert np.hypot(*(total - way)) < 0.2


def test_a_registrar_goes_on_from_its_state_as_if_nothing_had_been() -> None:
    rng, scene = np.random.default_rng(5), texture()
    frames = [seen(scene, 0.7 * k, -0.3 * k, rng) for k in range(6)]
    whole, first, second = Registrar(), Registrar(), Registrar()
    straight = [whole.step(frame) for frame in frames]
    halves = [first.step(frame) for frame in frames[:3]]
    second.restore(first.state())
    halves += [second.step(frame) for frame in frames[3:]]
    assert straight == halves


def test_the_filter_agrees_with_matrices() -> None:
    tracks = np.zeros(1, TRACK)
    tracks["place"], tracks["speed"], tracks["cov"] = (3.0, 5.0), (0.5, -1.0), (0.4, 0.1, 2.0)
    move = np.array([[1.0, 2.0], [0.0, 1.0]])
    cov = move @ np.array([[0.4, 0.1], [0.1, 2.0]]) @ move.T
    cov += 0.3**2 * np.array([[8 / 3, 2.0], [2.0, 2.0]]) + np.diag([0.2**2, 0])
    predict(tracks, 2, jerk=0.3, drift=0.2)
    assert np.allclose(tracks["place"], [[4.0, 3.0]])
    assert np.allclose(tracks["cov"], [[cov[0, 0], cov[0, 1], cov[1, 1]]])
    gain = cov[:, 0] / (cov[0, 0] + 0.5**2)
    after = update(tracks, np.array([[5.0, 2.0]]), blur=0.5)
    assert np.allclose(after["place"], [[4 + gain[0], 3 - gain[0]]])
    assert np.allclose(after["speed"], [[0.5 + gain[1], -1 - gain[1]]])
    cov = cov - np.outer(gain, cov[0])
    assert np.allclose(after["cov"], [[cov[0, 0], cov[0, 1], cov[1, 1]]])


def follow(frames, *, motions=None, numbers=None, **options) -> np.ndarray:
    """Rows for lists of (y, x) or (y, x, score) of each frame."""
    tracker = Tracker(Settings(**options), SHAPE)
    numbers = numbers or list(range(1, len(frames) + 1))
    rows, before = [], numbers[0] - 1
    for place, (number, points) in enumerate(zip(numbers, frames, strict=True)):
        table = np.array([(*point, 0.9)[:3] for point in points], float).reshape(-1, 3)
        motion = motions[place] if motions else STILL_CAMERA
        rows.append(tracker.step(number, table[:, :2], table[:, 2], motion, number - before))
        before = number
    return np.concatenate([*rows, tracker.finish()])


def line(start, speed, count, *, without=()):
    return [
        [] if k in without else [(start[0] + k * speed[0], start[1] + k * speed[1])] for k in range(count)
    ]


def both(*lists):
    return [[point for one in frame for point in one] for frame in zip(*lists, strict=True)]


def test_a_target_that_moves_is_one_track_with_its_speed() -> None:
    rows = follow(line((20, 30), (0.8, -0.5), 20))
    assert rows["id"].tolist() == [1] * 20
    assert rows["frame"].tolist() == list(range(1, 21))
    assert np.allclose(rows["y"], 20 + 0.8 * np.arange(20), atol=0.1)
    assert rows["vy"][-1] == pytest.approx(0.8, abs=0.02)
    assert rows["vx"][-1] == pytest.approx(-0.5, abs=0.02)
    assert {MOTIONS[code] for code in rows["motion"]} == {"moving"}


def test_causal_rows_begin_where_the_track_is_confirmed_and_never_look_ahead() -> None:
    frames = both(line((20, 30), (0.8, -0.5), 20), line((90, 90), (0, 1.0), 20, without={7, 8}))
    rows = follow(frames, output="causal")
    assert rows["frame"].min() > 1
    assert (rows["known"] == rows["frame"]).all()
    for end in (5, 8, 13):
        assert np.array_equal(follow(frames[:end], output="causal"), rows[rows["frame"] <= end])


def test_retro_rows_say_when_they_were_known_and_come_in_order() -> None:
    rows = follow(both(line((20, 30), (0.8, 0), 30), line((90, 90), (0, 1.0), 30)), delay=10)
    assert (np.diff(rows["frame"]) >= 0).all()
    assert (rows["known"][rows["frame"] <= 20] == rows["frame"][rows["frame"] <= 20] + 10).all()


def test_a_single_flash_is_no_track() -> None:
    assert not len(follow([[], [(40, 40)], [], [], [], [], []]))


def test_weak_detections_continue_a_track_and_start_none() -> None:
    weak = [[(*point, 0.02) for point in frame] for frame in line((20, 30), (1, 0), 12)]
    assert not len(follow(weak, start=0.05))
    assert len(follow([[(20, 30, 0.9)], *weak[1:]], start=0.05)) == 12


def with_chances(frames, chances, *, motion=STILL_CAMERA, **options) -> np.ndarray:
    tracker = Tracker(Settings(**options), SHAPE)
    rows = []
    for number, points in enumerate(frames, 1):
        places = np.array(points, float).reshape(-1, 2)
        scores = np.full(len(places), 0.9)
        rows.append(tracker.step(number, places, scores, motion, 1, np.array(chances)))
    return np.concatenate([*rows, tracker.finish()])


def test_a_point_that_stands_still_is_believed_by_its_chances_and_one_that_moves_without() -> None:
    assert len(np.unique(with_chances([[(20, 30)]] * 14, [0.95])["id"])) == 1
    assert not len(with_chances([[(20, 30)]] * 14, [0.3]))
    assert len(np.unique(with_chances(line((20, 30), (1, 0), 14), [0.0])["id"])) == 1


def test_a_hovering_target_that_single_frames_take_is_written_and_marked_as_doubtful() -> None:
    hovering, moving = [[(20, 30)]] * 14, line((80, 30), (1, 0), 14)
    motions = {}
    for still in STILL:
        rows = with_chances(both(hovering, moving), [0.3, 0.0], taken=0.2, still=still)
        by_id = [rows[rows["id"] == number] for number in np.unique(rows["id"])]
        motions[still] = {MOTIONS[one["motion"][-1]] for one in by_id}
        assert all(len(one) == 14 for one in by_id)
    assert motions == {"flag": {"moving", "doubtful"}, "keep": {"unknown"}, "drop": {"moving"}}
    assert not len(with_chances(hovering, [0.1], taken=0.2))


def test_a_hovering_target_of_good_chances_is_marked_kept_or_dropped() -> None:
    motions = {}
    for still in STILL:
        rows = with_chances([[(20, 30)]] * 14, [0.95], taken=0.2, still=still)
        motions[still] = {MOTIONS[code] for code in rows["motion"]}
    assert motions == {"flag": {"still"}, "keep": {"unknown"}, "drop": set()}


def test_a_doubtful_pixel_that_stands_alone_is_no_track() -> None:
    tracker = Tracker(Settings(taken=0.2), SHAPE)
    frame, alone = (np.array([[20.0, 30.0]]), np.array([0.9])), np.array([True])
    rows = [tracker.step(k, *frame, STILL_CAMERA, 1, np.array([0.4]), alone) for k in range(1, 15)]
    assert not len(np.concatenate([*rows, tracker.finish()]))


def test_a_moving_point_that_scores_next_to_nothing_is_not_believed() -> None:
    faint = [[(*point, 0.0015) for point in frame] for frame in line((20, 30), (1, 0), 14)]
    assert not len(follow(faint))
    assert len(follow(faint, faint=0.001))


def test_a_track_that_stops_is_hidden_from_then_on_unless_its_chances_are_good() -> None:
    frames = [*line((20, 30), (1, 0), 10), *[[(29, 30)]] * 30]
    last = {chance: with_chances(frames, [chance])["frame"].max() for chance in (0.0, 0.95)}
    assert last[0.95] == 40
    assert last[0.0] < 40


def test_missed_frames_are_bridged_by_a_straight_line_in_retro_output() -> None:
    rows = follow(line((20, 30), (0.6, 0.9), 16, without={8, 9, 10}))
    assert set(rows["id"]) == {1}
    gap = rows[np.isin(rows["frame"], (9, 10, 11))]
    assert [STATES[code] for code in gap["state"]] == ["coasting"] * 3
    assert np.allclose(gap["x"], 30 + 0.9 * (gap["frame"] - 1), atol=0.1)
    assert (gap["score"] == 0).all()


def test_two_targets_that_cross_keep_their_ids() -> None:
    rows = follow(both(line((30, 20), (0, 2.0), 30), line((20, 50.5), (0.7, 0), 30)))
    assert set(rows["id"]) == {1, 2}
    for number in (1, 2):
        one = rows[rows["id"] == number]
        assert len(one) == 30
        speeds = np.hypot(np.diff(one["y"], 2), np.diff(one["x"], 2))
        assert speeds.max() < 1.0  # neither jumps to the way of the other


def test_a_shaking_camera_does_not_shake_the_speed_against_the_background() -> None:
    rng = np.random.default_rng(0)
    shakes = np.vstack([[0, 0], rng.normal(0, 4, (24, 2))])
    camera = np.cumsum(shakes, axis=0)
    frames = [[(60 + 0.5 * k + cy, 60 + 1.0 * k + cx)] for k, (cy, cx) in enumerate(camera)]
    inside = [[p for p in f if 0 < p[0] < SHAPE[0] and 0 < p[1] < SHAPE[1]] for f in frames]
    motions = [Motion(dx, dy, 0.05) for dy, dx in shakes]
    rows = follow(inside, motions=motions)
    assert set(rows["id"]) == {1}
    assert rows["vx"][-1] == pytest.approx(1.0, abs=0.1)
    assert rows["x"][-1] == pytest.approx(frames[-1][0][1], abs=0.3)


def test_what_stands_still_is_flagged_dropped_or_kept() -> None:
    frames = both(line((20, 30), (0.8, -0.5), 20), line((90, 90), (0, 0), 20))
    flagged = follow(frames)
    assert {MOTIONS[code] for code in flagged["motion"][flagged["x"] > 80]} == {"still"}
    assert set(follow(frames, still="drop")["x"] > 80) == {False}
    assert len(follow(frames, still="keep")) == len(flagged)


def test_a_dead_pixel_of_a_moving_camera_is_fixed_on_the_sensor() -> None:
    motions = [STILL_CAMERA, *[Motion(0.6, 0.2, 0.02)] * 24]
    rows = follow(line((90, 90), (0, 0), 25), motions=motions)
    assert {MOTIONS[code] for code in rows["motion"]} == {"fixed"}
    assert not len(follow(line((90, 90), (0, 0), 25), motions=motions, still="drop"))


def test_what_stays_on_the_sensor_of_a_moving_camera_is_fixed_and_not_doubtful() -> None:
    rows = with_chances([[(90, 90)]] * 25, [0.3], motion=Motion(0.6, 0.2, 0.02), taken=0.2)
    assert {MOTIONS[code] for code in rows["motion"]} == {"fixed"}
    assert not len(with_chances([[(90, 90)]] * 25, [0.3], motion=Motion(0.6, 0.2, 0.02), still="keep"))


def test_missing_frames_are_time_that_passes() -> None:
    numbers = [k for k in range(1, 25) if k not in (9, 10, 15)]
    frames = [[(20 + 0.5 * k, 30 + 1.2 * k)] for k in numbers]
    rows = follow(frames, numbers=numbers)
    assert set(rows["id"]) == {1}
    assert rows["frame"].tolist() == numbers
    assert rows["vx"][-1] == pytest.approx(1.2, abs=0.03)


def test_ids_are_never_given_twice_and_count_from_one() -> None:
    first = line((20, 30), (1, 0), 10)
    pause = [[] for _ in range(30)]
    rows = follow([*first, *pause, *first, *pause, *first])
    assert sorted(set(rows["id"].tolist())) == [1, 2, 3]
    for number in (1, 2, 3):
        assert np.ptp(rows["frame"][rows["id"] == number]) == 9


def test_shifting_every_detection_shifts_the_tracks() -> None:
    rng = np.random.default_rng(7)
    frames = both(
        line((20, 30), (0.8, 0.5), 20),
        [rng.uniform((30, 30), (100, 120), (2, 2)).tolist() for _ in range(20)],
    )
    moved = [[(y + 7, x + 11) for y, x in frame] for frame in frames]
    a, b = follow(frames), follow(moved)
    assert np.array_equal(a["id"], b["id"])
    assert np.allclose(a["x"] + 11, b["x"])


def test_a_tracker_goes_on_from_its_state_as_if_nothing_had_been() -> None:
    rng = np.random.default_rng(8)
    frames = both(
        line((20, 30), (0.8, 0.5), 40, without={11, 12}),
        [rng.uniform((5, 5), (120, 150), (3, 2)).tolist() for _ in range(40)],
    )
    for output in ("retro", "causal"):
        straight = follow(frames, output=output)
        settings = Settings(output=output)
        tracker, rows = Tracker(settings, SHAPE), []
        for number, points in enumerate(frames, 1):
            if number in (13, 25):
                again = Tracker(settings, SHAPE)
                again.restore(tracker.state())
                tracker = again
            table = np.array(points).reshape(-1, 2)
            rows.append(tracker.step(number, table, np.full(len(table), 0.9), STILL_CAMERA))
        assert np.array_equal(np.concatenate([*rows, tracker.finish()]), straight)


def test_what_a_tracker_holds_does_not_grow() -> None:
    rng = np.random.default_rng(9)
    tracker = Tracker(Settings(), SHAPE)
    held = []
    for number in range(1, 301):
        points = rng.uniform((0, 0), SHAPE, (20, 2))
        tracker.step(number, points, np.full(20, 0.9), STILL_CAMERA)
        held.append(len(tracker.held) + len(tracker.tracks))
    assert max(held[200:]) < 1.5 * max(held[50:150])


def test_m_of_n_confirms_at_the_mth_hit() -> None:
    frames = line((20, 30), (1, 0), 12, without={1})
    for hits, first in ((2, 3), (3, 4), (4, 5)):
        rows = follow(frames, rule=OfLast(hits, 6), output="causal")
        assert rows["frame"].min() == first


def test_m_of_n_gives_up_what_comes_too_seldom() -> None:
    rows = follow(line((20, 30), (0, 0), 30, without=set(range(30)) - {0, 4, 8, 12, 16}), rule=OfLast(3, 5))
    assert not len(rows)


@pytest.mark.parametrize("text", ["5/3", "0/4", "3/99", "3 of 5", "", "٣/5", "sprt"])
def test_a_rule_that_cannot_be_is_refused(text) -> None:
    with pytest.raises(UsageError, match="expected likelihood, or M/N"):
        parse_rule(text)
