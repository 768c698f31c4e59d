"""Detection over HTTP: the bytes of images come in, the JSON of ``infraspot detect`` goes out.

One frame is in work at a time, on all the threads of the engine; other requests wait in a short queue, and
what does not fit there is refused at once. So memory and the time of an answer are bounded, whatever is sent.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from infraspot.core.errors import InfraspotError, InputError
from infraspot.core.version import VERSION
from infraspot.data import Reading, open_frames, parse_raw
from infraspot.inference import Engine
from infraspot.inference.predictor import TargetEngine
from infraspot.inference.stream import NamedFile, StreamedFrame
from infraspot.jobs.detect import detect_in
from infraspot.serving.bodies import LONGEST_NAME, SentFile, files_of, is_form
from infraspot.serving.guard import Guard, read_body

RETRY = {"Retry-After": "1"}


@dataclass(frozen=True)
class Limits:
    """What one request may ask for.

    Attributes
    ----------
    max_body
        Bytes of a request.
    max_pixels, max_pages
        Of one image, and frames of one file.
    queue
        Requests that may be in work or wait.
    seconds
        Longest time from the first byte of a request to the start of its last frame.
    """

    max_body: int = 32 << 20
    max_pixels: int = 16_000_000
    max_pages: int = 100
    queue: int = 8
    seconds: float = 30.0


class LateError(InfraspotError):
    """The time of a request is over."""


class DetectionServer:
    """A detector behind a queue.

    Parameters
    ----------
    engine, threshold
        What :func:`infraspot.jobs.choosing.choose_engine` gives.
    limits
        What one request may ask for.
    worker
        Runs the work of the requests, one after the other.
    """

    def __init__(
        self, engine: Engine | TargetEngine, threshold: float, limits: Limits, worker: ThreadPoolExecutor
    ) -> None:
        self.engine, self.threshold, self.limits = engine, threshold, limits
        self.waiting = 0
        self._worker = worker
        self._reading = Reading(limits.max_pixels, limits.max_pages)
        self._metadata = {
            "model": engine.name,
            "version": VERSION,
            "threshold": threshold,
            "runs_on": getattr(engine, "runs_on", "the CPU"),
            "polarity": getattr(engine, "polarity", "bright"),
            "limits": asdict(limits),
            "card": engine.card,
        }

    async def health(self, request: Request) -> Response:
        """That the server answers, and how many requests are in work or wait."""
        return JSONResponse({"status": "ok", "waiting": self.waiting})

    async def metadata(self, request: Request) -> Response:
        """The model with its card, the threshold in force and the limits."""
        return JSONResponse(self._metadata)

    async def detect(self, request: Request) -> Response:
        """The record of a frame, or a list of records for a file of several pages or a form of files."""
        if self.waiting >= self.limits.queue:
            return _refusal(503, f"{self.waiting} requests wait already; try again in a second", RETRY)
        self.waiting += 1
        try:
            return await self._answer(request, time.monotonic() + self.limits.seconds)
        finally:
            self.waiting -= 1

    async def _answer(self, request: Request, deadline: float) -> Response:
        body = await read_body(request, self.limits.max_body, seconds=self.limits.seconds)
        if isinstance(body, Response):
            return body
        kind = request.headers.get("content-type", "")
        try:
            files = files_of(kind, body, request.query_params.get("name", "image")[:LONGEST_NAME] or "image")
            reading = self._reading_of(request)
            loop = asyncio.get_running_loop()
            records = await loop.run_in_executor(self._worker, self._detect, files, reading, deadline)
        except LateError as error:
            return _refusal(503, str(error), RETRY)
        except InfraspotError as error:
            return _refusal(422, str(error))
        several = is_form(kind) or len(records) > 1 or "page" in records[0]
        return JSONResponse(records if several else records[0])

    def _reading_of(self, request: Request) -> Reading:
        raw = request.query_params.get("raw")
        return self._reading if raw is None else replace(self._reading, raw=parse_raw(raw))

    def _detect(self, files: Sequence[SentFile], reading: Reading, deadline: float) -> list[dict[str, Any]]:
        """The record of each frame; a frame that cannot be used has its error in place of targets.

        Raises
        ------
        InputError
            If no frame can be used.
        LateError
            If the time is over before the last frame.
        """
        records: list[dict[str, Any]] = []
        failure: InfraspotError | None = None
        for file, item in _frames(files, reading):
            if time.monotonic() > deadline:
                raise LateError(
                    f"the request took more than {self.limits.seconds:g} s, {len(records)} of its frames are"
                    " done; send fewer frames at a time, or try again later"
                )
            try:
                if isinstance(item, InfraspotError):
                    raise item
                records.append(detect_in(item, self.engine, self.threshold).record())
            except InfraspotError as error:
                failure = failure or error
                records.append({"image": file.name, "error": str(error)})
        if failure is not None and all("error" in record for record in records):
            raise failure
        return records


def _frames(
    files: Sequence[SentFile], reading: Reading
) -> Iterator[tuple[SentFile, StreamedFrame | InputError]]:
    """Every frame of every file, or its error; nothing is read from the disk."""
    for file in files:
        # Raw pixels may begin like a PNG by chance.
        path = Path(file.name if reading.raw is None else "frames.raw")
        named = NamedFile(path, file.name, file.name)
        for key, frame in open_frames(named.path, reading, file.content):
            yield file, frame if isinstance(frame, InputError) else StreamedFrame(named, key.page, frame)


def make_app(server: DetectionServer, token: str, hosts: set[str] | None) -> ASGIApp:
    """The application: ``POST /detect``, ``GET /metadata`` and, without a token, ``GET /health``."""
    routes = [
        Route("/detect", server.detect, methods=["POST"]),
        Route("/metadata", server.metadata),
        Route("/health", server.health),
    ]
    app = Starlette(routes=routes, exception_handlers={HTTPException: _no_such_thing})
    hint = "send the one that `infraspot serve` printed, as `Authorization: Bearer TOKEN`"
    max_body = server.limits.max_body
    return Guard(app, token, hosts, max_body=max_body, hint=hint, open_paths=("/health",))


async def _no_such_thing(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    known = "POST /detect, GET /metadata and GET /health"
    return _refusal(error.status_code, f"there is nothing to {request.method} at this path; known: {known}")


def _refusal(status: int, sentence: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": sentence}, status, headers)
