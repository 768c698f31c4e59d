"""The socket of a server, and the loop that answers on it."""

import errno
import socket
from typing import Any

from infraspot.core.errors import UsageError

LOOPBACK = "127.0.0.1"
# Bytes of a request's line and headers, and connections at a time; what exceeds them is refused unread.
LONGEST_HEAD = 65_536
MOST_CONNECTIONS = 256


def listen(port: int, host: str = LOOPBACK) -> socket.socket:
    """A socket on an address of this machine; connections wait there from now on.

    Parameters
    ----------
    port
        0 takes any that is free.
    host
        IPv4 or IPv6 address, or a name of one; the loopback address is seen by this machine only.

    Raises
    ------
    UsageError
        If the port is taken, or the address is none of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends small answers at once (TCP_NODELAY) only where the socket names its protocol.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()
    except (OSError, UnicodeError, TypeError) as error:  # the latter two are of odd names
        listener.close()
        reason = getattr(error, "strerror", None) or error
        if getattr(error, "errno", None) == errno.EADDRINUSE:
            raise UsageError(f"port {port} is taken ({reason}); choose another one with --port") from error
        raise UsageError(
            f"cannot listen on {host!r}, port {port} ({reason}); choose another --host or --port"
        ) from error
    return listener


def run_server(app: Any, listener: socket.socket, **options: Any) -> None:
    """Answer until the process is told to end; requests in work are finished first.

    Parameters
    ----------
    app
        An ASGI application.
    listener
        What :func:`listen` gives.
    options
        More settings of ``uvicorn.Config``.
    """
    import uvicorn

    from infraspot.serving.connection import Connection

    config = uvicorn.Config(
        app,
        http=Connection,
        log_level="warning",
        timeout_keep_alive=30,
        h11_max_incomplete_event_size=LONGEST_HEAD,
        **options,
    )
    uvicorn.Server(config).run(sockets=[listener])
