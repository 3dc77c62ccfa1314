"""Lives of uploads: what one does, what a stop at any moment leaves of it, and whether the next one finds everything.

The model is bytes and one key: each upload has the content that its owner wants to send, how much of it was
acknowledged, and what it was answered to have become.
"""

from __future__ import annotations

import asyncio
import copy
import hashlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

from rbac.identities import Identity
from server.recordings.recording import UploadState
from server.recordings.uploads.custody import Custody
from server.recordings.uploads.ending import place_of
from server.storage.recording_port import UploadPlace
from tests.crash.forgetful_files import ForgetfulFiles
from tests.crash.log_under_test import StateFile
from tests.memory_s3 import CloudedFiles
from tests.uploads_under_test import (
    NODE,
    OTHER_NODE,
    OTHER_SESSION,
    SESSION,
    S3UploadsUnderTest,
    UploadsUnderTest,
    access,
)

ENDED = frozenset({UploadState.COMPLETED, UploadState.KEPT_ASIDE, UploadState.REPEATED})


@dataclass
class ModelUpload:
    """What a client knows of its upload."""

    owner: Identity
    session: str
    content: bytes
    acknowledged: int = 0
    sent: int = 0
    answered: UploadState = UploadState.OPEN
    asked: UploadState = UploadState.OPEN
    """What it may have become though there was no answer: completed stands for all that completing may give."""


@dataclass
class Model:
    """All uploads by id, and what each session's recording was seen to be."""

    uploads: dict[str, ModelUpload] = field(default_factory=dict)
    recordings: dict[str, str] = field(default_factory=dict)
    """Session -> upload id."""


class Life:
    """One process's life on files and state, with the clients that talk to it."""

    def __init__(self, files: ForgetfulFiles, state: StateFile, model: Model, *, state_was_lost: bool = False) -> None:
        state.close()
        self.state_was_lost = state_was_lost
        self.model = model
        clouded = isinstance(files, CloudedFiles)
        self.service = (S3UploadsUnderTest if clouded else UploadsUnderTest)(files, state.engine)

    async def begin(self, owner: Identity, session: str, content: bytes) -> str:
        """Begin an upload; it is known from the answer on."""
        stream = await self.service.uploads.start(access(owner), session, "", with_sha256=owner is NODE)
        upload_id = stream.upload.upload_id
        self.model.uploads[upload_id] = ModelUpload(owner, session, content)
        await stream.close()
        return upload_id

    async def send(self, upload_id: str, *chunks: int, leave: bool = True) -> None:
        """Go on with an upload: chunks of these sizes, acknowledged together at the end."""
        known = self.model.uploads[upload_id]
        stream = await self.service.uploads.start(access(known.owner), known.session, upload_id)
        at = stream.durable_offset
        assert known.acknowledged <= at <= known.sent
        for size in chunks:
            data = known.content[at : at + size]
            if not data:
                break
            known.sent = max(known.sent, at + len(data))
            await stream.write(at, data)
            at += len(data)
        while (durable := stream.durable_offset) < at:
            durable = await stream.wait_durable(durable)
            known.acknowledged = max(known.acknowledged, durable)
        if leave:
            await stream.close()

    async def complete(self, upload_id: str) -> UploadState:
        """Complete an upload with what was sent."""
        known = self.model.uploads[upload_id]
        known.asked = UploadState.COMPLETED
        recording, state = await self.service.complete(upload_id, who=known.owner)
        assert known.answered in (UploadState.OPEN, state), "the answer to a repeated completion is another"
        known.answered = state
        if state is not UploadState.KEPT_ASIDE:
            assert self.model.recordings.setdefault(known.session, recording.upload_id) == recording.upload_id
        assert recording.aside == (state is UploadState.KEPT_ASIDE)
        return state

    async def abort(self, upload_id: str) -> None:
        """Give an upload up."""
        known = self.model.uploads[upload_id]
        known.asked = UploadState.ABORTED
        upload = await self.service.uploads.abort(access(known.owner), upload_id)
        assert upload.state is UploadState.ABORTED
        known.answered = UploadState.ABORTED

    async def check(self) -> None:
        """Everything that was acknowledged or answered is so."""
        await self.service.settling.look()
        await self._let_go_of_repeats()
        for upload_id, known in self.model.uploads.items():
            upload = await self.service.uploads.get(access(known.owner), upload_id)
            assert upload.session_id == known.session
            if known.answered is not UploadState.OPEN:
                assert upload.state is known.answered
            elif upload.state is not UploadState.OPEN:
                assert known.asked is upload.state or (known.asked is UploadState.COMPLETED and upload.state in ENDED)
            await self._check_content(upload_id, known, upload.state, upload.durable_offset)
        for session, upload_id in self.model.recordings.items():
            recording = await self.service.recordings.find(session)
            assert recording is not None
            assert recording.upload_id == upload_id, "a recording was replaced"

    async def _let_go_of_repeats(self) -> None:
        """What repeated a recording is known to the state alone, as nothing of it is kept: it may be lost with that."""
        for upload_id, known in list(self.model.uploads.items()) if self.state_was_lost else ():
            recording = await self.service.recordings.find(known.session)
            if known.asked is UploadState.COMPLETED and recording and recording.upload_id != upload_id:
                repeats = await self.service.content(recording) == known.content[: known.sent]
                if repeats and self.service.store.get(upload_id[:32]) is None:
                    del self.model.uploads[upload_id]

    async def _check_content(self, upload_id: str, known: ModelUpload, state: UploadState, durable: int) -> None:
        service = self.service
        assert known.acknowledged <= durable <= known.sent, "something acknowledged is gone"
        content = known.content[:durable]
        if state is UploadState.OPEN:
            row = service.store.get(upload_id[:32])
            assert row is not None
            assert service.storage.read_upload(place_of(row), 0, 2**20) == content
            return
        own = "" if state is UploadState.REPEATED else upload_id
        recording = await service.recordings.find(known.session, own)
        assert recording is not None
        assert recording.sha256 in ("", hashlib.sha256(content).hexdigest())
        assert recording.aside == (state not in (UploadState.COMPLETED, UploadState.REPEATED))
        if state is UploadState.ABORTED and isinstance(service.files, CloudedFiles):
            opened = [each for each in service.files.bucket.open.values() if each.metadata["upload"] == upload_id[:32]]
            kept = [b"".join(part for _, part in sorted(each.parts.items())) for each in opened]
            assert content in kept or not content, "S3 doesn't hold what was aborted"
        else:
            assert await service.content(recording) == content
        record = service.storage.custody(UploadPlace(known.session, recording.upload_id[:32]), aside=recording.aside)
        assert record is not None
        assert Custody.decode(record).sha256 == recording.sha256


