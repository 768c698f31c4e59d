"""Ground that people built on, and the truth about what is no target there."""

import json

import numpy as np
import pytest

from infraspot.cli.main import main
from infraspot.core.errors import UsageError
from infraspot.data import open_dataset
from infraspot.jobs.generate import write_scenes
from infraspot.synth import SceneRanges, SceneSpec, TargetSpec, generate, generate_scene, generate_sequence
from infraspot.synth.backgrounds import BACKGROUNDS, BUILT, Background
from infraspot.synth.clutter import FAULTS, SPOTS, Perch, break_elements, faults, kinds_of_spots, scatter
from infraspot.synth.optics import Optics
from infraspot.synth.perspective import Air, Camera, Painter
from infraspot.synth.sensor import Sensor, make_array

CAMERA = Camera((100, 200), focal=100.0, horizon=40.0, height=2.0)
CLEAR_AIR = Air(radiance=0.3, sight=1e9)


def plain(sky=False, perches=()):
    shape = (120, 160)
    return Background(
        radiance=np.full(shape, 0.4, np.float32),
        sky=np.full(shape, sky, np.uint8),
        open_air=np.ones(shape, bool),
        floor=np.full(shape, not sky),
        scale=np.full(shape, 10, np.float32),
        perches=perches,
    )


def painter():
    return Painter(np.zeros((100, 200), np.float32), CAMERA, CLEAR_AIR)


def square(x, z, side=4.0):
    return [(x, 0, z), (x + side, 0, z), (x + side, side, z), (x, side, z)]


def test_things_twice_as_far_look_half_as_large():
    near, far = (np.ptp(CAMERA.project(square(0, z)), axis=0) for z in (20.0, 40.0))
    np.testing.assert_allclose(near, 2 * far)
    np.testing.assert_allclose(near, [20, 20])  # 4 m at 20 m through 100 pixels


def test_each_row_of_ground_is_as_deep_as_what_stands_on_it():
    for depth in (4.0, 10.0, 50.0):
        row = CAMERA.project([(0, 0, depth)])[0][0]
        rows = np.arange(100) + 0.5
        assert np.interp(row, rows[40:], CAMERA.depth()[40:, 0]) == pytest.approx(depth, rel=0.02)


def test_a_thing_is_listed_by_what_nearer_things_leave_open():
    paint = painter()
    for name, x, z in (("hidden", 1.0, 40.0), ("half", -4.0, 30.0), ("near", -2.0, 20.0)):
        paint.begin(name, z)
        paint.face(square(x, z, 1.0 if name == "hidden" else 4.0), 0.8)
    painted = paint.finish(np.zeros((100, 200), np.float32))
    boxes = {thing.name: thing.box for thing in painted.things}
    assert set(boxes) == {"half", "near"}
    np.testing.assert_allclose(boxes["near"], (90, 30, 111, 51), atol=1)
    assert painted.depth[40, 100] == 20
    assert painted.radiance[40, 100] == pytest.approx(0.8)


def test_a_wire_thinner_than_a_pixel_is_fainter_and_haze_swallows_what_is_far():
    thick, thin = (painter() for _ in range(2))
    for paint, breadth in ((thick, 0.5), (thin, 0.05)):
        paint.begin("wire", 20.0)
        paint.line([(-10, 3, 20), (10, 3, 20)], breadth, 0.9)
    strong, weak = (p.finish(np.zeros((100, 200), np.float32)).radiance.max() for p in (thick, thin))
    assert strong == pytest.approx(0.9)
    assert 0 < weak < 0.6
    hazy = Painter(np.zeros((100, 200), np.float32), CAMERA, Air(0.3, 10.0))
    hazy.begin("wall", 100.0)
    hazy.face(square(0, 100.0, 20), 0.9)
    assert hazy.finish(np.zeros((100, 200), np.float32)).radiance.max() == pytest.approx(0.3, abs=0.001)


