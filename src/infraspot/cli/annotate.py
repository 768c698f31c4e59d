"""``infraspot annotate``: the annotation page in the browser of this machine."""

import secrets
import webbrowser
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from infraspot.cli.console import fail, say, warn
from infraspot.cli.trust import trust_option
from infraspot.core.errors import counted, unknown_name
from infraspot.core.extras import require

if TYPE_CHECKING:
    from infraspot.web.background import Background, Proposer
    from infraspot.web.session import Session


@click.command()
@click.argument("frames")
@click.option("--out", help="Folder for the journal and exports; beside the images as NAME.annotation.")
@click.option("--recursive", is_flag=True, help="Read the subfolders of a folder as well.")
@click.option("--raw", metavar="FORM", help="What raw files hold: 640x512:uint16, 320x240:uint14:big:512.")
@click.option("--port", type=click.IntRange(1, 65535), default=8765, help="Port of the page.")
@click.option("--open/--no-open", "open_browser", default=True, help="Open the page in the browser.")
@click.option("--model", help="Proposes targets: packaged model, .onnx or .safetensors file, or run folder.")
@click.option(
    "--operating-point", help="Threshold of its proposals by name, such as quiet, balanced or keen."
)
@trust_option
@click.option("--queue", help="First the frames that the --json of `infraspot adapt` names, in its order.")
@click.option(
    "--level",
    default="auto",
    help="Boundary level that masks begin with: auto, preset:NAME, a file or a number.",
)
@click.option(
    "--import",
    "imported",
    help="First take targets in: results of `infraspot detect`, a data set, points, an export. With --no-open"
    " nothing else.",
)
@click.option("--export", "formats", help="Comma-separated formats to write, without starting the page.")
def command(
    frames: str,
    out: str | None,
    recursive: bool,
    raw: str | None,
    port: int,
    open_browser: bool,
    model: str | None,
    operating_point: str | None,
    trust: tuple[str, ...],
    queue: str | None,
    level: str,
    imported: str | None,
    formats: str | None,
) -> int:
    """Mark targets with one click each; every action is on disk before it is shown.

    A loop: `detect` finds, `annotate --import` takes that in to be corrected, `--export dataset` writes what
    `train --data` takes, and `annotate --model` proposes with what was trained.

    Masks follow the targets that you grow or shrink; `--export level` writes what was learned, for the
    `--level` of `annotate` and `pseudo`.

    FRAMES is a folder of images, stacks and videos, or one such file; each page is a frame of its own.

    The page answers on this machine only. Nothing is written into FRAMES. Stop with Ctrl-C and go on at any
    time; the journal keeps everything.
    """
    require("annotate", "`infraspot annotate`")
    from infraspot.data import Reading, parse_raw
    from infraspot.inference import DEFAULT_MODEL
    from infraspot.web.background import Background
    from infraspot.web.queue import queued, read_queue
    from infraspot.web.session import Session

    names = None if queue is None else read_queue(Path(queue))
    open_model = _open_model(model, operating_point, trust)
    images = Path(frames)
    place = Path(out) if out else images.with_name(f"{images.resolve().name}.annotation")
    reading = Reading(raw=None if raw is None else parse_raw(raw))
    session = Session(images, place, level, recursive, reading)
    with closing(session.journal):
        if names is not None:
            session.images, absent = queued(session.images, names)
            for name in absent:
                warn(f"{name}, which {queue} names, is not among these frames")
        for sentence in session.skipped:
            warn(sentence)
        if session.journal.notice:
            warn(session.journal.notice)
        status = _take_in(session, Path(imported)) if imported else 0
        if formats:
            return max(status, _export(session, formats))
        if imported and not open_browser:
            return status
        background = Background(session, open_model, start=model or DEFAULT_MODEL, trust=trust)
        return _serve(session, port, open_browser, background)


def _open_model(model: str | None, point: str | None, trust: Sequence[str]) -> "Callable[[], Proposer]":
    """What proposes targets; a model that was asked for is opened here, so that errors come at once."""
    from infraspot.inference import DEFAULT_MODEL
    from infraspot.jobs.choosing import choose_engine
    from infraspot.web.background import open_packaged

    if model is None and point is None:
        return open_packaged
    say(f"loading {model or DEFAULT_MODEL}")
    opened = choose_engine(model=model, operating_point=point, threads=1, trust=trust)
    return lambda: opened


def _take_in(session: "Session", path: Path) -> int:
    from infraspot.web.taking_in import take_in

    taken = take_in(session, path)
    say(taken.sentence)
    for problem in taken.problems:
        fail(problem)
    return 1 if taken.problems else 0


def _export(session: "Session", formats: str) -> int:
    from infraspot.web.transfer import EXPORTS

    wanted = [name.strip() for name in formats.split(",") if name.strip()]
    for name in wanted:
        if name not in EXPORTS:
            raise unknown_name("export format", name, EXPORTS)
    problems: dict[str, None] = {}
    for name in wanted:
        target = session.out / "export" / name
        exported = EXPORTS[name](session, target)
        say(f"{exported.sentence} -> {target}")
        problems |= dict.fromkeys(exported.problems)
    for problem in problems:
        fail(problem)
    return 1 if problems else 0


def _serve(session: "Session", port: int, open_browser: bool, background: "Background") -> int:
    from infraspot.serving.listening import listen, run_server
    from infraspot.web.server import make_app

    with listen(port) as listener:
        token = secrets.token_urlsafe(16)
        app = make_app(session, token, port, background)
        address = f"http://127.0.0.1:{port}/?token={token}"
        say(f"{counted(len(session.images), 'image')}; journal in {session.out}")
        say(f"annotate at {address}   (Ctrl-C stops)")
        background.start()
        if open_browser:
            webbrowser.open(address)
        try:
            run_server(app, listener)
        finally:
            background.stop()
    return 0
