"""From the file of a grid to the trainings that it stands for; every mistake is named before any of them."""

import tomllib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from infraspot.benchmark.papers import PAPERS
from infraspot.benchmark.settings import DataEntry, GridPart, NamedEntry, NetworkEntry
from infraspot.core.catalog import find, find_file
from infraspot.core.errors import InfraspotError, UsageError, unknown_name
from infraspot.metrics import PROTOCOLS
from infraspot.schemes import SCHEMES, Boxes
from infraspot.training import parts
from infraspot.training.checkpoint import RECIPE, differences
from infraspot.training.mistakes import describe
from infraspot.training.recipe import changed_table, find_recipe, load_recipe, parse_recipe, read_table
from infraspot.training.settings import DataPart, Recipe
from infraspot.training.sources import open_training, open_validation
from infraspot.weights.building import kind_of

PACKAGED = Path(__file__).parent.parent / "grids"
AXES = ("network", "scheme", "data")


@dataclass(frozen=True)
class Cell:
    """One training of a grid: what the tables call it, its recipe, and the name of its folder."""

    network: str
    scheme: str
    data: str
    seed: int
    recipe: Recipe

    @property
    def name(self) -> str:
        """Of the folder; also what the screen shows."""
        return "-".join((self.network, self.scheme, self.data, str(self.seed))).replace(" ", "_")


@dataclass(frozen=True)
class Grid:
    """A sound grid: its file and its cells, those of the first seed first."""

    part: GridPart
    cells: Sequence[Cell]


def find_grid(name: str | Path) -> Path:
    """The file that ``name`` means: a path, else a grid of the package such as ``smoke``.

    Raises
    ------
    UsageError
        If there is neither; the nearest packaged name is suggested.
    """
    return find_file("grid", name, {file.stem: file for file in sorted(PACKAGED.glob("*.toml"))})


def load_grid(
    name: str | Path,
    out: Path | None = None,
    *,
    only: Mapping[str, Collection[str]] | None = None,
    split: str | None = None,
    changes: Sequence[str] = (),
) -> Grid:
    """Read a grid and check all of it: the file, each network, scheme and data set, and what ``out`` holds.

    Parameters
    ----------
    only
        From ``network``, ``scheme`` or ``data`` to the labels that are wanted; the others are left out.
    split
        ``val`` or ``test``: takes the place of ``score.split``.
    changes
        Further changes to every recipe, such as ``"train.epochs=40"``.

    Raises
    ------
    UsageError
        Naming every mistake at once.
    """
    path = find_grid(name)
    part = _narrowed(_read(path), only or {}, split, changes)
    mistakes = [*_repeated(part), *_unknown(part)]
    base = _tried(mistakes, "runs", lambda: read_table(part.runs.recipe))
    if base is not None:
        mistakes += _wrong_entries(part)
    if not mistakes:
        cells = [_cell(part, *entries) for entries in _crossed(part)]
        mistakes = [*_wrong_data(part, cells), *_other_runs(cells, out)]
    if mistakes:
        raise UsageError(f"{path}: " + "; ".join(dict.fromkeys(mistakes)))
    return Grid(part, cells)


def _read(path: Path) -> GridPart:
    try:
        return GridPart.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        raise UsageError(f"{path}: " + "; ".join(describe(error, GridPart))) from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: expected a grid in TOML, and it cannot be read: {error}") from error


def _narrowed(
    part: GridPart, only: Mapping[str, Collection[str]], split: str | None, changes: Sequence[str]
) -> GridPart:
    """The grid without what is not wanted, and with changes."""
    updates: dict[str, Any] = {}
    for axis, wanted in only.items():
        if axis not in AXES:
            raise unknown_name("axis", axis, AXES)
        titles = {entry.title: entry for entry in getattr(part, axis)}
        absent = [label for label in wanted if label not in titles]
        if absent:
            raise unknown_name(axis, absent[0], titles)
        updates[axis] = [entry for title, entry in titles.items() if title in wanted]
    if "data" in only:
        updates["prediction"] = [row for row in part.prediction if row.data in only["data"]]
    if split is not None:
        updates["score"] = part.score.model_copy(update={"split": split})
    runs = part.runs.model_copy(update={"changes": [*part.runs.changes, *changes]})
    return part.model_copy(update=updates | {"runs": runs})


