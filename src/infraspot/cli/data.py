"""``infraspot data``: check, describe, split, merge and convert data sets."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from infraspot.cli.console import fail, progress, say, table, warn
from infraspot.cli.data_where import where
from infraspot.cli.groups import CommandGroup
from infraspot.core.errors import DataError, InputError, UsageError, counted
from infraspot.core.extras import require
from infraspot.core.files import write_json, write_text

if TYPE_CHECKING:
    from infraspot.core.sample import Sample
    from infraspot.data.inspection import Flaw, Inspection
    from infraspot.data.reader import Reader

FOLDER = click.Path(path_type=Path)
SPLIT_NAMES = {2: ("train", "val"), 3: ("train", "val", "test")}
SHOWN = 8

layout_option = click.option(
    "--layout", default="auto", help="How the folder is laid out; default: recognise it."
)
seed_option = click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Random seed."
)
max_pixels_option = click.option(
    "--max-pixels", type=click.IntRange(min=1), help="Largest image, in pixels; default: 100 million."
)


@click.group(cls=CommandGroup)
def command() -> None:
    """Check, split, merge, convert and describe data sets, and say where they are had."""


command.add_command(where)


@command.command()
@click.argument("folder", type=FOLDER)
@layout_option
@max_pixels_option
@click.option("--json", "json_file", type=FOLDER, help="Also write every flaw to this file.")
def check(folder: Path, layout: str, max_pixels: int | None, json_file: Path | None) -> int:
    """Name every flaw of a data set, and how to mend it. Exit status: 0 sound, 1 not sound."""
    from infraspot.data.checking import KINDS, find_flaws

    reader = _open(folder, max_pixels, layout=layout)
    flaws = find_flaws(reader, _inspected(reader, "checking"))
    problems = [flaw for flaw in flaws if KINDS[flaw.kind].problem]
    say(f"{reader.name}: {counted(len(reader), 'image')}, layout {reader.layout}")
    _say_flaws(flaws)
    say(_verdict(len(problems), len(flaws) - len(problems)))
    if json_file:
        rows = [
            {"kind": flaw.kind, "problem": KINDS[flaw.kind].problem, "item": flaw.item, "detail": flaw.detail}
            for flaw in flaws
        ]
        found = {"name": reader.name, "layout": reader.layout, "images": len(reader)}
        write_json(json_file, found | {"problems": len(problems), "flaws": rows})
    return 1 if problems else 0


@command.command()
@click.argument("folder", type=FOLDER)
@click.option("--ratios", default="6:2:2", show_default=True, help="Train, val and test, or train and val.")
@seed_option
@click.option("--out", type=FOLDER, help="Folder for the lists; without it, nothing is written.")
@layout_option
@max_pixels_option
def split(folder: Path, ratios: str, seed: int, out: Path | None, layout: str, max_pixels: int | None) -> int:
    """Divide a data set into split lists, alike in number and size of targets."""
    from infraspot.data.splits import split_text
    from infraspot.data.splitting import stratified_split

    shares = _ratios(ratios)
    reader = _open(folder, max_pixels, layout=layout)
    inspections = list(_inspected(reader, "reading"))
    readable = [inspection for inspection in inspections if inspection.shape is not None]
    lists = dict(zip(SPLIT_NAMES[len(shares)], stratified_split(readable, shares, seed=seed), strict=True))
    known = {inspection.id: inspection for inspection in readable}
    table(
        ("split", "images", "without target", "targets", "median area"),
        [(name, *_described([known[member] for member in members])) for name, members in lists.items()],
    )
    if out is None:
        say("nothing was written; give --out DIR to keep these lists")
    else:
        paths = [out / f"{name}.txt" for name in lists]
        taken = [str(path) for path in paths if path.exists()]
        if taken:
            raise DataError(
                f"{', '.join(taken)} already there; choose another folder, so that nothing is lost"
            )
        texts = [split_text(members) for members in lists.values()]
        for path, text in zip(paths, texts, strict=True):
            write_text(path, text)
        say(f"-> {out}/{{{','.join(lists)}}}.txt; read them with --split {paths[0]}")
    return _report_unreadable(inspections)


@command.command()
@click.argument("folders", nargs=-1, required=True, type=FOLDER)
@click.option("--out", required=True, type=FOLDER, help="A new folder.")
@max_pixels_option
def merge(folders: Sequence[Path], out: Path, max_pixels: int | None) -> int:
    """Merge data sets into one, such as SIRST3 from its three parts. Equal names get a prefix."""
    from infraspot.data.conversion import merge_splits, merged
    from infraspot.data.store import write_dataset

    readers = [_open(folder, max_pixels) for folder in folders]
    rows = merged(readers)
    failures: list[str] = []
    samples = _readable(rows, failures)
    splits = merge_splits(readers, _split_or_none)
    ids = write_dataset(out, samples, splits=splits)
    prefixed = sum(reader.ids[index] != name for reader, index, name in rows)
    table(("source", "images"), [(reader.name, len(reader)) for reader in readers])
    images = counted(len(ids), "image")
    say(f"-> {out}: {images}, {prefixed} with a prefix; splits: {', '.join(splits) or 'none'}")
    if not splits:
        warn("no split is known in every source; make lists with 'infraspot data split'")
    return 1 if failures else 0


@command.command()
@click.argument("source", type=FOLDER)
@click.option(
    "--to",
    "form",
    required=True,
    type=click.Choice(["nuaa", "masks", "points", "boxes", "coco", "voc", "yolo"]),
    help="What to write: a whole set, masks alone, clicks, or boxes in one of four formats.",
)
@click.option("--out", required=True, type=FOLDER, help="A new folder.")
@click.option("--split", "split_name", help="Only this split.")
@click.option(
    "--points",
    type=click.Choice(["centroid", "coarse"]),
    default="centroid",
    show_default=True,
    help="Points made from masks: the centroid of each target, or a random pixel near it.",
)
@seed_option
@layout_option
@max_pixels_option
def convert(
    source: Path,
    form: str,
    out: Path,
    split_name: str | None,
    points: str,
    seed: int,
    layout: str,
    max_pixels: int | None,
) -> int:
    """Write a data set in another format, from the annotation that it has."""
    from infraspot.data.conversion import ROLES, Order
    from infraspot.data.conversion import convert as write_form

    reader = _open(source, max_pixels, layout=layout, split=split_name)
    if form == "masks" and not any(map(reader.has_mask, range(len(reader)))):
        warn(f"{reader.name} has no masks: boxes are filled, which makes targets larger than they are")
    found = {} if split_name else {role: _split_or_none(reader, role) for role in ROLES}
    splits = {role: part.ids for role, part in found.items() if part}
    rows = [(reader, index, name) for index, name in enumerate(reader.ids)]
    failures: list[str] = []
    samples = _readable(rows, failures)
    write_form(samples, form, out, splits=splits, order=Order(points, seed))
    say(f"-> {out}: {counted(len(rows) - len(failures), 'image')} as {form}")
    return 1 if failures else 0


@command.command()
@click.argument("folder", type=FOLDER)
@click.option("--split", "split_name", help="Only this split.")
@layout_option
@click.option("--json", "json_file", type=FOLDER, help="Also write the figures to this file.")
@click.option("--plot", type=FOLDER, help="Also draw histograms into this picture.")
@max_pixels_option
def stats(
    folder: Path,
    split_name: str | None,
    layout: str,
    json_file: Path | None,
    plot: Path | None,
    max_pixels: int | None,
) -> int:
    """Sizes, depths and brightness of the images; number, area and SCR of the targets."""
    if plot:
        require("report", "--plot")
    from infraspot.data.statistics import QUANTILES, draw_statistics, summarise

    reader = _open(folder, max_pixels, split=split_name, layout=layout)
    inspections = list(_inspected(reader, "reading", contrast=True))
    summary = summarise(inspections)
    say(f"{reader.name}: layout {reader.layout}" + (f", split {split_name}" if split_name else ""))
    table(("", "count"), [(name.replace("_", " "), summary[name]) for name in _COUNTS])
    say("bit depths: " + ", ".join(f"{bits} ({count})" for bits, count in summary["bit_depths"].items()))
    say(
        "commonest sizes: "
        + ", ".join(f"{size} ({count})" for size, count in summary["commonest_sizes"].items())
    )
    table(
        ("", "mean", *(f"{quantile:.0%}" for quantile in QUANTILES)),
        [(title, *_figures(summary[name])) for name, title in _DISTRIBUTIONS.items()],
    )
    if json_file:
        write_json(json_file, {"name": reader.name, "layout": reader.layout, "split": split_name, **summary})
    if plot:
        images, targets = counted(len(reader), "image"), counted(summary["targets"], "target")
        draw_statistics(inspections, plot, f"{reader.name}: {images}, {targets}")
    return _report_unreadable(inspections)


_COUNTS = (
    "images",
    "annotated",
    "without_target",
    "targets",
    "up_to_9_px",
    "10_to_81_px",
    "over_81_px",
    "sizes",
)
_DISTRIBUTIONS = {
    "width": "width / px",
    "height": "height / px",
    "brightness": "brightness",
    "deviation": "deviation",
    "targets_per_image": "targets an image",
    "area": "target area / px",
    "scr": "SCR",
}


def _open(folder: Path, max_pixels: int | None, **options: Any) -> "Reader":
    from infraspot.data import MAX_PIXELS, open_dataset

    return open_dataset(folder, max_pixels=max_pixels or MAX_PIXELS, **options)


def _inspected(reader: "Reader", what: str, *, contrast: bool = False) -> "Iterator[Inspection]":
    from infraspot.data.inspection import inspect_all

    yield from progress(inspect_all(reader, contrast=contrast), len(reader), what)


def _say_flaws(flaws: "Sequence[Flaw]") -> None:
    from infraspot.data.checking import KINDS

    groups = defaultdict(list)
    for flaw in flaws:
        groups[flaw.kind].append(flaw)
    for kind, members in groups.items():
        say(f"\n{kind}: {len(members)}" + ("" if KINDS[kind].problem else " (for information)"))
        for flaw in members[:SHOWN]:
            say(f"  {flaw.item}: {flaw.detail}")
        if len(members) > SHOWN:
            say(f"  ... and {len(members) - SHOWN} more; --json FILE lists all")
        say(f"  -> {KINDS[kind].mend}")
    if flaws:
        say()


def _verdict(problems: int, notes: int) -> str:
    remarks = f"; {counted(notes, 'remark')}" if notes else ""
    return f"sound{remarks}" if not problems else f"{counted(problems, 'problem')}{remarks}"


def _ratios(text: str) -> list[float]:
    try:
        shares = [float(part) for part in text.split(":")]
    except ValueError:
        shares = []
    if (
        len(shares) not in SPLIT_NAMES
        or not all(0 <= share < float("inf") for share in shares)
        or not sum(shares)
    ):
        raise UsageError(f"--ratios is {text!r}; expected two or three numbers such as 8:2 or 6:2:2")
    return shares


def _described(members: "Sequence[Inspection]") -> tuple[object, ...]:
    import numpy as np

    from infraspot.data.statistics import pooled

    areas = pooled(members, "areas")
    empty = sum(member.areas is not None and not len(member.areas) for member in members)
    return len(members), empty, len(areas), f"{np.median(areas):g}" if len(areas) else "-"


def _figures(distribution: dict[str, Any]) -> list[str]:
    if distribution["quantiles"] is None:
        return ["-"]
    return [f"{value:.4g}" for value in (distribution["mean"], *distribution["quantiles"])]


def _report_unreadable(inspections: "Sequence[Inspection]") -> int:
    for inspection in inspections:
        if inspection.shape is None:
            fail("; ".join(flaw.detail for flaw in inspection.flaws))
    return 1 if any(inspection.shape is None for inspection in inspections) else 0


def _readable(rows: "Sequence[tuple[Reader, int, str]]", failures: list[str]) -> "Iterator[Sample]":
    """Samples with their new ids; one that cannot be read is reported, added to ``failures`` and left out."""
    from infraspot.data.writing import check_id

    for reader, index, name in progress(rows, len(rows), "writing"):
        try:
            check_id(name)
            sample = reader[index]
        except InputError as error:
            fail(str(error))
            failures.append(name)
            continue
        yield sample.replace(id=name)


def _split_or_none(reader: "Reader", role: str) -> "Reader | None":
    from infraspot.data.reader import open_split

    try:
        return open_split(reader, role)
    except UsageError:
        return None
