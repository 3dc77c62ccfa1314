"""The index of recorded text: a file of its own, which can be made anew from the recordings at any time.

SQLite's full-text index by groups of three characters finds candidates, whatever their letter case; whether the text
really is in a line is looked at afterwards, by the rule of all searches: A-Z alone may differ in case.

That index is of all recordings at once, and how long it takes tells what is in any of them. For whoever may see some
alone, their lines are read one after the other, and no others are touched.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, repeat
from pathlib import Path
from typing import Any, Final, TypeVar

from server.errors import DeadlineExceeded, Unavailable
from server.recordings.playback.lines import Line
from server.recordings.text_search import statements
from server.recordings.text_search.text_query import MAX_LINE, IndexedRecording, TextHit, TextPosition, TextQuery
from server.state.database import check_files
from server.storage.needles import fold

_log = logging.getLogger(__name__)
_VERSION: Final = 3
_STEPS: Final = 10_000
"""Steps of SQLite's machine between two looks whether it is to go on."""
_SCHEMA: Final = f"""
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = NORMAL;
    BEGIN IMMEDIATE;
    CREATE TABLE recordings (
        number INTEGER PRIMARY KEY, upload_id TEXT NOT NULL UNIQUE, session_id TEXT NOT NULL,
        started_ms INTEGER NOT NULL, user TEXT NOT NULL, note TEXT NOT NULL,
        first_line INTEGER NOT NULL, last_line INTEGER NOT NULL);
    CREATE INDEX recordings_in_order ON recordings (started_ms, number);
    CREATE INDEX recordings_noted ON recordings (number) WHERE note != '';
    CREATE VIRTUAL TABLE lines USING fts5 (
        text, recording UNINDEXED, offset_ms UNINDEXED, tokenize = 'trigram', detail = 'full');
    PRAGMA user_version = {_VERSION};
    COMMIT;
"""
"""One transaction: a stop leaves all of it or nothing. The journal's mode can't be set in one."""

EXPIRED: Final = "it has expired"
"""The note of a recording whose text went."""
_EXPIRING: Final = "it expires"
"""Of one whose lines are found no more, but whose words may be in the file yet."""
_GONE: Final = f"note IN ('{EXPIRED}', '{_EXPIRING}')"
_NO_LINES: Final = "first_line = 1, last_line = 0"
_MERGED_PAGES: Final = 500
"""Of the full-text index that one step rewrites: a fraction of a second."""

Answer = TypeVar("Answer")


