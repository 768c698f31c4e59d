"""``infraspot track`` on small sequences made here; a classical method detects."""

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

import infraspot
from infraspot.cli.main import main
from infraspot.core.errors import DataError, InfraspotError
from infraspot.data import FrameFile, write_grey
from infraspot.jobs.sequences import find_sequences
from infraspot.jobs.track import track
from infraspot.synth import SceneRanges

COUNT = 20


def scene(
    count: int = COUNT, side: int = 96, seed: int = 0, dead: int = 0, beside: tuple[int, int] = (0, 0)
) -> list[np.ndarray]:
    """A target that crosses a texture before a still camera; dead pixels or pairs of them stay in place."""
    rng = np.random.default_rng(seed)
    ground = 0.35 + 0.02 * ndimage.gaussian_filter(rng.normal(size=(side, side)), 2) * 5
    y, x = np.mgrid[:side, :side]
    frames = []
    for k in range(count):
        target = 0.45 * np.exp(-((y - 30 - 0.8 * k) ** 2 + (x - 20 - 1.3 * k) ** 2) / 2)
        frame = ground + target + rng.normal(0, 0.003, ground.shape)
        for n in range(dead):
            frame[12 + 17 * n, 80 - 5 * n] = frame[12 + 17 * n + beside[0], 80 - 5 * n + beside[1]] = 0.95
        frames.append(np.clip(frame, 0, 1))
    return frames


def save(folder: Path, frames: list[np.ndarray], numbers=None, name: str = "night_{:04d}.png") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, frame in zip(numbers or range(1, len(frames) + 1), frames, strict=True):
        write_grey(folder / name.format(number), frame, bits=16)
    return folder


def table(path: Path) -> list[dict[str, str]]:
    with path.open() as stream:
        return list(csv.DictReader(stream))


def run(*arguments: object) -> int:
    return main(["track", *map(str, arguments), "--method", "tophat", "--sigmas", "6"])


def test_a_folder_of_numbered_frames_becomes_tables_of_one_track(tmp_path, capsys) -> None:
    assert run(save(tmp_path / "in", scene()), "--out", tmp_path / "out", "--overlay") == 0
    out = tmp_path / "out"
    moving = [row for row in table(out / "tracks.csv") if row["motion"] == "moving"]
    assert {row["id"] for row in moving} == {"1"}
    assert [int(row["frame"]) for row in moving] == list(range(1, COUNT + 1))
    for row in moving:
        k = int(row["frame"]) - 1
        assert np.hypot(float(row["y"]) - 30 - 0.8 * k, float(row["x"]) - 20 - 1.3 * k) < 1.5
    assert len(table(out / "frames.csv")) == COUNT
    summary = json.loads((out / "tracks.json").read_text())
    assert (summary["output"], summary["delay"], summary["used"]) == ("retro", 12, COUNT)
    mot = (out / "mot.txt").read_text().splitlines()[0].split(",")
    assert mot[:2] == ["1", "1"]
    assert float(mot[2]) == pytest.approx(float(moving[0]["x"]) - 1)
    assert Image.open(out / "overlay" / "000007.png").size == (576, 576)
    assert not (out / ".track-state.npz").exists()
    assert "20 frames, 1 track" in capsys.readouterr().out


def test_a_stack_gives_the_tracks_of_its_pages_as_files(tmp_path) -> None:
    frames = [(frame * 65535).astype(np.uint16) for frame in scene()]
    save(tmp_path / "in", frames)
    np.save(tmp_path / "film.npy", np.stack(frames))
    run(tmp_path / "in", "--out", tmp_path / "a")
    run(tmp_path / "film.npy", "--out", tmp_path / "b")
    assert (tmp_path / "a/tracks.csv").read_bytes() == (tmp_path / "b/tracks.csv").read_bytes()


def test_several_sequences_of_a_folder_have_folders_of_their_own(tmp_path) -> None:
    save(tmp_path / "in", scene(6), name="a_{:d}.png")
    save(tmp_path / "in", scene(6, seed=1), name="b_{:d}.png")
    found = track(tmp_path / "in", tmp_path / "out", method="tophat", sigmas=6)
    assert sorted(found.sequences) == ["a", "b"]
    assert (tmp_path / "out/a/tracks.csv").is_file()
    assert (tmp_path / "out/b/tracks.csv").is_file()