def test_the_box_of_a_spot_is_where_it_reaches_a_third_of_its_peak():
    rng = np.random.default_rng(0)
    for spot in scatter(["lamp", "exhaust", "glint", "litter"] * 5, plain(), [], Optics(), rng):
        frame = np.zeros((120, 160), np.float32)
        there, here = spot.pattern.cut(frame.shape)
        frame[there] += spot.pattern.signal[here]
        rows, columns = np.nonzero(frame >= 1 / 3)
        box = spot.box(frame.shape)
        assert box.name == spot.name
        assert box.box == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)


def test_spots_sit_on_what_carries_them_and_keep_away_from_targets():
    rng = np.random.default_rng(1)
    posts = tuple(Perch("lamp", (20.0 + 10 * k, 30.0), 10.0) for k in range(8))
    spots = scatter(["lamp"] * 20, plain(perches=posts), [(20.0, 30.0)], Optics(), rng)
    places = [spot.pattern.centre for spot in spots]
    assert all(np.hypot(y - 20, x - 30) >= 24 for y, x in places)
    assert sum(x == 30 for _, x in places) >= 4  # of the five posts that are clear of the target


def test_birds_fly_in_the_sky_and_lamps_do_not():
    rng = np.random.default_rng(0)
    in_sky = kinds_of_spots(500, plain(sky=True), rng)
    on_ground = kinds_of_spots(500, plain(sky=False), rng)
    assert set(in_sky) == {"bird", *FAULTS}
    assert set(on_ground) == set(SPOTS) - {"bird"}


def test_broken_elements_are_listed_where_they_are_and_not_on_targets():
    rng = np.random.default_rng(0)
    whole = make_array(Sensor(), (60, 60), rng)
    array = break_elements(["hot", "dead"] * 30, whole, [(30.0, 30.0)], rng)
    mask = np.zeros((60, 60), bool)
    listed = faults(array, mask)
    assert {entry.name for entry in listed} == {"hot", "dead"}
    for name, (x, y, x1, y1) in listed:
        y, x = int(y), int(x)
        assert (x1, y1) == (x + 1, y + 1)
        assert np.hypot(y - 30, x - 30) >= 24
        assert array.dead[y, x] if name == "dead" else array.offsets[y, x] > whole.offsets[y, x]
    mask[int(listed[0].box[1]), int(listed[0].box[0])] = True
    assert len(faults(array, mask)) == len(listed) - 1


@pytest.mark.parametrize("kind", BUILT)
def test_no_spot_is_in_the_mask_of_the_targets(kind):
    targets = tuple(TargetSpec(4.0, 10.0) for _ in range(3))
    for seed in range(3):
        spec = SceneSpec(kind=kind, height=150, width=200, targets=targets, clutter=60)
        frame = generate_scene(spec, np.random.default_rng(seed))
        spots = [(name, box) for name, box in frame.clutter if name in SPOTS]
        assert spots
        for _, box in spots:
            x0, y0, x1, y1 = (int(side) for side in box)
            assert not frame.mask[y0:y1, x0:x1].any()
        assert all(0 <= x0 < x1 <= 200 and 0 <= y0 < y1 <= 150 for _, (x0, y0, x1, y1) in frame.clutter)


def test_a_dead_pixel_of_the_list_is_black_in_the_image():
    frame = generate_scene(
        SceneSpec(kind="sky", height=80, width=80, clutter=80), np.random.default_rng(0), "x"
    )
    dead = [box for name, box in frame.clutter if name == "dead"]
    assert dead
    assert all(frame.image[int(y), int(x)] == 0 for x, y, _, _ in dead)


