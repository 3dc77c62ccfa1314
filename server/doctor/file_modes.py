"""Who may read and change the files, and whose they are."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from rbac.errors import PolicyError
from rbac.role_files import role_files_in
from rbac.writers import refusal_of
from server.certificates.modes import exposed_files, private_files
from server.doctor.data_at_hand import DataAtHand
from server.doctor.findings import Fact, Fault, Finding, Severity, Told
from server.regular_files import what_else

FOLDER_MISSING: Final = Fault(
    "data_directory_missing",
    Severity.ERROR,
    "There is no such data directory.",
    "Name the folder that `extaudit serve` uses with --data-dir, or start the server once, which makes it.",
)
MODE_OPEN: Final = Fault(
    "mode_open",
    Severity.ERROR,
    "Group or others have a right to what may only be its owner's; the server refuses to start.",
    "Take the right away: chmod 600 for a file, 700 for a folder. Then ask who may have read it: a key that others "
    "could read is to be replaced.",
)
OTHERS_CAN_WRITE: Final = Fault(
    "others_can_write",
    Severity.ERROR,
    "Others than the service's account and root can write what says who may do what: files of roles and their folder, "
    "the configuration, files of CAs or key sets. The server takes none that is so.",
    "Run `chmod go-w` on it, or `chown` it to root. Then read what it says: whoever could write it could give himself "
    "any right.",
)
OWNER_DIFFERS: Final = Fault(
    "owner_differs",
    Severity.ERROR,
    "A file belongs to another account than the data directory, so that the server may not be able to use it.",
    "Give it to the data directory's owner with chown. Run commands beside the server as the server's account.",
)
READY_FILE_STALE: Final = Fault(
    "ready_file_stale",
    Severity.NOTICE,
    "The ready-file tells of a server that isn't running: it was killed.",
    "Start the server; it puts a new one in its place.",
)
PART_LEFT: Final = Fault(
    "part_left",
    Severity.NOTICE,
    "A file that was being written when the service was stopped is still there.",
    "Start the server; it removes it.",
)
NOT_A_FILE: Final = Fault(
    "not_a_file",
    Severity.ERROR,
    "Where a file of the service belongs there is a FIFO, a socket, a device or a folder, which is never opened.",
    "Stop the server, move it away, and put the file back from a copy. Then ask who put it there: the folder is the "
    "service's alone.",
)

FAULTS: Final = (FOLDER_MISSING, MODE_OPEN, OTHERS_CAN_WRITE, OWNER_DIFFERS, NOT_A_FILE, READY_FILE_STALE, PART_LEFT)
_OF_FILES: Final = re.compile(r"lock|.+\.(?:key|crt|seg|uids|tar|json|db)", re.ASCII)
_TOP: Final = Path()


def check(at: DataAtHand) -> Told:
    """Look at modes, owners, and what a stop left."""
    directory = at.directory
    if not os.path.isdir(directory.path):
        yield FOLDER_MISSING.of(str(directory.path))
        return
    for exposed in exposed_files(directory.path):
        detail = f"has mode {exposed.mode:04o}"
        yield MODE_OPEN.of(exposed.name, detail, remedy=f"Run `{exposed.remedy}`. {_AFTER}")
    yield from _others_can_write(at)
    owner = directory.account
    looked_at = 0
    for name, path, _ in private_files(directory.path):
        if not path.exists():
            continue
        looked_at += 1
        if os.stat(path).st_uid != owner:
            yield OWNER_DIFFERS.of(name, f"belongs to user {os.stat(path).st_uid}, the data directory to {owner}")
    yield from _no_files(directory.path)
    yield Fact("files", looked_at)
    served = at.is_served()
    yield Fact("server", {True: "running", False: "not running", None: "unknown"}[served])
    if served is False:
        ready = at.config.ready_file or directory.ready_file
        if ready.exists():
            yield READY_FILE_STALE.of(ready.name)
        for part in sorted(directory.identity.glob("*.part")):
            yield PART_LEFT.of(f"{directory.identity.name}/{part.name}")


def _others_can_write(at: DataAtHand) -> Iterator[Finding]:
    account = at.directory.account
    for path in _deciding(at):
        with suppress(OSError):  # what isn't there or can't be read is told by the check that it is for
            found = os.stat(path)
            if refusal := refusal_of(path, found, account):
                command = "chown root" if found.st_uid not in (0, account) else "chmod go-w"
                remedy = f"Run `{command} {shlex.quote(str(path.absolute()))}`. {_THEN_READ}"
                yield OTHERS_CAN_WRITE.of(str(path), refusal, remedy=remedy)


def _deciding(at: DataAtHand) -> Iterator[Path]:
    """Every file and folder that says who may do what."""
    if at.config_file is not None:
        yield at.config_file
    roles = at.config.roles_dir or at.directory.roles
    yield roles
    with suppress(PolicyError):
        yield from role_files_in(roles)
    yield from (*at.config.grpc.host_ca, *at.config.grpc.user_ca)
    for issuer in at.config.grpc.token_issuers:
        yield from filter(None, (issuer.jwks_file, issuer.jwks_ca))


def _no_files(folder: Path) -> Iterator[Finding]:
    """What lies where a file belongs. Of most only the kind is looked at: there may be very many."""
    left = [folder]
    while left:
        with suppress(FileNotFoundError), os.scandir(left.pop()) as entries:
            for entry in entries:
                name = Path(entry).relative_to(folder)
                if entry.is_dir() and not _OF_FILES.fullmatch(entry.name):
                    if not entry.is_symlink() or name.parent == _TOP:  # a link from below may lead round in a circle
                        left.append(Path(entry))
                elif not entry.is_file():
                    with suppress(FileNotFoundError):
                        yield NOT_A_FILE.of(str(name), f"is {what_else(entry.stat().st_mode)}")


_AFTER = "Then ask who may have read it: a key that others could read is to be replaced."
_THEN_READ = "Then read what it says: whoever could write it could give himself any right."