def test_files_are_grouped_by_what_stands_before_their_last_number() -> None:
    names = ["s1_10.png", "s1_9.png", "s2_1.png", "s2_2.png", "film.tif", "0001.png", "0002.png"]
    found = find_sequences([FrameFile(Path("in") / name, Path("in")) for name in names])
    assert [(one.name, len(one.files)) for one in found] == [("s1", 2), ("s2", 2), ("film", 1), ("frames", 2)]
    assert [file.path.name for file in found[0].files] == ["s1_9.png", "s1_10.png"]


def test_dropped_frames_are_time_and_keep_the_track(tmp_path) -> None:
    kept = [k for k in range(COUNT) if k not in (6, 7, 13)]
    save(tmp_path / "in", [scene()[k] for k in kept], [100 + 2 * k for k in kept])
    assert run(tmp_path / "in", "--out", tmp_path / "out") == 0
    rows = [row for row in table(tmp_path / "out/tracks.csv") if row["motion"] == "moving"]
    assert {row["id"] for row in rows} == {"1"}
    assert [int(row["frame"]) for row in rows] == [k + 1 for k in kept]


def test_doubled_and_saturated_frames_are_left_out_and_said_once(tmp_path, capsys) -> None:
    frames = scene()
    frames[5] = frames[4]
    frames[9] = np.ones_like(frames[9])
    frames[10] = np.ones_like(frames[10])
    assert run(save(tmp_path / "in", frames), "--out", tmp_path / "out") == 0
    uses = [row["use"] for row in table(tmp_path / "out/frames.csv")]
    assert (uses[5], uses[9], uses.count("used")) == ("doubled", "saturated", COUNT - 3)
    rows = [row for row in table(tmp_path / "out/tracks.csv") if row["motion"] == "moving"]
    assert {row["id"] for row in rows} == {"1"}
    said = capsys.readouterr().err
    assert said.count("is the frame before once more") == 1


def test_damaged_frames_and_frames_of_another_size_are_said_and_the_others_done(tmp_path, capsys) -> None:
    folder = save(tmp_path / "in", scene())
    (folder / "night_0006.png").write_bytes(b"\x89PNG\r\n\x1a\n damaged")
    write_grey(folder / "night_0011.png", scene(1, side=64)[0], bits=16)
    assert run(folder, "--out", tmp_path / "out") == 1
    uses = [row["use"] for row in table(tmp_path / "out/frames.csv")]
    assert (uses[5], uses[10], uses.count("used")) == ("unreadable", "other_size", COUNT - 2)
    assert {row["id"] for row in table(tmp_path / "out/tracks.csv") if row["motion"] == "moving"} == {"1"}
    said = capsys.readouterr().err
    assert "night_0006.png" in said
    assert "night_0011 is 64x64, and the sequence 96x96" in said
    assert "Traceback" not in said


def test_a_change_of_bit_depth_does_not_break_the_track(tmp_path) -> None:
    frames = scene()
    folder = save(tmp_path / "in", frames)
    for k in range(10, COUNT):
        write_grey(folder / f"night_{k + 1:04d}.png", frames[k], bits=8)
    assert run(folder, "--out", tmp_path / "out") == 0
    assert {row["id"] for row in table(tmp_path / "out/tracks.csv") if row["motion"] == "moving"} == {"1"}


@pytest.mark.parametrize("beside", [(0, 0), (0, 1), (1, 1)], ids=["single", "pair", "diagonal"])
def test_dead_pixels_of_a_still_camera_are_no_tracks(beside, tmp_path) -> None:
    run(save(tmp_path / "in", scene(dead=4, beside=beside)), "--out", tmp_path / "out")
    rows = table(tmp_path / "out/tracks.csv")
    assert {row["motion"] for row in rows} == {"moving"}
    assert all(float(row["x"]) < 60 for row in rows)
    found = table(tmp_path / "out/detections.csv")
    assert any(float(row["x"]) > 60 for row in found)  # the detector itself took them for targets


def test_a_target_that_hovers_is_flagged_and_dropped_on_request(tmp_path) -> None:
    y, x = np.mgrid[:96, :96]
    spot = 0.4 * np.exp(-((y - 70) ** 2 + (x - 80) ** 2) / 2)
    folder = save(tmp_path / "in", [np.clip(frame + spot, 0, 1) for frame in scene()])
    run(folder, "--out", tmp_path / "flag")
    rows = table(tmp_path / "flag/tracks.csv")
    still = [row for row in rows if float(row["x"]) > 75 and float(row["y"]) > 65]
    assert {row["motion"] for row in still} == {"still"}
    run(folder, "--out", tmp_path / "drop", "--still", "drop")
    assert {row["id"] for row in table(tmp_path / "drop/tracks.csv")} == {
        row["id"] for row in rows if row["motion"] == "moving"
    }


