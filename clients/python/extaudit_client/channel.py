"""A gRPC channel that takes up renewed certificates and sends a token, where there is one, with every call."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc

from extaudit_client.renewal import Lease, Renewal
from extaudit_client.token_file import with_token

_Open = Callable[[grpc.Channel], Any]


class RenewingChannel(grpc.Channel):
    """Looks like one channel, whatever there is behind it."""

    def __init__(self, renewal: Renewal[grpc.Channel], token_file: Path | None) -> None:
        self._renewal = renewal
        self._token_file = token_file

    def unary_unary(self, method: str, *serializers: Any, **more: Any) -> Any:
        """A method with one request and one response."""
        return _Single(self, lambda channel: channel.unary_unary(method, *serializers, **more))

    def unary_stream(self, method: str, *serializers: Any, **more: Any) -> Any:
        """A method with one request and a stream of responses."""
        return _Streaming(self, lambda channel: channel.unary_stream(method, *serializers, **more))

    def stream_unary(self, method: str, *serializers: Any, **more: Any) -> Any:
        """A method with a stream of requests and one response."""
        return _Single(self, lambda channel: channel.stream_unary(method, *serializers, **more))

    def stream_stream(self, method: str, *serializers: Any, **more: Any) -> Any:
        """A method with a stream of requests and one of responses."""
        return _Streaming(self, lambda channel: channel.stream_stream(method, *serializers, **more))

    def subscribe(self, callback: Callable[..., Any], try_to_connect: bool | None = False) -> None:
        """Tell of changes of the newest channel's state."""
        self._renewal.every()[-1].subscribe(callback, try_to_connect=bool(try_to_connect))

    def unsubscribe(self, callback: Callable[..., Any]) -> None:
        """Tell no more."""
        for channel in self._renewal.every():
            channel.unsubscribe(callback)

    def close(self) -> None:
        """Close everything; calls under way fail."""
        for channel in self._renewal.every():
            channel.close()

    def __enter__(self) -> RenewingChannel:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def take(self) -> Lease[grpc.Channel]:
        """Lend a channel for a call."""
        # Closed here and not where a call ends: that is told by a thread of the channel itself.
        for channel in self._renewal.ended():
            channel.close()
        return self._renewal.take()

    def give_back(self, lease: Lease[grpc.Channel]) -> None:
        """Say that a call has ended."""
        self._renewal.give_back(lease)

    def completed(self, options: dict[str, Any]) -> dict[str, Any]:
        """A call's options with the token."""
        return options if self._token_file is None else with_token(options, self._token_file)


class _Method:
    """A method; what it is on the channel that a call gets is made once for each channel."""

    def __init__(self, owner: RenewingChannel, open_on: _Open) -> None:
        self._owner = owner
        self._open_on = open_on
        self._made: tuple[Lease[grpc.Channel], Any] | None = None

    def _on(self, lease: Lease[grpc.Channel]) -> Any:
        made = self._made
        if made is None or made[0] is not lease:
            made = self._made = (lease, self._open_on(lease.channel))
        return made[1]


class _Single(_Method):
    """A method with one response, which a call waits for."""

    def __call__(self, request: Any, *values: Any, **options: Any) -> Any:
        return self._call(lambda method: method(request, *values, **self._owner.completed(options)))

    def with_call(self, request: Any, *values: Any, **options: Any) -> Any:
        """Give the response and the call."""
        return self._call(lambda method: method.with_call(request, *values, **self._owner.completed(options)))

    def _call(self, call: Callable[[Any], Any]) -> Any:
        lease = self._owner.take()
        try:
            return call(self._on(lease))
        finally:
            self._owner.give_back(lease)


class _Streaming(_Method):
    """A method with a stream of responses."""

    def __call__(self, request: Any, *values: Any, **options: Any) -> Any:
        lease = self._owner.take()
        try:
            call = self._on(lease)(request, *values, **self._owner.completed(options))
        except BaseException:
            self._owner.give_back(lease)
            raise
        if not call.add_callback(lambda: self._owner.give_back(lease)):
            self._owner.give_back(lease)
        return call
