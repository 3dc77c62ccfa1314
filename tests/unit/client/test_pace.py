"""How much an emitter sends at once after answers that came late, or easily."""

from __future__ import annotations

from extaudit_client.pace import Pace

MIB = 1024 * 1024


def sizes(pace: Pace) -> tuple[int, int, int, float]:
    return pace.batch, pace.message_bytes, pace.window, pace.seconds


def test_less_is_sent_after_each_wait_in_vain_and_at_last_more_time_given() -> None:
    pace, found = Pace(500, 8, 60), list[tuple[int, int, int, float]]()
    for _ in range(10):
        found.append(sizes(pace))
        pace.broken_off(240)
    assert found[0] == (500, 4 * MIB, 8, 60)
    assert found[1] == (250, 2 * MIB, 4, 60)
    assert found[6] == (7, MIB // 16, 1, 60)
    assert found[7] == (3, MIB // 16, 1, 120)
    assert found[8] == found[9] == (1, MIB // 16, 1, 240)


def test_more_is_sent_again_after_answers_that_come_easily() -> None:
    pace = Pace(500, 8, 60)
    pace.broken_off(7)
    assert pace.batch == 500, "it may have been refused"
    pace.broken_off(8)
    pace.answered(59)
    pace.answered(8)
    assert pace.batch == 250, "for twice as much they might not come in time"
    pace.answered(7)
    pace.answered(7)
    assert sizes(pace) == sizes(Pace(500, 8, 60))
