"""The second half of the story: the storage comes into force, is lived with, and is left again."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

import extaudit_cli

from tests.demo.answers import beside, compare, same
from tests.demo.places import ADMINISTRATOR
from tests.demo.setting_up import Scene
from tests.demo.story import Otherwise

_SAMPLES: Final = Path(extaudit_cli.__file__).parent
_OWN_QUERY: Final = Path(__file__).with_name("own_query.py")
AS_COLLECTOR: Final = ("--profile", "collector")
AS_BOB: Final = ("--profile", "bob")
_JSON: Final = ("--output", "json")
_LINES: Final = ("--output", "jsonl")
_SENT: Final = ("--emitter", "collector")
_OWN: Final = {"session.upload", "external_audit_storage.enable"}
"""Types of the service's own events, beside those that begin with `extaudit.`."""
_SECONDS: Final = 120


class Life:
    """What was sent to which storage, and with which every answer is compared."""

    def __init__(self, scene: Scene) -> None:
        self.scene, self.story = scene, scene.story
        self.sent: dict[str, list[bytes]] = {}
        """By storage, lines of JSON as they were sent."""
        self.storage = self.events = self.recorded = ""
        """The storage's id, and bucket and prefix of its events and recordings, once it is in force."""
        self.recordings: dict[str, str] = {}
        """By session, SHA-256."""

    def emit(self, lines: Sequence[bytes], storage: str, *words: str) -> None:
        """Send these lines, which must all be taken in, for a storage."""
        told = json.loads(self.story.read("events", "emit", *words, *AS_COLLECTOR, *_JSON, lines=20))
        same({"accepted": len(lines), "refused": 0, "storage": storage}, told, "what is acknowledged")
        self.sent.setdefault(storage, []).extend(lines)

    def everything(self) -> list[bytes]:
        """All that was sent, wherever to."""
        return [line for lines in self.sent.values() for line in lines]

    def search(self, storage: str, expected: Iterable[bytes], *words: str, code: int = 0) -> None:
        """Search a storage for all that the collector sent; it must be these, byte for byte."""
        words = "events", "search", "--storage", storage, *_SENT, "--all", *words, *AS_BOB, *_LINES
        compare(self.story.read(*words, code=code), expected, f"a search of {storage}")

    def objects(self) -> dict[str, str]:
        """Every object of the long-term bucket with its ETag, as the account's administrator sees them."""
        pages = (
            self.scene.sandbox.client("s3").get_paginator("list_objects_v2").paginate(Bucket=self.events.split("/")[0])
        )
        return {item["Key"]: item["ETag"] for page in pages for item in page.get("Contents", ())}

    def wait(self) -> None:
        """Return once nothing waits for its storage any more."""
        deadline = time.monotonic() + _SECONDS
        while any(each["pending_events"] for each in json.loads(self.story.quiet("status", *_JSON))["storages"]):
            if time.monotonic() > deadline:
                raise Otherwise(f"after {_SECONDS} s not all is where it belongs")
            time.sleep(0.2)


def promotion(life: Life) -> None:
    """It comes into force."""
    scene, story = life.scene, life.story
    story.chapter(
        "The promotion",
        """Until now events stay with the service. Two more may do something: a collector, whose role lets it emit
        events and upload recordings and nothing else, and Bob, who audits: he may read all, and change nothing.""",
    )
    for name, role in {"collector": "importer", "bob": "auditor"}.items():
        scene.issue(name, role, name)
    story.tell("The collector sends three events, which are to show later where they went.")
    life.emit(_write(story.folder / "before.jsonl", "before", 3), "default", "--file", "before.jsonl")
    story.tell("The test passed a moment ago, so the draft may come into force. No restart, and no call waits for it.")
    promoted = json.loads(story.read("storage", "promote", "--yes", *_JSON, lines=12))
    life.storage = promoted["storage_id"]
    spec = promoted["spec"]
    life.events = spec["audit_events_long_term_uri"].removeprefix("s3://")
    life.recorded = spec["session_recordings_uri"].removeprefix("s3://")


def events(life: Life) -> None:
    """They go there."""
    life.story.chapter(
        "Events",
        """The collector goes on as before. Each event is on the service's disk before it is acknowledged, and the
        acknowledgement says where it belongs: to your account now.""",
    )
    lines = (_SAMPLES / "sample-events.jsonl").read_bytes().splitlines()
    life.emit([line for line in lines if line.strip()], life.storage, "--sample")
    life.story.tell(
        """Within a minute they are in the bucket, as Parquet; here within a second, so that you needn't wait. Until
        then they are in every search all the same."""
    )
    life.wait()
    life.story.run("status", says=[life.storage], lines=60)


def recordings(life: Life) -> None:
    """They go there as well."""
    life.story.chapter(
        "Recordings",
        """Three recorded sessions, in Teleport's own format. They go to S3 part by part, with a checksum for each, and
        come back byte for byte.""",
    )
    for file in sorted((_SAMPLES / "sample-recordings").glob("*.tar")):
        shutil.copy(file, life.story.folder)
        life.recordings[file.stem] = _sha256(file)
        life.story.run("recordings", "upload", file.name, "--session", file.stem, *AS_COLLECTOR, says=[life.storage])
    life.story.run("recordings", "list", "--recorded", *AS_BOB, says=list(life.recordings))
    session = min(life.recordings)
    life.story.run("recordings", "download", session, "--out", "back.tar", *AS_BOB)
    if _sha256(life.story.folder / "back.tar") != life.recordings[session]:
        raise Otherwise("the recording that came back is another one")
    life.story.tell(f"Its SHA-256 is that of the file that was uploaded: {life.recordings[session]}.")


