"""How a recording is played: when what is drawn, and what the keys do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest
from extaudit_cli.player import Player

from server.recordings.playback.pacing import LONGEST_WAIT, Pacing
from tests.unit.recordings.playback.recorded import Recorded, happened, printed

SHELL = [happened("session.start"), printed(b"a", 1_000), printed(b"b", 3_000), printed(b"c", 63_000)]
RESTORED = "\x1b(B\x1b)B\x0f\x1b[0m"


class Typist:
    """Presses keys at given times of the clock, which passes only while the player waits."""

    def __init__(self, keys: Sequence[tuple[float, str]] = ()) -> None:
        self.now = 0.0
        self._keys = list(keys)

    def wait(self, seconds: float | None) -> tuple[str, float]:
        if self._keys and (seconds is None or self._keys[0][0] <= self.now + seconds):
            at, key = self._keys.pop(0)
            passed, self.now = at - self.now, at
            return key, passed
        assert seconds is not None, "it would wait for ever"
        self.now += seconds
        return "", seconds


class Stage:
    """Plays events and keeps what was written when."""

    def __init__(self, events: Iterable[Recorded], pacing: Pacing, keys: Sequence[tuple[float, str]] = ()) -> None:
        self.typist = Typist(keys)
        self.written: list[tuple[float, str]] = []
        self.readings = 0
        self._events = list(events)
        self.end_ms = Player(self._write, self.typist, pacing, waits=True).play(self._read)

    def _write(self, text: str) -> None:
        if text:
            self.written.append((round(self.typist.now, 3), text))

    def _read(self) -> list[Recorded]:
        self.readings += 1
        return self._events

    @property
    def drawn(self) -> list[tuple[float, str]]:
        return [(at, text) for at, text in self.written if text != RESTORED]


@pytest.mark.parametrize(
    ("pacing", "keys", "drawn"),
    [
        pytest.param(Pacing(), [], [(1, "a"), (3, "b"), (63, "c")], id="as it was"),
        pytest.param(Pacing(speed=2), [], [(0.5, "a"), (1.5, "b"), (31.5, "c")], id="twice as fast"),
        pytest.param(Pacing(max_idle_ms=500), [], [(0.5, "a"), (1, "b"), (1.5, "c")], id="idle time skipped"),
        pytest.param(Pacing(), [(2, "quit")], [(1, "a")], id="ended"),
        pytest.param(Pacing(), [(2, "pause"), (9, "pause")], [(1, "a"), (10, "b"), (70, "c")], id="paused"),
        pytest.param(Pacing(), [(3.5, "faster")], [(1, "a"), (3, "b"), (33.25, "c")], id="faster from here"),
        pytest.param(Pacing(), [(2, "slower")], [(1, "a"), (4, "b"), (124, "c")], id="slower from here"),
        pytest.param(Pacing(), [(2, "forward")], [(1, "a"), (2, "b"), (53, "c")], id="ten seconds on"),
        pytest.param(Pacing(), [(2, "pause"), (3, "quit")], [(1, "a")], id="ended in a pause"),
    ],
)
def test_when_what_is_drawn(pacing: Pacing, keys: list[tuple[float, str]], drawn: list[tuple[float, str]]) -> None:
    assert Stage(SHELL, pacing, keys).drawn == drawn


def test_playing_can_begin_later_with_all_before_drawn_at_once() -> None:
    pacing = Pacing()
    pacing.seek(60_000)
    assert Stage(SHELL, pacing).drawn == [(0, "a"), (0, "b"), (3, "c")]


def test_going_back_draws_anew_on_an_empty_screen() -> None:
    stage = Stage(SHELL, Pacing(), [(13, "back")])
    assert stage.readings == 2
    assert stage.drawn == [(1, "a"), (3, "b"), (13, f"{RESTORED}\x1b[2J\x1b[H"), (13, "a"), (13, "b"), (73, "c")]


def test_the_terminal_is_brought_back_also_where_playing_fails() -> None:
    def broken() -> Iterable[Recorded]:
        yield printed(b"\x1b[?1049h\x1b[?25l")
        raise OSError

    written: list[str] = []
    with pytest.raises(OSError):
        Player(written.append, Typist(), Pacing(), waits=True).play(broken)
    assert written[-1] == f"\x1b[?1049l\x1b[?25h{RESTORED}"


def test_what_no_terminal_showed_is_told_in_lines() -> None:
    events = [
        happened("db.session.start", db_service="orders"),
        happened("db.session.query", 10, db_query="SELECT\x1b[c"),
    ]
    assert Stage(events, Pacing()).drawn == [
        (0, "0:00:00.000  db.session.start orders\r\n"),
        (0.01, "0:00:00.010  db.session.query SELECT\\x1b[c\r\n"),
    ]


def test_where_it_ended_is_told() -> None:
    assert Stage(SHELL, Pacing(), [(2, "quit")]).end_ms == 1_000
    assert Stage(SHELL, Pacing()).end_ms == 63_000


@pytest.mark.parametrize("speed", [0.125, 1.0, 64.0])
def test_a_time_that_nobody_can_wait_for_is_waited_for_a_day(speed: float) -> None:
    assert Pacing(speed).wait_seconds(2**63 - 1) == LONGEST_WAIT