def test_two_frames_in_the_wrong_order_do_not_break_the_track(tmp_path) -> None:
    frames = scene()
    frames[8], frames[9] = frames[9], frames[8]
    run(save(tmp_path / "in", frames), "--out", tmp_path / "out")
    rows = [row for row in table(tmp_path / "out/tracks.csv") if row["motion"] == "moving"]
    assert {row["id"] for row in rows} == {"1"}


def test_a_stack_that_ends_in_the_middle_of_a_frame_gives_the_frames_before(tmp_path, capsys) -> None:
    stack = (np.stack(scene()) * 65535).astype("<u2")
    (tmp_path / "film.raw").write_bytes(stack.tobytes()[:-5000])
    assert run(tmp_path / "film.raw", "--raw", "96x96:uint16", "--out", tmp_path / "out") == 1
    assert {row["id"] for row in table(tmp_path / "out/tracks.csv") if row["motion"] == "moving"} == {"1"}
    assert "it was cut off" in capsys.readouterr().err


KILLED = """
import os, signal, sys
from infraspot.jobs import track_sequence
from infraspot.jobs.track import track
track_sequence.CHECKPOINT_EVERY = 6
after, take = int(sys.argv[3]), track_sequence.SequenceWork._take
def dying(self, numbered, *rest):
    if numbered.number == after:
        for file in self.tables._files.values():
            file.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    take(self, numbered, *rest)
if after:
    track_sequence.SequenceWork._take = dying
track(sys.argv[1], sys.argv[2], method="tophat", sigmas=6)
"""


