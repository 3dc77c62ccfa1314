"""Random sequences of what clients and fate do to uploads, against a model that is bytes and one key."""

from __future__ import annotations

import asyncio
import copy
import os
import random

import pytest

from server.errors import FailedPrecondition
from server.recordings.recording import UploadState
from tests.crash.forgetful_files import ForgetfulFiles
from tests.crash.log_under_test import StateFile
from tests.crash.upload_lives import Life, Model, Moment
from tests.uploads_under_test import NODE, OTHER_NODE, OTHER_SESSION, SESSION, access

ROUNDS = int(os.environ.get("EXTAUDIT_CRASH_ROUNDS", "10"))
SEED = int(os.environ.get("EXTAUDIT_CRASH_SEED", random.getrandbits(32)))
STEPS = 25
CONTENTS = [bytes(range(start, start + 90)) for start in (0, 100)]


class Clients:
    """Two identities that do one thing after the other, with one session or two, and ask what they may not."""

    def __init__(self, life: Life, dice: random.Random) -> None:
        self.life = life
        self.dice = dice

    async def act(self) -> None:
        """Do something."""
        uploads = self.life.model.uploads
        kind = self.dice.choices(["begin", "send", "break off", "complete", "abort", "confuse"], [3, 6, 3, 3, 1, 2])[0]
        if kind == "begin" or not uploads:
            owner, session = self.dice.choice([NODE, OTHER_NODE]), self.dice.choice([SESSION, OTHER_SESSION])
            if len(self.life.service.store.open()) < 8:
                await self.life.begin(owner, session, self.dice.choice(CONTENTS))
            return
        upload_id = self.dice.choice(list(uploads))
        if kind == "confuse":
            await self.confuse(upload_id)
        elif uploads[upload_id].answered is not UploadState.OPEN or uploads[upload_id].asked is not UploadState.OPEN:
            await self.again(upload_id)
        elif kind in ("send", "break off"):
            sizes = [self.dice.randint(1, 20) for _ in range(self.dice.randint(0, 3))]
            await self.life.send(upload_id, *sizes, leave=kind == "send")
        elif kind == "complete":
            await self.complete(upload_id)
        elif kind == "abort":
            await self.life.abort(upload_id)

    async def again(self, upload_id: str) -> None:
        """Ask once more for the end that was asked for: the answer is the same, and no byte is taken."""
        known = self.life.model.uploads[upload_id]
        upload = await self.life.service.uploads.get(access(known.owner), upload_id)
        if UploadState.ABORTED in (upload.state, known.asked):
            await self.life.abort(upload_id)
        elif not await self.complete(upload_id):
            return
        with pytest.raises(FailedPrecondition) as refused:
            await self.life.service.uploads.start(access(known.owner), known.session, upload_id)
        assert refused.value.reason == "UPLOAD_NOT_OPEN"

    async def complete(self, upload_id: str) -> bool:
        """Complete an upload; False if there is nothing of it."""
        known = self.life.model.uploads[upload_id]
        upload = await self.life.service.uploads.get(access(known.owner), upload_id)
        if upload.durable_offset:
            await self.life.complete(upload_id)
            return True
        with pytest.raises(FailedPrecondition):
            await self.life.service.complete(upload_id, who=known.owner)
        return False

    async def confuse(self, upload_id: str) -> None:
        """Ask for another's upload, or leave a gap."""
        known = self.life.model.uploads[upload_id]
        other = OTHER_NODE if known.owner == NODE else NODE
        with pytest.raises(Exception, match="there is no such upload"):
            await self.life.service.uploads.start(access(other), known.session, upload_id)
        if known.answered is UploadState.OPEN and known.asked is UploadState.OPEN:
            stream = await self.life.service.uploads.start(access(known.owner), known.session, upload_id)
            with pytest.raises(FailedPrecondition) as refused:
                await stream.write(stream.durable_offset + 1, b"gap")
            assert refused.value.reason == "CHUNK_GAP"
            await stream.close()


def kept_within(life_files: ForgetfulFiles, state: StateFile, model: Model, at: int) -> list[Moment]:
    """Will hold what a stop before the operation of this number leaves, if there is one."""
    kept: list[Moment] = []
    first = len(life_files.operations)

    def note(number: int, name: str) -> None:
        if number == first + at:
            kept.append(Moment(number, life_files.copy(), state.content(), copy.deepcopy(model)))

    life_files.before = note
    return kept


@pytest.mark.timeout(300 + 6 * ROUNDS)
def test_what_was_acknowledged_and_answered_survives_whatever_happens(state: StateFile) -> None:
    print(f"EXTAUDIT_CRASH_SEED={SEED}")
    dice = random.Random(SEED)
    for _ in range(ROUNDS):
        state.put()
        files, model, content, state_was_lost = ForgetfulFiles(), Model(), state.content(), False
        for _ in range(5):
            state.put(content if content[0] else None)
            kept = kept_within(files, state, model, dice.randint(1, 200))
            asyncio.run(_live(files, state, model, dice, state_was_lost=state_was_lost))
            content = state.content()
            for moment in kept:
                files, content, model = moment.files, moment.state, moment.model
            files = files.copy(power_loss=dice.random() < 0.5)
            state_was_lost = dice.random() < 0.2
            content = (b"", b"") if state_was_lost else content
        state.put(content if content[0] else None)
        asyncio.run(_check(files, state, model, state_was_lost=state_was_lost))


async def _live(
    files: ForgetfulFiles, state: StateFile, model: Model, dice: random.Random, *, state_was_lost: bool
) -> None:
    life = Life(files, state, model, state_was_lost=state_was_lost)
    await life.check()
    clients = Clients(life, dice)
    for _ in range(STEPS):
        await clients.act()
    await life.check()


async def _check(files: ForgetfulFiles, state: StateFile, model: Model, *, state_was_lost: bool) -> None:
    await Life(files, state, model, state_was_lost=state_was_lost).check()