async def life(it: Life) -> None:
    """Two identities, two sessions, every way that an upload can end, and one that doesn't.

    None sends all that it has: were one open again by mistake, more would come.
    """
    first = await it.begin(NODE, SESSION, bytes(range(70)))
    await it.send(first, 5, 6, 9)
    second = await it.begin(OTHER_NODE, SESSION, bytes(range(100, 130)))
    await it.send(second, 12)
    await it.send(first, 11, 29)
    await it.complete(first)
    await it.send(second, 3, leave=False)
    await it.complete(second)
    third = await it.begin(OTHER_NODE, SESSION, bytes(range(80)))
    await it.send(third, 30, 30)
    await it.complete(third)
    fourth = await it.begin(NODE, OTHER_SESSION, bytes(range(40)))
    await it.send(fourth, 12)
    await it.abort(fourth)
    fifth = await it.begin(NODE, OTHER_SESSION, bytes(range(50)))
    await it.send(fifth, 10)
    await it.send(fifth, 10, leave=False)


async def next_life(it: Life) -> None:
    """Look, go on with everything that is open, complete it, and look again."""
    await it.service.settling.look()
    await it.check()
    for upload_id, known in list(it.model.uploads.items()):
        upload = await it.service.uploads.get(access(known.owner), upload_id)
        if upload.state is UploadState.OPEN:
            await it.send(upload_id, 7, 100)
            if known.asked is UploadState.ABORTED:
                await it.abort(upload_id)
            else:
                await it.complete(upload_id)
    await it.check()


@dataclass(frozen=True)
class Moment:
    """What a stop just before one operation leaves."""

    operation: int
    files: ForgetfulFiles
    state: tuple[bytes, bytes]
    model: Model

    def after(self, *, power_loss: bool, without_state: bool = False) -> Moment:
        """The same, less what was not synced if the power went, and less the state database if that is lost too."""
        state = (b"", b"") if without_state else self.state
        return Moment(self.operation, self.files.copy(power_loss=power_loss), state, self.model)

    @property
    def digest(self) -> int:
        """Equal for moments after which everything is equal, but for a later loss of power."""
        return hash((self.files.digest(), self.state, repr(self.model)))


def moments(
    start: Moment | None,
    state: StateFile,
    act: Callable[[Life], Awaitable[None]],
    files: ForgetfulFiles | None = None,
) -> Iterator[Moment]:
    """Live from `start` (or from nothing), and give what a stop before each operation, or behind the last, leaves."""
    files = files or (start.files.copy() if start else ForgetfulFiles())
    state.put(start.state if start and start.state[0] else None)
    model = copy.deepcopy(start.model) if start else Model()
    found: list[Moment] = []

    def note(number: int, name: str) -> None:
        found.append(Moment(number, files.copy(), state.content(), copy.deepcopy(model)))

    async def live() -> None:
        await act(Life(files, state, model))

    files.before = note
    asyncio.run(live())
    note(len(files.operations) + 1, "end")
    files.before = lambda number, name: None
    state.close()
    return iter(found)


def distinct(found: Iterator[Moment]) -> Iterator[Moment]:
    """Each only once."""
    seen: set[int] = set()
    for moment in found:
        if moment.digest not in seen:
            seen.add(moment.digest)
            yield moment


def check_next_life(moment: Moment, state: StateFile) -> None:
    """Start again from what a stop left, go on, lose the power at the end, and look once more."""
    state.put(moment.state if moment.state[0] else None)
    model = copy.deepcopy(moment.model)
    files = moment.files.copy()

    async def live() -> None:
        await next_life(Life(files, state, model, state_was_lost=not moment.state[0]))
        await Life(files.copy(power_loss=True), state, model).check()

    asyncio.run(live())
