"""Athena's SQL, checked for what Athena would refuse, and written for DuckDB.

Names of functions that the two have otherwise get a prefix, and macros of that name do what Athena does. JSON paths
with keys in brackets are written with dots. sqlglot translates the rest. What neither hides is in docs/aws-sandbox.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError, TokenError
from sqlglot.tokens import Token, TokenType

PREFIX = "athena_"
MACROS = f"""
CREATE MACRO {PREFIX}json_extract(json, path) AS TRY(json_extract(json, path));
CREATE MACRO {PREFIX}json_extract_scalar(json, path) AS
    CASE WHEN TRY(json_type(json, path)) IN ('OBJECT', 'ARRAY', 'NULL') THEN NULL
    ELSE TRY(json_extract_string(json, path)) END;
CREATE MACRO {PREFIX}json_format(json) AS json::VARCHAR;
CREATE MACRO {PREFIX}json_parse(text) AS text::JSON;
CREATE MACRO {PREFIX}regexp_like(text, pattern) AS regexp_matches(text, pattern);
CREATE MACRO {PREFIX}arrays_overlap(one, other) AS list_has_any(one, other);
CREATE MACRO {PREFIX}cardinality(list) AS len(list);
CREATE MACRO {PREFIX}array_except(one, other) AS
    CASE WHEN other IS NOT NULL THEN list_filter(list_distinct(one), lambda each: NOT list_contains(other, each)) END;
CREATE MACRO {PREFIX}contains(list, each) AS list_contains(list, each);
CREATE MACRO {PREFIX}to_utf8(text) AS encode(text);
CREATE MACRO {PREFIX}from_utf8(bytes) AS decode(bytes);
CREATE MACRO {PREFIX}sha256(bytes) AS unhex(sha256(bytes));
CREATE MACRO {PREFIX}md5(bytes) AS unhex(md5(bytes));
CREATE MACRO {PREFIX}to_hex(bytes) AS hex(bytes);
CREATE MACRO {PREFIX}from_iso8601_timestamp(text) AS text::TIMESTAMPTZ;
CREATE MACRO {PREFIX}to_unixtime(moment) AS epoch(moment);
CREATE MACRO {PREFIX}to_milliseconds(moment) AS epoch_ms(moment);
"""
"""DuckDB's statements that make the functions; they need nothing loaded."""

_RENAMED = frozenset(re.findall(rf"MACRO {PREFIX}(\w+)", MACROS))
_SHARED = frozenset(
    re.findall(
        r"\w+",
        """
    abs all_match any_match approx_distinct array array_agg array_distinct array_join array_max array_min
    at_timezone avg bitwise_and bool_and bool_or cast ceil ceiling char chr coalesce codepoint concat count
    count_if current_date current_timestamp current_timezone date date_add date_diff date_parse date_trunc day
    day_of_week decimal dense_rank element_at exists exp extract filter first_value flatten floor
    format_datetime from_hex from_unixtime greatest histogram hour if json_array_length json_object json_query
    json_value lag last_value lead least length like_pattern ln log10 lower lpad ltrim map max max_by min min_by
    minute mod month none_match now nth_value ntile nullif percent_rank pi position pow power quarter random
    rank regexp_count regexp_extract regexp_replace regexp_split replace reverse round row row_number rpad rtrim
    second sequence sign slice soundex split split_part sqrt starts_with stddev strpos substr substring sum time
    timestamp to_iso8601 transform translate trim truncate try try_cast typeof unnest upper uuid varchar week
    year zip_with
    """,
    )
)
_FOREIGN = frozenset({TokenType.DCOLON, TokenType.DARROW, TokenType.ILIKE, TokenType.RLIKE, TokenType.GLOB})
_LITERALS = (exp.Literal, exp.Boolean, exp.Null)
_MOST_PARAMETER = 1024


