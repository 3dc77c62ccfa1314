"""Reads a recording as it comes: bytes go in, items come out, and no more is held than one record and one step.

Where the next part begins is told by the header of the one before. Only where that turns out wrong is a header looked
for by sight, and what such a part holds is marked as doubtful.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain

from server.recordings.format.gzip_member import BadMember
from server.recordings.format.items import Damage, EncryptedPart, Summary
from server.recordings.format.limits import Limits
from server.recordings.format.part_header import (
    IN_SIGHT_BYTES,
    LEAST_MEMBER_BYTES,
    SIZES,
    VERSION_BYTES,
    find_header,
    parse_header,
    version_of,
)
from server.recordings.format.part_reader import GivenUp, PartReader
from server.recordings.format.recorded_event import RecordedEvent
from server.recordings.format.tally import Tally

Item = RecordedEvent | Damage | EncryptedPart | Summary

_STEP = 1 << 14
_KEPT = 1 << 13
"""Bytes of a part's content that are kept to look at again should it fail."""
_READ_AGAIN = 1 << 20
"""How many bytes of failed parts are looked at again, beside a quarter of all."""


def read_recording(chunks: Iterable[bytes], limits: Limits | None = None) -> Iterator[Item]:
    """Read a recording whole; the last item is its Summary. Raises nothing of its own, whatever the bytes are."""
    reader = RecordingReader(limits)
    for chunk in chunks:
        yield from reader.feed(chunk)
    yield from reader.finish()


