"""What the site takes from the program when it is built: the help of every command, and the docstrings."""

import re
from collections.abc import Iterator
from typing import Any

import click
import griffe

PLACE = "<!-- commands -->"
COLUMNS = 90
ROLE = re.compile(r":(?:func|class|mod|meth|data|attr):`~?\.?([^`]+)`")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by mkdocs for each page: the page of the commands gets its content."""
    if PLACE not in markdown:
        return markdown
    from infraspot.cli.main import app

    return markdown.replace(PLACE, "\n".join(sections(app, "infraspot", None)))


def sections(command: click.Command, name: str, parent: click.Context | None) -> Iterator[str]:
    """A heading and the help of a command, and of every command below it."""
    settings = {"max_content_width": COLUMNS, "terminal_width": COLUMNS, **command.context_settings}
    context = click.Context(command, parent=parent, info_name=name, **settings)
    path = context.command_path
    yield f"{'#' * (1 + len(path.split()))} {path}\n\n```text\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            assert found is not None
            yield from sections(found, inner, context)


class PlainRoles(griffe.Extension):
    """Roles of Sphinx in docstrings, such as ``:func:`read_image```, become plain code."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        if obj.docstring:
            obj.docstring.value = ROLE.sub(r"`\1`", obj.docstring.value)
