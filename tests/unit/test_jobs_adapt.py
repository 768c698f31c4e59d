"""From frames of a new camera to a weight file for it."""

import json
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from adapt_fakes import frames, write_camera

from infraspot.cli.main import main
from infraspot.core.errors import DataError, InfraspotError
from infraspot.core.sample import Sample
from infraspot.data import write_dataset
from infraspot.inference.engines import open_engine
from infraspot.jobs import adapt as job
from infraspot.jobs.adapt import WorseError, adapt
from infraspot.jobs.adapt_frames import gather
from infraspot.jobs.cameras import Sight, cameras_of, sight_of, told_apart
from infraspot.training.adapting import shots as adapting_shots
from infraspot.training.adapting.clock import Clock, Plan, plan
from infraspot.training.adapting.judging import worths
from infraspot.training.adapting.points import choose_thresholds
from infraspot.training.adapting.shots import judge
from infraspot.training.adapting.tuning import Known
from infraspot.training.settings import Recipe

pytest.importorskip("torch")


@pytest.fixture
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapting_shots, "plan", lambda *_: Plan(2, 6))
    monkeypatch.setattr(job, "SELF_TRAINING_STEPS", 3)
    # What tiny random networks are worth says nothing.
    monkeypatch.setattr(job, "WORSE", 1.0)


