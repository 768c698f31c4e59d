"""Groups of commands, whose help says what each command does without cutting it."""

import click

# Longer than any first sentence of a command's help.
WHOLE = 1000


class CommandGroup(click.Group):
    """A group that lists its commands with their whole first sentence, wrapped to the terminal."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        lines = [(name, one.get_short_help_str(WHOLE)) for name, one in rows if one is not None]
        with formatter.section("Commands"):
            formatter.write_dl(lines)
