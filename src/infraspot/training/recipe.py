"""Recipes: TOML files, one table a part, that say everything about a training run."""

import copy
import json
import tomllib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from infraspot.core.catalog import find_file, require_trust
from infraspot.core.errors import UsageError
from infraspot.inference.engines import locate
from infraspot.training.mistakes import describe
from infraspot.training.parts import wrong_options
from infraspot.training.settings import Recipe
from infraspot.weights.files import read_card

# The only copy of the recipes; the repository shows this folder to its readers.
PACKAGED = Path(__file__).parent.parent / "recipes"


# Parts and options that are no names; paths may hold colons.
IMPORTS_NOTHING: Any = {
    "data": True,
    "train": True,
    "network": {"start"},
    "negatives": {"path", "set"},
    "unlabelled": {"path", "set"},
    "second_look": True,
    "peaks": True,
    "scheme": {"teacher"},
}


def find_recipe(name: str | Path) -> Path:
    """The file that ``name`` means: a path, else a recipe of the package.

    A packaged recipe is named by its place in the folder of recipes, such as ``smoke`` or ``survey/fcnet``;
    a leading ``recipes/`` and the ending ``.toml`` may be there.

    Raises
    ------
    UsageError
        If there is neither; the nearest packaged name is suggested.
    """
    return find_file("recipe", name, packaged_recipes())


def packaged_recipes() -> dict[str, Path]:
    """The recipes of the package by name, such as ``smoke`` and ``survey/fcnet``."""
    files = sorted(PACKAGED.rglob("*.toml"))
    return {file.relative_to(PACKAGED).with_suffix("").as_posix(): file for file in files}


def load_recipe(name: str | Path, changes: Sequence[str] = ()) -> Recipe:
    """Read a recipe and apply changes such as ``"train.epochs=5"`` or ``"augment.0.size=96"``.

    Raises
    ------
    UsageError
        If the file is not TOML, or an option is unknown or has a wrong value; all of them are named at once.
    """
    return parse_recipe(changed_table(read_table(name), changes), str(find_recipe(name)))


def read_table(name: str | Path) -> dict[str, Any]:
    """The tables of a recipe, which is found as :func:`find_recipe` does; nothing in them is checked."""
    path = find_recipe(name)
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: expected a recipe in TOML, and it cannot be read: {error}") from error


def changed_table(table: dict[str, Any], changes: Sequence[str]) -> dict[str, Any]:
    """The tables with changes such as ``"train.epochs=5"`` made in place."""
    for change in changes:
        _apply(table, change)
    return table


def parse_recipe(table: Mapping[str, Any], source: str, trust: Collection[str] | None = None) -> Recipe:
    """Check a table against the recipe's parts and against the options of everything that it names.

    ``trust`` names the code outside infraspot that the table may import; None, for a recipe of the caller's
    own, allows everything.
    """
    try:
        recipe = Recipe.model_validate(table)
        if trust is not None:
            require_trust(recipe.model_dump(exclude=IMPORTS_NOTHING), trust, source)
    except ValidationError as error:
        mistakes = describe(error, Recipe) + _mistakes_beside(error, table)
    else:
        mistakes = wrong_options(recipe)
    if mistakes:
        raise UsageError(f"{source}: " + "; ".join(mistakes))
    return recipe


def _mistakes_beside(error: ValidationError, table: Mapping[str, Any]) -> list[str]:
    """Clauses for what :func:`wrong_options` finds in a table without the values that ``error`` names."""
    rest: Any = copy.deepcopy(dict(table))
    try:
        for *parents, last in {detail["loc"] for detail in error.errors()}:
            place = rest
            for key in parents:
                place = place[key]
            del place[last]
        return wrong_options(Recipe.model_validate(rest))
    except (ValidationError, LookupError, TypeError):  # a part that the others need is missing or no table
        return []


def changed_recipe(recipe: Recipe, changes: Sequence[str]) -> Recipe:
    """The same recipe with changes applied, as :func:`load_recipe` takes them."""
    return parse_recipe(changed_table(recipe.model_dump(exclude_none=True), changes), "the recipe of the run")


def started_recipe(
    recipe: Recipe, start: str, trust: Collection[str] = (), changes: Sequence[str] = ()
) -> Recipe:
    """The same recipe for the network of a weight file, whose weights it begins with.

    ``start`` is a weight file, a run folder or the name of a packaged model; ``trust`` names the code outside
    infraspot that the file may import. ``changes`` are those that were made to the recipe.

    Raises
    ------
    UsageError
        If the changes ask for another network than that of ``start``.
    """
    network = read_card(locate(start, "torch"), trust=trust)["network"]
    asked, given = recipe.network.name, network["name"]
    if asked != given and any(change.startswith("network.name=") for change in changes):
        raise UsageError(
            f"--start brings its network, {given}, and --set network.name asks for {asked}; leave one of"
            " them out"
        )
    options = {"name": network["name"], **network.get("options", {})}
    table = recipe.model_dump(exclude_none=True)
    table["network"] = options | {
        "pruned": network.get("widths", {}),
        "input": network.get("input", {}),
        "start": start,
    }
    return parse_recipe(table, f"the recipe with the network of {start}")


def to_toml(recipe: Recipe) -> str:
    """The whole recipe, defaults included, as TOML that :func:`load_recipe` reads back."""
    tables = []
    for name, part in recipe.model_dump(exclude_none=True).items():
        for item in part if isinstance(part, list) else [part]:
            head = f"[[{name}]]" if isinstance(part, list) else f"[{name}]"
            tables.append("\n".join([head, *(f"{key} = {as_toml(value)}" for key, value in item.items())]))
    return "\n\n".join(tables) + "\n"


def as_toml(value: Any) -> str:
    """A value as TOML; strings, numbers and booleans are written as in JSON."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {as_toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(as_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _apply(table: dict[str, Any], change: str) -> None:
    """Set one value in place; a number in the path is the position in a list."""
    keys, equals, text = change.partition("=")
    *parents, last = keys.strip().split(".")
    if not (equals and parents):
        raise UsageError(f"--set takes PART.OPTION=VALUE, such as train.epochs=5, and it is {change!r}")
    target: Any = table
    try:
        for key in parents:
            target = target[int(key)] if isinstance(target, list) else target.setdefault(key, {})
        target[int(last) if isinstance(target, list) else last] = _value(text.strip())
    except (ValueError, IndexError, AttributeError, TypeError):
        raise UsageError(f"--set {change}: the recipe has no place {keys.strip()!r}") from None


def _value(text: str) -> Any:
    """The value that TOML reads; text that is not TOML, such as ``cosine`` without quotes, is a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
