"""The notice of a commit: who waits is woken, and nobody waits for what has been told of."""

from __future__ import annotations

import asyncio

from server.audit_log.commit_notice import CommitNotice
from tests.loops import in_loop

LONG = 3600.0


@in_loop
async def test_all_who_wait_are_woken_by_the_next() -> None:
    notice = CommitNotice()
    waiting = [asyncio.ensure_future(notice.after(notice.count, LONG)) for _ in range(3)]
    await asyncio.sleep(0)
    assert not any(each.done() for each in waiting)
    notice.tell()
    await asyncio.gather(*waiting)


@in_loop
async def test_what_is_told_of_between_a_look_and_the_wait_is_not_waited_for() -> None:
    notice = CommitNotice()
    before = notice.count
    notice.tell()
    await notice.after(before, LONG)
    again = asyncio.ensure_future(notice.after(notice.count, LONG))
    await asyncio.sleep(0)
    assert not again.done(), "what was told of before isn't told of again"
    again.cancel()


@in_loop
async def test_one_who_goes_away_takes_the_notice_from_nobody() -> None:
    notice = CommitNotice()
    goes, stays = (asyncio.ensure_future(notice.after(notice.count, LONG)) for _ in range(2))
    await asyncio.sleep(0)
    goes.cancel()
    await asyncio.sleep(0)
    notice.tell()
    await stays


@in_loop
async def test_a_wait_ends_with_its_time() -> None:
    notice = CommitNotice()
    await notice.after(notice.count, 0.01)
    await notice.after(notice.count, 0.0)
