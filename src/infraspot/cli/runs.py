"""``infraspot runs``: list, compare and delete run folders."""

import os
import time
from collections.abc import Sequence
from pathlib import Path

import click

from infraspot.cli.console import fail, say, table
from infraspot.cli.groups import CommandGroup
from infraspot.core.errors import DataError, InfraspotError, UsageError
from infraspot.core.extras import require
from infraspot.core.files import write_json
from infraspot.report.runs import RunRecord, find_runs, jsonable_run, read_run

FOLDER = click.Path(path_type=Path)


REPORT = click.option("--report", type=FOLDER, help="HTML file of the runs and their curves, offline.")


@click.group(cls=CommandGroup, invoke_without_command=True)
@REPORT
@click.pass_context
def command(context: click.Context, report: Path | None) -> int:
    """List, compare and delete what `infraspot train` wrote.

    With --report and without a command, the runs at or below the folder 'runs' are reported.
    """
    if context.invoked_subcommand is not None:
        if report is not None:
            raise UsageError(
                f"--report stands behind the command: runs {context.invoked_subcommand} --report"
            )
        return 0
    if report is None:
        raise click.exceptions.NoArgsIsHelpError(context)
    records, failed = _read(find_runs(Path("runs")))
    if not records:
        raise DataError("no run at or below runs; name their folder: infraspot runs list FOLDER --report")
    _report(report, records)
    return 1 if failed else 0


def _say_note(note: str | None) -> None:
    if note:
        say(note)


def _report(path: Path, records: Sequence[RunRecord]) -> None:
    from infraspot.report.run_report import write_run_report

    say(f"-> {write_run_report(path, records, _short_names([record.folder for record in records]))}")


@command.command("list")
@click.argument("folder", type=FOLDER, default="runs")
@click.option("--json", "json_file", type=FOLDER, help="File for every run with its recipe.")
@REPORT
def list_runs(folder: Path, json_file: Path | None, report: Path | None) -> int:
    """Show a line for each run at or below FOLDER ('runs' if not given): how far it is, and how good.

    The figures are those of the best epoch on val, by the recipe's own rule.
    """
    from infraspot.report.run_curves import HEAD, figures, note_of

    records, failed = _read(find_runs(folder))
    rows = [
        [
            _name(record, folder),
            record.option("network.name"),
            record.option("scheme.name"),
            record.option("train.seed"),
            "/".join("?" if count is None else str(count) for count in record.epochs),
            record.state,
            *figures(record.best),
            _age(record),
        ]
        for record in records
    ]
    if rows:
        head = ("run", "network", "scheme", "seed", "epochs", "state", *HEAD[3:], "")
        table(head, rows)
        _say_note(note_of(rows))
    elif not failed:
        say(f"no run at or below {folder}")
    if json_file:
        write_json(json_file, [jsonable_run(record) for record in records])
        say(f"-> {json_file}")
    if report and records:
        _report(report, records)
    return 1 if failed else 0


@command.command()
@click.argument("folders", type=FOLDER, nargs=-1, required=True)
@click.option("--plots", type=FOLDER, help="Folder for the curves and a page with all of it.")
@REPORT
def compare(folders: Sequence[Path], plots: Path | None, report: Path | None) -> int:
    """Show what runs differ in and how good each is. FOLDERS are run folders, or hold some."""
    from infraspot.report.run_curves import HEAD, figure_rows, note_of, option_rows, write_comparison

    if plots:
        require("report", "--plots")
    places = dict.fromkeys(place for folder in folders for place in find_runs(folder))
    records, failed = _read([*places])
    if not records:
        raise DataError(f"no run at or below {', '.join(map(str, folders))}")
    names = _short_names([record.folder for record in records])
    found = figure_rows(records, names)
    table(HEAD, found)
    _say_note(note_of(found))
    if rows := option_rows(records):
        say()
        table(["option", *names], rows)
    if plots:
        for path in write_comparison(plots, records, names):
            say(f"-> {path}")
    if report:
        _report(report, records)
    return 1 if failed else 0


@command.command()
@click.argument("folders", type=FOLDER, nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(folders: Sequence[Path], yes: bool) -> int:
    """Delete the run folders FOLDERS: the files that training wrote, and nothing else.

    A run in which a program trains is not deleted.
    """
    from infraspot.jobs.runs import delete_run

    if not yes:
        try:
            sure = click.confirm(f"Delete {', '.join(map(str, folders))}?", err=True)
        except click.Abort:
            sure = False
        if not sure:
            fail("nothing was deleted; --yes deletes without asking")
            return 1
    status = 0
    for folder in dict.fromkeys(folders):
        try:
            left = delete_run(folder)
        except InfraspotError as error:
            fail(str(error))
            status = max(status, error.exit_code)
            continue
        stays = f"; {', '.join(left)} stays, which training did not write" if left else ""
        say(f"deleted {folder}{stays}")
    return status


def _read(folders: Sequence[Path]) -> tuple[list[RunRecord], bool]:
    """The runs that can be read, and whether some cannot; those are named."""
    records, failed = [], False
    for folder in folders:
        try:
            records.append(read_run(folder))
        except InfraspotError as error:
            fail(str(error))
            failed = True
    return records, failed


def _name(record: RunRecord, place: Path) -> str:
    return record.folder.name if record.folder == place else record.folder.relative_to(place).as_posix()


def _short_names(folders: Sequence[Path]) -> list[str]:
    """The folders without what all of them begin with."""
    full = [folder.resolve() for folder in folders]
    shared = Path(os.path.commonpath([folder.parent for folder in full]))
    return [folder.relative_to(shared).as_posix() for folder in full]


def _age(record: RunRecord) -> str:
    """When the run last wrote something."""
    newest = max(path.stat().st_mtime for path in record.folder.iterdir() if path.is_file())
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(newest))
