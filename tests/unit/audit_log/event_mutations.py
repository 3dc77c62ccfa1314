"""Events that are nearly right: real ones, changed in their structure and in their bytes."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from typing import Any, TypeAlias

from tests.shape.repository import ROOT

SAMPLE = (ROOT / "clients/cli/extaudit_cli/sample-events.jsonl").read_bytes().splitlines()

NUMBERS = [
    "0", "-0", "7", "-1", "1.0", "1.", "1.50", ".5", "1e5", "1E-3", "1e999", "01", "-01", "-", "--1", "+1",
    "0x10", "1_0",
    "9" * 99, "9" * 100, "-" + "9" * 99, "9" * 101, "9" * 400, "9" * 401, "0." + "3" * 98, "0." + "3" * 99, "1.2.3",
    "9007199254740993", "18446744073709551616", "NaN", "Infinity", "-Infinity", "true", "false", "null",
    "True", "nul",
    "nulll", "tru", "falsey",
]  # fmt: skip
TEXTS = [
    "", " ", "a", "node-1", "node-2", "proxy-1", "nöde", "extaudit.", "extaudit.x", "extaudit", "Extaudit.x",
    "a\u007fb",
    "é" * 64, "é" * 128, "x" * 127, "x" * 128, "x" * 129, "x" * 256, "x" * 257, "x" * 5000, "~!", "a b", "\u00a0",
    "\U0001f600", "\ud7ff\ue000\uffff", "\\n", "\\u0041", "\\u0000", "\\u001f", "\\ud800", "\\udc00",
    "\\ud83d\\ude00",
    "\\ud7ff", "\\ue000", "\\uD83D", "\\\\", '\\"', "\\/", "\\x",
    "\\ug234", "\\u1g34", "\\u12g4", "\\u123g", "\\u12", "\\", "\t", "\0",
    "\u2028", "{}",
    "[[", '\\"}',
]  # fmt: skip
TIMES = [
    "2026-11-01T00:00:00Z", "2026-11-01T00:00:00z", "2026-11-01t00:00:00Z", "2026-11-01 00:00:00Z",
    "2024-02-29T23:59:59Z",
    "2026-02-29T00:00:00Z", "2000-02-29T00:00:00Z", "1900-02-29T00:00:00Z", "2100-02-29T00:00:00Z",
    "2016-12-31T23:59:60Z",
    "2016-12-31T23:59:61Z", "2026-11-01T24:00:00Z", "2026-11-01T23:60:00Z", "2026-11-31T00:00:00Z",
    "2026-13-01T00:00:00Z",
    "2026-00-01T00:00:00Z", "2026-01-00T00:00:00Z", "1969-12-31T23:59:59.999Z", "1970-01-01T00:00:00Z",
    "0000-01-01T00:00:00Z",
    "9999-12-31T23:59:59Z", "2026-11-01T00:00:00.Z", "2026-11-01T00:00:00.1Z", "2026-11-01T00:00:00.12Z",
    "2026-11-01T00:00:00.1239Z", "2026-11-01T00:00:00.123456789Z", "2026-11-01T00:00:00.1234567891Z",
    "2026-11-01T00:00:00.12a4Z", "2026-11-01T00:00:00,123Z", "2026-11-01T00:00:00+00:00", "2026-11-01T00:00:00-00:00",
    "2026-11-01T00:00:00.5+14:00", "2026-11-01T00:00:00", "2026-11-01", "20261101T000000Z", "+026-11-01T00:00:00Z",
    "2026-1a-01T00:00:00Z", "2026-11-01T0 :00:00Z", "2026-11-01T00:00:00ZZ", "\uff12026-11-01T00:00:00Z",
]  # fmt: skip
ROOT_KEYS = ["event", "time", "uid", "sid", "user", "server_id", "forwarded_by"]
KEYS = [
    *ROOT_KEYS, "Event", "TIME", "uId", "Sid", "USER", "Server_id", "server_ID", "Forwarded_By", "\u017fid",
    "u\u017fer",
    "\u017ferver_id", "\\u0065vent", "u\\u0069d", "\\u017fid", "", "a", "\\u0061", "even", "events", "evenu", "tim",
    "tine", "ui", "uic", "server-id", "server\x7fid", "12345678", "1234567", "12345679", "é", "e\u0301", "a\0",
    "\\u0000",
    "k" * 255, "k" * 256, "k" * 263, "user", "user",
]  # fmt: skip
BYTES = [
    b'"', b"\\", b",", b":", b"{", b"}", b"[", b"]", b" ", b"\t", b"\n", b"\r", b"\x0b", b"\x0c", b"\0",
    b"\x1f", b"\x7f",
    b"\x80", b"\xbf", b"\xc0\x80", b"\xc1\xbf", b"\xc2\x80", b"\xe0\x9f\xbf", b"\xe0\xa0\x80", b"\xed\x9f\xbf",
    b"\xed\xa0\x80", b"\xf0\x8f\xbf\xbf", b"\xf0\x90\x80\x80", b"\xf4\x8f\xbf\xbf", b"\xf4\x90\x80\x80",
    b"\xf5", b"\xff",
    b"\xef\xbb\xbf", b"\xc2\xa0", b"\\u0000", b"\\ud800", b"\\ud83d\\ude00", b"//", b"'", b"-", b"0", b"1",
    b"e5", b".",
    b",,", b'"a":1,', b'"event":"x",', b",null",
]  # fmt: skip
SPACES = ["", "", "", "", "", " ", "\n", "\t", "\r\n", "  "]


@dataclass
class Members:
    """A JSON object that can have a key twice; keys are as they are written."""

    pairs: list[tuple[str, Any]]


Node: TypeAlias = "Members | list[Any] | str"
"""A scalar is its text."""


def tree(data: bytes) -> Members:
    """The structure of a JSON object."""

    def node(value: Any) -> Node:
        if isinstance(value, Members):
            return Members([(json.dumps(key, ensure_ascii=False)[1:-1], node(member)) for key, member in value.pairs])
        if isinstance(value, list):
            return [node(member) for member in value]
        return json.dumps(value, ensure_ascii=False)

    found = node(json.loads(data, object_pairs_hook=Members))
    assert isinstance(found, Members)
    return found


def text(node: Node, chance: random.Random, spaces: list[str]) -> str:
    def gap() -> str:
        return chance.choice(spaces)

    if isinstance(node, Members):
        pairs = [f'{gap()}"{key}"{gap()}:{gap()}{text(value, chance, spaces)}{gap()}' for key, value in node.pairs]
        return "{" + (",".join(pairs) or gap()) + "}"
    if isinstance(node, list):
        return "[" + (",".join(gap() + text(value, chance, spaces) + gap() for value in node) or gap()) + "]"
    return node


def objects(node: Node) -> list[Members]:
    """The object and all within it."""
    if isinstance(node, Members):
        return [node, *(found for _, value in node.pairs for found in objects(value))]
    return [found for value in node for found in objects(value)] if isinstance(node, list) else []


def value(chance: random.Random) -> Node:
    kind = chance.randrange(10)
    if kind < 3:
        return chance.choice(NUMBERS)
    if kind < 6:
        return f'"{chance.choice(TEXTS)}"'
    if kind == 6:
        return f'"{chance.choice(TIMES)}"'
    if kind == 7:
        return nest(chance.choice(["1", '"x"', "[]", "{}"]), chance, chance.choice([1, 2, 61, 62, 63, 64, 65]))
    if kind == 8:
        return Members([(chance.choice(KEYS), chance.choice(NUMBERS[:9])) for _ in range(chance.randrange(4))])
    return Members([(f"k{number}", "1") for number in range(chance.choice([62, 63, 64, 65, 66]))])


def nest(node: Node, chance: random.Random, levels: int) -> Node:
    for _ in range(levels):
        node = [node] if chance.randrange(2) else Members([(chance.choice(["a", "event", "user"]), node)])
    return node


def changed(data: bytes, chance: random.Random) -> bytes:
    """The event with some changes of its structure, or of its bytes, or both; often it is still right."""
    kind = chance.randrange(4)
    if kind:
        data = _changed_structure(data, chance)
    if kind in (0, 3):
        data = _changed_bytes(data, chance)
    return data


def _changed_structure(data: bytes, chance: random.Random) -> bytes:
    root = tree(data)
    for _ in range(chance.choice([1, 1, 1, 2, 3])):
        _change_structure(root, chance)
    spaces = SPACES if chance.randrange(4) == 0 else [""]
    around = ["", "", "", "", "", " ", "\n", "\ufeff"] if chance.randrange(4) == 0 else [""]
    return (chance.choice(around) + text(root, chance, spaces) + chance.choice(around)).encode("utf-8", "surrogatepass")


def _change_structure(root: Members, chance: random.Random) -> None:
    found = root if chance.randrange(2) else chance.choice(objects(root))
    pairs, kind = found.pairs, chance.randrange(6)
    place = chance.randrange(len(pairs)) if pairs else 0
    if kind == 0 or not pairs:
        pairs.insert(place, (chance.choice(KEYS), value(chance)))
    elif kind == 1:  # a key twice, the second time perhaps escaped or in another case
        key = chance.choice(pairs)[0]
        key = chance.choice([key, key, key.swapcase(), "".join(f"\\u{ord(c):04x}" for c in key)])
        pairs.insert(place, (key, value(chance)))
    elif kind == 2:
        pairs[place] = pairs[place][0], value(chance)
    elif kind == 3:
        key = chance.choice(ROOT_KEYS)
        root.pairs[:] = [pair for pair in root.pairs if pair[0] != key]
        given = f'"{chance.choice(TIMES if key == "time" else TEXTS)}"' if chance.randrange(4) else value(chance)
        root.pairs.insert(chance.randrange(len(root.pairs) + 1), (key, given))
    elif kind == 4:
        pairs[place] = pairs[place][0], nest(pairs[place][1], chance, chance.choice([1, 2, 3, 60, 61, 62, 63, 64]))
    else:
        chance.shuffle(pairs)


def _changed_bytes(data: bytes, chance: random.Random) -> bytes:
    for _ in range(chance.choice([1, 1, 1, 2, 4])):
        at, end = chance.randrange(len(data) + 1), chance.choice([0, 0, 0, 1, 1, 2, 5])
        put = chance.choice([b"", bytes([chance.randrange(256)]), chance.choice(BYTES)])
        data = data[:at] + put + data[at + end :]
    return data
