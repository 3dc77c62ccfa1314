"""Field filters as people give them: `a.b="x"`, or `[["a.b"],"x"]` for keys with dots."""

from __future__ import annotations

import json

FieldValue = str | int | float | bool | None

_HINT = 'a value is JSON: "text" (with its quotes), 12, 1.5, true, false or null; such as --field \'server.id="a"\''


def parse_field(text: str) -> tuple[tuple[str, ...], FieldValue]:
    """Read `path.to.key=VALUE`.

    Raises:
        ValueError: it isn't of that form, or the value isn't a JSON string, number, true, false or null.
    """
    path, equals, value = text.partition("=")
    if not equals or not path:
        raise ValueError("a field filter is path.to.key=VALUE")
    try:
        decoded = _load(value)
    except ValueError:
        raise ValueError(_HINT) from None
    return _checked(path.split("."), decoded)


def parse_field_json(text: str) -> tuple[tuple[str, ...], FieldValue]:
    """Read `[["key", …], VALUE]`.

    Raises:
        ValueError: it isn't of that form.
    """
    try:
        decoded = _load(text)
    except ValueError:
        raise ValueError('a field filter is JSON: [["addr.local"],"x"]') from None
    if not isinstance(decoded, list) or len(decoded) != 2 or not isinstance(decoded[0], list):
        raise ValueError('a field filter is JSON of two members: [["addr.local"],"x"]')
    return _checked(decoded[0], decoded[1])


def _load(text: str) -> object:
    return json.loads(text, parse_constant=_refuse)


def _refuse(name: str) -> object:
    raise ValueError(f"{name} is no JSON")


def _checked(path: list[object] | list[str], value: object) -> tuple[tuple[str, ...], FieldValue]:
    keys = tuple(key for key in path if isinstance(key, str) and key)
    if not keys or len(keys) != len(path):
        raise ValueError("a path is one or more keys, none of them empty")
    if not isinstance(value, str | int | float | bool | None):
        raise ValueError(_HINT)
    return keys, value
