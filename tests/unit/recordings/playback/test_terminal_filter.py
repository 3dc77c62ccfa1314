"""What a recording may have a terminal do: draw, and nothing else."""

from __future__ import annotations

import random
import re

import pytest

from server.recordings.playback.sequences import MAX_SEQUENCE, MAX_STRING
from server.recordings.playback.terminal_filter import TerminalFilter

PASS = {
    "text": "plain",
    "other scripts": "naïve 日本 🙂",
    "colour": "\x1b[1;31mred\x1b[0m",
    "256 colours": "\x1b[38;5;208mx\x1b[48;2;1;2;3my",
    "subparameters": "\x1b[4:3m",
    "cursor": "\x1b[5;10Ha\x1b[2Ab\x1b[Gc\x1b[3d",
    "erase": "\x1b[2J\x1b[K\x1b[1J",
    "insert and delete": "\x1b[2L\x1b[M\x1b[3P\x1b[@\x1b[4X",
    "scroll": "\x1b[2;20r\x1b[2S\x1b[T",
    "alternate screen": "\x1b[?1049hvim\x1b[?1049l",
    "cursor hidden": "\x1b[?25l\x1b[?25h",
    "line drawing": "\x1b(0lqk\x1b(B",
    "controls": "a\tb\bc\rd\r\n",
    "save and restore": "\x1b7\x1b8\x1b[s\x1b[u",
}
DROP = {
    "clipboard": "\x1b]52;c;ZXZpbA==\x07",
    "clipboard by ST": "\x1b]52;c;ZXZpbA==\x1b\\",
    "title": "\x1b]0;rm -rf\x07",
    "hyperlink": "\x1b]8;;http://evil.example/\x1b\\",
    "colour query": "\x1b]11;?\x07",
    "DCS": '\x1bP$q"p\x1b\\',
    "APC": "\x1b_Gf=24;AAAA\x1b\\",
    "PM": "\x1b^hello\x1b\\",
    "SOS": "\x1bXhello\x1b\\",
    "device attributes": "\x1b[c\x1b[>c\x1b[=c",
    "device status": "\x1b[5n\x1b[6n\x1b[?6n",
    "window reports": "\x1b[21t\x1b[18t\x1b[8;5;5t",
    "terminal parameters": "\x1b[x",
    "version": "\x1b[>q",
    "mode report": "\x1b[?25$p\x1b[4$p",
    "answerback": "\x05",
    "bell and null": "\x07\x00",
    "mouse": "\x1b[?1000h\x1b[?1006h\x1b[?1003h",
    "bracketed paste": "\x1b[?2004h",
    "focus": "\x1b[?1004h",
    "application cursor keys": "\x1b[?1h\x1b=",
    "132 columns": "\x1b[?3h",
    "keyboard protocols": "\x1b[>1u\x1b[>4;2m\x1b[?u",
    "media copy": "\x1b[5i\x1b[?4i",
    "reset": "\x1bc\x1b[!p",
    "scrollback erased": "\x1b[3J",
    "mouse tracking by T": "\x1b[1;2;3;4;5T",
    "LEDs": "\x1b[1q",
    "leave the screen": "\x1b[99999999999999C",
    "tab stops": "\x1bH\x1b[3g",
    "8-bit clipboard": "\x9d52;c;ZXZpbA==\x9c",
    "8-bit query": "\x9b6n",
    "8-bit controls": "\x85\x84\x8d",
}


def filtered(data: bytes, cuts: tuple[int, ...] = ()) -> str:
    terminal = TerminalFilter()
    ends = (*cuts, len(data))
    pieces = [data[start:end] for start, end in zip((0, *cuts), ends, strict=True)]
    return "".join(map(terminal.feed, pieces)) + terminal.finish()


@pytest.mark.parametrize("text", PASS.values(), ids=PASS)
def test_what_draws_passes_as_it_is(text: str) -> None:
    assert filtered(text.encode()) == text


@pytest.mark.parametrize("text", DROP.values(), ids=DROP)
def test_what_asks_sets_or_sends_is_left_out(text: str) -> None:
    assert filtered(f"a{text}b".encode()) == "ab"


@pytest.mark.parametrize("text", [*PASS.values(), *DROP.values()], ids=[*PASS, *DROP])
def test_how_it_is_cut_makes_no_difference(text: str) -> None:
    data = f"a{text}b".encode()
    for cut in range(len(data)):
        assert filtered(data, (cut,)) == filtered(data)
    assert filtered(data, tuple(range(1, len(data)))) == filtered(data)


def test_8_bit_introducers_pass_in_their_7_bit_form() -> None:
    assert filtered("\x9b31mred".encode()) == "\x1b[31mred"


def test_of_several_modes_those_that_draw_pass() -> None:
    assert filtered(b"\x1b[?1000;25;2004l") == "\x1b[?25l"


