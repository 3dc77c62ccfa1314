"""The process that makes pages ahead: `python -m server.page_process SOCKET`, begun by the service alone."""

from __future__ import annotations

import signal
import socket
import sys

from server.audit_log.search.page_worker import work
from server.grpc_api.row_encoding import encoded_rows
from server.warming import warm_up_rows


def main() -> None:
    """Work until the service is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    warm_up_rows()
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        work(connection, encoded_rows)


if __name__ == "__main__":
    main()
