"""Random load on a service that may end at any moment, and what it acknowledged."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from extaudit_client import Acknowledgement, Client, ExtauditError, Position

WRITERS = 4
_DATES = ("2024-05-01", "2024-05-02", "2024-05-03")


class Writer:
    """Emits events of one type, one call after the other. Each event carries a key of its own, most also as its uid."""

    def __init__(self, event_type: str, name: str, seed: int) -> None:
        self.events: dict[str, bytes] = {}
        """All that were sent, acknowledged or not."""
        self.acknowledged: dict[str, Position] = {}
        self.with_uid: list[str] = []
        """Keys of the events that may be sent again."""
        self._type = event_type
        self._name = name
        self._dice = random.Random(seed)

    def write(self, client: Client) -> None:
        """Emit until the service is gone."""
        try:
            while True:
                if self._dice.random() < 0.5:
                    self._stream(client, self._some(), batch_size=self._dice.randint(1, 60))
                else:
                    for key in itertools.islice(self._some(), 20):
                        self._emit(client, key)
        except ExtauditError as error:
            if error.code != "UNAVAILABLE":
                raise

    def write_again(self, client: Client) -> None:
        """Emit every event that carries a uid once more, whatever became of it."""
        self._stream(client, list(self.with_uid), batch_size=500)

    def _some(self) -> Iterator[str]:
        """Keys of new events, with one of those before now and then."""
        for _ in range(self._dice.randint(1, 300)):
            if self.with_uid and self._dice.random() < 0.1:
                yield self._dice.choice(self.with_uid)
            else:
                yield self._new()

    def _new(self) -> str:
        key = f"{self._name}.{len(self.events)}"
        time = f"{self._dice.choice(_DATES)}T12:00:00.{self._dice.randrange(1000):03}Z"
        event = {"event": self._type, "time": time, "key": key, "padding": "x" * self._dice.randrange(500)}
        if self._dice.random() < 0.9:
            event["uid"] = key
            self.with_uid.append(key)
        self.events[key] = json.dumps(event).encode()
        return key

    def _emit(self, client: Client, key: str) -> None:
        answer = client.emit(self.events[key])
        self._note(key, Position(answer.log_id, answer.sequence))

    def _stream(self, client: Client, keys: Iterable[str], batch_size: int) -> None:
        sent: list[str] = []

        def events() -> Iterator[bytes]:
            for key in keys:
                sent.append(key)
                yield self.events[key]

        for answer in client.emit_stream(events(), batch_size, window=self._dice.randint(1, 8)):
            for index, position in _positions(answer):
                self._note(sent[index], position)

    def _note(self, key: str, position: Position) -> None:
        assert self.acknowledged.setdefault(key, position) == position, f"{key} was acknowledged twice"


def _positions(answer: Acknowledgement) -> Iterator[tuple[int, Position]]:
    """Index and position of each of the answer's events."""
    assert not answer.refused
    repeated = {item.index: Position(item.log_id, item.sequence) for item in answer.repeated}
    fresh = (sequence for first, last in answer.sequences for sequence in range(first, last + 1))
    for index in range(answer.first_index, answer.first_index + answer.count):
        yield index, repeated.get(index) or Position(answer.log_id, next(fresh))
    assert next(fresh, None) is None


class Load:
    """What several writers at once emit, with a type of event of its own."""

    def __init__(self, event_type: str, dice: random.Random) -> None:
        self.event_type = event_type
        self._writers = [Writer(event_type, f"{event_type}.{n}", dice.getrandbits(32)) for n in range(WRITERS)]

    @contextmanager
    def running(self, client: Client) -> Iterator[None]:
        """Emit all through the block, which must end the service."""
        with ThreadPoolExecutor(WRITERS) as threads:
            running = [threads.submit(writer.write, client) for writer in self._writers]
            yield
        for writer in running:
            writer.result()

    def send_again(self, client: Client) -> None:
        """Emit every event that carries a uid once more, whatever became of it."""
        for writer in self._writers:
            writer.write_again(client)

    def found(self, positions: Mapping[str, Position]) -> None:
        """Take these as acknowledged too: they are in the log, so whoever sends them again must be told these."""
        for writer in self._writers:
            writer.acknowledged |= {key: positions[key] for key in writer.events if key in positions}

    @property
    def events(self) -> dict[str, bytes]:
        """All that were sent, by key."""
        return {key: event for writer in self._writers for key, event in writer.events.items()}

    @property
    def acknowledged(self) -> dict[str, Position]:
        """Where each acknowledged event is, by key."""
        return {key: position for writer in self._writers for key, position in writer.acknowledged.items()}

    @property
    def progress(self) -> int:
        """How many are acknowledged by now; may be asked while it runs."""
        return sum(len(writer.acknowledged) for writer in self._writers)
