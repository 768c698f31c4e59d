"""The help of every command, as a terminal of 80 columns shows it."""

from collections.abc import Iterator

import click
import pytest

from infraspot.cli.main import app, main
from infraspot.inference import DEFAULT_MODEL

Path = tuple[str, ...]


def all_commands(group: click.Group = app, path: Path = ()) -> Iterator[tuple[Path, click.Command]]:
    yield path, group
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from all_commands(command, (*path, name))
        else:
            yield (*path, name), command


COMMANDS = dict(all_commands())


@pytest.fixture
def shown(request, capsys, monkeypatch) -> str:
    monkeypatch.setenv("COLUMNS", "80")
    assert main([*request.param, "--help"]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("shown", COMMANDS, indirect=True, ids=" ".join)
def test_no_line_is_longer_than_the_terminal_and_none_is_cut(shown: str) -> None:
    lines = shown.splitlines()
    assert [line for line in lines if len(line) > 80] == []
    assert [line for line in lines if line.rstrip().endswith("...") and "Usage" not in line] == []


def has_default(option: click.Parameter) -> bool:
    """Whether it has a default that a user could want to know: no flag that is off, no empty list."""
    value = option.default
    return isinstance(option, click.Option) and isinstance(value, str | int | float) and value is not False


@pytest.mark.parametrize(
    ("shown", "path"), [(path, path) for path in COMMANDS], indirect=["shown"], ids=map(" ".join, COMMANDS)
)
def test_every_option_has_a_text_and_shows_its_default(shown: str, path: Path) -> None:
    text = " ".join(shown.split())
    options = [option for option in COMMANDS[path].params if isinstance(option, click.Option)]
    assert [option.name for option in options if not option.help] == []
    # The text of an option ends where that of the next one begins.
    starts = [*sorted(text.index(f" {option.opts[0]} ") for option in options), len(text)]
    for option in options:
        begin = text.index(f" {option.opts[0]} ")
        part = text[begin : next(start for start in starts if start > begin)]
        if has_default(option):
            assert "default: " in part.lower(), option.name


def test_a_group_names_every_command_with_its_whole_first_sentence(capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    main(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    for path, command in COMMANDS.items():
        if len(path) == 1:
            assert f" {path[0]} {command.get_short_help_str(1000)}" in text


def test_the_model_that_is_taken_unasked_is_named_wherever_one_may_be() -> None:
    for path in (("detect",), ("track",), ("serve",), ("rank",)):
        (model,) = (one for one in COMMANDS[path].params if one.name == "model")
        assert isinstance(model, click.Option)
        assert f"default: {DEFAULT_MODEL}" in (model.help or ""), path