def searches(life: Life) -> None:
    """Both engines find the same."""
    sent = life.sent[life.storage]
    life.story.chapter(
        "Searches",
        """The service reads the Parquet itself, over a cache, or has Amazon Athena find what is worth reading. Left to
        itself it chooses. Here each is asked for all that the collector sent, and the demo compares every byte.""",
    )
    for engine in ("scan", "athena"):
        life.search("active", sent, "--engine", engine, "--from", "2026-11-01", code=3)
    life.story.tell(
        f"""Each gave the {len(sent)} events, byte for byte. Both ended with 3, which says that the answer isn't
        complete: the active storage has been that for a minute only, and what the range has from before is elsewhere,
        as the last line says. Who names a storage, or searches all, isn't told so."""
    )
    logins = [line for line in sent if b'"event":"user.login"' in line]
    life.search(life.storage, logins, "--type", "user.login")


def own_query(life: Life) -> None:
    """Whoever owns the bucket needs no service."""
    life.story.chapter(
        "The same without the service",
        """It is your bucket. Whatever reads Parquet reads your events: Athena, Spark, DuckDB, or these lines of
        Python, with your own credentials and nothing of the service's.""",
    )
    folder = life.story.folder
    shutil.copy(_OWN_QUERY, folder)
    words = life.scene.sandbox.endpoint, life.scene.sandbox.region, life.events, life.recorded
    printed = life.story.run_script(folder / _OWN_QUERY.name, *words, environment={"AWS_PROFILE": ADMINISTRATOR})
    own = beside((folder / "own-query.jsonl").read_bytes(), life.sent[life.storage], "the bucket")
    if others := {json.loads(line)["event"] for line in own if b'"event":"extaudit.' not in line} - _OWN:
        raise Otherwise(f"the bucket has events that nobody sent: {', '.join(sorted(others))}")
    for session, digest in life.recordings.items():
        if f"{digest} {session}.tar" not in printed.decode():
            raise Otherwise(f"the recording of session {session} isn't in the bucket as it was uploaded")
    life.story.tell(
        f"""All {len(life.sent[life.storage])} events of the collector are there, each once and byte for byte, and so
        are the three recordings. The other {len(own)} are what the service tells of itself: who promoted
        the storage, who searched for what, and who downloaded which recording."""
    )


def taking_away(life: Life) -> None:
    """To watch, and to export."""
    life.story.chapter(
        "Watching and exporting",
        """Another system can have every event: as it comes, in the order in which the service acknowledged it, or as
        files. Both go on where they ended, also over a change of the storage.""",
    )
    words = "--since", "-1h", "--storage", "all", "--no-follow", *_SENT, "--place", "siem.json", *AS_BOB
    compare(life.story.read("events", "tail", *words, *_LINES), life.everything(), "a tail")
    life.wait()
    life.story.run("events", "export", "--out", "exported.jsonl", *_SENT, *AS_BOB)
    compare((life.story.folder / "exported.jsonl").read_bytes(), life.everything(), "an export")


def way_back(life: Life) -> None:
    """Nothing is lost by going."""
    story, before = life.story, life.objects()
    story.chapter("The way back", "The storage is disabled. Nothing in AWS is touched: what is there stays yours.")
    story.run("storage", "disable", "--yes", "--reason", "the demo is over", says=[life.storage])
    life.emit(_write(story.folder / "after.jsonl", "after", 3), "default", "--file", "after.jsonl")
    if changed := [name for name, tag in life.objects().items() if before.get(name, tag) != tag] or (
        before.keys() - life.objects().keys()
    ):
        raise Otherwise(f"in the bucket {', '.join(changed)} isn't as it was")
    story.tell("Every search still finds everything: here, there, and in both.")
    life.search("active", life.sent["default"], code=3)
    life.search("default", life.sent["default"])
    life.search(life.storage, life.sent[life.storage])
    life.search("all", life.everything())
    story.tell("Tail and export go on behind what they gave: they get the last three events, and no other again.")
    words = "--storage", "all", "--no-follow", *_SENT, "--place", "siem.json", *AS_BOB
    last = life.sent["default"][-3:]
    compare(story.read("events", "tail", *words, *_LINES), last, "the tail's second part")
    life.wait()
    story.run("events", "export", "--out", "exported.jsonl", *_SENT, *AS_BOB)
    compare((story.folder / "exported.jsonl").read_bytes(), life.everything(), "the whole export")
    story.run("storage", "history", says=["promote", "disable"])


def _write(file: Path, name: str, count: int) -> list[bytes]:
    """Events of the demo's own, in a file too."""
    lines = [
        json.dumps({"event": "user.login", "uid": f"{name}-{number}", "user": "mona", "time": _now()}).encode()
        for number in range(count)
    ]
    file.write_bytes(b"".join(line + b"\n" for line in lines))
    return lines


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


CHAPTERS: Final[tuple[Callable[[Life], None], ...]] = (
    promotion,
    events,
    recordings,
    searches,
    own_query,
    taking_away,
    way_back,
)