class TextIndex:
    """The index in a file. One thread writes; others may search at the same time.

    A file that is damaged, or of another version, is thrown away: `indexed` then says that nothing is in it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._writer: sqlite3.Connection | None = None

    def indexed(self) -> set[str]:
        """The upload ids of all recordings that are in it, wholly or not; the one that is being added isn't yet."""
        return self._guarded(lambda: {row[0] for row in self._read("SELECT upload_id FROM recordings", ())})

    def count(self) -> int:
        """How many recordings are in it."""
        return self._guarded(lambda: int(self._read("SELECT count(*) FROM recordings", ())[0][0]))

    def notes(self, limit: int) -> tuple[int, list[tuple[str, str]]]:
        """How many recordings aren't wholly in it, and of the first ones session id and why; none that has expired."""
        noted = f"FROM recordings WHERE note != '' AND NOT {_GONE}"
        counted, named = f"SELECT count(*) {noted}", f"SELECT session_id, note {noted} ORDER BY number LIMIT ?"
        return self._guarded(lambda: (int(self._read(counted, ())[0][0]), self._read(named, (limit,))))

    def gone(self) -> dict[str, bool]:
        """The upload ids of those whose text is found no more as they have expired, and whether the file has none of it
        any more either."""
        statement = f"SELECT upload_id, note FROM recordings WHERE {_GONE}"  # noqa: S608 -- ours
        return self._guarded(lambda: {upload_id: note == EXPIRED for upload_id, note in self._read(statement, ())})

    def count_expired(self, from_ms: int | None, to_ms: int | None) -> int:
        """How many have expired of those that began in [from_ms, to_ms); None is no bound."""
        began = "(? IS NULL OR started_ms >= ?) AND (? IS NULL OR started_ms < ?)"
        statement = f"SELECT count(*) FROM recordings WHERE note != '' AND {_GONE} AND {began}"  # noqa: S608 -- ours
        return self._guarded(lambda: int(self._read(statement, (from_ms, from_ms, to_ms, to_ms))[0][0]))

    def expired_of(self, query: TextQuery, limit: int, sessions: Collection[str] | None) -> list[tuple[str, str]]:
        """Session id and upload id of those that have expired and began in the query's times, newest first, so many at
        most; of these sessions, if some are given."""
        statement, values = statements.recordings_gone(_GONE, query, limit, sessions)
        return self._guarded(lambda: self._read(statement, values))

    def let_go(self, upload_ids: Collection[str], go_on: Callable[[], bool]) -> None:
        """Forget the text and users of recordings, which have expired, and that the file has none of it any more. Where
        `go_on` says no, the last of it goes when it is asked for again."""
        self._guarded(lambda: self._delete_lines(upload_ids))
        for pages in chain([-_MERGED_PAGES], repeat(_MERGED_PAGES)):  # the sign says that all of it is meant
            if not go_on():
                return
            if self._guarded(partial(self._merge, pages)):
                break
        self._guarded(self._end_letting_go)

    def _delete_lines(self, upload_ids: Collection[str]) -> None:
        connection = self._writing()
        with _transaction(connection):
            # Its lines' numbers are free from here on, for the lines of others.
            gone = f"user = '', note = ?, {_NO_LINES}"
            statement = f"UPDATE recordings SET {gone} WHERE upload_id = ?"  # noqa: S608 -- ours
            connection.executemany(statement, [(_EXPIRING, each) for each in upload_ids])
            going = "SELECT number FROM recordings WHERE note = ?"
            connection.execute(f"DELETE FROM lines WHERE recording IN ({going})", (_EXPIRING,))  # noqa: S608 -- ours

    def _merge(self, pages: int) -> bool:
        """Rewrite some of the full-text index, which has words of what was deleted until then; gives whether that was
        all."""
        connection = self._writing()
        before = connection.total_changes
        connection.execute("INSERT INTO lines (lines, rank) VALUES ('merge', ?)", (pages,))
        return connection.total_changes - before < 2  # as SQLite says that nothing was left to do

    def _end_letting_go(self) -> None:
        connection = self._writing()
        connection.execute("UPDATE recordings SET note = ? WHERE note = ?", (EXPIRED, _EXPIRING))
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def take_back(self, upload_ids: Collection[str]) -> None:
        """Forget that these have expired: they are to be added anew."""
        statement = f"DELETE FROM recordings WHERE upload_id = ? AND {_GONE}"  # noqa: S608 -- ours
        self._guarded(lambda: self._writing().executemany(statement, [(each,) for each in upload_ids]))

    def add(self, upload_id: str, session_id: str) -> Addition:
        """Begin to add a recording; nothing of it is there before its end."""
        with self.repaired():
            return Addition(self, self._writing(), upload_id, session_id)

    def forget_all(self) -> None:
        """Throw everything away, to be made anew."""
        with self._lock:
            self._throw_away()

    def find(
        self,
        query: TextQuery,
        after: TextPosition | None,
        limit: int,
        deadline: float,
        is_given_up: Callable[[], bool] = lambda: False,
    ) -> list[TextHit]:
        """At most `limit` lines that may have the text, in order, beyond a position; `has_text` decides.

        Raises:
            DeadlineExceeded: `deadline` (of time.monotonic) passed, or nobody waits for it any more.
        """
        statement, values = statements.lines(query, after, limit)
        rows = self._guarded(lambda: self._read(statement, values, _over(deadline, is_given_up)))
        return [TextHit(TextPosition(*row[:3]), *row[3:]) for row in rows]

    def recordings(
        self, query: TextQuery, after: TextPosition | None, limit: int, sessions: Collection[str] | None
    ) -> list[IndexedRecording]:
        """At most `limit` recordings that have lines and pass the query's filters, whatever is in them, in the order of
        hits: the one of a position, if there is more of it, and those beyond it. Of these sessions, if some are given.
        """
        statement, values = statements.recordings(query, after, limit, sessions)
        rows = self._guarded(lambda: self._read(statement, values))
        return [IndexedRecording(*row) for row in rows]

    def find_in(
        self,
        recordings: Sequence[IndexedRecording],
        text: str,
        after: TextPosition | None,
        limit: int,
        deadline: float,
        is_given_up: Callable[[], bool] = lambda: False,
    ) -> list[TextHit]:
        """As `find`, in these recordings, which are in order. Lines of others aren't touched.

        Raises:
            DeadlineExceeded: as `find`.
        """
        is_over = _over(deadline, is_given_up)
        return self._guarded(lambda: self._lines_of(recordings, text, after, limit, is_over))

    def _lines_of(
        self,
        recordings: Sequence[IndexedRecording],
        text: str,
        after: TextPosition | None,
        limit: int,
        is_over: Callable[[], bool],
    ) -> list[TextHit]:
        found: list[TextHit] = []
        with self._connected(is_over) as connection:
            for each in recordings:
                asked = statements.lines_of(each, text, after, limit - len(found))
                found += [each.hit(*row) for row in connection.execute(*asked)]
                if len(found) == limit:
                    break
        return found

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._close()

    def _read(
        self, statement: str, values: tuple[object, ...], is_over: Callable[[], bool] = lambda: False
    ) -> list[Any]:
        with self._connected(is_over) as connection:
            return connection.execute(statement, values).fetchall()

    @contextlib.contextmanager
    def _connected(self, is_over: Callable[[], bool]) -> Iterator[sqlite3.Connection]:
        """A connection to read on, until it is over."""
        with contextlib.closing(self._reading()) as connection:
            connection.set_progress_handler(is_over, _STEPS)
            try:
                yield connection
            except sqlite3.OperationalError:
                if is_over():
                    raise DeadlineExceeded("the time for the search is over") from None
                raise

    def _reading(self) -> sqlite3.Connection:
        """A connection of its own, to the file as it is now: thrown away meanwhile, it can be read to the end."""
        with self._lock:
            if self._writer is None:
                self._writer = self._open()
            connection = sqlite3.connect(self._path, isolation_level=None)
            try:
                connection.execute("SELECT 1 FROM recordings LIMIT 1").fetchall()  # only now the file is opened
            except BaseException:
                connection.close()
                raise
            return connection

    def _writing(self) -> sqlite3.Connection:
        with self._lock:
            if self._writer is None:
                self._writer = self._open()
            return self._writer

    def _open(self) -> sqlite3.Connection:
        try:
            check_files(self._path)
        except OSError as error:
            is_folder = isinstance(error, IsADirectoryError)  # which can't be thrown away
            raise (sqlite3.OperationalError if is_folder else sqlite3.DatabaseError)(error.strerror) from error
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        try:
            self._path.chmod(0o600)
            connection.execute("PRAGMA secure_delete = ON")  # what is deleted is written over
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            is_empty = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
            if version == 0 and is_empty:
                connection.executescript(_SCHEMA)
            elif version != _VERSION:
                raise sqlite3.DatabaseError("another version")
        except BaseException:
            connection.close()
            raise
        return connection

    def _guarded(self, work: Callable[[], Answer]) -> Answer:
        """Do something; once more with a new file if this one is damaged."""
        try:
            try:
                with self.repaired():
                    return work()
            except _ThrownAway:
                return work()
        except sqlite3.Error as error:
            raise Unavailable("the index of recorded text can't be read now") from error

    @contextlib.contextmanager
    def repaired(self) -> Iterator[None]:
        """Throw the file away if it shows to be damaged in the block; the error is raised all the same."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            if type(error) is not sqlite3.DatabaseError:  # the others are no damage: a full disk, a wrong statement
                raise
            _log.error("the index of recorded text is damaged; it is made anew")
            self.forget_all()
            raise _ThrownAway from error

    def _throw_away(self) -> None:
        self._close()
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


class _ThrownAway(Exception):
    """The file was damaged and is gone."""


def _over(deadline: float, is_given_up: Callable[[], bool]) -> Callable[[], bool]:
    """Whether a read has to end: its time has passed, or nobody waits for it any more."""
    return lambda: is_given_up() or time.monotonic() > deadline


class Addition:
    """A recording that is being added."""

    def __init__(self, index: TextIndex, connection: sqlite3.Connection, upload_id: str, session_id: str) -> None:
        self._index = index
        self._connection = connection
        connection.execute("BEGIN IMMEDIATE")
        added = connection.execute(
            """
            INSERT INTO recordings (upload_id, session_id, started_ms, user, note, first_line, last_line)
            VALUES (?, ?, 0, '', '', ?, 0)""",
            (upload_id, session_id, self._last_line() + 1),
        )
        self._number = added.lastrowid

    def _last_line(self) -> int:
        found = self._connection.execute("SELECT rowid FROM lines ORDER BY rowid DESC LIMIT 1").fetchone()
        return 0 if found is None else int(found[0])

    def add(self, lines: Iterable[Line]) -> None:
        """Add lines of it, in order."""
        rows = ((line.text[:MAX_LINE], self._number, line.offset_ms) for line in lines)
        with self._index.repaired():
            self._connection.executemany("INSERT INTO lines (text, recording, offset_ms) VALUES (?, ?, ?)", rows)

    def end(self, started_ms: int, user: str, note: str) -> None:
        """Say when it began, whose it was, and what of it isn't in the index, '' if all is; from now on it is there."""
        statement = "UPDATE recordings SET started_ms = ?, user = ?, note = ?, last_line = ? WHERE number = ?"
        with self._index.repaired():
            # New lines get the highest number and more, in one transaction, so that one's own are in a row.
            self._connection.execute(statement, (started_ms, user, note, self._last_line(), self._number))
            self._connection.execute("COMMIT")

    def give_up(self) -> None:
        """Add nothing of it."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.execute("ROLLBACK")


def has_text(hit: TextHit, text: str) -> bool:
    """Whether the text is in the line; A-Z alone may differ in case."""
    return fold(text) in fold(hit.line)