def test_still_spots_go_with_the_background_and_things_leave_the_frame():
    spec = SceneSpec(kind="street", height=90, width=120, targets=(), frames=6, drift=(0.0, 3.0), clutter=40)
    frames = generate_sequence(spec, np.random.default_rng(3))
    still = set(SPOTS) - {"bird", *FAULTS}
    spots = [[box for name, box in frame.clutter if name in still] for frame in frames]
    starts = {(x0, y0) for x0, y0, x1, _ in spots[0] if x0 > 10 and x1 < 110}
    assert starts
    assert all((x0 - 3, y0) in {box[:2] for box in spots[1]} for x0, y0 in starts)
    for frame in frames:
        assert all(0 <= box[0] < box[2] <= 120 for _, box in frame.clutter)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (3, 2), (20, 20)])
@pytest.mark.parametrize("kind", list(BACKGROUNDS))
@pytest.mark.filterwarnings("error")
def test_clutter_in_tiny_frames_is_made_without_complaint(kind, size):
    spec = SceneSpec(kind=kind, height=size[1], width=size[0], targets=(), clutter=5)
    assert np.isfinite(generate_scene(spec, np.random.default_rng(0)).image).all()


def test_none_and_ten_thousand_spots_are_numbers_like_others():
    def count(clutter):
        spec = SceneSpec(kind="street", height=200, width=300, targets=(), clutter=clutter)
        frame = generate_scene(spec, np.random.default_rng(0))
        return sum(name in SPOTS for name, _ in frame.clutter)

    assert count(0) == 0
    assert 8000 < count(10_000) <= 10_000


def test_the_list_is_written_beside_the_targets_by_any_number_of_processes(tmp_path):
    ranges = SceneRanges(size=(48, 40), kinds=("street", "roofs", "towers"), weights=(1, 1, 1))
    for name, workers in (("one", 1), ("two", 2)):
        write_scenes(tmp_path / name, 33, 4, ranges, workers=workers)
    first, second = (tmp_path / name / "clutter.json" for name in ("one", "two"))
    assert first.read_bytes() == second.read_bytes()
    listed = json.loads(first.read_text())
    samples = open_dataset(tmp_path / "one")
    assert list(listed) == [sample.id for sample in samples]
    scene = next(iter(generate(1, 4, ranges))).frames[0]
    assert [entry["name"] for entry in listed[scene.id]] == [name for name, _ in scene.clutter]
    np.testing.assert_array_equal(samples[0].mask, scene.mask)
    for path in sorted((tmp_path / "one/images").iterdir()):
        assert path.read_bytes() == (tmp_path / "two/images" / path.name).read_bytes()


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--kind", "moon", "known: sky"),
        ("--kind", "", "known: sky"),
        ("--kind", "street=much", "must look like"),
        ("--kind", "street=-1", "weights"),
        ("--kind", "street=nan,sky=1", "weights"),
        ("--kind", "street=0", "weights"),
        ("--kind", "street,street", "twice"),
        ("--clutter", "many", "must look like"),
        ("--clutter", "9-3", "spots"),
        ("--clutter", "nan", "must look like"),
        ("--clutter", "-4", "must look like"),
        ("--targets", "nan", "must look like"),
    ],
)
def test_wrong_backgrounds_and_counts_are_sentences(tmp_path, capsys, option, value, said):
    assert main(["generate", "--out", str(tmp_path / "set"), "--scenes", "1", f"{option}={value}"]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "set").exists()


def test_shares_of_backgrounds_are_met(tmp_path):
    few = ["--scenes", "40", "--workers", "1", "--size", "20x16", "--clutter", "0"]
    assert main(["generate", "--out", str(tmp_path / "set"), *few, "--kind", "street=3,sky=1"]) == 0
    scenes = json.loads((tmp_path / "set/scenes.json").read_text())["scenes"]
    kinds = [scene["spec"]["kind"] for scene in scenes]
    assert set(kinds) == {"street", "sky"}
    assert 20 < kinds.count("street") < 40


def test_a_negative_number_of_spots_is_a_sentence():
    with pytest.raises(UsageError, match="0 spots of clutter or more"):
        SceneSpec(clutter=-1)