def test_bytes_that_are_no_utf_8_are_replaced() -> None:
    assert filtered(b"a\xffb\xc3") == "a�b�"


@pytest.mark.parametrize("character", "‮⁦‏؜\u2028\U000e0041")
def test_hidden_characters_are_written_out(character: str) -> None:
    assert filtered(f"a{character}b".encode()) == f"a\\{'U' if ord(character) > 0xFFFF else 'u'}" + (
        f"{ord(character):08x}b" if ord(character) > 0xFFFF else f"{ord(character):04x}b"
    )


def test_a_string_without_an_end_hides_no_more_than_its_bound() -> None:
    assert filtered(b"\x1b]0;" + b"x" * MAX_STRING + b"shown").endswith("shown")


def test_a_new_sequence_ends_a_string() -> None:
    assert filtered(b"\x1b]0;title\x1b[1mshown") == "\x1b[1mshown"


def test_what_is_too_long_for_a_sequence_is_text() -> None:
    assert filtered(b"\x1b[" + b"1" * MAX_SEQUENCE + b"mshown").endswith("mshown")


def test_a_control_inside_a_sequence_ends_it_and_counts() -> None:
    assert filtered(b"\x1b[3\r\n1mx") == "\r\n1mx"


def test_a_sequence_without_an_end_is_left_out() -> None:
    assert filtered(b"a\x1b[31") == "a"
    assert filtered(b"a\x1b") == "a"


@pytest.mark.parametrize(
    ("told", "restored"),
    [
        ("x", ""),
        ("\x1b[?1049h", "\x1b[?1049l"),
        ("\x1b[?1049h\x1b[?1049l", ""),
        ("\x1b[?25l\x1b[?7l\x1b[4h", "\x1b[4l\x1b[?7h\x1b[?25h"),
        ("\x1b[2;5r", "\x1b7\x1b[r\x1b8"),
    ],
)
def test_the_terminal_is_brought_back_from_what_it_was_told(told: str, restored: str) -> None:
    terminal = TerminalFilter()
    terminal.feed(told.encode())
    assert terminal.restoring() == f"{restored}\x1b(B\x1b)B\x0f\x1b[0m"


ALLOWED = re.compile(
    r"""(?: [^\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]
        | [\b\t\n\v\f\r\x0e\x0f]
        | \x1b[78DEM] | \x1b[()][0AB]
        | \x1b\[ [0-9;:]{0,64} [@ABCDEFGHILMPXZ`abdefrm]
        | \x1b\[ [su] | \x1b\[ [0-9]* [ST]
        | \x1b\[ \?? [012;:]* [JK]
        | \x1b\[ (?:4;?)+ [hl]
        | \x1b\[\? (?:(?:5|6|7|25|47|1047|1049);?)+ [hl]
    )*""",
    re.VERBOSE,
)
"""Everything that may come out, written down apart from the code."""

CORPUS = [
    b"\x1b[\x1b[\x1b[c",
    b"\x1b]\x1b]\x1b\\\x1b\\c",
    b"\x1b[?1;\x1b[6n",
    b"\x1bP\x1b\x1b\\n",
    b"\x1b\x1b[6n",
    b"\xc2\x9b6n\xc2\x9d0;x\xc2\x9c",
    b"\x9b6n",
    b"\x1b[6\x18n\x1b[6\x1an",
    b"\x1b(\x1b[c",
    b"\x1b[ q\x1b[0 q",
    b"\x1b[:::m\x1b[;;;H",
    b"\x1b[?;h",
    b"\x1b[0;3J",
]
"""What found faults, or might."""


def mutated(chance: random.Random) -> bytes:
    seeds = [text.encode() for text in (*PASS.values(), *DROP.values())] + CORPUS
    data = bytearray(b"".join(chance.choices(seeds, k=chance.randint(1, 6))))
    for _ in range(chance.randint(0, 8)):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(4):
            case 0:
                data[at:at] = chance.choice(
                    [b"\x1b", b"[", b"]", b"\x9b", b"\xc2\x9b", b"?", b";", b"9", b"n", b"\x07"]
                )
            case 1:
                del data[at : at + chance.randint(1, 4)]
            case 2:
                data[at:at] = data[: chance.randint(0, 12)]
            case _:
                data[at:at] = chance.randbytes(2)
    return bytes(data)


@pytest.mark.parametrize("data", CORPUS)
def test_nothing_else_ever_passes(data: bytes) -> None:
    assert ALLOWED.fullmatch(filtered(data))


@pytest.mark.parametrize("seed", range(20))
def test_nothing_else_passes_of_mutations_however_they_are_cut(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(200):
        data = mutated(chance)
        out = filtered(data)
        assert ALLOWED.fullmatch(out), (data, out)
        cuts = tuple(sorted(chance.randrange(len(data) + 1) for _ in range(3)))
        assert filtered(data, cuts) == out, (data, cuts)
