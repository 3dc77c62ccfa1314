"""JSON where no two readers see two events."""

from __future__ import annotations

import pytest

from server.audit_log.strict_json import MAX_NUMBER_LENGTH, NotStrict, parse_object

NOT_JSON = "is not valid JSON"
NOT_UTF8 = "is not valid UTF-8 without a byte order mark"
NOT_AN_OBJECT = "must be a JSON object"
DUPLICATES = "has duplicate keys"
SURROGATE = "has a lone surrogate"
INFINITE = "has a number beyond the range of a double"
LONG_NUMBER = "has a number of over 400 characters"
DEEP = "is more than 64 levels deep"


def nested(opening: bytes, closing: bytes, levels: int) -> bytes:
    """An object with `levels` levels in all."""
    return b'{"a":' + opening * (levels - 1) + b"1" + closing * (levels - 1) + b"}"


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", NOT_JSON),
        (b" ", NOT_JSON),
        (b"{", NOT_JSON),
        (b'{"a":1}{"a":1}', NOT_JSON),
        (b'{"a":1} x', NOT_JSON),
        (b'{"a":1,}', NOT_JSON),
        (b"{'a':1}", NOT_JSON),
        (b"{a:1}", NOT_JSON),
        (b'{"a":1}//', NOT_JSON),
        (b'{"a":tRue}', NOT_JSON),
        (b'{"a":01}', NOT_JSON),
        (b'{"a":+1}', NOT_JSON),
        (b'{"a":.5}', NOT_JSON),
        (b'{"a":1.}', NOT_JSON),
        (b'{"a":0x1}', NOT_JSON),
        (b'{"a":NaN}', NOT_JSON),
        (b'{"a":Infinity}', NOT_JSON),
        (b'{"a":-Infinity}', NOT_JSON),
        (b'{"a":"\x00"}', NOT_JSON),
        (b'{"a":"\n"}', NOT_JSON),
        (b'{"a":"\\x41"}', NOT_JSON),
        (b'{"a":"\\u12"}', NOT_JSON),
        (b'\x00{"a":1}', NOT_JSON),
        (b'{"a":1}\x00', NOT_JSON),
        (b'{"a"\xc2\xa0:1}', NOT_JSON),
        ('{"a":1}'.encode("utf-16-le"), NOT_JSON),
        (b'\xef\xbb\xbf{"a":1}', NOT_UTF8),
        (b'{"a":"\xff"}', NOT_UTF8),
        (b'{"\xfe":1}', NOT_UTF8),
        (b'{"a":"\xc0\x80"}', NOT_UTF8),
        (b'{"a":"\xed\xa0\x80"}', NOT_UTF8),
        (b'{"a":"\xf4\x90\x80\x80"}', NOT_UTF8),
        (b"null", NOT_AN_OBJECT),
        (b"[]", NOT_AN_OBJECT),
        (b'[{"a":1}]', NOT_AN_OBJECT),
        (b'"a"', NOT_AN_OBJECT),
        (b"1", NOT_AN_OBJECT),
        (b'{"a":"\\ud800"}', SURROGATE),
        (b'{"a":"\\udc00"}', SURROGATE),
        (b'{"a":"\\ud800\\ud800"}', SURROGATE),
        (b'{"a":"\\ud800x"}', SURROGATE),
        (b'{"\\udfff":1}', SURROGATE),
        (b'{"a":1e999}', INFINITE),
        (b'{"a":[-1e999]}', INFINITE),
        (b'{"a":' + b"9" * 401 + b"}", INFINITE),
    ],
)
def test_what_is_no_plain_json_object_is_refused_in_our_words(raw: bytes, reason: str) -> None:
    with pytest.raises(NotStrict) as refusal:
        parse_object(raw)
    assert str(refusal.value) == reason
    assert refusal.value.__cause__ is None, "the parser's own text may quote the document"


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":1,"a":2}',
        b'{"a":1,"a":1}',
        b'{"a":1,"\\u0061":2}',
        b'{"\\u0061":1,"\\u0061":2}',
        b'{"/":1,"\\/":2}',
        b'{"\\n":1,"\\u000A":2}',
        b'{"":1,"":2}',
        '{"😀":1,"\\ud83d\\ude00":2}'.encode(),
        b'{"o":{"a":1,"a":2}}',
        b'{"l":[0,{"a":1,"\\u0061":2}]}',
        b'{"o":' * 60 + b'{"a":1,"a":2}' + b"}" * 60,
        b'{"a":{"b":1},"a":{"b":1}}',
    ],
)
def test_a_key_that_comes_twice_is_refused_at_any_depth_and_in_any_spelling(raw: bytes) -> None:
    with pytest.raises(NotStrict, match=DUPLICATES):
        parse_object(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":1,"A":2}',
        b'{"a":{"a":1},"b":{"a":1}}',
        '{"\u00e9":1,"e\u0301":2}'.encode(),
        b'{"a":"a","b":"\\"a\\":1,\\"a\\":2"}',
    ],
)
def test_keys_that_only_look_alike_are_not_duplicates(raw: bytes) -> None:
    assert len(parse_object(raw)) >= 2


def test_a_number_may_have_400_characters_and_no_more() -> None:
    number = b"0." + b"1" * (MAX_NUMBER_LENGTH - 2)
    assert parse_object(b'{"a":' + number + b"}") == {"a": float(number)}
    for longer in (number + b"1", b"-" + number, b"1" + b"0" * 300 + b"." + b"0" * 100, b"1e" + b"0" * 400 + b"1"):
        with pytest.raises(NotStrict, match=LONG_NUMBER):
            parse_object(b'{"a":[{"b":' + longer + b"}]}")


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}"), (b'[{"a":', b"}]")])
def test_64_levels_are_taken_and_65_refused(opening: bytes, closing: bytes) -> None:
    step = opening.count(b"[") + opening.count(b"{")
    most = 1 + 63 // step
    parse_object(nested(opening, closing, most))
    for levels in (most + 1, 600, 5_000):
        with pytest.raises(NotStrict) as refusal:
            parse_object(nested(opening, closing, levels))
        assert str(refusal.value) == DEEP


def test_a_wide_document_is_not_a_deep_one() -> None:
    parsed = parse_object(b'{"l":[' + b",".join([b"{}"] * 200) + b'],"t":"' + b"[{" * 200 + b'"}')
    assert len(parsed["l"]) == 200


def test_other_spellings_of_the_same_document_are_taken() -> None:
    raw = b' {\t"a" : "\\u0062\\/",\r\n"n":[1.0e2,-0,12345678901234567890123]} \n'
    assert parse_object(raw) == {"a": "b/", "n": [100.0, 0, 12345678901234567890123.0]}
