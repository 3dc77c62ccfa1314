"""A port that a test names before something listens on it, and names again where that is started anew."""

from __future__ import annotations

import socket


def reserved_port() -> int:
    """A port of 127.0.0.1 that no other program is given for as long as this process lives.

    It is bound and not listened on: connections are refused until a server listens there, which may, as all of them
    allow addresses to be used again. A port that was merely found free would be anybody's until then.
    """
    holding = socket.socket()
    for option in socket.SO_REUSEADDR, socket.SO_REUSEPORT:
        holding.setsockopt(socket.SOL_SOCKET, option, 1)
    holding.bind(("127.0.0.1", 0))
    port: int = holding.getsockname()[1]
    holding.detach()
    return port
