"""``infraspot serve``: a detector that answers over HTTP."""

import os
import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import click

from infraspot.cli.console import hear, say, warn
from infraspot.cli.detector import detector_options
from infraspot.core.errors import UsageError
from infraspot.core.extras import require

LOOPBACK = ("127.0.0.1", "localhost", "::1")
SHORTEST_TOKEN = 16
TOKEN_VARIABLE = "INFRASPOT_TOKEN"


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8766, help="Port; 0 takes a free one.")
@click.option("--host", default="127.0.0.1", help="Address of this machine to listen on; 0.0.0.0 takes all.")
@detector_options
@click.option("--max-body", type=click.IntRange(1, 1024), default=32, help="Largest request, in MiB.")
@click.option("--max-pixels", type=click.IntRange(1), default=16_000_000, help="Largest image, in pixels.")
@click.option("--max-pages", type=click.IntRange(1), default=100, help="Most frames of one file.")
@click.option("--queue", type=click.IntRange(1, 1000), default=8, help="Requests in work or waiting.")
@click.option(
    "--seconds", type=click.FloatRange(1, 3600), default=30, help="Longest time that a request may take."
)
def command(
    port: int,
    host: str,
    max_body: int,
    max_pixels: int,
    max_pages: int,
    queue: int,
    seconds: float,
    **options: Any,
) -> int:
    """Answer over HTTP: POST the bytes of an image, and get the JSON of `detect`.

    POST /detect takes a PNG, JPEG, BMP, TIFF, GIF, .npy, .npz or video; with ?raw=640x512:uint16 the bytes of
    raw frames; or a form of several files. One frame gives one record. A file of several pages and a form
    give a list, in which a frame that cannot be used has an error in place of targets. ?name=NAME names the
    image in the record. GET /metadata tells the model, its card and the limits; GET /health tells that the
    server answers.

    All but /health need the token, as `Authorization: Bearer TOKEN`. It is new at every start, unless the
    environment variable INFRASPOT_TOKEN holds one of 16 characters or more. Requests are not encrypted: where
    other machines reach the address, put a server that speaks TLS in front.

    Ctrl-C finishes the requests in work and stops.
    """
    require("serve", "`infraspot serve`")
    from infraspot.jobs.choosing import choose_engine
    from infraspot.serving.detection import DetectionServer, Limits, make_app
    from infraspot.serving.guard import loopback_hosts
    from infraspot.serving.listening import MOST_CONNECTIONS, listen, run_server

    token = _token()
    limits = Limits(max_body << 20, max_pixels, max_pages, queue, seconds)
    engine, threshold = choose_engine(**options, tell=hear)
    with listen(port, host) as listener, ThreadPoolExecutor(1) as worker:
        port = listener.getsockname()[1]
        local = host in LOOPBACK
        server = DetectionServer(engine, threshold, limits, worker)
        app = make_app(server, token, loopback_hosts(port) if local else None)
        if not local:
            warn(f"other machines reach {host}, and requests are not encrypted")
        say(f"{engine.name} at the threshold {threshold:g}, on {getattr(engine, 'runs_on', 'the CPU')}")
        say(f"token {f'as in {TOKEN_VARIABLE}' if TOKEN_VARIABLE in os.environ else token}")
        shown = f"[{host}]" if ":" in host else host
        say(f"detect at http://{shown}:{port}/detect   (Ctrl-C stops)")
        try:
            run_server(app, listener, limit_concurrency=MOST_CONNECTIONS)
        except KeyboardInterrupt:
            say("stopped")
    return 0


def _token() -> str:
    """A new token, or the one of the environment.

    Raises
    ------
    UsageError
        If that one is short, or cannot stand in a header.
    """
    given = os.environ.get(TOKEN_VARIABLE)
    if given is None:
        return secrets.token_urlsafe(16)
    if len(given) < SHORTEST_TOKEN or not given.isascii() or not given.isprintable() or " " in given:
        raise UsageError(
            f"expected {SHORTEST_TOKEN} or more printable ASCII characters without spaces in"
            f" {TOKEN_VARIABLE}; set it anew, or unset it, and a token is made"
        )
    return given
