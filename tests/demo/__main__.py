"""`python -m tests.demo`, or `make demo`: External Audit Storage from nothing to the way back, step by step."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.demo.in_force import CHAPTERS as IN_FORCE
from tests.demo.in_force import Life
from tests.demo.places import serving, shell
from tests.demo.setting_up import CHAPTERS as SETTING_UP
from tests.demo.setting_up import Scene
from tests.demo.story import Otherwise, Story
from tests.reserved_port import reserved_port
from tests.sandbox.running import Sandbox, running_sandbox

REGION = "us-west-2"


def main() -> int:
    """Tell the story; gives the exit code."""
    began = time.monotonic()
    try:
        with TemporaryDirectory(prefix="extaudit-demo-") as folder, running_sandbox(region=REGION) as sandbox:
            _tell(Path(folder), sandbox)
    except Otherwise as otherwise:
        sys.stdout.flush()
        print(f"\nThe demo is off: {otherwise}", file=sys.stderr)
        return 1
    print(f"All of this took {time.monotonic() - began:.0f} s, and nothing of it is left.")
    return 0


def _tell(folder: Path, sandbox: Sandbox) -> None:
    story = Story(folder, shell(folder, sandbox))
    story.tell(
        f"""This is the way to External Audit Storage: audit events and session recordings in your own AWS account.
        Everything below really runs, in {folder}: the commands, the service, TLS, tokens, policies. Only AWS is played
        by a sandbox, at {sandbox.endpoint}, which checks signatures, tokens and policies as AWS does
        (docs/aws-sandbox.md)."""
    )
    issuer = reserved_port()
    words = ["serve", "--data-dir", "data", "--grpc-listen", "127.0.0.1:0", "--http-listen", "127.0.0.1:0"]
    words += ["--http-public-listen", f"127.0.0.1:{issuer}", "--issuer-url", f"http://127.0.0.1:{issuer}"]
    words += ["--external-storage-region", REGION, "--aws-endpoint", sandbox.endpoint]
    words += ["--journal-cut-age-seconds", "1"]  # so that nobody waits for a minute
    story.chapter(
        "The service",
        """It has a public listener with the two documents by which AWS gets to know it as an OpenID Connect provider.
        It has no AWS key, and what AWS configuration there is around it doesn't count. In production the issuer is an
        https URL that AWS can reach.""",
    )
    story.show(*words)
    with serving(folder, dict(story.environment), words) as address:
        story.tell(f"It serves on {address}.")
        scene = Scene(story, sandbox, address)
        for chapter in SETTING_UP:
            chapter(scene)
        life = Life(scene)
        for part in IN_FORCE:
            part(life)


if __name__ == "__main__":
    sys.exit(main())
