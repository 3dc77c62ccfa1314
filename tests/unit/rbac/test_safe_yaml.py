import pytest

from rbac.errors import Refusal
from rbac.safe_yaml import ListNode, MapNode, ScalarNode, read_documents

REFUSED = [
    ("an alias", b"a: 1\nb: *x\n", 2, "alias"),
    ("an anchor on a scalar", b"a: 1\nb: &x 2\n", 2, "anchor"),
    ("an anchor on a list", b"a: 1\nb: &x [2]\n", 2, "anchor"),
    ("an anchor on a map", b"a: 1\nb: &x {c: 2}\n", 2, "anchor"),
    ("an anchor on a key", b"a: 1\n&x b: 2\n", 2, "anchor"),
    ("a merge key", b"a: 1\n<<: {b: 2}\n", 2, "merge key"),
    ("a custom tag", b"a: 1\nb: !x 2\n", 2, "tag"),
    ("a tag on a list", b"a: 1\nb: !x [2]\n", 2, "tag"),
    ("a Python tag", b"a: 1\nb: !!python/object/apply:os.system ['true']\n", 2, "tag"),
    ("a standard tag", b"a: 1\nb: !!str 2\n", 2, "tag"),
    ("a tag on a key", b"a: 1\n!x b: 2\n", 2, "tag"),
    ("a duplicate key", b"a: 1\nb: 2\na: 3\n", 3, "'a' twice"),
    ("a duplicate key once in quotes", b"a: 1\n'a': 3\n", 2, "'a' twice"),
    ("a duplicate key in a nested map", b"a:\n  b: 1\n  b: 2\n", 3, "'b' twice"),
    ("a list as key", b"a: 1\n? [b]\n: 2\n", 2, "isn't plain text"),
    ("bad syntax", b"a: 1\nb: [\n", 3, "not valid YAML"),
    ("a tab as indentation", b"a:\n\tb: 1\n", 2, "not valid YAML"),
    ("bytes that aren't UTF-8", b"a: 1\nb: \xff\n", 2, "not UTF-8"),
    ("UTF-16", "a: 1".encode("utf-16"), 1, "not UTF-8"),
    ("a control character", "ä: ü\nb: \x07\n".encode(), 2, "character"),
    ("lists too deep", b"\n" + b"[" * 33, 2, "deeper than 32"),
    ("maps too deep", b"{a: " * 33, 1, "deeper than 32"),
    ("too many documents", b"---\na: 1\n" * 1001, 2001, "more than 1000 documents"),
]


@pytest.mark.parametrize(("data", "line", "reason"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_refuses_with_the_line(data, line, reason):
    with pytest.raises(Refusal) as caught:
        read_documents(data)
    assert (line, True) == (caught.value.line, reason in caught.value.reason), caught.value.reason


def test_a_reason_holds_no_text_of_the_library():
    with pytest.raises(Refusal) as caught:
        read_documents(b"a: b: c")
    assert (caught.value.reason, caught.value.column) == ("is not valid YAML", 5)


def test_bounds_are_met_exactly():
    assert len(read_documents(b"---\na: 1\n" * 1000)) == 1000
    assert len(read_documents(b"[" * 32 + b"]" * 32)) == 1


def test_deep_nesting_stops_the_parser_at_once():
    with pytest.raises(Refusal):
        read_documents(b"[" * 1_000_000)


def test_nodes_know_their_lines():
    (document,) = read_documents(b"a: x\nb:\n  - y\n  - z\n")
    assert isinstance(document, MapNode)
    assert [(name, field.line) for name, field in document.fields.items()] == [("a", 1), ("b", 2)]
    values = document.fields["b"].value
    assert isinstance(values, ListNode)
    assert [item.line for item in values.items] == [3, 4]


@pytest.mark.parametrize(
    ("text", "is_text", "is_null"),
    [
        ("plain", True, False),
        ("'on'", True, False),
        ("'1'", True, False),
        ("''", True, False),
        ("on", False, False),
        ("1", False, False),
        ("1.5", False, False),
        ("2024-01-01", False, False),
        ("~", False, True),
        ("", False, True),
    ],
)
def test_what_is_text_and_what_is_null_is_told_apart(text, is_text, is_null):
    (document,) = read_documents(f"a: {text}\n".encode())
    value = document.fields["a"].value
    assert isinstance(value, ScalarNode)
    assert (is_text, is_null) == (value.is_text, value.is_null)


@pytest.mark.parametrize("data", [b"", b"\n# only a comment\n", b"---\n---\n", b"null\n"])
def test_empty_documents_are_left_out(data):
    assert read_documents(data) == ()


def test_a_byte_order_mark_is_accepted():
    (document,) = read_documents(b"\xef\xbb\xbfa: 1\n")
    assert list(document.fields) == ["a"]
