"""Data directories that releases wrote, kept for ever: what is in each, and how one is made.

`python -m tests.formats.make VERSION` writes the one of the present code; a release does it once, and nothing changes
it afterwards. Its keys are made for it alone and open nothing else.
"""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import asdict, dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "data"
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Manifest:
    """What must be found in a directory."""

    events: dict[str, tuple[str, int, str]]
    """By uid: log_id, sequence, and the JSON that was sent."""
    page: tuple[str, list[str]]
    """The token of a second page of five, oldest first, and the uids on it."""
    place: dict[str, int]
    """A place of a watcher: log_id → sequence."""
    behind_place: list[str]
    """The uids behind it, in the order of the log."""
    lock: str
    certificates: list[str]
    """Serials."""
    role: str
    recorded: str
    """Session id of a finished recording."""
    custody_digest: str
    upload: str
    """Id of an upload that isn't finished."""
    durable: int
    """Bytes of it that are durable."""

    def encode(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self), indent=1)

    @staticmethod
    def decode(text: str | bytes) -> Manifest:
        """From JSON."""
        members = json.loads(text)
        members["events"] = {uid: tuple(event) for uid, event in members["events"].items()}
        members["page"] = tuple(members["page"])
        return Manifest(**members)


RECORDING = b"".join(b"line %d of a session\n" % number for number in range(400))
"""The bytes of both recordings."""


def pack(folder: Path, manifest: Manifest, archive: Path) -> None:
    """Write `data` of a folder and the manifest into an archive."""
    archive.parent.mkdir(exist_ok=True)
    with tarfile.open(archive, "w:xz", preset=9) as tar:
        info = tarfile.TarInfo(MANIFEST)
        content = manifest.encode().encode()
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
        tar.add(folder / "data", "data", filter=_without_owner)


def _without_owner(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = 0
    info.uname = info.gname = ""
    return info


def unpack(archive: Path, folder: Path) -> Manifest:
    """Put the data directory into a folder, as its owner's alone; gives what must be in it."""
    with tarfile.open(archive) as tar:
        # Later versions of Python ask for it, and 3.11 has it only since 3.11.4.
        careful = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        tar.extractall(folder, **careful)
    for path in ((folder / "data"), *(folder / "data").rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)
    return Manifest.decode((folder / MANIFEST).read_bytes())
