"""As `watching`, for asyncio; and exports, whose reading ahead is done by threads for asyncio as well."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

import grpc

from extaudit_client.calling import Caller
from extaudit_client.diagnosis import explain
from extaudit_client.errors import ConnectionFailed, ExtauditError, from_rpc
from extaudit_client.patience import SILENCE_SECONDS
from extaudit_client.watching import Told, WatchedEvents, WatchProgress

Item = TypeVar("Item")
_END: Final = object()


async def async_watch(
    caller: Caller, progress: WatchProgress, told: Told | None, silence: float = SILENCE_SECONDS
) -> AsyncGenerator[WatchedEvents, None]:
    """Give every answer, and open another stream behind the last one whenever one breaks."""
    with caller.errors():
        while True:
            call = caller.stubs.audit_log.WatchEvents(progress.request())
            error: ExtauditError = ConnectionFailed("the stream of events ended")
            try:
                while True:
                    async with asyncio.timeout(silence):
                        response = await call.read()
                    if response is grpc.aio.EOF:
                        break
                    yield progress.note(response)
            except TimeoutError:
                error = ConnectionFailed(f"the service said nothing for {silence:.0f} s")
            except grpc.RpcError as failure:
                error = from_rpc(failure)
            finally:
                call.cancel()
            delay = progress.delay_after(error)
            if told is not None:
                told(error if isinstance(error, ConnectionFailed) else explain(error, caller.connection), delay)
            await asyncio.sleep(delay)


async def from_thread(begin: Callable[[], Generator[Item, None, None]]) -> AsyncGenerator[Item, None]:
    """Give what a generator gives that runs on a thread of its own, one item at a time."""
    loop = asyncio.get_running_loop()
    thread = ThreadPoolExecutor(1, thread_name_prefix="extaudit-export")
    items = await loop.run_in_executor(thread, begin)
    try:
        while (item := await loop.run_in_executor(thread, next, items, _END)) is not _END:
            yield item  # type: ignore[misc]
    finally:
        # Behind a read that is still under way.
        await asyncio.shield(loop.run_in_executor(thread, items.close))
        thread.shutdown(wait=False)
