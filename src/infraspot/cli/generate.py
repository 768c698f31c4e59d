"""``infraspot generate``: synthetic scenes as a data set that every reader takes."""

import json
import multiprocessing
import signal
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from infraspot.cli.console import progress, say, table
from infraspot.core.cores import available_cores
from infraspot.core.errors import DataError, UsageError
from infraspot.core.files import write_json, write_text

if TYPE_CHECKING:
    from infraspot.core.sample import Sample
    from infraspot.synth import Scene, SceneRanges

_INDEX = "scenes.json"
_PARTS = ".scenes"
_VAL_EVERY = 5
_WORTH_A_POOL = 32


@click.command()
@click.option("--scenes", type=click.IntRange(1), default=200, show_default=True, help="How many scenes.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the data set.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Same seed, same scenes.")
@click.option("--size", help="WIDTHxHEIGHT of every frame; default: many sizes, as in SIRST.")
@click.option("--kind", type=click.Choice(["sky", "sea", "ground", "mixed"]), help="Only this background.")
@click.option("--bits", type=click.Choice(["8", "12", "14", "16"]), default="8", show_default=True)
@click.option("--targets", default="1-3", show_default=True, help="A-B: targets in a scene.")
@click.option("--scr", default="4-35", show_default=True, help="A-B: signal-to-clutter ratio of a target.")
@click.option("--frames", type=click.IntRange(1), default=1, show_default=True, help="Frames of a sequence.")
@click.option(
    "--dark", type=click.FloatRange(0, 1), default=0.0, show_default=True, help="Share of dark targets."
)
@click.option("--workers", type=click.IntRange(1), help="Processes; default: one for each core.")
@click.option(
    "--compare",
    type=click.Path(path_type=Path),
    help="A real data set: write comparison.png and comparison.json beside the scenes.",
)
@click.option("--compare-split", help="Compare with this split of the real data set; default: all of it.")
def command(
    scenes: int,
    out: Path,
    seed: int,
    size: str | None,
    kind: str | None,
    bits: str,
    targets: str,
    scr: str,
    frames: int,
    dark: float,
    workers: int | None,
    compare: Path | None,
    compare_split: str | None,
) -> int:
    """Make synthetic infrared scenes with exact masks, points, boxes and sky, in the layout of NUAA-SIRST.

    The same options always make the same scenes. A run that was stopped goes on where it was; a larger
    --scenes adds to what is there.
    """
    from infraspot.synth import SceneRanges

    low, high = _interval("--targets", targets)
    ranges = SceneRanges(
        size=None if size is None else _size(size),
        kinds=(kind,) if kind else SceneRanges.kinds,
        weights=(1.0,) if kind else SceneRanges.weights,
        bits=int(bits),
        targets=(int(low), int(high)),
        scr=_interval("--scr", scr),
        dark=dark,
        frames=frames,
    )
    made = write_scenes(out, scenes, seed, ranges, workers=workers or available_cores())
    say(f"{scenes} scenes ({scenes - made} were there already) -> {out}")
    if compare is not None:
        _compare(compare, compare_split, out)
    return 0


def write_scenes(out: Path, count: int, seed: int, ranges: "SceneRanges", *, workers: int = 1) -> int:
    """Write scenes 0 to ``count - 1`` and return how many of them were not there yet.

    Each scene leaves a record when its files are complete; the records become ``scenes.json``,
    ``points.json`` and the splits at the end, also when the run is stopped.

    Raises
    ------
    DataError
        If the folder holds other files, scenes of other options, or cannot be written to.
    """
    options = json.loads(json.dumps({"seed": seed, "ranges": asdict(ranges)}))
    records = _existing(out, options)
    missing = [index for index in range(count) if index not in records]
    make = partial(_write_scene, out, seed, ranges)
    try:
        with _mapper(workers if len(missing) >= _WORTH_A_POOL else 1) as run:
            for record in progress(run(make, missing), len(missing), "scenes"):
                records[record["index"]] = record
    finally:
        if records:
            _write_index(out, options, {**_parts(out), **records})
    return len(missing)


def _write_scene(out: Path, seed: int, ranges: "SceneRanges", index: int) -> dict[str, Any]:
    from infraspot.data import write_sample
    from infraspot.synth import generate

    (scene,) = generate(1, seed, ranges, first=index)
    for sample in scene.frames:
        write_sample(out, sample)
    record = _record(scene, index)
    write_json(out / _PARTS / f"{index}.json", record)
    return record


