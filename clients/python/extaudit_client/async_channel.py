"""As `channel`, for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc

from extaudit_client.renewal import Lease, Renewal
from extaudit_client.token_file import with_token


class AsyncRenewingChannel(grpc.aio.Channel):
    """Looks like one channel, whatever there is behind it."""

    def __init__(self, renewal: Renewal[grpc.aio.Channel], token_file: Path | None) -> None:
        self._renewal = renewal
        self._token_file = token_file
        self._closing: set[asyncio.Task[None]] = set()

    def unary_unary(self, method: str, *serializers: Any, **more: Any) -> Any:
        """A method with one request and one response."""
        return _Method(self, lambda channel: channel.unary_unary(method, *serializers, **more))

    def unary_stream(self, method: str, *serializers: Any, **more: Any) -> Any:
        """A method with one request and a stream of responses."""
        return _Method(self, lambda channel: channel.unary_stream(method, *serializers, **more))

    def stream_unary(self, method: str, *serializers: Any, **more: Any) -> Any:
        """A method with a stream of requests and one response."""
        return _Method(self, lambda channel: channel.stream_unary(method, *serializers, **more))

    def stream_stream(self, method: str, *serializers: Any, **more: Any) -> Any:
        """A method with a stream of requests and one of responses."""
        return _Method(self, lambda channel: channel.stream_stream(method, *serializers, **more))

    async def close(self, grace: float | None = None) -> None:
        """Close everything; calls under way fail after `grace` seconds."""
        await asyncio.gather(*self._closing, *(channel.close(grace) for channel in self._renewal.every()))

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        """The newest channel's state."""
        return self._newest.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        """Wait until the newest channel is in another state."""
        await self._newest.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        """Wait until the newest channel is connected."""
        await self._newest.channel_ready()

    async def __aenter__(self) -> AsyncRenewingChannel:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    @property
    def _newest(self) -> grpc.aio.Channel:
        return self._renewal.every()[-1]

    def take(self) -> Lease[grpc.aio.Channel]:
        """Lend a channel for a call."""
        for channel in self._renewal.ended():
            closing = asyncio.ensure_future(channel.close())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
        return self._renewal.take()

    def give_back(self, lease: Lease[grpc.aio.Channel]) -> None:
        """Say that a call has ended."""
        self._renewal.give_back(lease)

    def completed(self, options: dict[str, Any]) -> dict[str, Any]:
        """A call's options with the token."""
        return options if self._token_file is None else with_token(options, self._token_file)


class _Method:
    def __init__(self, owner: AsyncRenewingChannel, open_on: Callable[[grpc.aio.Channel], Any]) -> None:
        self._owner = owner
        self._open_on = open_on
        self._made: tuple[Lease[grpc.aio.Channel], Any] | None = None

    def __call__(self, *request: Any, **options: Any) -> Any:
        lease = self._owner.take()
        try:
            if self._made is None or self._made[0] is not lease:
                self._made = (lease, self._open_on(lease.channel))
            call = self._made[1](*request, **self._owner.completed(options))
        except BaseException:
            self._owner.give_back(lease)
            raise
        call.add_done_callback(lambda _: self._owner.give_back(lease))
        return call
