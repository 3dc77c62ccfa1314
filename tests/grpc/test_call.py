"""What a call keeps of its caller."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from rbac.formulas import ALWAYS, NEVER
from rbac.identities import Identity, IdentityKind
from server.errors import ResourceExhausted
from server.grpc_api import call as calls
from server.grpc_api.call import Call

ALICE = Identity(IdentityKind.USER, "alice", frozenset({"auditor"}))


class Context:
    """What a call asks of grpc's context."""

    def __init__(self) -> None:
        self.asked = 0
        self.sending = asyncio.Event()
        self.taken = asyncio.Event()

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        self.asked += 1
        return (("x-request-id", "r-1"),)

    def peer(self) -> str:
        return "ipv4:1.2.3.4:5"

    async def send_initial_metadata(self, _metadata: object) -> None:
        """Done when the other end takes something."""
        self.sending.set()
        await self.taken.wait()


def test_use_cases_are_given_the_identity_of_the_last_check() -> None:
    call = Call("/x.Y/Z", b"", Context())
    call.identity = ALICE
    first = call.access
    assert call.access is first
    call.identity = replace(ALICE, roles=frozenset())
    assert call.access.identity == call.identity
    assert (first.identity, first.peer) == (ALICE, "ipv4:1.2.3.4:5")


def test_use_cases_are_given_the_condition_of_the_last_check() -> None:
    call = Call("/x.Y/Z", b"", Context())
    call.identity = ALICE
    assert call.access.condition == ALWAYS
    call.condition = NEVER
    assert call.access.condition == NEVER


def test_a_call_without_a_caller_gives_no_access() -> None:
    with pytest.raises(RuntimeError):
        _ = Call("/x.Y/Z", b"", Context()).access


def test_what_checks_began_ends_once_with_the_call_the_last_first() -> None:
    call, ended = Call("/x.Y/Z", b"", Context()), []
    call.at_end(lambda: ended.append("first"))
    call.at_end(lambda: ended.append("second"))
    call.over()
    call.over()
    assert ended == ["second", "first"]


def test_the_metadata_is_asked_for_once() -> None:
    context = Context()
    call = Call("/x.Y/Z", b"", context)
    assert context.asked == 0
    assert call.metadata is call.metadata
    assert (context.asked, dict(call.metadata)) == (1, {"x-request-id": "r-1"})


def test_a_connection_that_takes_no_headers_is_waited_for_no_longer_than_for_messages(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(calls, "HEADERS_SECONDS", 0.01)
    call = Call("/x.Y/Z", b"", Context())
    call.patience_seconds = 0.01

    async def respond() -> None:
        await asyncio.wait_for(call.respond(b""), 20)

    with pytest.raises(ResourceExhausted):
        asyncio.run(respond())


def test_a_call_that_is_cut_ends_once_its_headers_are_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until then grpc takes no status."""
    monkeypatch.setattr(calls, "HEADERS_SECONDS", 20)

    async def cut() -> None:
        context = Context()
        responding = asyncio.create_task(Call("/x.Y/Z", b"", context).respond(b""))
        await context.sending.wait()
        responding.cancel()
        for _ in range(10):
            await asyncio.sleep(0)
        assert not responding.done()
        context.taken.set()
        with pytest.raises(asyncio.CancelledError):
            await responding

    asyncio.run(cut())