def _record(scene: "Scene", index: int) -> dict[str, Any]:
    """The parameters of a scene, and for each frame the truth and the SCR that came out."""
    return {"index": index, "spec": asdict(scene.spec), "frames": [_frame(frame) for frame in scene.frames]}


def _frame(sample: "Sample") -> dict[str, Any]:
    from infraspot.core.contrast import signal_to_clutter
    from infraspot.core.geometry import find_components

    assert sample.mask is not None
    assert sample.points is not None
    ratios = signal_to_clutter(sample.image, find_components(sample.mask))
    return {
        "id": sample.id,
        "points": [[round(float(x), 3), round(float(y), 3)] for y, x in sample.points],
        "realised_scr": [round(float(ratio), 3) if ratio == ratio else None for ratio in ratios],
    }


def _existing(out: Path, options: dict[str, Any]) -> dict[int, dict[str, Any]]:
    """Records of complete scenes of the same options; other contents are refused."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        write_json(out / _INDEX, {"options": options, "scenes": []})
        return {}
    index = _read_json(out / _INDEX) if (out / _INDEX).is_file() else None
    if index is None:
        raise DataError(
            f"{out} holds files that are not scenes; choose a new folder, so that nothing is lost"
        )
    if index["options"] != options:
        raise DataError(
            f"{out} holds scenes made with other options; choose a new folder, or the same options"
        )
    records = {**{record["index"]: record for record in index["scenes"]}, **_parts(out)}
    return {number: record for number, record in records.items() if _complete(out, record)}


def _parts(out: Path) -> dict[int, dict[str, Any]]:
    return {int(path.stem): _read_json(path) for path in (out / _PARTS).glob("*.json")}


def _complete(out: Path, record: dict[str, Any]) -> bool:
    return all(
        (out / place.format(frame["id"])).is_file()
        for frame in record["frames"]
        for place in ("images/{}.png", "masks/{}_pixels0.png", "sky/{}.png", "bboxes/{}.xml")
    )


def _write_index(out: Path, options: dict[str, Any], records: dict[int, dict[str, Any]]) -> None:
    ordered = [records[index] for index in sorted(records)]
    frames = [(record["index"], frame) for record in ordered for frame in record["frames"]]
    names: dict[str, list[str]] = {"train": [], "val": []}
    for index, frame in frames:
        names["val" if index % _VAL_EVERY == _VAL_EVERY - 1 else "train"].append(frame["id"])
    for split, ids in names.items():
        write_text(out / "splits" / f"{split}.txt", "".join(f"{name}\n" for name in ids))
    write_json(out / "points.json", {frame["id"]: frame["points"] for _, frame in frames})
    write_json(out / _INDEX, {"options": options, "scenes": ordered})
    for path in (out / _PARTS).glob("*.json"):
        path.unlink(missing_ok=True)
    if (out / _PARTS).is_dir():
        (out / _PARTS).rmdir()


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path} is damaged ({error}); delete it to make these scenes again") from error


@contextmanager
def _mapper(workers: int) -> Iterator[Any]:
    """A ``map`` that runs in order, in this process or in several; on any error the rest is dropped."""
    if workers == 1:
        yield map
        return
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_leave_interrupts)
    try:
        yield pool.map
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _leave_interrupts() -> None:
    """Ctrl-C is for the parent, which lets a scene in hand be finished."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _compare(real: Path, split: str | None, out: Path) -> None:
    from infraspot.data import open_dataset
    from infraspot.report.scenes import compare_scenes, draw_comparison

    theirs, ours = _first(open_dataset(real, split=split)), _first(open_dataset(out))
    result = compare_scenes(theirs, ours)
    write_json(out / "comparison.json", result)
    draw_comparison(out / "comparison.png", theirs, ours)
    rows = [
        (name, *("  ".join(f"{q:.2f}" for q in part[side]) for side in ("real", "made")), part["distance"])
        for name, part in result.items()
        if isinstance(part, dict)
    ]
    table(("quartiles", "real", "made", "distance"), rows)
    say(f"-> {out / 'comparison.png'}, {out / 'comparison.json'}")


def _first(samples: Iterable["Sample"], most: int = 400) -> list["Sample"]:
    """The first ``most`` samples: enough for quartiles, and they fit into memory."""
    return list(islice(samples, most))


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise UsageError(f"--size must look like 320x240, and {text!r} came")
    return int(width), int(height)


def _interval(option: str, text: str) -> tuple[float, float]:
    low, _, high = text.partition("-")
    try:
        return float(low), float(high or low)
    except ValueError as error:
        raise UsageError(f"{option} must look like 2-20 or 5, and {text!r} came") from error
