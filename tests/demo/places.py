"""Where the story takes place: a sandbox of AWS, an administrator's AWS configuration, and a service."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.demo.story import Otherwise
from tests.sandbox.running import Sandbox
from tests.started_process import start

_SECONDS = 120
ADMINISTRATOR = "administrator"
"""The administrator's profile in the AWS configuration."""


def shell(folder: Path, sandbox: Sandbox) -> dict[str, str]:
    """The environment of a shell: with an AWS configuration of the story's own, and nobody's but its profiles."""
    (folder / "aws-config").write_text(f"[profile {ADMINISTRATOR}]\nendpoint_url = {sandbox.endpoint}\n")
    (folder / "aws-credentials").write_text(
        f"[{ADMINISTRATOR}]\n"
        f"aws_access_key_id = {sandbox.admin_access_key}\naws_secret_access_key = {sandbox.admin_secret_key}\n"
    )
    (folder / "aws-credentials").chmod(0o600)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("EXTAUDIT_", "AWS_"))}
    return kept | {
        "PYTHONPATH": os.pathsep.join(sys.path),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "AWS_CONFIG_FILE": str(folder / "aws-config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(folder / "aws-credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@contextmanager
def serving(folder: Path, environment: dict[str, str], words: list[str]) -> Iterator[str]:
    """Run `extaudit serve` until the end of the block; gives its address once it serves.

    Raises:
        Otherwise: it doesn't begin to serve, or doesn't end in an orderly way.
    """
    ready, log = folder / "data" / "ready.json", folder / "serve.log"
    mine = {name: value for name, value in environment.items() if not name.startswith("AWS_")}
    with log.open("wb") as out:
        process = start(words, folder, mine, out=out.fileno())
    try:
        deadline = time.monotonic() + _SECONDS
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise Otherwise(f"the service doesn't begin to serve:\n{log.read_text(errors='replace')}")
            time.sleep(0.05)
        yield json.loads(ready.read_bytes())["grpc"]
        process.terminate()
        if process.wait(_SECONDS) != 0:
            raise Otherwise(f"the service didn't end in an orderly way:\n{log.read_text(errors='replace')}")
    finally:
        process.kill()
        process.wait(_SECONDS)
