"""`python -m tests.sandbox`: the sandbox as a process, on loopback, until it is told to stop."""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
from pathlib import Path

from moto.moto_server.werkzeug_app import MotoRequestHandler
from moto.utilities.utils import get_partition
from werkzeug.serving import make_server

from tests.sandbox.administration import make_administrator
from tests.sandbox.assembly import sandbox, unpatched

HOST = "127.0.0.1"


def main() -> None:
    """Serve."""
    options = _options()
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    application = unpatched() if options.unpatched else sandbox(options.issuer_ca, as_tls=options.as_tls)
    access_key, secret_key = make_administrator(options.account, get_partition(options.region))
    tls = (str(options.tls_cert), str(options.tls_key)) if options.tls_cert else None
    server = make_server(
        HOST, options.port, application, threaded=True, request_handler=MotoRequestHandler, ssl_context=tls
    )
    ready = {
        "endpoint": f"{'https' if tls else 'http'}://{HOST}:{server.server_port}",
        "access_key": access_key,
        "secret_key": secret_key,
        "account": options.account,
        "region": options.region,
        "pid": os.getpid(),
    }
    for number in (signal.SIGTERM, signal.SIGINT):
        # without the libraries' farewells: nothing is to be kept, and DuckDB tells at length what it leaves behind
        signal.signal(number, lambda *_: os._exit(0))
    if options.ready_file:
        _write(options.ready_file, json.dumps(ready))
    if options.explain:
        print(_explanation(ready), flush=True)
    server.serve_forever()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.sandbox", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="a free one where 0")
    parser.add_argument("--ready-file", type=Path, help="gets endpoint, keys, account, region and pid as JSON")
    parser.add_argument("--issuer-ca", type=Path, help="PEM file: who signs the certificates of token issuers")
    parser.add_argument("--account", default="123456789012")
    parser.add_argument("--region", default="us-west-2", help="of the administrator's keys and partition")
    parser.add_argument("--tls-cert", type=Path, help="PEM file; serves https, with --tls-key")
    parser.add_argument("--tls-key", type=Path)
    parser.add_argument("--as-tls", action="store_true", help="take plain requests for ones that came over TLS")
    parser.add_argument("--explain", action="store_true", help="print how to point programs at it")
    parser.add_argument("--unpatched", action="store_true", help="moto as it comes, to compare with")
    return parser.parse_args()


def _write(path: Path, text: str) -> None:
    beside = path.with_suffix(".part")
    beside.write_text(text)
    beside.replace(path)


def _explanation(ready: dict[str, object]) -> str:
    return f"""The AWS sandbox serves S3, Athena, Glue, IAM, KMS and STS of account {ready["account"]}, until Ctrl-C.
Its state is in memory. What differs from AWS: docs/aws-sandbox.md

For aws, boto3 and `extaudit` commands that act with your own AWS credentials:

  export AWS_ENDPOINT_URL={ready["endpoint"]}
  export AWS_ACCESS_KEY_ID={ready["access_key"]}
  export AWS_SECRET_ACCESS_KEY={ready["secret_key"]}
  export AWS_DEFAULT_REGION={ready["region"]}

For the service: extaudit serve --aws-endpoint {ready["endpoint"]}

Which actions it was asked for: curl -s {ready["endpoint"]}/_sandbox/calls"""


if __name__ == "__main__":
    main()