class RecordingReader:
    """Reads one recording, in chunks of any size.

    Give `feed` each chunk and take all items that it gives before the next, then those of `finish`. Beside the chunk it
    holds one record and 256 KiB. Whatever the bytes are, no error is raised.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._tally = Tally(self._limits.told_damages)
        self._waiting = bytearray()
        self._position = 0
        """Where in the recording `_waiting` begins."""
        self._left = 0
        """Bytes of the payload, or of what is passed over, that are still to come."""
        self._padding = 0
        self._finishing = False
        self._state: Callable[[], Iterator[Item] | None] = self._header
        self._part_at = 0
        self._part = PartReader(self._limits, self._tally, 0)
        self._recent = b""
        self._read_again = 0
        self._by_sight = False
        self._strange = ""
        """What to say when other bytes than zeros are passed over; empty if nothing is."""

    def feed(self, data: bytes) -> Iterator[Item]:
        """Take the next bytes of the recording and give the items that they complete."""
        for start in range(0, len(data), _STEP):
            step = data[start : start + _STEP]
            self._tally.bytes += len(step)
            self._waiting += step
            yield from self._run()

    def finish(self) -> Iterator[Item]:
        """Say that there are no more bytes; gives what is left, and the Summary as the last item."""
        self._finishing = True
        yield from self._run()
        while self._state == self._payload:
            yield from self._failed("the recording ends inside a part's content")
            self._left, self._padding = len(self._waiting), 0
            yield from self._run()
        yield from self._end()
        yield self._tally.summary()

    def _run(self) -> Iterator[Item]:
        while (items := self._state()) is not None:
            yield from items

    def _take(self, size: int) -> bytes:
        data = bytes(self._waiting[:size])
        del self._waiting[:size]
        self._position += len(data)
        return data

    # Each state gives None when it needs more bytes, and else has taken a step.

    def _header(self) -> Iterator[Item] | None:
        if len(self._waiting) < VERSION_BYTES:
            return None
        version = version_of(self._waiting)
        length = SIZES.get(version)
        if length is None:
            return self._nonsense(_no_header(version))
        if len(self._waiting) < length:
            return None
        header = parse_header(self._waiting)
        if max(header.size, header.padding) > self._limits.part_bytes:
            return self._nonsense("a part's header names a size beyond the limit")
        if 0 < header.size < LEAST_MEMBER_BYTES and not header.encrypted:
            return self._nonsense("a part's header names a size that no content has")
        self._part_at = self._position
        # Where bytes of this header were lost, the next one may begin inside it.
        again = self._take(length)[1:]
        self._tally.begin_part()
        self._part = PartReader(self._limits, self._tally, self._tally.parts, self._part_at, doubtful=self._by_sight)
        self._left, self._padding, self._recent, self._strange = header.size, header.padding, again, ""
        if header.size and not header.encrypted:
            self._state = self._payload
            return iter(())
        self._give_back(again)
        self._state = self._rest
        if not header.size:
            return iter(())
        self._tally.encrypted_parts += 1
        return iter((EncryptedPart(self._part_at, self._tally.parts, header.size),))

    def _nonsense(self, reason: str) -> Iterator[Item]:
        self._state = self._search
        told = self._tally.damage(self._position, 0, reason)
        self._take(1)  # so that what was refused here isn't found again
        return told

    def _search(self) -> Iterator[Item] | None:
        """Look for a header by sight, however far away."""
        found = find_header(self._waiting, self._limits.part_bytes)
        if found >= 0:
            self._take(found)
            self._by_sight = True
            self._state = self._header
            return iter(())
        self._take(max(len(self._waiting) - IN_SIGHT_BYTES + 1, 0))
        return None

    def _payload(self) -> Iterator[Item] | None:
        if not self._left:
            return self._failed("a part's content goes on beyond the size in its header")
        if not self._waiting:
            return None
        packed = self._take(min(self._left, _STEP))
        self._left -= len(packed)
        self._recent = self._recent[-_KEPT:] + packed
        return self._payload_step(packed)

    def _payload_step(self, packed: bytes) -> Iterator[Item]:
        """Unpack one step of a part."""
        part, member = self._part, self._part.member
        try:
            yield from part.feed(packed)
        except (BadMember, GivenUp) as error:
            yield from self._failed(str(error))
            return
        if member.ended:
            # Where the member's last bytes were lost, zeros of the next header may have passed for them.
            taken = self._recent[: len(self._recent) - len(member.rest)]
            zeros = min(len(taken) - len(taken.rstrip(b"\0")), VERSION_BYTES - 1)
            self._give_back(bytes(zeros) + member.rest)
            self._strange = "other bytes than zeros follow a part's content"
            self._state = self._rest
            if part.records.incomplete:
                yield from self._damaged("a part's content ends inside a record", doubtful=0)

    def _failed(self, reason: str) -> Iterator[Item]:
        """Give a part up. Where bytes were lost, the next one's header may be among what was taken for content."""
        # Not without end, as forged headers inside each other would have the same bytes read again for each of them.
        if self._read_again < _READ_AGAIN + self._tally.bytes // 4:
            self._read_again += len(self._recent)
            self._give_back(self._recent)
        self._state = self._rest
        return self._damaged(reason, self._part.doubt())

    def _rest(self) -> Iterator[Item] | None:
        """Pass over the rest of a part and its padding, unless a header is in sight there: then a size was wrong."""
        if not self._left:
            self._left, self._padding, self._strange = self._padding, 0, ""
            if not self._left:
                self._state = self._header
            return iter(())
        ahead = IN_SIGHT_BYTES - 1
        seen = self._waiting[: min(self._left, _STEP) + ahead]
        found = -1 if seen == bytes(len(seen)) else find_header(seen, self._limits.part_bytes)
        if 0 <= found < self._left:
            return self._next_in_sight(found)
        passed = min(self._left, len(seen) if self._finishing else max(len(seen) - ahead, 0))
        return self._passed(passed) if passed else None

    def _passed(self, size: int) -> Iterator[Item]:
        data = self._take(size)
        self._left -= size
        if not self._strange or data == bytes(size):
            return iter(())
        reason, self._strange = self._strange, ""
        return self._tally.damage(self._position - len(data.lstrip(b"\0")), self._tally.parts, reason)

    def _next_in_sight(self, found: int) -> Iterator[Item]:
        strange = self._passed(found)
        self._left = self._padding = 0
        self._by_sight = True
        self._state = self._header
        reason = "a part begins where the one before should go on"
        return chain(strange, self._tally.damage(self._position, self._tally.parts, reason))

    def _damaged(self, reason: str, doubtful: int) -> Iterator[Item]:
        unpacked = self._part.records.position
        return self._tally.damage(self._part_at, self._tally.parts, reason, unpacked, doubtful)

    def _give_back(self, data: bytes) -> None:
        self._waiting[:0] = data
        self._position -= len(data)
        self._left += len(data)

    def _end(self) -> Iterator[Item]:
        """Say what the recording ends in the middle of, if anything."""
        if self._state == self._header and self._waiting:
            yield from self._tally.damage(self._position, 0, "the recording ends inside a part's header")
        elif self._state == self._rest:
            reason = "the recording ends before the end that its last part's header names"
            yield from self._tally.damage(self._part_at, self._tally.parts, reason)


def _no_header(version: int) -> str:
    # A number this large is no version but whatever else stands there.
    return f"version {version} isn't supported" if 0 < version < 1 << 16 else "no part begins here"