class BadQuery(Exception):
    """Athena's reason for not running a query; `at_once` where it refuses to begin it."""

    def __init__(self, reason: str, *, at_once: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.at_once = at_once


def read_query(sql: str) -> exp.Query:
    """The query's tree, to be changed and then given to `to_duckdb`; raises BadQuery."""
    tokens = _tokens(sql)
    for token in tokens:
        if token.token_type in _FOREIGN or token.text == "==":
            raise BadQuery(f"{_at(token)}: mismatched input '{token.text}'", at_once=True)
    for token, after in pairwise(tokens):
        name = token.text.lower()
        if token.token_type is TokenType.VAR and after.token_type is TokenType.L_PAREN and not _is_known(name):
            raise BadQuery(f"FUNCTION_NOT_FOUND: {_at(token)}: Function '{name}' not registered")
    try:
        trees = sqlglot.parse(_prepared(sql, tokens), read="athena")
    except ParseError as error:
        first = error.errors[0] if error.errors else {}
        where = f"line {first.get('line', 1)}:{first.get('col', 1)}"
        raise BadQuery(f"{where}: mismatched input '{first.get('highlight', '')}'", at_once=True) from None
    if len(trees) != 1 or not isinstance(trees[0], exp.Query):
        raise BadQuery("Queries of this type are not supported", at_once=True)
    return trees[0]


def to_duckdb(tree: exp.Query) -> str:
    """The same in DuckDB's words."""
    _name_columns(tree)
    return tree.transform(_matches).sql(dialect="duckdb")


def _name_columns(tree: exp.Query) -> None:
    """Athena calls a column that has no name by its place."""
    while isinstance(tree, exp.SetOperation):
        tree = tree.left
    if isinstance(tree, exp.Select):
        named = (exp.Alias, exp.Column, exp.Star)
        tree.set(
            "expressions",
            [
                each if isinstance(each, named) else exp.alias_(each, f"_col{n}")
                for n, each in enumerate(tree.expressions)
            ],
        )


def _matches(node: exp.Expression) -> exp.Expression:
    """What asks whether items match, which DuckDB has only by filtering them."""
    name = node.name.lower() if isinstance(node, exp.Anonymous) else ""
    if name not in ("any_match", "all_match", "none_match"):
        return node
    items, holds = node.expressions
    found = _length(exp.ArrayFilter(this=items, expression=holds))
    wanted = _length(items.copy()) if name == "all_match" else exp.Literal.number(0)
    return (exp.GT if name == "any_match" else exp.EQ)(this=found, expression=wanted)


def _length(items: exp.Expression) -> exp.Expression:
    return exp.Anonymous(this="len", expressions=[items])


def with_parameters(sql: str, parameters: list[str]) -> str:
    """`sql` with each `?` replaced by the text of a literal, as Athena's execution parameters are; raises BadQuery."""
    marks = [token for token in _tokens(sql) if token.token_type is TokenType.PLACEHOLDER]
    if len(marks) != len(parameters):
        count = f"expected {len(marks)} but found {len(parameters)}"
        raise BadQuery(f"INVALID_PARAMETER_USAGE: line 1:1: Incorrect number of parameters: {count}")
    parts, begin = [], 0
    for mark, text in zip(marks, parameters, strict=True):
        check_parameter(text)
        parts += [sql[begin : mark.start], text]
        begin = mark.end + 1
    return "".join([*parts, sql[begin:]])


def check_parameter(text: str) -> None:
    """Raise BadQuery unless `text` is one literal of at most 1,024 characters."""
    if not 1 <= len(text) <= _MOST_PARAMETER:
        raise BadQuery("Member must have length less than or equal to 1024", at_once=True)
    try:
        tree = sqlglot.parse_one(text, read="athena")
    except (ParseError, TokenError):
        raise BadQuery(f"line 1:1: mismatched input {text!r} in an execution parameter", at_once=True) from None
    inner = tree.this if isinstance(tree, exp.Neg | exp.Cast) else tree
    if not isinstance(inner, _LITERALS):
        raise BadQuery(f"line 1:1: {text!r} is no literal", at_once=True)


def conjuncts(condition: exp.Expression | None) -> Iterable[exp.Expression]:
    """The conditions that all have to hold."""
    if condition is None:
        return
    if isinstance(condition, exp.And | exp.Paren):
        for part in condition.args.values():
            if isinstance(part, exp.Expression):
                yield from conjuncts(part)
    else:
        yield condition


def _tokens(sql: str) -> list[Token]:
    try:
        return list(sqlglot.Dialect.get_or_raise("athena").tokenize(sql))
    except TokenError:
        raise BadQuery("line 1:1: a quote isn't closed", at_once=True) from None


def _is_known(name: str) -> bool:
    return name in _RENAMED or name in _SHARED


def _at(token: Token) -> str:
    return f"line {token.line}:{token.col - len(token.text) + 1}"


def _prepared(sql: str, tokens: list[Token]) -> str:
    parts, begin = [], 0
    for token, after in zip(tokens, [*tokens[1:], None], strict=True):
        called = after is not None and after.token_type is TokenType.L_PAREN
        if token.token_type is TokenType.STRING and token.text.startswith("$["):
            new = "'" + re.sub(r'\["([^"]*)"\]', r'."\1"', token.text).replace("'", "''") + "'"
        elif called and token.text.lower() in _RENAMED and token.token_type is not TokenType.IDENTIFIER:
            new = PREFIX + token.text.lower()
        else:
            continue
        parts += [sql[begin : token.start], new]
        begin = token.end + 1
    return "".join([*parts, sql[begin:]])
