"""What can go wrong between the service and AWS."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

from tests.fault_proxy.exchange import Exchange
from tests.fault_proxy.messages import refusal


@dataclass(frozen=True)
class Late:
    """AWS hears of it so many seconds later."""

    seconds: float

    async def befall(self, exchange: Exchange) -> None:
        await exchange.body()
        await asyncio.sleep(self.seconds)
        await exchange.answer(await exchange.pass_on())


@dataclass(frozen=True)
class Refused:
    """AWS refuses it, and does nothing; with `done` it does it, and says this nevertheless."""

    code: str
    status: int
    done: bool = False

    async def befall(self, exchange: Exchange) -> None:
        if self.done:
            await exchange.pass_on()
        await exchange.answer(refusal(self.code, self.status))


@dataclass(frozen=True)
class CutRequest:
    """The connection is reset after so many bytes of the request's body; AWS does nothing."""

    after: int = 0

    async def befall(self, exchange: Exchange) -> None:
        await exchange.begin_body(self.after)
        await exchange.reset()


@dataclass(frozen=True)
class LostAnswer:
    """AWS does it; the connection is reset before anything of the answer comes."""

    async def befall(self, exchange: Exchange) -> None:
        await exchange.pass_on()
        await exchange.reset()


@dataclass(frozen=True)
class CutAnswer:
    """AWS does it; the connection is reset in the middle of the answer's body, or of its head where it has none."""

    async def befall(self, exchange: Exchange) -> None:
        answer = await exchange.pass_on()
        whole = answer.encode()
        await exchange.reset(whole[: len(whole) - max(1, len(answer.body) // 2)])


@dataclass(frozen=True)
class WrongBytes:
    """AWS does it; one byte in the middle of the answer's body is another. Checksums are left out if not `told`."""

    told: bool = True

    async def befall(self, exchange: Exchange) -> None:
        answer = await exchange.pass_on()
        body = bytearray(answer.body)
        body[len(body) // 2] ^= 1
        names = [name.lower() for name, _ in answer.head.headers if name.lower().startswith("x-amz-checksum-")]
        head = answer.head if self.told else answer.head.without("etag", *names)
        await exchange.answer(replace(answer, head=head, body=bytes(body)))


@dataclass(frozen=True)
class Meanwhile:
    """Somebody does something in AWS just before the request gets there."""

    act: Callable[[str], object]
    """Is given the request's path, with its query."""

    async def befall(self, exchange: Exchange) -> None:
        await exchange.body()
        await asyncio.get_running_loop().run_in_executor(None, self.act, exchange.target)
        await exchange.answer(await exchange.pass_on())
