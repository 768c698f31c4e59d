"""The ``infraspot`` command: finds the subcommand, loads only it, and turns errors into sentences."""

import sys
from collections.abc import Sequence
from importlib import import_module

import click

from infraspot.cli.console import fail
from infraspot.cli.groups import CommandGroup
from infraspot.core.errors import InfraspotError, unknown_name
from infraspot.core.extras import extra_of, missing_extra
from infraspot.core.version import VERSION

COMMANDS = {
    "detect": "infraspot.cli.detect",
    "track": "infraspot.cli.track",
    "serve": "infraspot.cli.serve",
    "evaluate": "infraspot.cli.evaluate",
    "data": "infraspot.cli.data",
    "generate": "infraspot.cli.generate",
    "sky": "infraspot.cli.sky",
    "pseudo": "infraspot.cli.pseudo",
    "rank": "infraspot.cli.rank",
    "calibrate": "infraspot.cli.calibrate",
    "annotate": "infraspot.cli.annotate",
    "pretrain": "infraspot.cli.pretrain",
    "train": "infraspot.cli.train",
    "adapt": "infraspot.cli.adapt",
    "runs": "infraspot.cli.runs",
    "benchmark": "infraspot.cli.benchmark",
    "export": "infraspot.cli.export",
    "prune": "infraspot.cli.prune",
    "convert-weights": "infraspot.cli.convert_weights",
    "models": "infraspot.cli.models",
}

INTERRUPTED = 130


class LazyCommands(CommandGroup):
    """A command group whose members are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            raise unknown_name("command", cmd_name, COMMANDS)
        command: click.Command = import_module(COMMANDS[cmd_name]).command
        return command


@click.group(cls=LazyCommands, context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(VERSION, message="infraspot %(version)s")
def app() -> None:
    """Find, annotate, train on and measure infrared targets of 1 to 100 pixels."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status: 0 done, 1 something failed, 2 wrong usage."""
    try:
        status = app(args=arguments, prog_name="infraspot", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        fail("stopped; what was finished before is kept")
        return INTERRUPTED
    except InfraspotError as error:
        fail(str(error))
        return error.exit_code
    except ModuleNotFoundError as error:
        extra = extra_of((error.name or "").partition(".")[0])
        if extra is None:
            raise
        refusal = missing_extra(extra, "this command", [str(error.name)])
        fail(str(refusal))
        return refusal.exit_code
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except OSError as error:
        fail(f"{error.filename or 'the system'}: {error.strerror or error}")
        return 1
    return status if isinstance(status, int) else 0