def _repeated(part: GridPart) -> Iterator[str]:
    """Labels that two entries of one axis share."""
    axes: dict[str, Sequence[NamedEntry | DataEntry]] = {
        "network": part.network,
        "scheme": part.scheme,
        "data": part.data,
    }
    for axis, entries in axes.items():
        for title, count in Counter(entry.title.replace(" ", "_") for entry in entries).items():
            if count > 1:
                yield f"{count} entries of [[{axis}]] are called {title!r}; give each a label of its own"
    for seed, count in Counter(part.runs.seeds).items():
        if count > 1:
            yield f"runs.seeds holds {seed} more than once"


def _unknown(part: GridPart) -> Iterator[str]:
    """Names of what is not there."""
    if part.about.paper is not None and part.about.paper not in PAPERS:
        yield f"about.paper: {unknown_name('table', part.about.paper, PAPERS)}"
    if part.score.protocol not in PROTOCOLS:
        yield f"score.protocol: {unknown_name('protocol', part.score.protocol, PROTOCOLS)}"
    titles = {entry.title: entry for entry in part.data}
    for k, row in enumerate(part.prediction):
        if row.data not in titles:
            yield f"prediction.{k}.data: {unknown_name('data set', row.data, titles)}"
        elif titles[row.data].table.get("merge") or not {"set", "path"} & titles[row.data].table.keys():
            yield f"prediction.{k}: predictions are scored on one data set that is read, and not on several"
        if not Path(row.folder).is_dir():
            yield f"prediction.{k}.folder: there is no folder {row.folder}"


def _wrong_entries(part: GridPart) -> list[str]:
    """What is wrong with each entry by itself, so that a mistake is named once and not in each cell.

    The first data set stands in while the others are checked, since a recipe needs none.
    """
    mistakes: list[str] = []
    for network in part.network:
        _tried(mistakes, f"network {network.title}", partial(_build_network, part, network))
    for scheme in part.scheme:
        _tried(mistakes, f"scheme {scheme.title}", partial(_build_scheme, part, scheme))
    for data in part.data:
        _tried(mistakes, f"data {data.title}", partial(_recipe, part, None, None, data))
    return mistakes


def _build_network(part: GridPart, network: NetworkEntry) -> None:
    """Build a network beside its recipe's scheme, or where that does not fit, beside the first that does."""
    own = read_table(network.recipe or part.runs.recipe).get("scheme", {"name": "full"})
    fitting = [scheme for scheme in part.scheme if _fit(network, scheme)]
    if not fitting:
        raise UsageError(
            "detectors of boxes are taught by the scheme boxes, and networks of masks by others; [[scheme]]"
            " has none that fits"
        )
    _build(part, network, None if _fit(network, NamedEntry.model_validate(own)) else fitting[0])


def _build_scheme(part: GridPart, scheme: NamedEntry) -> None:
    """Build a scheme beside the network of the grid's recipe, or the first of the grid that it can teach."""
    own = NamedEntry.model_validate(read_table(part.runs.recipe)["network"])
    fitting = [network for network in part.network if _fit(network, scheme)]
    _build(part, None if _fit(own, scheme) or not fitting else fitting[0], scheme)


def _build(part: GridPart, *entries: Any) -> None:
    """Build what is cheap to build: its options may have values that it refuses."""
    recipe = _recipe(part, *entries)
    if recipe.train.devices > 1:
        raise UsageError("train.devices is more than 1; a grid shares a machine by --jobs instead")
    parts.network_of(recipe.network)
    parts.build_scheme(recipe.scheme)
    parts.build_loss(recipe.loss)


def _wrong_data(part: GridPart, cells: Sequence[Cell]) -> list[str]:
    """Data sets that are not there, or lack a split."""
    mistakes: list[str] = []
    for entry in part.data:
        data = next(cell.recipe.data for cell in cells if cell.data == entry.title)
        for purpose, look in _looks(data, scored_split(part, data)).items():
            _tried(mistakes, f"data {entry.title}, {purpose}", look)
    return mistakes


