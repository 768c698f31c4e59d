"""What stands before a server: the token, the host, the origin and the size of a request are checked here."""

import asyncio
import hmac
import math
from collections.abc import Collection

from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Sent with every answer. Browsers then load scripts and pictures from this server alone, guess no types, and
# let no other site show the page in a frame.
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


SILENCE = 10.0  # seconds


class Guard:
    """Lets a request through that carries the token, and none that a foreign web page could have sent.

    Parameters
    ----------
    app
        Gets the requests that pass.
    token
        Expected as ``Authorization: Bearer TOKEN``, as ``?token=TOKEN`` or in the cookie.
    hosts
        Values of the header Host that pass; None takes any. On the loopback address it names that address
        only, so that no other name that resolves to us is served.
    max_body
        Bytes of the largest body; its length has to be sent with it.
    hint
        What to do about a wrong token; ends the sentence.
    cookie
        Name of the cookie that holds the token, for browsers. They send it unasked, so that a request that
        changes something must then name its origin, and that must be ours.
    open_paths
        Paths that need no token.
    """

    def __init__(
        self,
        app: ASGIApp,
        token: str,
        hosts: Collection[str] | None,
        *,
        max_body: int,
        hint: str,
        cookie: str | None = None,
        open_paths: Collection[str] = (),
    ) -> None:
        self.app, self.token, self.hosts, self.max_body = app, token, hosts, max_body
        self.hint, self.cookie, self.open_paths = hint, cookie, open_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        send = _with_headers(send)
        if scope["type"] == "http" and (refusal := self._refusal(Request(scope))):
            status, reason = refusal
            await JSONResponse({"error": reason}, status)(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _refusal(self, request: Request) -> tuple[int, str] | None:
        host = request.headers.get("host")
        if self.hosts is not None and host not in self.hosts:
            return 403, "this server answers on the loopback address only"
        if request.url.path not in self.open_paths and not self._knows_token(request):
            return 403, f"wrong or missing token; {self.hint}"
        if request.method == "GET":
            return None
        origin = request.headers.get("origin")
        ours = {f"http://{name}" for name in self.hosts or [host or ""]}
        if origin not in ours and (origin is not None or self.cookie is not None):
            return 403, "this request comes from another site"
        length = request.headers.get("content-length", "")
        if not (length.isascii() and length.isdigit()) or int(length[:20]) > self.max_body:
            return 413, f"expected a body of at most {self.max_body >> 20} MiB with its length"
        return None

    def _knows_token(self, request: Request) -> bool:
        kind, _, bearer = request.headers.get("authorization", "").partition(" ")
        given = bearer.strip() if kind.lower() == "bearer" else request.query_params.get("token")
        if not given and self.cookie is not None:
            given = request.cookies.get(self.cookie)
        return hmac.compare_digest((given or "").encode(), self.token.encode())


async def read_body(
    request: Request, max_body: int, *, silence: float = SILENCE, seconds: float | None = None
) -> bytes | JSONResponse:
    """The body of a request, or the refusal of one that is longer than it said, stops or breaks off.

    Parameters
    ----------
    max_body
        Bytes.
    silence
        Longest pause between two pieces of it, in seconds.
    seconds
        Longest time that all of it may take; None sets no limit.
    """
    data, clock = bytearray(), asyncio.get_running_loop()
    end = math.inf if seconds is None else clock.time() + seconds
    try:
        async with asyncio.timeout(None) as limit:
            limit.reschedule(min(clock.time() + silence, end))
            async for chunk in request.stream():
                data += chunk
                if len(data) > max_body:
                    return JSONResponse({"error": "the body is too large"}, 413)
                limit.reschedule(min(clock.time() + silence, end))
    except TimeoutError:
        late = f"within {seconds:g} s" if clock.time() >= end else f"further for {silence:g} s"
        return JSONResponse({"error": f"the body did not arrive {late}; send it again"}, 408)
    except ClientDisconnect:
        return JSONResponse({"error": "the body ended early"}, 400)
    return bytes(data)


def loopback_hosts(port: int) -> set[str]:
    """What a request to the loopback address of this machine names as its host."""
    return {f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")}


def _with_headers(send: Send) -> Send:
    """The same ``send``, with :data:`HEADERS` on every answer."""

    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(HEADERS)
        await send(message)

    return wrapped