@pytest.mark.usefixtures("few_steps")
@pytest.mark.parametrize("known", [[], ["--shots", "shots"], ["--empty", "empty"], ["--assume-empty"]])
def test_the_contract(known: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    camera, out, figures = write_camera(tmp_path), tmp_path / "mine.safetensors", tmp_path / "mine.json"
    options = [str(camera[word]) if word in camera else word for word in known]
    arguments = ["adapt", "--to", str(camera["frames"]), "--start", str(camera["model"]), "--out", str(out)]
    assert main([*arguments, *options, "--json", str(figures)]) == 0
    found = json.loads(figures.read_text())
    assert found["threshold"]["before"] == 0.5
    assert set(found["new_frames"]) == {"before", "after"}
    assert (found["held_out_shots"] is None) == (known != ["--shots", "shots"])
    assert len(found["label_next"]) == 5
    assert "label next: " in capsys.readouterr().out
    engine = open_engine(str(out))
    assert engine.second_look is not None
    assert engine.card["note"] == "kept"
    assert set(engine.card["operating_points"]) == {"quiet", "balanced", "keen"}
    assert main(["detect", str(camera["frames"]), "--model", str(out), "--out", str(tmp_path / "found")]) == 0


@pytest.mark.usefixtures("few_steps")
def test_the_same_seed_gives_the_same_weights(tmp_path: Path) -> None:
    camera = write_camera(tmp_path)
    contents = []
    for name in ("one.safetensors", "two.safetensors"):
        adapt(camera["frames"], tmp_path / name, shots=camera["shots"], start=str(camera["model"]))
        contents.append(open_engine(str(tmp_path / name)).score(frames(1)[0].image))
    np.testing.assert_array_equal(*contents)


def test_held_out_shots_that_got_worse_leave_every_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera, out = write_camera(tmp_path), tmp_path / "mine.safetensors"
    out.write_bytes(b"before")
    monkeypatch.setattr(adapting_shots, "plan", lambda *_: Plan(2, 6))
    monkeypatch.setattr(job, "WORSE", -1.0)  # nothing is good enough
    with pytest.raises(WorseError, match="is not written; give more shots"):
        adapt(
            camera["frames"], out, shots=camera["shots"], start=str(camera["model"]), json=tmp_path / "f.json"
        )
    assert out.read_bytes() == b"before"
    assert not (tmp_path / "f.json").exists()


def test_one_shot_is_learnt_and_said_to_be_unproven(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    camera, told = write_camera(tmp_path, shots=1), []
    monkeypatch.setattr(adapting_shots, "plan", lambda *_: Plan(0, 4))
    done = adapt(
        camera["frames"],
        tmp_path / "mine.safetensors",
        shots=camera["shots"],
        start=str(camera["model"]),
        tell=lambda said: told.append(str(said)),
    )
    assert done.figures["held_out_shots"] is None
    assert any("nothing can be held out" in said for said in told)


@pytest.mark.usefixtures("few_steps")
def test_old_frames_are_kept_unless_they_may_be_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera, seen = write_camera(tmp_path), []

    class EnoughError(Exception): ...

    def noted(recipe: Recipe, known: Known, *_: Any) -> None:
        seen.append(len(known.old))
        raise EnoughError

    monkeypatch.setattr(adapting_shots, "tune", noted)
    known: dict[str, Any] = {"shots": camera["shots"], "start": str(camera["model"])}
    for forget in (False, True):
        with pytest.raises(EnoughError):
            adapt(camera["frames"], tmp_path / "mine.safetensors", forget=forget, **known)
    assert seen == [16, 0]


def test_a_limit_that_is_over_at_once_leaves_the_weights_and_says_so(tmp_path: Path) -> None:
    camera, told = write_camera(tmp_path), []
    done = adapt(
        camera["frames"],
        tmp_path / "mine.safetensors",
        shots=camera["shots"],
        start=str(camera["model"]),
        minutes=0.001,
        tell=lambda said: told.append(str(said)),
    )
    assert done.figures["choice"]["steps"] == 0
    assert any("its weights stay as they are" in said for said in told)


def test_frames_of_the_source_stand_for_what_the_start_knows_and_scenes_where_there_is_none(
    tmp_path: Path,
) -> None:
    camera, told = write_camera(tmp_path), []
    write_dataset(tmp_path / "source", frames(40, seed=9, size=(32, 32)))

    def old(source: Path | None) -> list[str]:
        found = gather(
            camera["frames"],
            shots=None,
            empty=None,
            assume_empty=False,
            source=source,
            seed=0,
            tell=told.append,
        )
        return [frame.id for frame in found.old]

    of_source = old(tmp_path / "source")
    assert len(set(of_source)) == 32
    assert {of_source[0], of_source[-1]} == {"s9f0", "s9f39"}
    assert len(old(None)) == 16
    bare = tmp_path / "bare"
    shutil.copytree(tmp_path / "source" / "images", bare / "images")
    with pytest.raises(DataError, match="has no frame with a mask"):
        old(bare)


def test_two_cameras_in_one_folder_are_told_apart_by_size_and_by_noise() -> None:
    quiet, wide = frames(4), frames(3, size=(40, 80))
    rng = np.random.default_rng(0)
    noisy = [
        one.replace(image=np.clip(one.image + rng.normal(0, 0.2, one.shape), 0, 1).astype(np.float32))
        for one in frames(4, seed=5)
    ]
    assert cameras_of(quiet) == []
    assert [sentence.split(",")[0] for sentence in cameras_of([*quiet, *wide])] == [
        "4 frames of 64x48",
        "3 frames of 80x40",
    ]
    assert [sentence.split(" ")[0] for sentence in cameras_of([*quiet, *noisy])] == ["4", "4"]


def test_frames_of_few_grey_levels_are_no_camera_of_their_own() -> None:
    """Their noise measures as nothing, and what it is cannot be known."""
    rng = np.random.default_rng(0)

    def seen(levels: int) -> Sample:
        image = 0.5 + rng.normal(0, 0.02, (60, 80))
        return Sample("one.png", ((image * levels).round() / levels).clip(0, 1).astype(np.float32))

    fine, coarse = [seen(255) for _ in range(4)], [seen(8) for _ in range(3)]
    assert all(sight_of(frame).noise == 0 for frame in coarse)
    assert cameras_of([*fine, *coarse]) == []
    # Where there are two cameras, such frames go with the one of more frames.
    grainy = [one.replace(image=(one.image + rng.normal(0, 0.2, one.shape)).clip(0, 1)) for one in fine[:3]]
    assert [said.split(" ")[0] for said in cameras_of([*fine, *coarse, *grainy])] == ["7", "3"]


def test_noise_below_that_of_rounding_tells_no_cameras_apart() -> None:
    def sights(noises: list[float], bits: int) -> list[Sight]:
        return [Sight(f"{noise}", 10, 10, bits, noise) for noise in noises]

    noises = [1e-5, 1.1e-5, 4e-4, 4.1e-4]  # a grey level of 8 bits is 3.9e-3
    assert told_apart(sights(noises, 8)) == []
    assert len(told_apart(sights(noises, 16))) == 2


def test_a_plan_fits_into_the_time() -> None:
    assert plan(0.1, 300, 5) == Plan(5, 160)  # 6 x 160 x 0.1 s = 96 s of 240 s
    assert plan(0.1, 60, 5) == Plan(2, 160)  # 4 x 160 x 0.1 s = 64 s would be too long for 48 s
    assert plan(0.1, 300, 2) == Plan(2, 160)
    assert plan(0.1, 300, 1) == Plan(0, 60)
    assert plan(10.0, 60, 5) == Plan(0, 0)


def test_the_clock_counts_down() -> None:
    times = iter([5.0, 6.0, 8.0])
    clock = Clock(10, now=lambda: next(times))
    assert clock.spent == 1.0
    assert clock.left == 7.0


def test_planned_steps_pass_through_the_progress_to_their_end() -> None:
    passed: list[int] = []

    def shown(items: Iterable[int], total: int, what: str) -> Iterator[int]:
        assert (total, what) == (3, "adapting")
        for item in items:
            passed.append(item)
            yield item

    clock = Clock(10, progress=shown)
    clock.step()  # nothing is planned yet
    clock.expect(3)
    clock.step()
    assert passed == [0]
    clock.end()
    clock.step()  # one more than was planned
    assert passed == [0, 1, 2]


def test_thresholds_rise_as_rates_fall(tmp_path: Path) -> None:
    from infraspot.training.adapting.judging import look_at
    from infraspot.training.adapting.model import open_model

    model = open_model(str(write_camera(tmp_path)["model"]))
    seen = look_at(model, frames(4, targets=False, seed=9))
    found = choose_thresholds({"a": 1e3, "b": 1e2, "c": 1e-3}, [], seen, [])
    assert found["a"] <= found["b"] <= found["c"] < 1
    assert worths(judge(model, frames(2))).shape == (109,)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"out": "mine.pt"}, "does not end in .safetensors"),
        ({"json": "mine.txt"}, "does not end in .json"),
        ({"empty": "empty", "assume_empty": True}, "give one"),
        ({"forget": True}, "--forget says how --shots are learnt"),
        ({"start": "start.onnx"}, "the weights of an ONNX file cannot be tuned"),
        ({"to": "nothing"}, "--to"),
        ({"shots": "empty"}, "has no target in 3 frames"),
        ({"shots": "bare"}, "have no mask"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_done(
    options: dict[str, object], sentence: str, tmp_path: Path
) -> None:
    camera = write_camera(tmp_path)
    (tmp_path / "nothing").mkdir()
    (tmp_path / "start.onnx").write_bytes(b"")
    write_dataset(tmp_path / "bare", [one.replace(mask=None) for one in frames(2)])
    given: dict[str, object] = {
        "to": camera["frames"],
        "out": "mine.safetensors",
        "start": str(camera["model"]),
    }
    given |= options
    paths = ("to", "out", "json", "empty", "shots", "start")
    given = {name: tmp_path / str(value) if name in paths else value for name, value in given.items()}
    given["start"] = str(given["start"])
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InfraspotError, match=sentence):
        adapt(**given)  # type: ignore[arg-type]
    assert sorted(tmp_path.rglob("*")) == before


def test_shots_of_another_size_and_the_same_frame_twice_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera, told = write_camera(tmp_path), []
    monkeypatch.setattr(adapting_shots, "plan", lambda *_: Plan(0, 0))
    other = frames(2, size=(32, 80), seed=7)
    write_dataset(tmp_path / "other", [*other, other[0].replace(id="again")])
    adapt(
        camera["frames"],
        tmp_path / "mine.safetensors",
        shots=tmp_path / "other",
        start=str(camera["model"]),
        tell=lambda said: told.append(str(said)),
    )
    assert any("are the same frame" in said for said in told)
    assert any("have a size that no frame of --to has (80x32" in said for said in told)