def test_a_killed_run_goes_on_and_writes_every_row_once(tmp_path) -> None:
    folder = save(tmp_path / "in", scene(30))
    track(folder, tmp_path / "whole", method="tophat", sigmas=6)
    for after in (17, 23, 0):
        done = subprocess.run(
            [sys.executable, "-c", KILLED, str(folder), str(tmp_path / "out"), str(after)],
            check=False,
            env=os.environ,
        )
        assert done.returncode == (-signal.SIGKILL if after else 0)
    for name in ("tracks.csv", "detections.csv", "frames.csv", "mot.txt"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def stop_at(monkeypatch, number: int) -> None:
    """Make tracking stop, as by Ctrl-C, before a frame; every fifth frame leaves a checkpoint."""
    from infraspot.jobs import track_sequence

    take = track_sequence.SequenceWork._take
    monkeypatch.setattr(track_sequence, "CHECKPOINT_EVERY", 5)

    def taking(self, numbered, *rest) -> None:
        if numbered.number == number:
            raise KeyboardInterrupt
        take(self, numbered, *rest)

    monkeypatch.setattr(track_sequence.SequenceWork, "_take", taking)


def test_a_stopped_run_refuses_other_options_and_damage_and_starts_over_on_request(
    tmp_path, monkeypatch
) -> None:
    folder, out = save(tmp_path / "in", scene()), tmp_path / "out"
    with monkeypatch.context() as patch:
        stop_at(patch, 13)
        with pytest.raises(KeyboardInterrupt):
            track(folder, out, method="tophat", sigmas=6)
    stored = {path.name: path.read_bytes() for path in out.iterdir()}
    with pytest.raises(DataError, match="stopped run with other options"):
        track(folder, out, method="tophat", sigmas=6, output="causal")
    (out / ".track-state.npz").write_bytes(b"PK\x03\x04 no archive")
    with pytest.raises(DataError, match="damaged"):
        track(folder, out, method="tophat", sigmas=6)
    assert {name: (out / name).read_bytes() for name in stored if name.endswith("csv")} == {
        name: data for name, data in stored.items() if name.endswith("csv")
    }
    track(folder, out, method="tophat", sigmas=6, restart=True)
    assert len(table(out / "frames.csv")) == COUNT


def test_a_checkpoint_that_holds_objects_is_not_loaded(tmp_path) -> None:
    folder, out = save(tmp_path / "in", scene(4)), tmp_path / "out"
    out.mkdir()
    np.savez(out / ".track-state.npz", frame=np.array([print], object))
    with pytest.raises(DataError, match="damaged"):
        track(folder, out, method="tophat", sigmas=6)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"output": "late"}, "unknown output"),
        ({"still": "hide"}, "unknown rule"),
        ({"confirm": "9/3"}, "expected likelihood, or M/N"),
        ({"low": 0.5, "start": 0.1}, "low up to start"),
        ({"delay": 0}, "delay=0"),
        ({"coast": 20, "delay": 10}, "frames to coast"),
        ({"slow": float("nan")}, "slow=nan"),
        ({"model": "no-such-model"}, "no-such-model"),
    ],
)
def test_a_wrong_option_is_refused_before_anything_is_written(tmp_path, options, said) -> None:
    folder = save(tmp_path / "in", scene(2))
    if "model" not in options:
        options |= {"method": "tophat", "sigmas": 6}
    with pytest.raises(InfraspotError, match=said):
        track(folder, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_a_folder_without_a_frame_that_can_be_read_is_an_error(tmp_path, capsys) -> None:
    (tmp_path / "in").mkdir()
    for number in range(3):
        (tmp_path / "in" / f"f{number}.png").write_bytes(b"nothing")
    assert run(tmp_path / "in", "--out", tmp_path / "out") == 1
    assert "no frame could be read" in capsys.readouterr().err


def test_the_packaged_model_tracks_a_generated_scene(tmp_path) -> None:
    ranges = SceneRanges(size=(128, 128), frames=8, targets=(1, 1), scr=(10, 12))
    infraspot.write_scenes(tmp_path / "set", 1, 5, ranges)
    found = infraspot.track(tmp_path / "set", tmp_path / "out")
    assert sum(one["motion"] == "moving" for one in found.sequences["scene_5_000000"]["tracks"]) == 1


def test_a_detector_of_sequences_tracks_and_detects_what_moves(tmp_path) -> None:
    folder = save(tmp_path / "in", scene(12))
    options = ["--method", "temporal-z", "--fa-per-mpx", "20"]
    assert main(["detect", str(folder), "--out", str(tmp_path / "found"), *options, "--format", "json"]) == 0
    last = json.loads((tmp_path / "found/night_0012.json").read_text())["targets"]
    assert any(abs(target["x"] - (20 + 1.3 * 11)) < 2 for target in last)
    first = json.loads((tmp_path / "found/night_0001.json").read_text())["targets"]
    assert first == []  # nothing is known of the past yet
    assert main(["track", str(folder), "--out", str(tmp_path / "out"), "--method", "temporal-z"]) == 0
    assert len({row["id"] for row in table(tmp_path / "out/tracks.csv")}) == 1


def test_a_film_shows_every_frame_with_its_tracks(tmp_path) -> None:
    av = pytest.importorskip("av")
    folder = save(tmp_path / "in", scene(6, side=65))
    assert run(folder, "--out", tmp_path / "out", "--film", "10") == 0
    with av.open(str(tmp_path / "out/overlay.mp4")) as film:
        frames = [frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)]
    assert len(frames) == 6
    assert frames[0].shape[0] % 2 == 0
    assert not (tmp_path / "out/overlay").exists()


def test_numbers_that_jump_ahead_and_back_do_not_hang_or_break_the_run(tmp_path) -> None:
    frames = scene(14)
    numbers = [*range(1, 8), *range(999_999_999_000, 999_999_999_007)]
    folder = save(tmp_path / "in", frames, numbers=numbers, name="night_{:015d}.png")
    assert run(folder, "--out", tmp_path / "out") == 0
    rows = table(tmp_path / "out/frames.csv")
    assert [int(row["frame"]) for row in rows] == list(range(1, 15))
    assert len({row["id"] for row in table(tmp_path / "out/tracks.csv") if row["motion"] == "moving"}) == 1


def test_the_packaged_network_of_sequences_tracks_a_generated_scene(tmp_path) -> None:
    ranges = SceneRanges(size=(96, 96), frames=10, targets=(1, 1), scr=(8, 9), kinds=("sky",), weights=(1,))
    infraspot.write_scenes(tmp_path / "set", 1, 3, ranges)
    found = track(tmp_path / "set/images", tmp_path / "out", model="compact-clip", threads=1)
    assert [one["model"] for one in found.sequences.values()] == ["compact-clip"]
    assert table(tmp_path / "out/detections.csv")