def _looks(data: DataPart, scored: str) -> dict[str, Callable[[], Any]]:
    return {
        "to train on": lambda: _some(open_training(data)),
        "to select on": lambda: _some(open_validation(data, data.val_split)),
        "to score": lambda: _some(open_validation(data, scored)),
    }


def _some(frames: Sequence[Any]) -> None:
    if not len(frames):
        raise UsageError("there is no frame")


def scored_split(part: GridPart, data: DataPart) -> str:
    """The name of the split that is scored."""
    return data.val_split if part.score.split == "val" else data.test_split


def ranks_boxes(part: GridPart) -> bool:
    """Whether the grid's tables hold average precision: it is asked for, or a detector of boxes is there."""
    return part.score.boxes or any(kind_of(network.name) == "detector" for network in part.network)


def _other_runs(cells: Sequence[Cell], out: Path | None) -> Iterator[str]:
    """Runs of the folder that were begun with other recipes."""
    for cell in cells:
        place = None if out is None else out / "runs" / cell.name / RECIPE
        if place is None or not place.is_file():
            continue
        try:
            changed = differences(load_recipe(place), _resolved(cell.recipe, load_recipe(place)))
        except InfraspotError as error:
            yield f"{place}: {error}"
            continue
        if changed:
            yield f"{place.parent} was begun with another recipe ({', '.join(changed)}); choose another --out"


def _resolved(recipe: Recipe, begun: Recipe) -> Recipe:
    """The recipe with what a run decides for itself ("auto") taken from the one that was begun."""
    train = recipe.train.model_dump()
    decided = {name: getattr(begun.train, name) for name, value in train.items() if value == "auto"}
    return recipe.model_copy(update={"train": recipe.train.model_copy(update=decided)})


def _crossed(part: GridPart) -> Iterator[tuple[NetworkEntry, NamedEntry, DataEntry, int]]:
    """The first seed of everything, then the second, so that a table of all rows comes early.

    A scheme that cannot teach a network is left out beside it.
    """
    whole = product(part.runs.seeds, part.data, part.network, part.scheme)
    return ((n, m, d, s) for s, d, n, m in whole if _fit(n, m))


def _fit(network: NamedEntry, scheme: NamedEntry) -> bool:
    """Whether the scheme teaches such networks: ``boxes`` teaches detectors of boxes alone, and others not.

    Unknown names fit: they are mistakes of their own.
    """
    try:
        of_boxes = find("scheme", scheme.name, SCHEMES) is Boxes
        return (kind_of(network.name) == "detector") == of_boxes
    except UsageError:
        return True


def _cell(part: GridPart, network: NetworkEntry, scheme: NamedEntry, data: DataEntry, seed: int) -> Cell:
    recipe = _recipe(part, network, scheme, data, seed)
    return Cell(network.title, scheme.title, data.title, seed, recipe)


def _recipe(
    part: GridPart,
    network: NetworkEntry | None = None,
    scheme: NamedEntry | None = None,
    data: DataEntry | None = None,
    seed: int | None = None,
) -> Recipe:
    """The recipe of a cell; what is left out stays as the grid's recipe has it."""
    source = (network and network.recipe) or part.runs.recipe
    table = read_table(source)
    if network is not None:
        table["network"] = network.table
    if scheme is not None:
        table["scheme"] = scheme.table
    if data is not None:
        kept = {k: v for k, v in table.get("data", {}).items() if k not in ("set", "path", "merge")}
        table["data"] = kept | data.table
    entries = [entry for entry in (network, scheme, data) if entry is not None]
    changes = [*part.runs.changes, *(change for entry in entries for change in entry.changes)]
    changed_table(table, changes if seed is None else [*changes, f"train.seed={seed}"])
    return parse_recipe(table, str(find_recipe(source)))


def _tried(mistakes: list[str], place: str, act: Callable[[], Any]) -> Any:
    """What ``act`` gives; its error becomes a clause."""
    try:
        return act()
    except InfraspotError as error:
        mistakes.append(f"{place}: {error}")
        return None
