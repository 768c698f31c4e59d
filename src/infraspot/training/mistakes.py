"""What is wrong with a recipe, in words."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError


def describe(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """One clause for each mistake; unknown options come with the nearest known one."""
    clauses = []
    for detail in error.errors():
        place = ".".join(str(key) for key in detail["loc"])
        if detail["type"] == "extra_forbidden":
            clauses.append(unknown_option(place, _fields(model, detail["loc"][:-1])))
        elif detail["type"] == "missing":
            clauses.append(f"{place} is missing")
        else:
            message = detail["msg"][0].lower() + detail["msg"][1:]
            clauses.append(f"{place} is {detail['input']!r}: {message}")
    return clauses


def unknown_option(place: str, known: Iterable[str]) -> str:
    """Clause for an option that does not exist."""
    known = sorted(known)
    near = get_close_matches(place.rpartition(".")[2], known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known) or 'none'}"
    return f"{place} is unknown, {hint}"


def misfits(
    place: str, make: Callable[..., Any], options: Mapping[str, Any], *, given: Iterable[str] = ()
) -> list[str]:
    """Clauses for the options that ``make`` does not take, and for those that it needs and lacks.

    ``given`` are parameters that the program fills in itself.
    """
    parameters = dict(inspect.signature(make).parameters)
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return []
    given = set(given)
    known = {name for name, parameter in parameters.items() if parameter.kind is not parameter.VAR_POSITIONAL}
    unknown = [
        unknown_option(f"{place}.{name}", known - given) for name in options if name not in known - given
    ]
    missing = [
        f"{place}.{name} is missing"
        for name in known - given - set(options)
        if parameters[name].default is inspect.Parameter.empty
    ]
    return unknown + sorted(missing)


def _fields(model: type[BaseModel], keys: Iterable[int | str]) -> list[str]:
    """The options of the table that a path leads to."""
    for key in keys:
        if isinstance(key, int):
            continue
        annotation = model.model_fields[str(key)].annotation
        found = [kind for kind in (annotation, *get_args(annotation)) if _is_model(kind)]
        if not found:
            return []
        model = found[0]
    return list(model.model_fields)


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
